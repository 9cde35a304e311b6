"""Gradient of the table of an embedding: one implementation for NumPy arrays and those of other libraries."""

import math

import array_api_compat
import numpy as np

from fastconv import backends
from fastconv.checks import portable, size
from fastconv.functional.embedding import padding_row, row_numbers
from fastconv.geometry import check_shape


def embedding_weight(input, weight_size, grad_output, padding_idx=None, scale_grad_by_freq=False):
    """Gradient of `embedding` with respect to its weight: for each row the sum over its occurrences.

    Parameters
    ----------
    input : array of integers, of any shape
    weight_size : tuple of int
        (V, D)
    grad_output : array (*input.shape, D), float32 or float64
    padding_idx : int, optional
        A row whose gradient is 0.
    scale_grad_by_freq : bool
        Divide each row's sum by the number of its occurrences.

    Returns
    -------
    array of shape `weight_size`
        The sums are in the order of `input`: one after another by a backend's kernel, else in pairs, pairs of pairs
        and so on.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, numbers outside 0 to V - 1 and arrays of other types.
    """
    op = "embedding_weight"
    xp, dy = portable(op, "grad_output", grad_output)
    shape = size(op, "weight_size", weight_size)
    if len(shape) != 2:
        raise ValueError(f"{op}: weight_size must have 2 elements, got {shape}")
    rows = row_numbers(op, input, dy, shape[0], "grad_output")
    padding = padding_row(op, padding_idx, shape[0])
    check_shape(op, "grad_output", tuple(dy.shape), (*rows.shape, shape[1]))
    dw = xp.zeros(shape, dtype=dy.dtype, device=array_api_compat.device(dy))
    if not math.prod(dy.shape):
        return dw
    rows, dy = xp.reshape(rows, (-1,)), xp.reshape(dy, (-1, shape[1]))
    kernel = backends.extra(op, dy)
    if kernel is not None:
        kernel(rows, dy, dw)
        if scale_grad_by_freq:
            dw /= np.maximum(np.bincount(rows, minlength=shape[0]), 1).astype(dw.dtype)[:, None]
        if padding is not None:
            dw[padding] = 0
        return dw
    with np.errstate(all="ignore"):
        rows, sums, counts = _sums_of_equal(xp, rows, dy)
        if scale_grad_by_freq:
            sums = sums / xp.asarray(counts, dtype=dy.dtype)[:, None]
    if padding is not None:
        rows, sums = rows[rows != padding], sums[rows != padding]
    dw[rows] = sums
    return dw


def _sums_of_equal(xp, rows, values):
    """(the different numbers in `rows`, the sums of their values, how many those are).

    A sum takes as many rounds as the largest count has binary digits; each adds neighbours of the same row.
    """
    order = xp.argsort(rows, stable=True)
    rows, values = rows[order], values[order]
    place = xp.arange(rows.shape[0], device=array_api_compat.device(rows))
    counts = xp.ones_like(rows)
    while True:
        begins = xp.concat([xp.ones_like(rows[:1], dtype=xp.bool), rows[1:] != rows[:-1]])
        if xp.all(begins):
            return rows, values, counts
        # How far an element stands from the first one of its row: even ones take what follows them.
        starts = place[:rows.shape[0]][begins]
        group = xp.asarray(begins, dtype=xp.int64)
        group = np.cumsum(group) if xp is np else xp.cumulative_sum(group)
        rank = place[:rows.shape[0]] - starts[group - 1]
        keep = rank % 2 == 0
        follows = xp.concat([~keep[1:], xp.zeros_like(keep[:1])])
        source = place[:rows.shape[0]][follows]
        values[source] += values[source + 1]
        counts[source] += counts[source + 1]
        rows, values, counts = rows[keep], values[keep], counts[keep]
