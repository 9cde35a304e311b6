"""Pooling to a given output size: window i of P covers rows ``floor(i H / P) <= h < ceil((i + 1) H / P)``."""

import numpy as np

from fastconv import backends, geometry, sampling
from fastconv.checks import floating, packed, portable, user_shape
from fastconv.functional.resample import divided, resample


def adaptive_avg_pool1d(input, output_size):
    """Mean of each of `output_size` windows of a 1-D map.

    Parameters
    ----------
    input : array (N, C, W) or (C, W), float32 or float64
    output_size : int or tuple of 1 int

    Returns
    -------
    array (N, C, Q) or (C, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input, output_size):
    """Mean of each of P x Q windows of a 2-D map.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    output_size : int or tuple of 2 ints
        (P, Q); None in the tuple keeps the input's size.

    Returns
    -------
    array (N, C, P, Q) or (C, P, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input, output_size):
    """Mean of each of O x P x Q windows of a 3-D map.

    Parameters
    ----------
    input : array (N, C, D, H, W) or (C, D, H, W), float32 or float64
    output_size : int or tuple of 3 ints
        (O, P, Q); None in the tuple keeps the input's size.

    Returns
    -------
    array (N, C, O, P, Q) or (C, O, P, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _adaptive_avg("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """Largest element of each of `output_size` windows of a 1-D map.

    Parameters
    ----------
    input : array (N, C, W) or (C, W), float32 or float64
    output_size : int or tuple of 1 int
    return_indices : bool

    Returns
    -------
    array (N, C, Q) or (C, Q), or (array, indices)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """Largest element of each of P x Q windows of a 2-D map.

    The first of equal elements is taken; a NaN wins.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    output_size : int or tuple of 2 ints
        (P, Q); None in the tuple keeps the input's size.
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
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input, output_size, return_indices=False):
    """Largest element of each of O x P x Q windows of a 3-D map.

    Parameters
    ----------
    input : array (N, C, D, H, W) or (C, D, H, W), float32 or float64
    output_size : int or tuple of 3 ints
        (O, P, Q); None in the tuple keeps the input's size.
    return_indices : bool

    Returns
    -------
    array (N, C, O, P, Q) or (C, O, P, Q), or (array, indices)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _adaptive_max("adaptive_max_pool3d", 3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool1d`, always with indices: `input`, `output_size`; `return_indices` is not looked at."""
    return _adaptive_max("adaptive_max_pool1d_with_indices", 1, input, output_size, True)


def adaptive_max_pool2d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool2d`, always with indices: `input`, `output_size`; `return_indices` is not looked at."""
    return _adaptive_max("adaptive_max_pool2d_with_indices", 2, input, output_size, True)


def adaptive_max_pool3d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool3d`, always with indices: `input`, `output_size`; `return_indices` is not looked at."""
    return _adaptive_max("adaptive_max_pool3d_with_indices", 3, input, output_size, True)


def equal_windows(op, shape, outputs):
    """The geometry of the ordinary pooling that an adaptive one is, or None where its windows differ."""
    if 0 in outputs or any(i % o for i, o in zip(shape[2:], outputs, strict=True)):
        return None
    return geometry.pool(op, shape, tuple(i // o for i, o in zip(shape[2:], outputs, strict=True)))


def volumes(x, nd):
    """`x` as (planes, D, H, W), without a copy where it is contiguous."""
    return packed(x, (-1, *(1,) * (3 - nd), *x.shape[-nd:]))


def regions(sizes, outputs):
    """(first, last, count) of the windows along each of three axes: see `fastconv.sampling.regions`."""
    lead = (1,) * (3 - len(sizes))
    return [sampling.regions(*along) for along in zip((*lead, *sizes), (*lead, *outputs), strict=True)]


def _adaptive_avg(op, nd, input, output_size):
    xp, x = portable(op, "input", input)
    shape, batched = geometry.with_batch(op, "input", tuple(x.shape), nd)
    outputs = geometry.adaptive(op, shape, output_size)
    g = equal_windows(op, shape, outputs) if xp is np and shape[0] else None
    if g is not None:
        y = np.empty(user_shape(g.y_shape, nd, batched), x.dtype)
        backends.current().avg_pool_forward(packed(x, g.x_shape), y.reshape(g.y_shape), g)
        return y
    kernel = backends.extra("adaptive_avg") if xp is np and shape[0] and 0 not in outputs else None
    if kernel is not None:
        y = np.empty((shape[:2] if batched else shape[1:2]) + outputs, x.dtype)
        kernel(volumes(x, nd), volumes(y, nd), regions(shape[2:], outputs))
        return y
    axes = [sampling.windows(*along) for along in zip(shape[2:], outputs, strict=True)]
    return divided(xp, resample(xp, x, axes), [axis.counts for axis in axes])


def _adaptive_max(op, nd, input, output_size, return_indices):
    x = floating(op, "input", input)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    outputs = geometry.adaptive(op, shape, output_size)
    y = np.empty((shape[:2] if batched else shape[1:2]) + outputs, x.dtype)
    indices = np.empty(y.shape, np.int64) if return_indices else None
    if y.size:
        g = equal_windows(op, shape, outputs)
        if g is not None:
            backends.current().max_pool_forward(packed(x, g.x_shape), y.reshape(g.y_shape),
                                                indices.reshape(g.y_shape) if return_indices else None, g)
        else:
            kernel = backends.extra("adaptive_max") or _windows_max
            kernel(volumes(x, nd), volumes(y, nd), volumes(indices, nd) if return_indices else None,
                   regions(shape[2:], outputs))
    return (y, indices) if return_indices else y


def _windows_max(x, y, indices, regions):
    """The maximum of each window: `regions` holds (first, last, count) of the windows along each axis.

    The kernels of a backend called ``adaptive_max`` are other forms of it.
    """
    for place in np.ndindex(*y.shape[1:]):
        span = [(int(first[i]), int(last[i])) for (first, last, _), i in zip(regions, place, strict=True)]
        window = x[(slice(None), *(slice(*s) for s in span))].reshape(len(x), -1)
        missing = np.isnan(window)
        best = window.argmax(axis=1)
        if missing.any():
            # The last of several, as in the loops of torch.
            last = window.shape[1] - 1 - missing[:, ::-1].argmax(axis=1)
            best = np.where(missing.any(axis=1), last, best)
        y[(slice(None), *place)] = window[np.arange(len(x)), best]
        if indices is not None:
            inside = np.unravel_index(best, [last - first for first, last in span])
            indices[(slice(None), *place)] = np.ravel_multi_index(
                [first + i for (first, _), i in zip(span, inside, strict=True)], x.shape[1:])
