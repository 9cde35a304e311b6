"""Losses: one implementation for NumPy arrays and those of other libraries."""

import math
import operator
import warnings
from typing import NamedTuple

import array_api_compat
import numpy as np

from fastconv import backends
from fastconv.checks import check_library, contiguous, portable, portable_any, portable_matching
from fastconv.functional.activation import log_softmax_along

REDUCTIONS = ("none", "mean", "sum")


def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
                  label_smoothing=0.0):
    """Cross-entropy between the softmax of scores and the right classes.

    Parameters
    ----------
    input : array (N, C), (C,) or (N, C, d1, ..., dk), float32 or float64
        Scores before softmax, classes along the second axis.
    target : array of integers (N,), () or (N, d1, ..., dk), or array of the input's shape and type
        Class indices, or a probability for each class.
    weight : array (C,), of the input's type, optional
        Weight of each class.
    ignore_index : int
        Class indices of this value count nothing.
    reduction : {'mean', 'sum', 'none'}
        'mean' divides by the summed weights of the targets that count; with probabilities, by their number.
    label_smoothing : float
        This part, from 0 to 1, of the target is spread evenly over the classes.
    size_average, reduce : bool, optional
        Old names of `reduction`, which they override with a warning.

    Returns
    -------
    array of one element (0 axes), or with 'none' an array of the shape that class indices have
        NaN for the mean over nothing.

    Raises
    ------
    ValueError
        For shapes that do not fit and class indices outside 0 to C - 1.
    TypeError
        For arrays of other types.
    """
    op = "cross_entropy"
    reduction = old_reduction(op, size_average, reduce, reduction)
    t = class_targets(op, input, target, weight, ignore_index, label_smoothing)
    xp = t.xp
    with np.errstate(all="ignore"):
        losses = _losses(xp, t)
        if reduction == "none":
            return xp.asarray(xp.reshape(losses, t.shape), copy=True)
        total = xp.sum(losses)
        return xp.asarray(total / t.divisor() if reduction == "mean" else total)


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """Squared difference.

    Parameters
    ----------
    input, target : arrays of one shape, or of shapes that broadcast (with a warning), float32 or float64
    reduction : {'mean', 'sum', 'none'}
    weight : array of the input's shape and type, optional
        Multiplies each squared difference; 'mean' then divides by its sum.
    size_average, reduce : bool, optional
        Old names of `reduction`, which they override with a warning.

    Returns
    -------
    array of one element (0 axes), or with 'none' an array of the common shape
        NaN for the mean over nothing.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "mse_loss"
    reduction = old_reduction(op, size_average, reduce, reduction)
    xp, x, t, weight = squared_operands(op, input, target, weight)
    if t.shape != x.shape:
        warnings.warn(f"{op}: target of shape {tuple(t.shape)} is broadcast with input of shape {tuple(x.shape)}; "
                      "give both the same shape", stacklevel=2)
    with np.errstate(all="ignore"):
        kernel = backends.extra("squared_difference", x) if reduction != "none" else None
        if kernel is not None and weight is None and x.shape == t.shape:
            total = kernel(x.reshape(-1), t.reshape(-1))
            return np.asarray(total / x.size if reduction == "mean" else total).astype(x.dtype)
        losses = x - t
        losses *= losses
        if weight is not None:
            losses = losses * weight
        if reduction == "none":
            return xp.asarray(losses)
        total = xp.sum(losses)
        if reduction == "sum":
            return xp.asarray(total)
        return xp.asarray(total / (math.prod(losses.shape) if weight is None else xp.sum(weight)))


class ClassTargets(NamedTuple):
    """What a cross-entropy is computed from, checked, with all axes behind the classes' merged: (N, C, M)."""

    xp: object
    x: object
    axis: int  # of the classes in x
    ncm: tuple
    shape: tuple  # of the loss before its reduction
    smoothing: float
    weight: object  # (1, C, 1), or None
    probabilities: object  # (N, C, M), smoothed and weighted; None with class indices, which have the rest:
    labels: object = None  # (N, M), 0 where nothing counts
    counted: object = None  # (N, M) of bool, or None: all count
    label_weights: object = None  # (N, M), or None: all are 1

    @property
    def places(self):
        """The index of each label's element of an array (N, C, M)."""
        n, _, m = self.ncm
        device = array_api_compat.device(self.x)
        rows = self.xp.arange(n, device=device)
        return rows[:, None], self.labels, self.xp.arange(m, device=device)[None, :]

    def divisor(self):
        """What the mean divides by."""
        return self.ncm[0] * self.ncm[2] if self.label_weights is None else self.xp.sum(self.label_weights)

    def kernel(self, name):
        """The backend's kernel of that name, where there is one and it serves these targets."""
        return None if self.labels is None or self.smoothing else backends.extra(name, self.x)

    def marked_labels(self):
        """The labels, with -1 where nothing counts."""
        return self.labels if self.counted is None else np.where(self.counted, self.labels, -1)


