"""Activations: one implementation for NumPy arrays and those of other libraries."""

import math
import warnings

import array_api_compat
import numpy as np

from fastconv.checks import check_axis, portable


def relu(input):
    """The larger of each element and 0; a NaN stays.

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
    xp, x = portable("relu", "input", input)
    return xp.asarray(xp.maximum(zero(xp, x), x))


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
    if not math.prod(x.shape):
        return xp.zeros_like(x)
    with np.errstate(all="ignore"):
        e = x - xp.max(x, axis=axis, keepdims=True)
        e = np.exp(e, out=e) if xp is np else xp.exp(e)
        e /= xp.sum(e, axis=axis, keepdims=True)
    return e


def log_softmax_along(xp, x, axis):
    """`log_softmax` of an array of at least one axis."""
    if not math.prod(x.shape):
        return xp.zeros_like(x)
    with np.errstate(all="ignore"):
        s = x - xp.max(x, axis=axis, keepdims=True)
        s -= xp.log(xp.sum(xp.exp(s), axis=axis, keepdims=True))
    return s


def _axis(op, dim, ndim, stacklevel):
    if dim is None:
        warnings.warn(f"{op}: the choice of an axis by the number of axes is deprecated; pass dim=",
                      stacklevel=stacklevel)
        dim = 0 if ndim in (0, 1, 3) else 1
    return check_axis(op, dim, ndim)
