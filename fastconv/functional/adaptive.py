"""Pooling to a given output size: window i of P covers rows ``floor(i H / P) <= h < ceil((i + 1) H / P)``."""

import math

import array_api_compat
import numpy as np

from fastconv import backends, geometry, sampling
from fastconv.checks import arithmetic, contiguous, empty, floating, has_kernels, packed, portable
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
    g = equal_windows(op, shape, outputs) if has_kernels(x) and shape[0] else None
    if g is not None:
        y = empty(geometry.user_shape(g.y_shape, nd, batched), x)
        backends.serving(x).avg_pool_forward(contiguous(x), y, g)
        return y
    kernel = backends.extra("adaptive_avg", x) if 0 not in outputs else None
    if kernel is not None:
        y = empty((shape[:2] if batched else shape[1:2]) + outputs, x)
        kernel(volumes(x, nd), volumes(y, nd), regions(shape[2:], outputs))
        return y
    axes = [sampling.windows(*along) for along in zip(shape[2:], outputs, strict=True)]
    return divided(xp, resample(xp, x, axes), [axis.counts for axis in axes])


def _adaptive_max(op, nd, input, output_size, return_indices):
    x = floating(op, "input", input)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    outputs = geometry.adaptive(op, shape, output_size)
    y = empty((shape[:2] if batched else shape[1:2]) + outputs, x)
    indices = empty(y.shape, x, np.int64) if return_indices else None
    if math.prod(y.shape):
        g = equal_windows(op, shape, outputs)
        if g is not None:
            backends.serving(x).max_pool_forward(contiguous(x), y, indices, g)
        else:
            kernel = backends.extra("adaptive_max", x) or _windows_max
            kernel(volumes(x, nd), volumes(y, nd), volumes(indices, nd) if return_indices else None,
                   regions(shape[2:], outputs))
    return (y, indices) if return_indices else y


def _windows_max(x, y, indices, regions):
    """The maximum of each window: `regions` holds (first, last, count) of the windows along each axis.

    The kernels of a backend called ``adaptive_max`` are other forms of it.
    """
    xp, device = arithmetic("adaptive_max_pool", "input", x), array_api_compat.device(x)
    height, width = x.shape[2:]
    # As if every window were as large as the largest: its last element stands for what it lacks.
    places = [np.minimum(first[:, None] + np.arange(count.max()), last[:, None] - 1) for first, last, count in regions]
    for axis, place in enumerate(places, 1):
        x = xp.take(x, xp.asarray(place.reshape(-1), device=device), axis=axis)
    x = xp.reshape(x, (x.shape[0], *(n for place in places for n in place.shape)))
    x = xp.reshape(xp.permute_dims(x, (0, 1, 3, 5, 2, 4, 6)), (*y.shape, -1))
    missing = xp.isnan(x)
    lowest = xp.asarray(-math.inf, dtype=x.dtype, device=device)
    # The last NaN of several, as in the loops of torch.
    last = x.shape[-1] - 1 - xp.argmax(xp.astype(xp.flip(missing, axis=-1), xp.int8), axis=-1)
    best = xp.where(xp.any(missing, axis=-1), last, xp.argmax(xp.where(missing, lowest, x), axis=-1))
    y[...] = xp.take_along_axis(x, best[..., None], axis=-1)[..., 0]
    if indices is not None:
        # From the number within the window to that along each axis, the last one first.
        along = []
        for axis, place in reversed(list(enumerate(places))):
            outputs, taps = place.shape
            shape = tuple(outputs if i == axis else 1 for i in range(3))
            number = best % taps + xp.reshape(xp.arange(outputs, device=device) * taps, shape)
            table = xp.asarray(place.reshape(-1), device=device)
            along.insert(0, xp.reshape(xp.take(table, xp.reshape(number, (-1,)), axis=0), best.shape))
            best = best // taps
        indices[...] = (along[0] * height + along[1]) * width + along[2]
