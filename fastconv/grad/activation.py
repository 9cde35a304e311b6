"""Gradients of activations: one implementation for NumPy arrays and those of other libraries."""

import numpy as np

from fastconv.checks import check_axis, portable, portable_matching
from fastconv.functional.activation import zero
from fastconv.geometry import check_shape


def relu_input(input, grad_output):
    """Gradient of `relu`: `grad_output` where the input is above 0 or NaN, else 0.

    Parameters
    ----------
    input : array of any shape, float32 or float64
        Or the output, which says the same.
    grad_output : array of the same shape and type

    Returns
    -------
    array of the same shape

    Raises
    ------
    ValueError, TypeError
        For different shapes and arrays of other types.
    """
    xp, x = portable("relu_input", "input", input)
    dy = portable_matching("relu_input", "grad_output", grad_output, x)
    check_shape("relu_input", "grad_output", dy.shape, x.shape)
    if isinstance(dy, np.ndarray):
        return _drop(x <= 0, dy)
    return xp.asarray(xp.where(x <= 0, zero(xp, dy), dy))


def _drop(where, values):
    """`values`, but 0 `where` says so.

    ``np.where`` branches on each element: 5.6 ms in place of 0.4 for 64 x 32 x 26 x 26.
    """
    bits = np.dtype(f"i{values.itemsize}")
    keep = np.subtract(where.view(np.int8), 1, dtype=np.int8)  # -1, all bits, where the value stays
    result = np.empty_like(values, order="C")
    np.bitwise_and(values.view(bits), keep, out=result.view(bits))
    return result


def softmax_input(output, grad_output, dim):
    """Gradient of `softmax` with respect to its input.

    Parameters
    ----------
    output : array of any shape, float32 or float64
        What `softmax` returned.
    grad_output : array of the same shape and type
    dim : int

    Returns
    -------
    array of the same shape

    Raises
    ------
    ValueError, TypeError
        For different shapes, an axis that there is not, and arrays of other types.
    """
    xp, y, dy, axis = _operands("softmax_input", output, grad_output, dim)
    with np.errstate(all="ignore"):
        if not y.ndim:
            return xp.asarray(y * dy - y * (y * dy))
        product = y * dy
        total = xp.sum(product, axis=axis, keepdims=True)
        product -= y * total
    return product


def log_softmax_input(output, grad_output, dim):
    """Gradient of `log_softmax` with respect to its input.

    Parameters
    ----------
    output : array of any shape, float32 or float64
        What `log_softmax` returned.
    grad_output : array of the same shape and type
    dim : int

    Returns
    -------
    array of the same shape

    Raises
    ------
    ValueError, TypeError
        For different shapes, an axis that there is not, and arrays of other types.
    """
    xp, y, dy, axis = _operands("log_softmax_input", output, grad_output, dim)
    with np.errstate(all="ignore"):
        if not y.ndim:
            return xp.asarray(dy - xp.exp(y) * dy)
        grad = xp.exp(y)
        grad *= -xp.sum(dy, axis=axis, keepdims=True)
        grad += dy
    return grad


def _operands(op, output, grad_output, dim):
    xp, y = portable(op, "output", output)
    dy = portable_matching(op, "grad_output", grad_output, y, "output")
    check_shape(op, "grad_output", dy.shape, y.shape)
    return xp, y, dy, check_axis(op, dim, y.ndim)
