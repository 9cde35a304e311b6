"""The fully connected layer: a 1 x 1 convolution on maps of one element, so that it has the convolution's kernels."""

import math

import numpy as np

from fastconv import backends, geometry
from fastconv.checks import arithmetic, contiguous, empty, floating, matching, zeros


def linear(input, weight, bias=None):
    """``input @ weight.T + bias``.

    Parameters
    ----------
    input : array (..., C), float32 or float64
    weight : array (K, C) or (C,), of the input's type
    bias : array (K,) or, with a weight of one axis, (), optional
        Or of any shape that broadcasts to that of the result.

    Returns
    -------
    array (..., K), or (...) with a weight of one axis

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "linear"
    x = floating(op, "input", input)
    w = matching(op, "weight", weight, x)
    g, y_shape = linear_geometry(op, x.shape, w.shape)
    fused = None
    if bias is not None:
        bias = matching(op, "bias", bias, x)
        if g is not None and tuple(bias.shape) == tuple(w.shape[:-1]):
            fused, bias = contiguous(bias).reshape((-1,)), None
        else:
            bias = _broadcast(op, bias, tuple(w.shape[:-1]), y_shape)
    if g is None:
        y = zeros(y_shape, x)
    else:
        y = empty(y_shape, x)
        backends.serving(x).conv_forward(contiguous(x), contiguous(w), fused, y, g)
    if bias is not None:
        with np.errstate(all="ignore"):
            y += bias
    return y


def _broadcast(op, bias, usual, shape):
    """`bias`, refused unless it broadcasts to `shape`; (1, K) is added to (K,) too, as in torch."""
    xp, given = arithmetic(op, "bias", bias), tuple(bias.shape)
    if len(given) == len(shape) + 1 and given[0] == 1:
        bias = xp.reshape(bias, given[1:])
    try:
        return xp.broadcast_to(bias, shape)
    except (ValueError, RuntimeError):
        raise ValueError(f"{op}: bias must have shape {usual}, or one that broadcasts to the result's, {shape}, got "
                         f"{given}") from None


def linear_geometry(op, input_shape, weight_shape, weight_name="weight", input_name="input"):
    """(the geometry of the convolution, or None where an array is empty; the shape of the result)."""
    input_shape, weight_shape = tuple(input_shape), tuple(weight_shape)
    if not input_shape:
        raise ValueError(f"{op}: {input_name} must have at least 1 dimension, got shape ()")
    if len(weight_shape) not in (1, 2):
        raise ValueError(f"{op}: {weight_name} must have 2 dimensions (or 1, for a single output), got shape "
                         f"{weight_shape}")
    features = input_shape[-1]
    if features != weight_shape[-1]:
        raise ValueError(f"{op}: {input_name} of shape {input_shape} has {features} features in its last axis, but "
                         f"{weight_name} of shape {weight_shape} takes {weight_shape[-1]}")
    n, k = math.prod(input_shape[:-1]), weight_shape[0] if len(weight_shape) == 2 else 1
    y_shape = input_shape[:-1] + weight_shape[:-1]
    if not (n and k and features):
        return None, y_shape
    return geometry.conv(op, (n, features, 1, 1, 1), (k, features, 1, 1, 1)), y_shape
