"""Cross-entropy of scores (N, C, M) with class indices (N, M), in one pass over the scores each way.

Work items are those of `softmax`: strips of columns, or rows where M is 1. A label of -1 counts nothing.
"""

import math

from fastconv.backends.numba.elementwise import run
from fastconv.backends.numba.jit import ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.lines import scaled
from fastconv.backends.numba.softmax import ROWS, SCRATCH, STRIP, exponentials, long_row_sum, padded, peaks, rows_sums
from fastconv.backends.numba.softmax import strip as strip_of
from fastconv.backends.numba.vector import exp_down, number


@range_kernel
def _losses(begin, end, a, like):
    source, labels, losses, classes, inner = pointer(a[0], like), ints(a[1]), pointer(a[2], like), a[3], a[4]
    top, total = stack(STRIP, like), stack(STRIP, like)
    strips = (inner + STRIP - 1) // STRIP
    for item in range(begin, end):
        first, columns = strip_of(item, classes, inner)
        x, out = shift(source, first), item // strips * inner + item % strips * STRIP
        peaks(x, classes, inner, columns, top)
        exponentials(x, classes, inner, columns, top, total, like)
        for j in range(columns):
            label = labels[out + j]
            if label < 0:
                losses[out + j] = 0
            else:
                losses[out + j] = math.log(total[j]) - (x[label * inner + j] - top[j])


@range_kernel
def _losses_of_rows(begin, end, a, like):
    source, labels, losses, count = pointer(a[0], like), ints(a[1]), pointer(a[2], like), a[3]
    work, top, total = stack(SCRATCH, like), stack(ROWS, like), stack(ROWS, like)
    step = min(ROWS, SCRATCH // padded(count, like)) if count <= SCRATCH else 1
    for row in range(begin, end, step):
        rows = min(step, end - row)
        if count > SCRATCH:
            top[0], total[0] = long_row_sum(shift(source, row * count), count, work, like)
        else:
            rows_sums(shift(source, row * count), rows, count, work, top, total, like)
        for r in range(rows):
            label = labels[row + r]
            if label < 0:
                losses[row + r] = 0
            else:
                losses[row + r] = math.log(total[r]) - (source[(row + r) * count + label] - top[r])


@range_kernel
def _gradient(begin, end, a, like):
    source, labels, scales, target = pointer(a[0], like), ints(a[1]), pointer(a[2], like), pointer(a[3], like)
    classes, inner = a[4], a[5]
    top, total = stack(STRIP, like), stack(STRIP, like)
    strips = (inner + STRIP - 1) // STRIP
    for item in range(begin, end):
        first, columns = strip_of(item, classes, inner)
        x, dx, out = shift(source, first), shift(target, first), item // strips * inner + item % strips * STRIP
        peaks(x, classes, inner, columns, top)
        for j in range(columns):
            total[j] = number(0, like)
        for k in range(classes):
            for j in range(columns):
                e = exp_down(x[k * inner + j] - top[j])
                dx[k * inner + j] = e
                total[j] += e
        for j in range(columns):
            total[j] = scales[out + j] / total[j]
        for k in range(classes):
            for j in range(columns):
                dx[k * inner + j] *= total[j]
        for j in range(columns):
            label = labels[out + j]
            if label < 0:
                for k in range(classes):
                    dx[k * inner + j] = 0
            else:
                dx[label * inner + j] -= scales[out + j]


@range_kernel
def _gradient_of_rows(begin, end, a, like):
    source, labels, scales, target = pointer(a[0], like), ints(a[1]), pointer(a[2], like), pointer(a[3], like)
    count = a[4]
    work, top, total = stack(SCRATCH, like), stack(ROWS, like), stack(ROWS, like)
    whole = padded(count, like)
    step = min(ROWS, SCRATCH // whole) if count <= SCRATCH else 1
    for row in range(begin, end, step):
        rows = min(step, end - row)
        if count > SCRATCH:
            top[0], total[0] = long_row_sum(shift(source, row * count), count, work, like)
        else:
            rows_sums(shift(source, row * count), rows, count, work, top, total, like)
        for r in range(rows):
            x, dx = shift(source, (row + r) * count), shift(target, (row + r) * count)
            label, scale = labels[row + r], scales[row + r] / total[r]
            if label < 0:
                for k in range(count):
                    dx[k] = 0
                continue
            if count > SCRATCH:
                for k in range(count):
                    dx[k] = exp_down(x[k] - top[r]) * scale
            else:
                scaled(shift(work, r * whole), dx, count, scale)
            dx[label] -= scales[row + r]


def _run(columns, rows, arrays):
    n, classes, inner = arrays[0].shape
    like = arrays[0]
    if inner == 1:
        run(rows, n, arrays, (classes,), like, like.size)
    else:
        run(columns, n * -(-inner // STRIP), arrays, (classes, inner), like, like.size)


def cross_entropy(x, labels, losses):
    """losses (N, M) = log(sum(exp(x))) - x[label], for contiguous arrays that are not empty."""
    _run(_losses, _losses_of_rows, (x, labels, losses))


def cross_entropy_input(x, labels, scales, dx):
    """dx = (softmax(x) - 1 at the label) scale, with scales (N, M)."""
    _run(_gradient, _gradient_of_rows, (x, labels, scales, dx))
