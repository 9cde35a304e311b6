"""Padding, interpolation and adaptive averaging: a table along each axis says what an output is made of.

See `fastconv.sampling.Axis`. A work item is a run of planes (n, c).
"""

import numpy as np

from fastconv.backends.numba.jit import address, helper, ints, pointer, range_kernel, run, shift
from fastconv.backends.numba.lines import copy, pick_run
from fastconv.backends.threads import get_num_threads
from fastconv.backends.workspace import Workspace

WIDE = 1 << 19  # elements of a map resampled along its rows beforehand, at most


@helper
def _pick_rows(x, y, rows, width, source, outputs, first, last, fill):
    """Rows that follow each other in `x` and in `y`; [first, last) of each are copies of neighboring elements."""
    for p in range(rows):
        row, out = shift(x, p * width), shift(y, p * outputs)
        pick_run(row, source, out, 0, first, fill)
        if last > first:
            copy(shift(row, source[first]), shift(out, first), last - first)
        pick_run(row, source, out, last, outputs, fill)


@range_kernel
def pick(begin, end, a, like):
    """Each output is a copy of one element, or the constant. A row equal to the one before is copied from it.

    The longest run of rows that are neighbors has a loop of its own: 0.22 ms in place of 0.28 to pad 512 planes of
    56 x 56.
    """
    x, y, value = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    depth, height, width = a[3], a[4], a[5]
    out_d, out_h, out_w = a[6], a[7], a[8]
    source_d, source_h, source_w = ints(a[9]), ints(a[10]), ints(a[11])
    first, last, holes, begun, ended = a[12], a[13], a[14] != 0, a[15], a[16]
    fill = value[0]
    for plane in range(begin, end):
        start = plane * depth * height * width
        for o in range(out_d):
            before, p = -1, -1
            while p + 1 < out_h:
                p += 1
                out = shift(y, ((plane * out_d + o) * out_h + p) * out_w)
                if source_d[o] < 0 or source_h[p] < 0:
                    for q in range(out_w):
                        out[q] = fill
                    continue
                line = start + (source_d[o] * height + source_h[p]) * width
                rows = ended - begun if p == begun and ended > begun else 1
                if line == before and rows == 1:
                    copy(shift(out, -out_w), out, out_w)
                elif holes or last > first:
                    _pick_rows(shift(x, line), out, rows, width, source_w, out_w, first, last, fill)
                    p += rows - 1
                    line += (rows - 1) * width
                else:
                    row = shift(x, line)
                    for q in range(out_w):
                        out[q] = row[source_w[q]]
                before = line


@helper
def _sum_row(x, y, start, index, weight, weighted, outputs, taps, pairs, first, last):
    """A row of outputs from a row `x`; [first, last) of them are copies of neighboring elements."""
    if last > first:
        copy(shift(x, index[start[first]]), shift(y, first), last - first)
    for half in range(2):
        low, high = (0, first) if half == 0 else (last, outputs)
        if taps == 2 and weighted:
            for q in range(low, high):
                y[q] = weight[2 * q] * x[index[2 * q]] + weight[2 * q + 1] * x[index[2 * q + 1]]
        elif taps == 4 and weighted:
            for q in range(low, high):
                k = 4 * q
                y[q] = (weight[k] * x[index[k]] + weight[k + 1] * x[index[k + 1]]
                        + weight[k + 2] * x[index[k + 2]] + weight[k + 3] * x[index[k + 3]])
        elif taps == 2 and pairs:
            for q in range(low, high):
                y[q] = x[2 * q] + x[2 * q + 1]
        elif taps == 2:
            for q in range(low, high):
                y[q] = x[index[2 * q]] + x[index[2 * q + 1]]
        else:
            for q in range(low, high):
                k, ended = start[q], start[q + 1]
                if k == ended:
                    y[q] = 0
                    continue
                if weighted:
                    total = weight[k] * x[index[k]]
                    for more in range(k + 1, ended):
                        total += weight[more] * x[index[more]]
                else:
                    total = x[index[k]]
                    for more in range(k + 1, ended):
                        total += x[index[more]]
                y[q] = total


@helper
def add_one(row, upper, weight, weighted, more, count):
    """Add `weight` times the row `upper` to `row`, or begin the sum where there is no `more` in it."""
    if not weighted:
        for i in range(count):
            row[i] += upper[i]
    elif more:
        for i in range(count):
            row[i] += weight * upper[i]
    else:
        for i in range(count):
            row[i] = weight * upper[i]


@helper
def add_two(row, upper, lower, weight, weight_too, weighted, more, count):
    """As `add_one`, of two rows: the sum is loaded and stored half as often."""
    if not weighted and more:
        for i in range(count):
            row[i] += upper[i] + lower[i]
    elif not weighted:
        for i in range(count):
            row[i] = upper[i] + lower[i]
    elif more:
        for i in range(count):
            row[i] += weight * upper[i] + weight_too * lower[i]
    else:
        for i in range(count):
            row[i] = weight * upper[i] + weight_too * lower[i]


