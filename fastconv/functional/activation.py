"""Activations: one implementation for NumPy arrays and those of other libraries."""

import math
import warnings

import array_api_compat
import numpy as np

from fastconv import backends
from fastconv.checks import check_axis, empty, portable, portable_matching, real
from fastconv.functional.elementwise import blockwise


def relu(input, inplace=False):
    """The larger of each element and 0; a NaN stays.

    Parameters
    ----------
    input : array of any shape, float32 or float64
    inplace : bool
        Taken for torch's sake and ignored: inputs are never written to.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError
        For arrays of other types.
    """
    xp, x = portable("relu", "input", input)
    kernel = backends.extra("relu", x)
    if kernel is None:
        return xp.asarray(xp.maximum(zero(xp, x), x))
    y = empty(x.shape, x)
    kernel(x.reshape(-1), y.reshape(-1))
    return y


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """Each element where it is above 0, else `negative_slope` times it.

    Parameters
    ----------
    input : array of any shape, float32 or float64
    negative_slope : float
    inplace : bool
        Taken for torch's sake and ignored: inputs are never written to.

    Returns
    -------
    array of the input's shape
        NaN for NaN, and for -inf times a slope of 0.

    Raises
    ------
    TypeError
        For arrays of other types.
    """
    xp, x = portable("leaky_relu", "input", input)
    slope = real("leaky_relu", "negative_slope", negative_slope)
    if xp is not np:
        return xp.where(x > 0, x, x * slope)
    kernel = backends.extra("leaky_relu", x)
    if kernel is None:
        return blockwise(lambda y, x: below(y, x, x, slope), x)
    y = empty(x.shape, x)
    kernel(x.reshape(-1), np.array([slope], x.dtype), y.reshape(-1))
    return y


def prelu(input, weight):
    """Each element where it is above 0, else `weight` times it: `leaky_relu` with slopes that are learned.

    Parameters
    ----------
    input : array of any shape, float32 or float64
        Channels along the second axis; with fewer axes, one channel.
    weight : array (C,), (1,) or (), of the input's type
        A slope for each channel, or one for all.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    ValueError, TypeError
        For a number of slopes that does not fit, and arrays of other types.
    """
    xp, x, w = prelu_operands("prelu", input, weight)
    if xp is not np:
        return xp.where(x > 0, x, x * along_channels(xp, w, x))
    kernel = backends.extra("prelu", x)
    if kernel is None:
        with np.errstate(all="ignore"):
            y = np.multiply(x, along_channels(np, w, x), out=empty(x.shape, x))
        np.copyto(y, x, where=x > 0)
        return y
    y = empty(x.shape, x)
    kernel(planes(x), per_channel(w, planes(x)), planes(y))
    return y


def sigmoid(input):
    """``1 / (1 + exp(-input))``

    Parameters
    ----------
    input : array of any shape, float32 or float64

    Returns
    -------
    array of the input's shape
        0 for -inf and 1 for inf; NaN for NaN.

    Raises
    ------
    TypeError
        For arrays of other types.
    """
    xp, x = portable("sigmoid", "input", input)
    if xp is not np:
        return 1 / (1 + xp.exp(-x))
    kernel = backends.extra("sigmoid", x)
    if kernel is None:
        return blockwise(_logistic, x)
    y = empty(x.shape, x)
    kernel(x.reshape(-1), y.reshape(-1))
    return y


def tanh(input):
    """The hyperbolic tangent.

    Parameters
    ----------
    input : array of any shape, float32 or float64

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError
        For arrays of other types.
    """
    xp, x = portable("tanh", "input", input)
    return blockwise(_tanh, x) if xp is np else xp.tanh(x)


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """``exp(input) / sum(exp(input))`` along an axis, without overflow.

    Parameters
    ----------
    input : array of any shape, float32 or float64
    dim : int
        The axis. Without it torch's old rule holds, with a warning: 0 for 0, 1 or 3 axes, else 1.
    dtype : float32 or float64, optional
        Cast the input first; it may then be of any real type.

    Returns
    -------
    array of the input's shape
        NaN where all elements along the axis are -inf, or one is inf or NaN.

    Raises
    ------
    ValueError, TypeError
        For an axis that the input does not have and arrays of other types.
    """
    xp, x = portable("softmax", "input", input, dtype)
    axis = _axis("softmax", dim, x.ndim, _stacklevel)
    return softmax_along(xp, x, axis) if x.ndim else xp.asarray(softmax_along(xp, xp.reshape(x, (1,)), 0)[0])


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """Logarithm of `softmax`, without overflow and without the loss of small probabilities.

    Parameters
    ----------
    input : array of any shape, float32 or float64
    dim, dtype
        As of `softmax`.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    ValueError, TypeError
        For an axis that the input does not have and arrays of other types.
    """
    xp, x = portable("log_softmax", "input", input, dtype)
    axis = _axis("log_softmax", dim, x.ndim, _stacklevel)
    return log_softmax_along(xp, x, axis) if x.ndim else xp.asarray(log_softmax_along(xp, xp.reshape(x, (1,)), 0)[0])


