"""Batch normalisation: one implementation for NumPy arrays and those of other libraries."""

import math
from typing import NamedTuple

import numpy as np

from fastconv import backends
from fastconv.checks import empty, floating, portable, portable_any, portable_matching, real


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-05):
    """Each channel shifted and scaled to mean 0 and variance 1, then by `weight` and `bias`.

    Parameters
    ----------
    input : array (N, C, ...), float32 or float64
    running_mean, running_var : array (C,) of the input's type, or None
        What is taken for mean and variance unless `training`, when it is not needed but moved, in place, towards those
        of the batch.
    weight, bias : array (C,) of the input's type, optional
    training : bool
        Take mean and variance from the batch.
    momentum : float
        The share of the batch in the new running statistics. Their variance is the unbiased one, divided by the number
        of elements less 1.
    eps : float
        Added to the variance.

    Returns
    -------
    array of the input's shape
        Mean and variance are computed in float64.

    Raises
    ------
    ValueError
        For shapes that do not fit, missing statistics, and a batch of one element for each channel in training.
    TypeError
        For arrays of other types.
    """
    return batch_norm_with_moments("batch_norm", input, running_mean, running_var, weight, bias, training, momentum,
                                   eps)[0]


class Moments(NamedTuple):
    """Mean and variance of each channel, float64 (C,)."""

    mean: object
    var: object


def batch_norm_with_moments(op, input, running_mean, running_var, weight, bias, training, momentum, eps):
    """(the result, the `Moments` it was computed with, which are None for an empty input)."""
    xp, x = batch_input(op, input)
    w, b = (channel_array(op, name, a, x) for name, a in (("weight", weight), ("bias", bias)))
    eps = check_eps(op, eps, training)
    momentum = real(op, "momentum", momentum)
    mean, var = _running(op, x, running_mean, running_var, training)
    if training:
        check_count(op, x.shape)
    if not math.prod(x.shape):
        return xp.zeros_like(x), None
    if not training:
        stats = given_moments(xp, mean, var)
    else:
        stats = moments(xp, x)
        if mean is not None:
            update(xp, x, mean, var, stats, momentum)
    return normalize(xp, x, stats, w, b, eps), stats


def batch_input(op, input):
    """(namespace, input) of a batch normalisation, checked."""
    xp, x = portable(op, "input", input)
    if x.ndim < 2:
        raise ValueError(f"{op}: input must have at least 2 dimensions, (N, C, ...), got shape {tuple(x.shape)}")
    return xp, x


def channel_array(op, name, array, x):
    """`array` checked to be (C,) and of the type of `x`, or None."""
    if array is None:
        return None
    array = portable_matching(op, name, array, x)
    if tuple(array.shape) != (x.shape[1],):
        raise ValueError(f"{op}: {name} must have shape ({x.shape[1]},), one for each channel of input, got "
                         f"{tuple(array.shape)}")
    return array


def check_eps(op, eps, training):
    """`eps` as a float, refused if the square root would be of 0 or less."""
    eps = real(op, "eps", eps, 0)
    if training and not eps > 0:
        raise ValueError(f"{op}: eps must be positive in training, got {eps}")
    return eps


def check_count(op, shape):
    """Raise ValueError where a batch has one element for each channel: it has no variance."""
    if shape[0] * math.prod(shape[2:]) == 1:
        raise ValueError(f"{op}: input must have more than 1 element for each channel in training, got shape "
                         f"{tuple(shape)}")