def class_targets(op, input, target, weight, ignore_index, label_smoothing):
    """Check the arguments of a cross-entropy and return its `ClassTargets`."""
    xp, x = portable(op, "input", input)
    if not x.ndim:
        raise ValueError(f"{op}: input must have at least 1 dimension, got shape ()")
    axis = 0 if x.ndim == 1 else 1
    c = x.shape[axis]
    ncm = (x.shape[0] if axis else 1, c, math.prod(x.shape[2:]))
    if not c:
        raise ValueError(f"{op}: input must have at least one class along axis {axis}, got shape {tuple(x.shape)}")
    smoothing = _smoothing(op, label_smoothing)
    ignore_index = _index(op, "ignore_index", ignore_index)
    if weight is not None:
        weight = portable_matching(op, "weight", weight, x)
        if tuple(weight.shape) != (c,):
            raise ValueError(f"{op}: weight must have shape ({c},), one for each class, got {tuple(weight.shape)}")
        weight = xp.reshape(weight, (1, c, 1))
    _, t = portable_any(op, "target", target)
    check_library(op, "target", t, x)
    index_shape = tuple(x.shape[:axis]) + tuple(x.shape[axis + 1:])
    if t.shape == x.shape:
        if ignore_index >= 0:
            raise ValueError(f"{op}: ignore_index={ignore_index} needs a target of class indices; this one has the "
                             f"input's shape {tuple(x.shape)}, hence holds probabilities")
        q = _probabilities(op, xp, x, t, ncm, weight, smoothing)
        return ClassTargets(xp, x, axis, ncm, index_shape, smoothing, weight, q)
    if not _is_integer(xp, t):
        raise TypeError(f"{op}: target must hold integers (class indices of shape {index_shape}) or probabilities of "
                        f"input's shape {tuple(x.shape)}, got {t.dtype} of shape {tuple(t.shape)}")
    if tuple(t.shape) != index_shape and not (axis == 0 and tuple(t.shape) == (1,)):
        raise ValueError(f"{op}: target must have shape {index_shape} for an input of shape {tuple(x.shape)}, got "
                         f"{tuple(t.shape)}")
    labels, counted = _labels(op, xp, t, c, ignore_index)
    label_weights = None if counted is None else xp.asarray(counted, dtype=x.dtype)
    if weight is not None:
        chosen = xp.reshape(weight, (c,))[labels]
        label_weights = chosen if counted is None else chosen * label_weights
    labels, counted, label_weights = (None if a is None else xp.reshape(a, (ncm[0], ncm[2]))
                                      for a in (labels, counted, label_weights))
    return ClassTargets(xp, x, axis, ncm, index_shape, smoothing, weight, None, labels, counted, label_weights)