def zero(xp, x):
    """A 0-d zero of the library, type and device of `x`."""
    return xp.zeros((), dtype=x.dtype, device=array_api_compat.device(x))


def softmax_along(xp, x, axis):
    """`softmax` of an array of at least one axis."""
    return _normalized("softmax", _softmax, xp, x, axis)


def log_softmax_along(xp, x, axis):
    """`log_softmax` of an array of at least one axis."""
    return _normalized("log_softmax", _log_softmax, xp, x, axis)


def around(x, axis):
    """`x`, contiguous, with all axes before `axis` merged, and all behind it."""
    return x.reshape(math.prod(x.shape[:axis]), x.shape[axis], -1)


def planes(x):
    """`x`, contiguous and not empty, as (N, C, M); with fewer than two axes there is one channel."""
    return around(x, 1) if x.ndim > 1 else x.reshape(1, 1, -1)


def per_channel(w, x):
    """`w` of one element or one for each channel of x (N, C, M), as an array (C,)."""
    return np.ascontiguousarray(np.broadcast_to(w.reshape(-1), x.shape[1]))


def along_channels(xp, w, x):
    """`w` (C,) or of one element in a shape that broadcasts with x."""
    return xp.reshape(w, () if math.prod(w.shape) == 1 else (-1, *(1,) * (x.ndim - 2)))


def prelu_operands(op, input, weight):
    """(namespace, input, weight) of `prelu`, checked."""
    xp, x = portable(op, "input", input)
    w = portable_matching(op, "weight", weight, x)
    check_slopes(op, "weight", w.shape, x.shape)
    return xp, x, w


def check_slopes(op, name, shape, input_shape):
    """Raise ValueError unless an array of `shape` holds slopes for an input of `input_shape`."""
    channels = input_shape[1] if len(input_shape) > 1 else 1
    if tuple(shape) not in ((), (1,), (channels,)):
        raise ValueError(f"{op}: {name} must have shape (1,) or ({channels},), a slope for each channel of input of "
                         f"shape {tuple(input_shape)}, got {tuple(shape)}")


def below(y, x, values, slope):
    """y = values where x is above 0, else slope times them."""
    np.multiply(values, slope, out=y)
    np.copyto(y, values, where=x > 0)


def _tanh(y, x):
    np.tanh(x, out=y)


def _logistic(y, x):
    np.negative(x, out=y)
    np.exp(y, out=y)
    y += 1
    np.reciprocal(y, out=y)


def _normalized(kernel, function, xp, x, axis):
    if not math.prod(x.shape):
        return xp.zeros_like(x)
    compute = backends.extra(kernel, x)
    if compute is None:
        with np.errstate(all="ignore"):
            return function(xp, x, axis)
    y = empty(x.shape, x)
    compute(around(x, axis), around(y, axis))
    return y


def _softmax(xp, x, axis):
    e = x - xp.max(x, axis=axis, keepdims=True)
    e = np.exp(e, out=e) if xp is np else xp.exp(e)
    e /= xp.sum(e, axis=axis, keepdims=True)
    return e


def _log_softmax(xp, x, axis):
    s = x - xp.max(x, axis=axis, keepdims=True)
    s -= xp.log(xp.sum(xp.exp(s), axis=axis, keepdims=True))
    return s


def _axis(op, dim, ndim, stacklevel):
    if dim is None:
        warnings.warn(f"{op}: the choice of an axis by the number of axes is deprecated; pass dim=",
                      stacklevel=stacklevel)
        dim = 0 if ndim in (0, 1, 3) else 1
    return check_axis(op, dim, ndim)
