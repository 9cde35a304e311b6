"""Pooling over regions: along each axis, output i covers ``first[i] <= position < last[i]``.

That describes adaptive pooling and, with regions clipped to the map, every ordinary one without dilation. A region's
rows are joined first, as whole rows and in vectors; what is left is a step along one row. Windows that do not overlap
are read once that way: 8 x 64 x 56 x 56 to 5 x 5 maxima take 0.6 ms in place of 8. A work item is a run of planes.
"""

from functools import lru_cache

import numpy as np

from fastconv.backends.numba.axes import add_one, add_two
from fastconv.backends.numba.jit import address, helper, ints, pointer, range_kernel, run, shift
from fastconv.backends.numba.lines import copy
from fastconv.backends.threads import get_num_threads
from fastconv.backends.workspace import Workspace


@helper
def _join_max(row, offset, best, place, count, indexed):
    """Take a row into the maxima of the columns so far, and where they are."""
    if indexed:
        for w in range(count):
            value = row[w]
            larger = value > best[w] or value != value
            best[w] = value if larger else best[w]
            place[w] = offset if larger else place[w]
    else:
        for w in range(count):
            value = row[w]
            best[w] = value if value > best[w] or value != value else best[w]


@helper
def _row_max(row, line, y, indices, indexed, first, last, outputs):
    """Maxima of stretches of one row, which begins at `line` of the map.

    Choices are no branches: 0.7 ms in place of 6.7 for 8 x 64 rows of 3136 by fours, as they fall at random.
    """
    for q in range(outputs):
        where = first[q]
        found = row[where]
        for w in range(first[q] + 1, last[q]):
            value = row[w]
            larger = (value > found) | (value != value)
            found = value if larger else found
            where = w if larger else where
        y[q] = found
        if indexed:
            indices[q] = line + where


@helper
def _joined_max(best, place, y, indices, first, last, outputs):
    """Maxima of stretches of joined rows, and where they are in the map: among equal ones at the lowest place."""
    for q in range(outputs):
        found, where = best[first[q]], place[first[q]] + first[q]
        for w in range(first[q] + 1, last[q]):
            value, at = best[w], place[w] + w
            missing = value != value
            larger = (value > found) | ((value == found) & (at < where)) | (missing & ((found == found) | (at > where)))
            found = value if larger else found
            where = at if larger else where
        y[q] = found
        indices[q] = where


