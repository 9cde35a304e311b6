"""Channels turned into places and back, and places left out or put between."""

import math

import numpy as np

from fastconv import backends, geometry, sampling
from fastconv.checks import empty, portable
from fastconv.functional.resample import resample


def pixel_shuffle(input, upscale_factor):
    """Spread each group of r * r channels over a block of r rows and r columns.

    Parameters
    ----------
    input : array (..., C * r * r, H, W), float32 or float64
    upscale_factor : int
        r

    Returns
    -------
    array (..., C, H * r, W * r)

    Raises
    ------
    ValueError, TypeError
        For channels that r * r does not divide and arrays of other types.
    """
    return shuffled("pixel_shuffle", "input", input, upscale_factor, "upscale_factor")


def pixel_unshuffle(input, downscale_factor):
    """Gather each block of r rows and r columns in r * r channels, which undoes `pixel_shuffle`.

    Parameters
    ----------
    input : array (..., C, H * r, W * r), float32 or float64
    downscale_factor : int
        r

    Returns
    -------
    array (..., C * r * r, H, W)

    Raises
    ------
    ValueError, TypeError
        For sizes that r does not divide and arrays of other types.
    """
    return unshuffled("pixel_unshuffle", "input", input, downscale_factor, "downscale_factor")


def shuffled(op, name, x, factor, factor_name):
    """`pixel_shuffle` for the arguments `name` and `factor_name` of `op`."""
    xp, x, r = _operands(op, name, x, factor, factor_name)
    *lead, c, h, w = x.shape
    if c % (r * r):
        raise ValueError(f"{op}: {name} must have a multiple of {r * r} channels for {factor_name}={r}, got shape "
                         f"{tuple(x.shape)}")
    apart = (math.prod(lead) * (c // (r * r)), r, r, h, w)
    return _arranged(xp, x, apart, (0, 3, 1, 4, 2), (*lead, c // (r * r), h * r, w * r), r, back=False)


def unshuffled(op, name, x, factor, factor_name):
    """`pixel_unshuffle` for the arguments `name` and `factor_name` of `op`."""
    xp, x, r = _operands(op, name, x, factor, factor_name)
    *lead, c, h, w = x.shape
    if h % r or w % r:
        raise ValueError(f"{op}: {name} must have a height and a width that {factor_name}={r} divides, got shape "
                         f"{tuple(x.shape)}")
    apart = (math.prod(lead) * c, h // r, r, w // r, r)
    return _arranged(xp, x, apart, (0, 2, 4, 1, 3), (*lead, c * r * r, h // r, w // r), r, back=True)


def zero_insert1d(input, factor):
    """Put ``factor - 1`` zeros between neighboring elements of a 1-D map; see `zero_insert2d`."""
    return _resampled("zero_insert1d", 1, input, factor, sampling.spread)


def zero_insert2d(input, factor):
    """Put zeros between neighboring elements, none at the ends: element i comes to stand at ``i * factor``.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    factor : int or tuple of 2 ints
        One zero less than this is put between two elements.

    Returns
    -------
    array (N, C, (H - 1) * factor + 1, (W - 1) * factor + 1), or without N

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _resampled("zero_insert2d", 2, input, factor, sampling.spread)


def zero_insert3d(input, factor):
    """Put zeros between neighboring elements of a 3-D map; see `zero_insert2d`."""
    return _resampled("zero_insert3d", 3, input, factor, sampling.spread)


def downsample1d(input, factor):
    """Keep every element of a 1-D map whose position is a multiple of `factor`; see `downsample2d`."""
    return _resampled("downsample1d", 1, input, factor, sampling.every)


def downsample2d(input, factor):
    """Keep every row and column whose position is a multiple of `factor`, the first one included.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    factor : int or tuple of 2 ints

    Returns
    -------
    array (N, C, (H - 1) // factor + 1, (W - 1) // factor + 1), or without N

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _resampled("downsample2d", 2, input, factor, sampling.every)


def downsample3d(input, factor):
    """Keep every element of a 3-D map whose position is a multiple of `factor`; see `downsample2d`."""
    return _resampled("downsample3d", 3, input, factor, sampling.every)


def factor_axes(op, name, shape, nd, factor, table):
    """One `fastconv.sampling.Axis` for each of the last `nd` axes of `shape`."""
    full, _ = geometry.with_batch(op, name, tuple(shape), nd)
    if 0 in full[1:]:
        raise ValueError(f"{op}: no axis but the batch of {name} may be empty, got shape {tuple(shape)}")
    factors = geometry.sizes(op, "factor", factor, nd, 1)
    geometry.check_total(op, (*full[:2], *(n * f for n, f in zip(full[2:], factors, strict=True))))
    return [table(*along) for along in zip(full[2:], factors, strict=True)]


def _resampled(op, nd, input, factor, table):
    xp, x = portable(op, "input", input)
    return resample(xp, x, factor_axes(op, "input", x.shape, nd, factor, table))


def _operands(op, name, x, factor, factor_name):
    xp, x = portable(op, name, x)
    if x.ndim < 3:
        raise ValueError(f"{op}: {name} must have at least 3 dimensions, got shape {tuple(x.shape)}")
    if isinstance(factor, (tuple, list)):
        raise TypeError(f"{op}: {factor_name} must be an int, got {factor!r}")
    (r,) = geometry.sizes(op, factor_name, factor, 1, 1)
    return xp, x, r


def _arranged(xp, x, apart, order, shape, factor, back):
    """The axes `apart` of `x` in another `order`, as an array of `shape`."""
    if xp is not np:
        return xp.reshape(xp.permute_dims(xp.reshape(x, apart), order), shape)
    y = empty(shape, x)
    moved = y.reshape([apart[i] for i in order])
    kernel = backends.extra("pixel_shuffle", x)
    if kernel is None:
        np.copyto(moved, x.reshape(apart).transpose(order))
    elif back:
        kernel(moved, x.reshape(len(moved), -1, shape[-1] * factor), factor, True)
    else:
        kernel(x.reshape(apart), y.reshape(len(moved), *shape[-2:]), factor, False)
    return y
