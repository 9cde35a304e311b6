"""im2col and its adjoint, under torch's names."""

import math

from fastconv import backends, geometry
from fastconv.checks import contiguous, empty, floating


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Write each window of a 2-D map as a column (im2col).

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    kernel_size, dilation, padding, stride : int or tuple of 2 ints

    Returns
    -------
    array (N, C * R * S, P * Q) or (C * R * S, P * Q)
        Rows run over channel, kernel row and kernel column, the last fastest.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return im2col("unfold", "input", input, kernel_size, dilation, padding, stride)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Add columns back into the windows of a 2-D map that they stand for (col2im), the adjoint of `unfold`.

    Parameters
    ----------
    input : array (N, C * R * S, P * Q) or (C * R * S, P * Q), float32 or float64
    output_size : int or tuple of 2 ints
        (H, W)
    kernel_size, dilation, padding, stride : int or tuple of 2 ints

    Returns
    -------
    array (N, C, H, W) or (C, H, W)
        Where windows overlap, their elements are summed.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "fold"
    cols = floating(op, "input", input)
    if cols.ndim not in (2, 3):
        raise ValueError(f"{op}: input must have 3 dimensions (or 2, unbatched), got shape {cols.shape}")
    batched = cols.ndim == 3
    size = geometry.sizes(op, "output_size", output_size, 2, 1)
    taps = math.prod(geometry.sizes(op, "kernel_size", kernel_size, 2, 1))
    rows = cols.shape[cols.ndim - 2]
    if rows == 0 or rows % taps:
        raise ValueError(f"{op}: input of shape {cols.shape} has {rows} rows, which must be a positive multiple of the "
                         f"{taps} elements of kernel_size={kernel_size}")
    shape = (cols.shape[0] if batched else 1, rows // taps, *size)
    return col2im(op, "input", cols, shape, batched, kernel_size, dilation, padding, stride)


def im2col(op, name, x, kernel_size, dilation, padding, stride):
    """`unfold` for the argument `name` of `op`."""
    x = floating(op, name, x)
    shape, batched = geometry.with_batch(op, name, x.shape, 2)
    g = geometry.unfold(op, shape, kernel_size, dilation, padding, stride)
    cols = empty(g.cols_shape if batched else g.cols_shape[1:], x)
    if g.n:
        backends.serving(x).im2col(contiguous(x), cols, g)
    return cols


def col2im(op, name, cols, shape, batched, kernel_size, dilation, padding, stride):
    """`fold` to (N, C, H, W) = `shape` for the argument `name` of `op`, an array that `floating` has passed."""
    g = geometry.unfold(op, shape, kernel_size, dilation, padding, stride)
    geometry.check_shape(op, name, cols.shape, g.cols_shape if batched else g.cols_shape[1:])
    x = empty(shape if batched else shape[1:], cols)
    if g.n:
        backends.serving(cols).col2im(contiguous(cols), x, g)
    return x
