"""How good predictions are. Arrays in device memory are taken as NumPy's are."""

import numpy as np

from fastconv import devices, geometry
from fastconv.backends import memory
from fastconv.checks import check_library, portable_any


def accuracy(scores, target):
    """Share of examples whose highest score is that of the right class; of equal scores the first counts.

    Parameters
    ----------
    scores : array (N, C)
    target : array of int (N,)

    Returns
    -------
    float
        NaN for no examples.
    """
    if memory.device_of(scores) is not None:
        return _device_accuracy(scores, target)
    scores, target = _checked("accuracy", scores, target)
    return float(np.mean(scores.argmax(axis=1) == target)) if len(target) else float("nan")


def top_k_accuracy(scores, target, k=5):
    """Share of examples whose right class is among the `k` highest scores; of equal scores the first count.

    Parameters
    ----------
    scores : array (N, C)
    target : array of int (N,)
    k : int
        At most C.

    Returns
    -------
    float
        NaN for no examples.
    """
    scores, target = _checked("top_k_accuracy", scores, target)
    (k,) = geometry.sizes("top_k_accuracy", "k", k, 1, 1)
    if k > scores.shape[1]:
        raise ValueError(f"top_k_accuracy: k must be at most {scores.shape[1]}, the number of classes, got {k}")
    if not len(target):
        return float("nan")
    # Unlike argsort of the negative, this puts NaN first, where argmax sees it.
    best = scores.shape[1] - 1 - np.argsort(scores[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :k]
    return float(np.mean((best == target[:, None]).any(axis=1)))


def confusion_matrix(scores, target, num_classes=None):
    """How often each class was taken for each.

    Parameters
    ----------
    scores : array (N, C) of scores, or array of int (N,) of predicted classes
    target : array of int (N,)
    num_classes : int, optional
        C by default, or what the largest class asks for.

    Returns
    -------
    array of int64 (num_classes, num_classes)
        Row: right class; column: predicted class.
    """
    scores = devices.to_host(scores)
    if scores.ndim == 1:
        target = _labels("confusion_matrix", "target", target, scores.shape)
        predicted = _labels("confusion_matrix", "scores", scores, scores.shape)
        largest = max(predicted.max(initial=-1), target.max(initial=-1))
        num_classes = int(largest) + 1 if num_classes is None else num_classes
    else:
        scores, target = _checked("confusion_matrix", scores, target)
        predicted = scores.argmax(axis=1)
        num_classes = scores.shape[1] if num_classes is None else num_classes
    (n,) = geometry.sizes("confusion_matrix", "num_classes", num_classes, 1)
    for name, labels in (("target", target), ("scores", predicted)):
        if labels.max(initial=-1) >= n:
            raise ValueError(f"confusion_matrix: {name} must hold classes below num_classes={n}, got {labels.max()}")
    return np.bincount(target * n + predicted, minlength=n * n).reshape(n, n)


def _device_accuracy(scores, target):
    """`accuracy` where the scores lie: one number comes back."""
    xp, target = portable_any("accuracy", "target", target)
    check_library("accuracy", "target", target, scores, "scores")
    if len(scores.shape) != 2 or not scores.shape[1]:
        raise ValueError("accuracy: scores must have shape (N, C) with at least one class, got "
                         f"{tuple(scores.shape)}")
    geometry.check_shape("accuracy", "target", target.shape, scores.shape[:1])
    right = xp.argmax(scores, axis=1) == target
    return float(xp.sum(xp.astype(right, xp.int64))) / len(target) if len(target) else float("nan")


def _checked(op, scores, target):
    scores = devices.to_host(scores)
    if scores.ndim != 2 or not scores.shape[1]:
        raise ValueError(f"{op}: scores must have shape (N, C) with at least one class, got {scores.shape}")
    if scores.dtype.kind not in "fiu":
        raise TypeError(f"{op}: scores must hold real numbers, got {scores.dtype}")
    target = _labels(op, "target", target, scores.shape[:1])
    if target.max(initial=-1) >= scores.shape[1]:
        raise ValueError(f"{op}: target must hold classes below {scores.shape[1]}, got {target.max()}")
    return scores, target


def _labels(op, name, labels, shape):
    labels = devices.to_host(labels)
    geometry.check_shape(op, name, labels.shape, shape)
    if labels.dtype.kind not in "iu" and labels.size:
        raise TypeError(f"{op}: {name} must be an array of integers, got {labels.dtype}")
    labels = labels.astype(np.int64, copy=False)
    if labels.min(initial=0) < 0:
        raise ValueError(f"{op}: {name} must hold no negative class, got {labels.min()}")
    return labels
