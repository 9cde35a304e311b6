"""Gradients of pooling."""

import math
from functools import lru_cache

import numpy as np

from fastconv import backends, geometry
from fastconv.checks import check_place, contiguous, empty, floating, matching, size, zeros
from fastconv.checks import indices as checked_indices

CODES = 4   # of `max_pool_relu`: below it they count the elements of a window of 2 x 2, row by row


def max_pool1d_input(input_size, indices, grad_output):
    """Gradient of `max_pool1d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, W) or (C, W)
    indices : array of int64 (N, C, Q) or (C, Q)
        As `max_pool1d` returns them. Every one is checked.
    grad_output : array of the shape of `indices`, float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return scatter_add("max_pool1d_input", 1, input_size, indices, grad_output)


def max_pool2d_input(input_size, indices, grad_output):
    """Gradient of `max_pool2d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    indices : array of int64 (N, C, P, Q) or (C, P, Q)
        As `max_pool2d` returns them. Every one is checked.
    grad_output : array of the shape of `indices`, float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return scatter_add("max_pool2d_input", 2, input_size, indices, grad_output)


def max_pool3d_input(input_size, indices, grad_output):
    """Gradient of `max_pool3d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, D, H, W) or (C, D, H, W)
    indices : array of int64 (N, C, O, P, Q) or (C, O, P, Q)
        As `max_pool3d` returns them. Every one is checked.
    grad_output : array of the shape of `indices`, float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return scatter_add("max_pool3d_input", 3, input_size, indices, grad_output)


def avg_pool1d_input(input_size, grad_output, kernel_size, stride=None, padding=0, ceil_mode=False,
                     count_include_pad=True, divisor_override=None):
    """Gradient of `avg_pool1d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, W) or (C, W)
    grad_output : array (N, C, Q) or (C, Q), float32 or float64
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As of `avg_pool2d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _avg_pool_input("avg_pool1d_input", 1, input_size, grad_output, kernel_size, stride, padding, ceil_mode,
                           count_include_pad, divisor_override)


def avg_pool2d_input(input_size, grad_output, kernel_size, stride=None, padding=0, ceil_mode=False,
                     count_include_pad=True, divisor_override=None):
    """Gradient of `avg_pool2d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    grad_output : array (N, C, P, Q) or (C, P, Q), float32 or float64
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As of `avg_pool2d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _avg_pool_input("avg_pool2d_input", 2, input_size, grad_output, kernel_size, stride, padding, ceil_mode,
                           count_include_pad, divisor_override)


def avg_pool3d_input(input_size, grad_output, kernel_size, stride=None, padding=0, ceil_mode=False,
                     count_include_pad=True, divisor_override=None):
    """Gradient of `avg_pool3d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, D, H, W) or (C, D, H, W)
    grad_output : array (N, C, O, P, Q) or (C, O, P, Q), float32 or float64
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As of `avg_pool3d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _avg_pool_input("avg_pool3d_input", 3, input_size, grad_output, kernel_size, stride, padding, ceil_mode,
                           count_include_pad, divisor_override)


def scatter_add(op, nd, input_size, indices, grad_output):
    """`max_pool2d_input` for `nd` axes; messages open with `op`."""
    dy = floating(op, "grad_output", grad_output)
    shape, batched = geometry.with_batch(op, "input_size", size(op, "input_size", input_size), nd)
    dy_shape, _ = geometry.with_batch(op, "grad_output", dy.shape, nd)
    g = _scatter(op, shape, dy_shape)
    geometry.check_shape(op, "grad_output", dy.shape, geometry.user_shape(g.y_shape, nd, batched))
    # Where the kernel tells of indices beyond the map, they are only looked at when it did; that of "cuda" leaves them
    # out.
    kernel = backends.extra("max_pool_backward_checked", dy)
    indices = checked_indices(op, "indices", indices, None if kernel else math.prod(g.input), wait=False)
    check_place(op, "indices", indices, dy, "grad_output")
    geometry.check_shape(op, "indices", indices.shape, dy.shape)
    if not math.prod(dy.shape):
        return zeros(geometry.user_shape(g.x_shape, nd, batched), dy)
    dx = empty(geometry.user_shape(g.x_shape, nd, batched), dy)
    arrays = contiguous(dy), indices, dx
    if not kernel:
        backends.serving(dy).max_pool_backward(*arrays, g)
    elif not kernel(*arrays, g):
        checked_indices(op, "indices", indices, math.prod(g.input))
    return dx


def max_pool_relu_input(op, nd, input_size, output, codes, grad_output):
    """Gradient of `fastconv.functional.pool.max_pool_relu`, which returned `output` and `codes`."""
    dy = matching(op, "grad_output", grad_output, output, "output")
    shape, _ = geometry.with_batch(op, "input_size", input_size, nd)
    geometry.check_shape(op, "grad_output", dy.shape, codes.shape)
    kernel = backends.extra("max_pool_relu_backward", dy)
    if kernel is None:  # another backend than that of the forward pass
        rows, columns = np.ogrid[:codes.shape[-2], :codes.shape[-1]]
        some = codes < CODES
        indices = np.where(some, (2 * rows + codes // 2) * input_size[-1] + 2 * columns + codes % 2, 0)
        return scatter_add(op, nd, input_size, indices, np.where(some, dy, 0).astype(dy.dtype))
    dx = empty(input_size, dy)
    dy_shape, _ = geometry.with_batch(op, "grad_output", dy.shape, nd)
    kernel(contiguous(dy), codes, dx, _scatter(op, shape, dy_shape))
    return dx


@lru_cache(maxsize=4096)
def _scatter(op, input_shape, output_shape):
    """Geometry of a scatter-add by index: the windows do not matter to it, only the two sizes."""
    g = geometry.pool(op, input_shape, 1)
    output = (1,) * (5 - len(output_shape)) + output_shape[2:]
    return geometry.Geometry(g.n, g.c, g.c, input=g.input, kernel=g.input, output=output)


def _avg_pool_input(op, nd, input_size, grad_output, kernel_size, stride, padding, ceil_mode, count_include_pad,
                    divisor_override):
    dy = floating(op, "grad_output", grad_output)
    shape, batched = geometry.with_batch(op, "input_size", size(op, "input_size", input_size), nd)
    g = geometry.pool(op, shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override)
    geometry.check_shape(op, "grad_output", dy.shape, geometry.user_shape(g.y_shape, nd, batched))
    dx = empty(geometry.user_shape(g.x_shape, nd, batched), dy)
    if g.n:
        backends.serving(dy).avg_pool_backward(contiguous(dy), dx, g)
    return dx