def moments(xp, x):
    """`Moments` of the batch, from two passes.

    In float64: of 204,800 elements mean and variance err by 2e-15, float32 sums of one element after another by 5e-5
    and with 64 partial sums by 2e-7. Rounded to float32 they err by 6e-8.
    """
    kernel = backends.extra("batch_norm_moments", x)
    if kernel is not None:
        stats = Moments(*np.empty((2, x.shape[1])))
        kernel(planes(x), *stats)
        return stats
    axes, count = other_axes(x), math.prod(x.shape) // x.shape[1]
    with np.errstate(all="ignore"):
        mean = xp.sum(x, axis=axes, dtype=xp.float64) / count
        off = x - across(xp, x, mean)
        # What rounding the mean to the input's type left is taken off again.
        left = xp.sum(off, axis=axes, dtype=xp.float64) / count
        off *= off
        return Moments(mean, xp.sum(off, axis=axes, dtype=xp.float64) / count - left * left)


def given_moments(xp, mean, var):
    """`Moments` from running statistics."""
    return Moments(xp.asarray(mean, dtype=xp.float64), xp.asarray(var, dtype=xp.float64))


def inverse_deviation(xp, stats, eps):
    """1 / sqrt(variance + eps) of each channel, float64."""
    with np.errstate(all="ignore"):
        return 1 / xp.sqrt(stats.var + eps)


def update(xp, x, mean, var, stats, momentum):
    """Move running statistics, in place, by `momentum` towards those of the batch."""
    count = math.prod(x.shape) // x.shape[1]
    with np.errstate(all="ignore"):
        for running, value in ((mean, stats.mean), (var, stats.var * (count / (count - 1)))):
            moved = (1 - momentum) * xp.asarray(running, dtype=xp.float64) + momentum * value
            running[...] = xp.asarray(moved, dtype=x.dtype)


def normalize(xp, x, stats, w, b, eps):
    """(x - mean) / sqrt(var + eps) * weight + bias"""
    factor = inverse_deviation(xp, stats, eps)
    with np.errstate(all="ignore"):
        factor = factor if w is None else factor * xp.asarray(w, dtype=xp.float64)
    shift = xp.zeros_like(factor) if b is None else b
    kernel = backends.extra("batch_norm_scale", x)
    if kernel is not None:
        y = empty(x.shape, x)
        kernel(planes(x), planes(y), table(x, stats.mean, factor, shift))
        return y
    with np.errstate(all="ignore"):
        y = x - across(xp, x, stats.mean)
        y *= across(xp, x, factor)
        y += across(xp, x, shift)
    return y


def across(xp, x, values):
    """`values` (C,) in the type of `x` and a shape that broadcasts with it."""
    return xp.reshape(xp.asarray(values, dtype=x.dtype), (-1, *(1,) * (x.ndim - 2)))


def table(x, *columns):
    """Columns (C,) side by side, in the type of `x`, as kernels read them."""
    with np.errstate(all="ignore"):
        return np.stack(columns, axis=1).astype(x.dtype)


def planes(x):
    """A contiguous array (N, C, ...) as (N, C, M)."""
    return x.reshape(*x.shape[:2], -1)


def other_axes(x):
    """All axes but the channels'."""
    return (0, *range(2, x.ndim))


def _running(op, x, mean, var, training):
    for name, array in (("running_mean", mean), ("running_var", var)):
        if array is None and not training:
            raise ValueError(f"{op}: {name} must be an array unless training, got None")
    if (mean is None) != (var is None):
        raise ValueError(f"{op}: running_mean and running_var must both be arrays or both None, got "
                         f"running_mean={'None' if mean is None else 'an array'} and "
                         f"running_var={'None' if var is None else 'an array'}")
    return (_statistic(op, name, array, x, training) for name, array in (("running_mean", mean), ("running_var", var)))


def _statistic(op, name, array, x, written):
    """A running statistic, not copied if it is to be written to."""
    if array is None:
        return None
    checked = channel_array(op, name, array, x)
    if not isinstance(checked, np.ndarray) or not written:
        return checked
    _, given = portable_any(op, name, array)
    if not (given.flags.writeable and given.dtype.isnative):
        raise ValueError(f"{op}: {name} is updated in place in training: it must be a writable array of native "
                         f"{x.dtype}, got {'a read-only one' if not given.flags.writeable else given.dtype.str}")
    return floating(op, name, array)
