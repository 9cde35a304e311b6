"""Rows of a table by their numbers: one implementation for NumPy arrays and those of other libraries."""

import operator

import numpy as np

from fastconv import backends
from fastconv.checks import check_library, contiguous, empty, floating, portable, portable_any, real


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """The rows of a table that `input` numbers.

    Parameters
    ----------
    input : array of integers, of any shape
    weight : array (V, D), float32 or float64
    padding_idx : int, optional
        A row that gets no gradient; from the end if negative.
    max_norm : float, optional
        Rows that `input` numbers and whose norm is larger are first scaled to it, in place: `weight` is written to.
    norm_type : float
        Which norm; 2 is the Euclidean one.
    scale_grad_by_freq : bool
        Of the gradient alone: see `fastconv.grad.embedding_weight`.
    sparse : False
        There are no sparse gradients here: True is refused.

    Returns
    -------
    array (*input.shape, D)

    Raises
    ------
    ValueError
        For numbers outside 0 to V - 1, a table that has not two axes, and with `max_norm` one that cannot be written
        to.
    TypeError
        For arrays of other types.
    """
    op = "embedding"
    _, given = portable_any(op, "weight", weight)
    if isinstance(given, np.ndarray):
        xp, w = np, floating(op, "weight", weight)
    else:
        xp, w = portable(op, "weight", weight)
    if w.ndim != 2:
        raise ValueError(f"{op}: weight must have 2 dimensions, got shape {tuple(w.shape)}")
    rows = row_numbers(op, input, w, w.shape[0], "weight")
    padding_row(op, padding_idx, w.shape[0])
    refuse_sparse(op, sparse)
    if max_norm is not None:
        _renormalize(op, xp, given, w, rows, real(op, "max_norm", max_norm), real(op, "norm_type", norm_type))
    shape = (*rows.shape, w.shape[1])
    if xp is not np:
        return xp.reshape(xp.take(w, xp.reshape(rows, (-1,)), axis=0), shape)
    kernel = backends.extra(op, w) if rows.size else None
    if kernel is None:
        # Checked already; without 'clip' NumPy checks again, into a buffer.
        return np.take(w, rows, axis=0, mode="clip") if w.shape[0] else np.empty(shape, w.dtype)
    y = empty(shape, w)
    kernel(rows.reshape(-1), contiguous(w), y.reshape(-1, shape[-1]))
    return y


def row_numbers(op, input, like, count, like_name):
    """`input` as an array of int64, of the library of `like`, refused unless all of it is from 0 to `count` - 1.

    A NumPy array comes back C-contiguous.
    """
    xp, rows = portable_any(op, "input", input)
    check_library(op, "input", rows, like, like_name)
    if not (rows.dtype.kind in "iu" if xp is np else xp.isdtype(rows.dtype, "integral")):
        raise TypeError(f"{op}: input must hold integers, got {rows.dtype}")
    numbers = contiguous(rows.astype(np.int64, copy=False)) if xp is np else xp.asarray(rows, dtype=xp.int64)
    # Seen as unsigned a negative number is a huge one: a single pass finds both ends.
    if not (numbers.size and numbers.view(np.uint64).max() >= count if xp is np else
            xp.any((rows < 0) | (rows >= count))):
        return numbers
    bad = (rows < 0) | (rows >= count)
    raise ValueError(f"{op}: input must hold numbers of rows from 0 to {count - 1}, got {int(rows[bad][0])}")


def padding_row(op, padding_idx, count):
    """`padding_idx` counted from 0, or None."""
    if padding_idx is None:
        return None
    if isinstance(padding_idx, bool) or not hasattr(padding_idx, "__index__"):
        raise TypeError(f"{op}: padding_idx must be an int, got {padding_idx!r}")
    row = operator.index(padding_idx)
    if not -count <= row < count:
        raise ValueError(f"{op}: padding_idx must be from {-count} to {count - 1}, got {row}")
    return row % count


def refuse_sparse(op, sparse):
    """Raise ValueError if a sparse gradient is asked for."""
    if sparse:
        raise ValueError(f"{op}: sparse must be False, got {sparse!r}: gradients are dense arrays")


def _renormalize(op, xp, given, w, rows, most, norm_type):
    used = xp.unique_values(xp.reshape(rows, (-1,)))
    chosen = w[used]
    with np.errstate(all="ignore"):
        norms = xp.linalg.vector_norm(chosen, axis=1, ord=norm_type)
        large = norms > most
        if not xp.any(large):
            return
        # The small number is torch's.
        scales = most / (norms[large] + 1e-7)
        changed = chosen[large] * scales[:, None]
    if xp is np and not (given.flags.writeable and given.dtype.isnative):
        raise ValueError(f"{op}: max_norm scales rows of weight in place: it must be a writable array of native "
                         f"{w.dtype}, got {given.dtype.str if given.flags.writeable else 'a read-only one'}")
    w[used[large]] = changed
