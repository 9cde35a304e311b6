"""Maps made of what max pooling kept, with zeros elsewhere."""

import math

import array_api_compat

from fastconv import backends, geometry
from fastconv.checks import arithmetic, check_place, empty, floating, packed
from fastconv.checks import indices as checked_indices


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Put each element where `max_pool1d` had found it, with zeros elsewhere.

    Parameters
    ----------
    input : array (N, C, Q) or (C, Q), float32 or float64
    indices : array of int64, the same shape
        As `max_pool1d` returns them. Every one is checked.
    kernel_size, stride, padding : int or tuple of 1 int
        Those of the pooling.
    output_size : tuple of ints, optional
        As of `max_unpool2d`.

    Returns
    -------
    array (N, C, W) or (C, W)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, indices outside the output and arrays of other types.
    """
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Put each element where `max_pool2d` had found it, with zeros elsewhere. The last of several for a place stays.

    In a GPU's memory, any of several for a place may be the one that stays.

    Parameters
    ----------
    input : array (N, C, P, Q) or (C, P, Q), float32 or float64
    indices : array of int64, the same shape
        As `max_pool2d` returns them. Every one is checked.
    kernel_size, padding : int or tuple of 2 ints
        Those of the pooling.
    stride : int or tuple of 2 ints, optional
        None means `kernel_size`.
    output_size : tuple of 2 or 4 ints, optional
        (H, W), or a shape that ends with it, of the map that was pooled. Without it the smallest size is taken which
        the windows fill.

    Returns
    -------
    array (N, C, H, W) or (C, H, W)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, indices outside the output and arrays of other types.
    """
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Put each element where `max_pool3d` had found it, with zeros elsewhere.

    Parameters
    ----------
    input : array (N, C, O, P, Q) or (C, O, P, Q), float32 or float64
    indices : array of int64, the same shape
        As `max_pool3d` returns them. Every one is checked.
    kernel_size, stride, padding : int or tuple of 3 ints
        Those of the pooling.
    output_size : tuple of ints, optional
        As of `max_unpool2d`.

    Returns
    -------
    array (N, C, D, H, W) or (C, D, H, W)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, indices outside the output and arrays of other types.
    """
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(op, nd, input, indices, kernel_size, stride, padding, output_size):
    x = floating(op, "input", input)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    g = geometry.unpool(op, shape, kernel_size, stride, padding, output_size)
    size = math.prod(g.input)
    indices = checked_indices(op, "indices", indices, size, "the size of an output map")
    geometry.check_shape(op, "indices", indices.shape, x.shape)
    check_place(op, "indices", indices, x)
    y = empty(geometry.user_shape(g.x_shape, nd, batched), x)
    if g.n:
        planes = g.n * g.c
        kernel = backends.extra("max_unpool", x) or _scatter
        kernel(packed(x, (planes, -1)), indices.reshape((planes, -1)), y.reshape((planes, size)))
    return y


def _scatter(x, indices, y):
    """``y[plane, indices[plane, i]] = x[plane, i]``, and 0 elsewhere."""
    xp = arithmetic("max_unpool", "input", x)
    y[...] = 0
    y[xp.arange(x.shape[0], device=array_api_compat.device(x))[:, None], indices] = x