@range_kernel
def combine(begin, end, a, like):
    """Each output is a weighted sum: along the rows first where that makes fewer sums, else along the columns first."""
    x, y, work = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    planes, parts, wide, space = a[3], a[4], a[5] != 0, a[6]
    depth, height, width = a[7], a[8], a[9]
    out_d, out_h, out_w = a[10], a[11], a[12]
    start_d, index_d, weight_d, weighted_d = ints(a[13]), ints(a[14]), pointer(a[15], like), a[15] != 0
    start_h, index_h, weight_h, weighted_h = ints(a[16]), ints(a[17]), pointer(a[18], like), a[18] != 0
    start_w, index_w, weight_w, weighted_w = ints(a[19]), ints(a[20]), pointer(a[21], like), a[21] != 0
    taps, pairs, first, last = a[22], a[23] != 0, a[24], a[25]
    weighted = weighted_d or weighted_h
    across = out_w if wide else width
    for item in range(begin, end):
        scratch = shift(work, item * space)
        # Weights of two rows, in memory as they are numbers of the arrays' type.
        w = shift(scratch, space - 4)
        for plane in range(item * planes // parts, (item + 1) * planes // parts):
            base = shift(x, plane * depth * height * width)
            if wide:
                for line in range(depth * height):
                    _sum_row(shift(base, line * width), shift(scratch, line * out_w), start_w, index_w, weight_w,
                             weighted_w, out_w, taps, pairs, first, last)
                base = scratch
            for o in range(out_d):
                for p in range(out_h):
                    out = shift(y, ((plane * out_d + o) * out_h + p) * out_w)
                    row = out if wide else scratch
                    begun, tall = start_h[p], start_h[p + 1] - start_h[p]
                    rows = (start_d[o + 1] - start_d[o]) * tall
                    if rows == 1 and not weighted:
                        single = shift(base, (index_d[start_d[o]] * height + index_h[begun]) * across)
                        if wide:
                            copy(single, out, out_w)
                            continue
                        row = single
                    elif rows == 0:
                        for i in range(across):
                            row[i] = 0
                    for t in range(0, 0 if rows == 1 and not weighted else rows, 2):
                        d, h = start_d[o] + t // tall, begun + t % tall
                        upper = shift(base, (index_d[d] * height + index_h[h]) * across)
                        w[0], w[1] = 1, 1
                        if weighted_d:
                            w[0] = weight_d[d]
                        if weighted_h:
                            w[0] *= weight_h[h]
                        if t + 1 == rows:
                            add_one(row, upper, w[0], weighted, t > 0, across)
                            continue
                        d, h = start_d[o] + (t + 1) // tall, begun + (t + 1) % tall
                        lower = shift(base, (index_d[d] * height + index_h[h]) * across)
                        if weighted_d:
                            w[1] = weight_d[d]
                        if weighted_h:
                            w[1] *= weight_h[h]
                        add_two(row, upper, lower, w[0], w[1], weighted, t > 0, across)
                    if not wide:
                        _sum_row(row, out, start_w, index_w, weight_w, weighted_w, out_w, taps, pairs, first, last)


def resample(x, y, axes, fill):
    """Write to `y` (planes, O, P, Q) what three `fastconv.sampling.Axis` make of `x` (planes, D, H, W).

    `fill` stands where an output is made of nothing; it must be 0 unless every output is a copy.
    """
    planes, most = x.shape[0], get_num_threads()
    sizes = (*x.shape[1:], *y.shape[1:])
    if all(axis.picks for axis in axes):
        sources = [axis.source for axis in axes]
        value = np.array([fill], x.dtype)
        args = (address(x), address(y), address(value), *sizes, *map(address, sources), *axes[2].run,
                len(axes[2].index) < axes[2].outputs, *axes[1].run)
        run(pick, planes, np.array(args, np.int64), x.dtype, most, y.size)
        return
    lines = x.shape[1] * x.shape[2]
    wide = axes[2].outputs > axes[2].size and lines > 1 and lines * axes[2].outputs <= WIDE
    parts = min(most, planes)
    space = (lines * axes[2].outputs if wide else x.shape[3]) + 16
    work = Workspace(parts * space * x.itemsize, address)
    tables = [(axis.start, axis.index, axis.weights(x.dtype)) for axis in axes]
    args = (address(x), address(y), work.address, planes, parts, wide, space, *sizes,
            *(address(table) for axis in tables for table in axis), axes[2].taps, axes[2].disjoint, *axes[2].run)
    run(combine, parts, np.array(args, np.int64), x.dtype, most, 2 * (x.size + y.size))
