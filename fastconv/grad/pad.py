"""Gradient of padding."""

from fastconv.checks import portable, size
from fastconv.functional.pad import check_mode, pad_axes
from fastconv.functional.resample import resample
from fastconv.geometry import check_shape


def pad_input(input_size, grad_output, pad, mode="constant", value=None):
    """Gradient of `pad` with respect to its input: each element's sum over the places where it stands.

    Parameters
    ----------
    input_size : tuple of int
    grad_output : array of the output's shape, float32 or float64
    pad, mode
        As of `pad`.
    value
        Is not looked at.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "pad_input"
    xp, dy = portable(op, "grad_output", grad_output)
    shape = size(op, "input_size", input_size)
    check_mode(op, mode)
    axes = pad_axes(op, shape, pad, mode)
    check_shape(op, "grad_output", dy.shape, (*shape[:len(shape) - len(axes)], *(axis.outputs for axis in axes)))
    return resample(xp, dy, [axis.transposed for axis in axes])
