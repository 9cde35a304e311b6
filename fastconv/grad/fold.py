"""Gradients of unfold and fold: each is the other's."""

from fastconv.checks import floating, size
from fastconv.functional.fold import col2im, im2col
from fastconv.geometry import with_batch


def unfold_input(input_size, grad_output, kernel_size, dilation=1, padding=0, stride=1):
    """Gradient of `unfold` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    grad_output : array (N, C * R * S, P * Q) or (C * R * S, P * Q), float32 or float64
    kernel_size, dilation, padding, stride
        As of `unfold`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "unfold_input"
    cols = floating(op, "grad_output", grad_output)
    shape, batched = with_batch(op, "input_size", size(op, "input_size", input_size), 2)
    return col2im(op, "grad_output", cols, shape, batched, kernel_size, dilation, padding, stride)


def fold_input(grad_output, kernel_size, dilation=1, padding=0, stride=1):
    """Gradient of `fold` with respect to its input.

    Parameters
    ----------
    grad_output : array (N, C, H, W) or (C, H, W), float32 or float64
    kernel_size, dilation, padding, stride
        As of `fold`.

    Returns
    -------
    array (N, C * R * S, P * Q) or (C * R * S, P * Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return im2col("fold_input", "grad_output", grad_output, kernel_size, dilation, padding, stride)
