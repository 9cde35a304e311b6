"""Gradient of interpolation."""

from fastconv.checks import portable
from fastconv.checks import size as input_shape
from fastconv.functional.interpolate import interpolation
from fastconv.functional.resample import divided, resample
from fastconv.geometry import check_shape


def interpolate_input(input_size, grad_output, size=None, scale_factor=None, mode="nearest", align_corners=None,
                      recompute_scale_factor=None, antialias=False):
    """Gradient of `interpolate` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, W), (N, C, H, W) or (N, C, D, H, W)
    grad_output : array of the output's shape, float32 or float64
    size, scale_factor, mode, align_corners, recompute_scale_factor, antialias
        As of `interpolate`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "interpolate_input"
    xp, dy = portable(op, "grad_output", grad_output)
    shape = input_shape(op, "input_size", input_size)
    axes, divisors = interpolation(op, "input_size", shape, size, scale_factor, mode, align_corners,
                                   recompute_scale_factor, antialias)
    check_shape(op, "grad_output", dy.shape, (*shape[:2], *(axis.outputs for axis in axes)))
    if divisors is not None:
        dy = divided(xp, dy, divisors)
    return resample(xp, dy, [axis.transposed for axis in axes])
