"""Gradients of losses: one implementation for NumPy arrays and those of other libraries."""

import math

import array_api_compat
import numpy as np

from fastconv import backends
from fastconv.checks import empty, portable_any, portable_matching
from fastconv.functional.activation import softmax_along
from fastconv.functional.elementwise import blockwise
from fastconv.functional.loss import check_reduction, class_targets, squared_operands
from fastconv.geometry import check_shape


def cross_entropy_input(input, target, grad_output=1.0, weight=None, ignore_index=-100, reduction="mean",
                        label_smoothing=0.0):
    """Gradient of `cross_entropy` with respect to its input.

    Parameters
    ----------
    input, target, weight, ignore_index, reduction, label_smoothing
        As of `cross_entropy`.
    grad_output : float, array of one element, or with reduction='none' also an array of the loss's shape

    Returns
    -------
    array of the input's shape
        0 where a class index is to be ignored.

    Raises
    ------
    ValueError
        For shapes that do not fit and class indices outside 0 to C - 1.
    TypeError
        For arrays of other types.
    """
    op = "cross_entropy_input"
    check_reduction(op, reduction)
    t = class_targets(op, input, target, weight, ignore_index, label_smoothing)
    xp, (n, c, m) = t.xp, t.ncm
    scale = _scale(op, grad_output, t.shape, reduction, t.x)
    if getattr(scale, "ndim", 0):
        scale = xp.reshape(scale, (n, m))
    with np.errstate(all="ignore"):
        if reduction == "mean":
            # Over a NumPy scalar, not a Python zero, division gives NaN or infinity as torch's does.
            scale = scale / xp.asarray(t.divisor(), dtype=t.x.dtype)
        kernel = t.kernel("cross_entropy_input")
        if kernel is not None:
            scales = np.empty(t.labels.shape, t.x.dtype)
            scales[...] = scale
            if t.label_weights is not None:
                scales *= t.label_weights
            dx = empty(t.x.shape, t.x)
            kernel(t.x.reshape(t.ncm), t.marked_labels(), scales, dx.reshape(t.ncm))
            return dx
        p = softmax_along(xp, t.x, t.axis)
        # A view of p in NumPy's case: both are contiguous.
        grad = xp.reshape(p, (n, c, m))
        if t.probabilities is not None:
            grad *= xp.sum(t.probabilities, axis=1, keepdims=True)
            grad -= t.probabilities
            grad *= scale[:, None, :] if getattr(scale, "ndim", 0) else scale
            return p if xp is np else xp.reshape(grad, t.x.shape)
        # The target distribution, scaled: `labelled` at the label and, with smoothing, `spread` at every class.
        # An ignored target has 0 exactly, even where the mean divides by 0.
        zeros = xp.zeros((n, m), dtype=t.x.dtype, device=array_api_compat.device(t.x))
        weights = zeros + 1 if t.label_weights is None else t.label_weights
        total = labelled = _counted(xp, t, weights * (scale * (1 - t.smoothing)))
        if t.smoothing:
            spread = _counted(xp, t, (zeros + 1) * (scale * (t.smoothing / c)))
            total = labelled + spread * (c if t.weight is None else xp.sum(t.weight))
        grad *= total[:, None, :]
        grad[t.places] -= labelled
        if t.smoothing:
            grad -= spread[:, None, :] if t.weight is None else spread[:, None, :] * t.weight
    return p if xp is np else xp.reshape(grad, t.x.shape)


def mse_loss_input(input, target, grad_output=1.0, reduction="mean", weight=None):
    """Gradient of `mse_loss` with respect to its input.

    Parameters
    ----------
    input, target, reduction, weight
        As of `mse_loss`.
    grad_output : float, array of one element, or with reduction='none' also an array of the loss's shape

    Returns
    -------
    array of the input's shape

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "mse_loss_input"
    check_reduction(op, reduction)
    xp, x, t, weight = squared_operands(op, input, target, weight)
    shape = np.broadcast_shapes(x.shape, t.shape)
    scale = _scale(op, grad_output, shape, reduction, x) * 2
    with np.errstate(all="ignore"):
        if reduction == "mean":
            divisor = xp.sum(weight) if weight is not None else xp.asarray(math.prod(shape), dtype=x.dtype)
            scale = scale / divisor
        if xp is np and weight is None and x.shape == t.shape and not getattr(scale, "ndim", 0):
            scale = np.array([scale], x.dtype)
            kernel = backends.extra(op, x)
            if kernel is None:
                return blockwise(lambda dx, x, t: np.multiply(np.subtract(x, t, out=dx), scale, out=dx), x, t)
            dx = empty(x.shape, x)
            kernel(x.reshape(-1), t.reshape(-1), scale, dx.reshape(-1))
            return dx
        grad = x - t
        if weight is not None:
            grad = grad * weight
        grad *= scale
        return _summed_to(xp, xp.asarray(grad), x.shape)


def _counted(xp, t, values):
    return values if t.counted is None else xp.where(t.counted, values, xp.zeros_like(values))


def _scale(op, grad_output, loss_shape, reduction, x):
    """`grad_output` as a float, or as an array of the shape of a loss that was not reduced."""
    if isinstance(grad_output, (int, float)) and not isinstance(grad_output, bool):
        return float(grad_output)
    if not hasattr(grad_output, "dtype"):
        raise TypeError(f"{op}: grad_output must be a float or an array, got {grad_output!r}")
    xp, array = portable_any(op, "grad_output", grad_output)
    if not array.ndim and xp.isdtype(array.dtype, "real floating"):
        return float(array)
    array = portable_matching(op, "grad_output", grad_output, x)
    check_shape(op, "grad_output", array.shape, loss_shape if reduction == "none" else ())
    return array


def _summed_to(xp, grad, shape):
    """`grad` summed over the axes along which an array of `shape` was broadcast to it."""
    if tuple(grad.shape) == tuple(shape):
        return grad
    lead = grad.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and grad.shape[lead + i] != 1)
    return xp.asarray(xp.reshape(xp.sum(grad, axis=axes, keepdims=True), shape), copy=True)