def _losses(xp, t):
    """The losses (N, M) before their reduction."""
    kernel = t.kernel("cross_entropy")
    if kernel is not None:
        losses = np.empty(t.labels.shape, t.x.dtype)
        kernel(t.x.reshape(t.ncm), t.marked_labels(), losses)
        if t.label_weights is not None:
            losses *= t.label_weights
        return losses
    logp = xp.reshape(log_softmax_along(xp, t.x, t.axis), t.ncm)
    if t.probabilities is not None:
        return -xp.sum(logp * t.probabilities, axis=1)
    losses = -logp[t.places]
    if t.label_weights is not None:
        losses *= t.label_weights
    if t.smoothing:
        losses *= 1 - t.smoothing
        losses -= xp.sum(logp if t.weight is None else logp * t.weight, axis=1) * (t.smoothing / t.ncm[1])
    return losses if t.counted is None else xp.where(t.counted, losses, xp.zeros_like(losses))


def squared_operands(op, input, target, weight):
    """(namespace, input, target, weight) of a squared loss, checked."""
    xp, x = portable(op, "input", input)
    t = portable_matching(op, "target", target, x)
    try:
        np.broadcast_shapes(x.shape, t.shape)
    except ValueError:
        raise ValueError(f"{op}: target must have input's shape {tuple(x.shape)}, got {tuple(t.shape)}") from None
    if weight is not None:
        weight = portable_matching(op, "weight", weight, x)
        if weight.shape != x.shape:
            raise ValueError(f"{op}: weight must have input's shape {tuple(x.shape)}, got {tuple(weight.shape)}")
    return xp, x, t, weight


def check_reduction(op, reduction):
    """Raise ValueError unless `reduction` is one of the three."""
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f"{op}: reduction must be one of {', '.join(map(repr, REDUCTIONS))}, got {reduction!r}")
    return reduction


def old_reduction(op, size_average, reduce, reduction):
    """The reduction that `size_average` and `reduce` meant, with a warning, or `reduction` where neither is given."""
    if size_average is None and reduce is None:
        return check_reduction(op, reduction)
    if reduce is not None and not reduce:
        reduction = "none"
    else:
        reduction = "mean" if size_average is None or size_average else "sum"
    warnings.warn(f"{op}: size_average and reduce are deprecated; pass reduction={reduction!r}", stacklevel=3)
    return reduction


def _smoothing(op, value):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)):
        raise TypeError(f"{op}: label_smoothing must be a number from 0 to 1, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{op}: label_smoothing must be from 0 to 1, got {value!r}")
    return float(value)


def _index(op, name, value):
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{op}: {name} must be an int, got {value!r}")
    return operator.index(value)


def _is_integer(xp, t):
    return t.dtype.kind in "iu" if xp is np else xp.isdtype(t.dtype, "integral")


def _probabilities(op, xp, x, t, ncm, weight, smoothing):
    if _is_integer(xp, t):
        raise TypeError(f"{op}: target has input's shape {tuple(x.shape)}, so it holds class probabilities and must be "
                        f"{x.dtype} as input is, got {t.dtype}; class indices have one axis less")
    q = xp.reshape(portable_matching(op, "target", t, x), ncm)
    with np.errstate(all="ignore"):
        if smoothing:
            q = q * (1 - smoothing) + smoothing / ncm[1]
        return q if weight is None else q * weight


def _labels(op, xp, t, c, ignore_index):
    """(labels, int64, 0 where they do not count; where they count, or None if all do)"""
    # Seen as unsigned a negative number is a huge one: the common case takes one pass.
    if xp is np and t.dtype == np.int64 and t.size and not 0 <= ignore_index < c:
        t = contiguous(t)
        if t.view(np.uint64).max() < c:
            return t, None
    counted = xp.asarray(t != ignore_index)
    bad = counted & ((t < 0) | (t >= c))
    if xp.any(bad):
        value = int(t[bad][0])
        raise ValueError(f"{op}: target must hold class indices from 0 to {c - 1}, or ignore_index={ignore_index}, got "
                         f"{value}")
    labels = xp.where(counted, t, xp.zeros_like(t))
    return xp.asarray(labels, dtype=xp.int64), counted
