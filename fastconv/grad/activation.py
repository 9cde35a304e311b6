"""Gradients of activations: one implementation for NumPy arrays and those of other libraries."""

import numpy as np

from fastconv import backends
from fastconv.checks import check_axis, empty, portable, portable_matching, real, size
from fastconv.functional.activation import (
    along_channels,
    around,
    below,
    check_slopes,
    per_channel,
    planes,
    prelu_operands,
    zero,
)
from fastconv.functional.elementwise import blockwise
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
    kernel = backends.extra("relu_input", x)
    if kernel is not None:
        dx = empty(dy.shape, dy)
        kernel(x.reshape(-1), dy.reshape(-1), dx.reshape(-1))
        return dx
    if xp is np:
        return _drop(x <= 0, dy)
    return xp.asarray(xp.where(x <= 0, zero(xp, dy), dy))


def _drop(where, values):
    """`values`, but 0 `where` says so.

    ``np.where`` branches on each element: 5.6 ms in place of 0.4 for 64 x 32 x 26 x 26.
    """
    bits = np.dtype(f"i{values.itemsize}")
    keep = np.subtract(where.view(np.int8), 1, dtype=np.int8)  # -1, all bits, where the value stays
    result = empty(values.shape, values)
    np.bitwise_and(values.view(bits), keep, out=result.view(bits))
    return result


def leaky_relu_input(input, grad_output, negative_slope=0.01):
    """Gradient of `leaky_relu`: `grad_output` where the input is above 0, else `negative_slope` times it.

    Parameters
    ----------
    input : array of any shape, float32 or float64
    grad_output : array of the same shape and type
    negative_slope : float

    Returns
    -------
    array of the same shape

    Raises
    ------
    ValueError, TypeError
        For different shapes and arrays of other types.
    """
    op = "leaky_relu_input"
    xp, x = portable(op, "input", input)
    dy = portable_matching(op, "grad_output", grad_output, x)
    check_shape(op, "grad_output", dy.shape, x.shape)
    slope = real(op, "negative_slope", negative_slope)
    if xp is not np:
        return xp.where(x > 0, dy, dy * slope)
    kernel = backends.extra(op, x)
    if kernel is None:
        return blockwise(lambda dx, x, dy: below(dx, x, dy, slope), x, dy)
    dx = empty(x.shape, x)
    kernel(x.reshape(-1), np.array([slope], x.dtype), dy.reshape(-1), dx.reshape(-1))
    return dx


def prelu_input(input, weight, grad_output):
    """Gradient of `prelu` with respect to its input.

    Parameters
    ----------
    input : array of any shape, float32 or float64
    weight : array (C,), (1,) or (), of the input's type
    grad_output : array of the input's shape and type

    Returns
    -------
    array of the input's shape

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "prelu_input"
    xp, x, w = prelu_operands(op, input, weight)
    dy = portable_matching(op, "grad_output", grad_output, x)
    check_shape(op, "grad_output", dy.shape, x.shape)
    kernel = backends.extra(op, x)
    if kernel is None:
        with np.errstate(all="ignore"):
            return xp.asarray(xp.where(x > 0, dy, dy * along_channels(xp, w, x)))
    dx = empty(x.shape, x)
    kernel(planes(x), per_channel(w, planes(x)), planes(dy), planes(dx))
    return dx


def prelu_weight(input, weight_size, grad_output):
    """Gradient of `prelu` with respect to its weight.

    Parameters
    ----------
    input : array of any shape, float32 or float64
    weight_size : tuple of int
        (C,), (1,) or ()
    grad_output : array of the input's shape and type

    Returns
    -------
    array of shape `weight_size`
        Summed in float64.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "prelu_weight"
    xp, x = portable(op, "input", input)
    shape = size(op, "weight_size", weight_size)
    check_slopes(op, "weight_size", shape, x.shape)
    dy = portable_matching(op, "grad_output", grad_output, x)
    check_shape(op, "grad_output", dy.shape, x.shape)
    apart = shape not in ((), (1,))
    kernel = backends.extra(op, x)
    with np.errstate(all="ignore"):
        if kernel is not None:
            sums = np.empty(planes(x).shape[:2])
            kernel(planes(x), planes(dy), sums)
            total = np.sum(sums, axis=0) if apart else np.sum(sums)
        else:
            axes = tuple(i for i in range(x.ndim) if not apart or i != 1)
            total = xp.sum(xp.where(x > 0, zero(xp, x), x * dy), axis=axes, dtype=xp.float64)
        return xp.asarray(xp.reshape(xp.asarray(total, dtype=x.dtype), shape), copy=True)


def sigmoid_input(output, grad_output):
    """Gradient of `sigmoid` with respect to its input.

    Parameters
    ----------
    output : array of any shape, float32 or float64
        What `sigmoid` returned.
    grad_output : array of the same shape and type

    Returns
    -------
    array of the same shape

    Raises
    ------
    ValueError, TypeError
        For different shapes and arrays of other types.
    """
    xp, y, dy = _same("sigmoid_input", output, grad_output)
    return _blocks("sigmoid_input", _sigmoid_slope, y, dy) if xp is np else dy * (1 - y) * y


def tanh_input(output, grad_output):
    """Gradient of `tanh` with respect to its input.

    Parameters
    ----------
    output : array of any shape, float32 or float64
        What `tanh` returned.
    grad_output : array of the same shape and type

    Returns
    -------
    array of the same shape

    Raises
    ------
    ValueError, TypeError
        For different shapes and arrays of other types.
    """
    xp, y, dy = _same("tanh_input", output, grad_output)
    return _blocks("tanh_input", _tanh_slope, y, dy) if xp is np else dy * (1 - y * y)


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
    kernel = backends.extra("softmax_input", y)
    if kernel is not None:
        return _along(kernel, y, dy, axis)
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
    kernel = backends.extra("log_softmax_input", y)
    if kernel is not None:
        return _along(kernel, y, dy, axis)
    with np.errstate(all="ignore"):
        if not y.ndim:
            return xp.asarray(dy - xp.exp(y) * dy)
        grad = xp.exp(y)
        grad *= -xp.sum(dy, axis=axis, keepdims=True)
        grad += dy
    return grad


def _blocks(name, chain, y, dy):
    kernel = backends.extra(name, y)
    if kernel is None:
        return blockwise(chain, y, dy)
    dx = empty(y.shape, y)
    kernel(y.reshape(-1), dy.reshape(-1), dx.reshape(-1))
    return dx


def _sigmoid_slope(dx, y, dy):
    np.subtract(1, y, out=dx)
    dx *= y
    dx *= dy


def _tanh_slope(dx, y, dy):
    np.multiply(y, y, out=dx)
    np.subtract(1, dx, out=dx)
    dx *= dy


def _along(kernel, y, dy, axis):
    if not y.ndim:
        return _along(kernel, y.reshape(1), dy.reshape(1), 0).reshape(()).copy()
    dx = empty(y.shape, y)
    kernel(around(y, axis), around(dy, axis), around(dx, axis))
    return dx


def _same(op, output, grad_output):
    xp, y = portable(op, "output", output)
    dy = portable_matching(op, "grad_output", grad_output, y, "output")
    check_shape(op, "grad_output", dy.shape, y.shape)
    return xp, y, dy


def _operands(op, output, grad_output, dim):
    xp, y, dy = _same(op, output, grad_output)
    return xp, y, dy, check_axis(op, dim, y.ndim)