@range_kernel
def largest(begin, end, a, like):
    maps, y, indices, indexed = pointer(a[0], like), pointer(a[1], like), ints(a[2]), a[2] != 0
    values, places = pointer(a[3], like), ints(a[4])
    planes, parts = a[5], a[6]
    depth, height, width = a[7], a[8], a[9]
    out_d, out_h, out_w = a[10], a[11], a[12]
    first_d, last_d, first_h, last_h = ints(a[13]), ints(a[14]), ints(a[15]), ints(a[16])
    first_w, last_w = ints(a[17]), ints(a[18])
    for item in range(begin, end):
        best, place = shift(values, item * width), shift(places, item * width)
        for plane in range(item * planes // parts, (item + 1) * planes // parts):
            x = shift(maps, plane * depth * height * width)
            for o in range(out_d):
                for p in range(out_h):
                    line = (first_d[o] * height + first_h[p]) * width
                    out = ((plane * out_d + o) * out_h + p) * out_w
                    if (last_d[o] - first_d[o]) * (last_h[p] - first_h[p]) == 1:
                        _row_max(shift(x, line), line, shift(y, out), shift(indices, out), indexed, first_w, last_w,
                                 out_w)
                        continue
                    copy(shift(x, line), best, width)
                    if indexed:
                        for w in range(width):
                            place[w] = line
                    for d in range(first_d[o], last_d[o]):
                        for h in range(first_h[p], last_h[p]):
                            offset = (d * height + h) * width
                            if offset != line:
                                _join_max(shift(x, offset), offset, best, place, width, indexed)
                    if indexed:
                        _joined_max(best, place, shift(y, out), shift(indices, out), first_w, last_w, out_w)
                    else:
                        _row_max(best, 0, shift(y, out), indices, False, first_w, last_w, out_w)


@range_kernel
def mean(begin, end, a, like):
    maps, y, work = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    planes, parts = a[3], a[4]
    depth, height, width = a[5], a[6], a[7]
    out_d, out_h, out_w = a[8], a[9], a[10]
    first_d, last_d, count_d = ints(a[11]), ints(a[12]), pointer(a[13], like)
    first_h, last_h, count_h = ints(a[14]), ints(a[15]), pointer(a[16], like)
    first_w, last_w, count_w = ints(a[17]), ints(a[18]), pointer(a[19], like)
    for item in range(begin, end):
        joined = shift(work, item * width)
        for plane in range(item * planes // parts, (item + 1) * planes // parts):
            x = shift(maps, plane * depth * height * width)
            for o in range(out_d):
                for p in range(out_h):
                    tall = last_h[p] - first_h[p]
                    rows = (last_d[o] - first_d[o]) * tall
                    row = joined
                    if rows == 1:
                        row = shift(x, (first_d[o] * height + first_h[p]) * width)
                    for t in range(0, rows if rows > 1 else 0, 2):
                        upper = shift(x, ((first_d[o] + t // tall) * height + first_h[p] + t % tall) * width)
                        t1 = t + 1
                        lower = shift(x, ((first_d[o] + t1 // tall) * height + first_h[p] + t1 % tall) * width)
                        if t1 == rows:
                            add_one(row, upper, row[0], False, True, width)
                        else:
                            add_two(row, upper, lower, row[0], row[0], False, t > 0, width)
                    out = ((plane * out_d + o) * out_h + p) * out_w
                    slab = count_d[o] * count_h[p]
                    for q in range(out_w):
                        total = row[first_w[q]]
                        for w in range(first_w[q] + 1, last_w[q]):
                            total += row[w]
                        y[out + q] = total / (slab * count_w[q])


@helper
def _spread(share, row, first, last, outputs, width, kernel, stride, before):
    """Add each output's share to the elements that it covers, along a row."""
    for w in range(width):
        row[w] = 0
    if kernel == 0 or stride >= kernel:
        for q in range(outputs):
            value = share[q]
            for w in range(first[q], last[q]):
                row[w] += value
        return
    # Overlapping: a tap at a time, as neighboring sums would wait for each other.
    for s in range(kernel):
        low, high = 0, outputs
        while low < high and low * stride - before + s < 0:
            low += 1
        while high > low and (high - 1) * stride - before + s >= width:
            high -= 1
        line = shift(row, s - before)
        if stride == 1:
            for q in range(low, high):
                line[q] += share[q]
        else:
            for q in range(low, high):
                line[q * stride] += share[q]


@range_kernel
def mean_backward(begin, end, a, like):
    dy, grads, work = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    planes, parts = a[3], a[4]
    depth, height, width = a[5], a[6], a[7]
    out_d, out_h, out_w = a[8], a[9], a[10]
    first_d, last_d, count_d = ints(a[11]), ints(a[12]), pointer(a[13], like)
    first_h, last_h, count_h = ints(a[14]), ints(a[15]), pointer(a[16], like)
    first_w, last_w, count_w = ints(a[17]), ints(a[18]), pointer(a[19], like)
    kernel, stride, before = a[20], a[21], a[22]
    for item in range(begin, end):
        row = shift(work, item * (width + out_w))
        share = shift(row, width)
        for plane in range(item * planes // parts, (item + 1) * planes // parts):
            dx = shift(grads, plane * depth * height * width)
            slabs = 0  # slabs and, within a new one, rows that hold something already
            for o in range(out_d):
                for d in range(slabs, first_d[o]):
                    for i in range(height * width):
                        dx[d * height * width + i] = 0
                rows = 0
                for p in range(out_h):
                    out = ((plane * out_d + o) * out_h + p) * out_w
                    slab = count_d[o] * count_h[p]
                    for q in range(out_w):
                        share[q] = dy[out + q] / (slab * count_w[q])
                    _spread(share, row, first_w, last_w, out_w, width, kernel, stride, before)
                    for d in range(first_d[o], last_d[o]):
                        map = shift(dx, d * height * width)
                        if d >= slabs:
                            for i in range(rows * width, first_h[p] * width):
                                map[i] = 0
                        for h in range(first_h[p], last_h[p]):
                            if d < slabs or h < rows:
                                add_one(shift(map, h * width), row, share[0], False, True, width)
                            else:
                                copy(row, shift(map, h * width), width)
                    rows = max(rows, last_h[p])
                for d in range(max(slabs, first_d[o]), last_d[o]):
                    for i in range(rows * width, height * width):
                        dx[d * height * width + i] = 0
                slabs = max(slabs, last_d[o])
            for i in range(slabs * height * width, depth * height * width):
                dx[i] = 0


@lru_cache(maxsize=1024)
def clipped(g):
    """Per axis (first, last, count) of the windows of `g`, which has no dilation, clipped to the map."""
    regions = []
    for axis, (size, kernel, outputs, stride, (before, after)) in enumerate(zip(g.input, g.kernel, g.output, g.stride,
                                                                                g.padding, strict=True)):
        start = np.arange(outputs) * stride - before
        first, last = np.maximum(start, 0), np.minimum(start + kernel, size)
        count = np.minimum(start + kernel, size + after) - start if g.count_include_pad else last - first
        if g.divisor:
            count = np.full(outputs, 1 if axis else g.divisor)
        regions.append((first, last, count))
    return regions


def adaptive_max(x, y, indices, regions):
    """The maximum of each region of `x` (planes, D, H, W), and where it is unless `indices` is None.

    `regions` holds (first, last, count) along each axis, int64. The first of equal elements is taken; a NaN wins.
    """
    most = get_num_threads()
    parts, width = min(most, len(x)), x.shape[3]
    values, places = (Workspace(parts * width * size, address) for size in (x.itemsize, 8))
    args = (address(x), address(y), address(indices), values.address, places.address, len(x), parts, *x.shape[1:],
            *y.shape[1:], *(address(table) for along in regions for table in along[:2]))
    run(largest, parts, np.array(args, np.int64), x.dtype, most, x.size)


def adaptive_avg(x, y, regions):
    """The sum of each region of `x` (planes, D, H, W), divided by the product of its counts; `regions` as above."""
    _run(mean, x, y, x, y, regions, 1, x.size // 2)


def adaptive_avg_backward(dy, dx, regions, window=(0, 0, 0)):
    """The gradient of `adaptive_avg`. `window` is (kernel, stride, padding) along the rows where all are alike."""
    _run(mean_backward, dy, dx, dx, dy, regions, 2, dx.size + dy.size, *window)


def _run(kernel, source, out, x, y, regions, rows, work, *more):
    most = get_num_threads()
    parts = min(most, len(x))
    space = Workspace(parts * (x.shape[3] + (rows - 1) * y.shape[3]) * x.itemsize, address)
    tables = [table for first, last, count in regions for table in (first, last, count.astype(x.dtype))]
    args = (address(source), address(out), space.address, len(x), parts, *x.shape[1:], *y.shape[1:],
            *map(address, tables), *more)
    run(kernel, parts, np.array(args, np.int64), x.dtype, most, work)


def _planes(array):
    return array.reshape(-1, *array.shape[2:])


def avg_forward(x, y, g):
    """`avg_pool_forward`."""
    adaptive_avg(_planes(x), _planes(y), clipped(g))


def avg_backward(dy, dx, g):
    """`avg_pool_backward`."""
    adaptive_avg_backward(_planes(dy), _planes(dx), clipped(g), (g.kernel[2], g.stride[2], g.padding[2][0]))
