"""Gradients of batch normalisation: one implementation for NumPy arrays and those of other libraries."""

import math

import numpy as np

from fastconv import backends
from fastconv.checks import check_library, empty, portable, portable_matching
from fastconv.functional.batch_norm import (
    Moments,
    across,
    batch_input,
    channel_array,
    check_count,
    check_eps,
    given_moments,
    inverse_deviation,
    moments,
    other_axes,
    planes,
    table,
)
from fastconv.geometry import check_shape


def batch_norm_input(input, grad_output, running_mean, running_var, weight=None, training=False, eps=1e-05):
    """Gradient of `batch_norm` with respect to its input.

    Parameters
    ----------
    input : array (N, C, ...), float32 or float64
    grad_output : array of the input's shape and type
    running_mean, running_var, weight, training, eps
        As of `batch_norm`; in training the statistics are not looked at.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _gradients("batch_norm_input", input, grad_output, running_mean, running_var, weight, training, eps,
                      parameters=False)[0]


def batch_norm_parameters(input, grad_output, running_mean, running_var, training=False, eps=1e-05):
    """Gradients of `batch_norm` with respect to its weight and its bias.

    Parameters
    ----------
    input, grad_output, running_mean, running_var, training, eps
        As of `batch_norm_input`.

    Returns
    -------
    grad_weight, grad_bias : array (C,)
        Summed in float64.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _gradients("batch_norm_parameters", input, grad_output, running_mean, running_var, None, training, eps,
                      inputs=False)[1:]


def batch_norm_backward(input, grad_output, running_mean, running_var, weight=None, training=False, eps=1e-05, *,
                        moments=None):
    """All gradients of `batch_norm`, for which the sums over the batch are taken once.

    Parameters
    ----------
    input, grad_output, running_mean, running_var, weight, training, eps
        As of `batch_norm_input`.
    moments : pair of arrays (C,) of float64, optional
        Mean and variance (over the number of elements) of each channel in training, where they are known already.

    Returns
    -------
    grad_input : array of the input's shape
    grad_weight, grad_bias : array (C,)
        The same bits as of `batch_norm_input` and `batch_norm_parameters`.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _gradients("batch_norm_backward", input, grad_output, running_mean, running_var, weight, training, eps,
                      known=moments)


def gradients(op, x, dy, stats, weight, training, eps, inputs=True, parameters=True):
    """(gradient of the input, of the weight, of the bias) with the `Moments` that the forward pass took.

    `x` is as `batch_input` gives it.
    """
    xp, x = batch_input(op, x)
    dy = portable_matching(op, "grad_output", dy, x)
    check_shape(op, "grad_output", tuple(dy.shape), tuple(x.shape))
    w = channel_array(op, "weight", weight, x)
    if not math.prod(x.shape):
        none = xp.zeros(x.shape[1], dtype=x.dtype)
        return xp.zeros_like(x), none, xp.asarray(none, copy=True)
    inverse = inverse_deviation(xp, stats, eps)
    total = product = None
    if parameters or training:
        total, product = _sums(xp, x, dy, stats.mean)
    with np.errstate(all="ignore"):
        dx = _input(xp, x, dy, stats.mean, inverse, w, total, product, training) if inputs else None
        if not parameters:
            return dx, None, None
        return dx, xp.asarray(product * inverse, dtype=x.dtype), xp.asarray(total, dtype=x.dtype)


def _gradients(op, input, grad_output, running_mean, running_var, weight, training, eps, known=None, **wanted):
    xp, x = batch_input(op, input)
    eps = check_eps(op, eps, training)
    if training:
        check_count(op, x.shape)
        if known is not None:
            stats = _known(op, xp, x, known)
        else:
            stats = moments(xp, x) if math.prod(x.shape) else None
    else:
        mean, var = (channel_array(op, name, array, x) for name, array in
                     (("running_mean", running_mean), ("running_var", running_var)))
        for name, array in (("running_mean", mean), ("running_var", var)):
            if array is None:
                raise ValueError(f"{op}: {name} must be an array unless training, got None")
        stats = given_moments(xp, mean, var)
    return gradients(op, x, grad_output, stats, weight, training, eps, **wanted)


def _known(op, xp, x, pair):
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{op}: moments must be a pair of arrays, mean and variance, got {pair!r}")
    arrays = [portable(op, "moments", array)[1] for array in pair]
    for array in arrays:
        check_library(op, "moments", array, x)
        if array.dtype != xp.float64:
            raise TypeError(f"{op}: moments must be float64, got {array.dtype}")
        check_shape(op, "moments", tuple(array.shape), (x.shape[1],))
    return Moments(*arrays)


def _sums(xp, x, dy, mean):
    """Sums over each channel of dy and of (x - mean) dy, float64."""
    kernel = backends.extra("batch_norm_sums", x)
    if kernel is not None:
        total, product = np.empty(x.shape[1]), np.empty(x.shape[1])
        kernel(planes(x), planes(dy), mean, total, product)
        return total, product
    with np.errstate(all="ignore"):
        off = x - across(xp, x, mean)
        off *= dy
        return tuple(xp.sum(a, axis=other_axes(x), dtype=xp.float64) for a in (dy, off))


def _input(xp, x, dy, mean, inverse, w, total, product, training):
    factor = inverse if w is None else inverse * xp.asarray(w, dtype=xp.float64)
    if not training:
        kernel = backends.extra("batch_norm_scale", x)
        if kernel is None:
            return dy * across(xp, x, factor)
        dx, nothing = empty(x.shape, x), np.zeros_like(factor)
        kernel(planes(dy), planes(dx), table(x, nothing, factor, nothing))
        return dx
    count = math.prod(x.shape) // x.shape[1]
    slope, shift = factor * product * inverse * inverse / count, factor * total / count
    kernel = backends.extra("batch_norm_scale_grad", x)
    if kernel is not None:
        dx = empty(x.shape, x)
        kernel(planes(x), planes(dy), planes(dx), table(x, mean, factor, slope, shift))
        return dx
    dx = dy * across(xp, x, factor)
    off = x - across(xp, x, mean)
    off *= across(xp, x, slope)
    dx -= off
    dx -= across(xp, x, shift)
    return dx
