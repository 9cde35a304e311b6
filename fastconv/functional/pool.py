"""Maximum and average over sliding windows."""

import numpy as np

from fastconv import backends, geometry
from fastconv.checks import contiguous, empty, floating


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Largest element of each window of a 1-D map.

    Parameters
    ----------
    input : array (N, C, W) or (C, W), float32 or float64
    kernel_size, padding, dilation : int or tuple of 1 int
    stride : int or tuple of 1 int, optional
        None means `kernel_size`.
    ceil_mode, return_indices : bool
        As of `max_pool2d`.

    Returns
    -------
    array (N, C, Q) or (C, Q), or (array, indices)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Largest element of each window of a 2-D map.

    The first of equal elements is taken; a NaN wins; padding never does.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    kernel_size, dilation : int or tuple of 2 ints
    stride : int or tuple of 2 ints, optional
        None means `kernel_size`.
    padding : int or tuple of 2 ints
        At most half of the window.
    ceil_mode : bool
        Round the output size up; the last window may then reach over the border.
    return_indices : bool

    Returns
    -------
    array (N, C, P, Q) or (C, P, Q)
    indices : array of int64, the same shape
        Only with `return_indices`: where each element came from, counted through its flattened map.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Largest element of each window of a 3-D map.

    Parameters
    ----------
    input : array (N, C, D, H, W) or (C, D, H, W), float32 or float64
    kernel_size, padding, dilation : int or tuple of 3 ints
    stride : int or tuple of 3 ints, optional
        None means `kernel_size`.
    ceil_mode, return_indices : bool
        As of `max_pool2d`.

    Returns
    -------
    array (N, C, O, P, Q) or (C, O, P, Q), or (array, indices)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                            return_indices=False):
    """`max_pool1d` that returns (array, indices) whatever `return_indices` says, as torch's does."""
    return _max_pool("max_pool1d_with_indices", 1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                            return_indices=False):
    """`max_pool2d` that returns (array, indices) whatever `return_indices` says, as torch's does."""
    return _max_pool("max_pool2d_with_indices", 2, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                            return_indices=False):
    """`max_pool3d` that returns (array, indices) whatever `return_indices` says, as torch's does."""
    return _max_pool("max_pool3d_with_indices", 3, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Mean of each window of a 1-D map.

    Parameters
    ----------
    input : array (N, C, W) or (C, W), float32 or float64
    kernel_size, padding : int or tuple of 1 int
    stride : int or tuple of 1 int, optional
        None means `kernel_size`.
    ceil_mode, count_include_pad : bool
        As of `avg_pool2d`.

    Returns
    -------
    array (N, C, Q) or (C, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
               divisor_override=None):
    """Mean of each window of a 2-D map.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    kernel_size : int or tuple of 2 ints
    stride : int or tuple of 2 ints, optional
        None means `kernel_size`.
    padding : int or tuple of 2 ints
        Zeros; at most half of the window.
    ceil_mode : bool
        Round the output size up. What a window then reaches beyond the padding never counts.
    count_include_pad : bool
        Divide by the size of the window within the padded map, not within the map.
    divisor_override : int, optional
        Divide by this.

    Returns
    -------
    array (N, C, P, Q) or (C, P, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


def avg_pool3d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
               divisor_override=None):
    """Mean of each window of a 3-D map.

    Parameters
    ----------
    input : array (N, C, D, H, W) or (C, D, H, W), float32 or float64
    kernel_size, padding : int or tuple of 3 ints
    stride : int or tuple of 3 ints, optional
        None means `kernel_size`.
    ceil_mode, count_include_pad, divisor_override
        As of `avg_pool2d`.

    Returns
    -------
    array (N, C, O, P, Q) or (C, O, P, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


def _max_pool(op, nd, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    x = floating(op, "input", input)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    g = geometry.pool(op, shape, kernel_size, stride, padding, dilation, ceil_mode)
    y = empty(geometry.user_shape(g.y_shape, nd, batched), x)
    indices = empty(y.shape, x, np.int64) if return_indices else None
    if g.n:
        backends.serving(x).max_pool_forward(contiguous(x), y, indices, g)
    return (y, indices) if return_indices else y


def max_pool_relu(op, nd, input, kernel_size, stride, padding, dilation, ceil_mode):
    """ReLU of the maximum pooling, and a code for each result that its gradient takes; None where no kernel does both.

    Returns
    -------
    array, and array of uint8 of the same shape; or None
    """
    kernel = backends.extra("max_pool_relu", input)
    if kernel is None:
        return None
    x = floating(op, "input", input)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    g = geometry.pool(op, shape, kernel_size, stride, padding, dilation, ceil_mode)
    y = empty(geometry.user_shape(g.y_shape, nd, batched), x)
    codes = empty(y.shape, x, np.uint8)
    return (y, codes) if kernel(contiguous(x), y, codes, g) else None


def _avg_pool(op, nd, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    x = floating(op, "input", input)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    g = geometry.pool(op, shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override)
    y = empty(geometry.user_shape(g.y_shape, nd, batched), x)
    if g.n:
        backends.serving(x).avg_pool_forward(contiguous(x), y, g)
    return y
