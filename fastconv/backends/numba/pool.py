"""Pooling kernels, forward. A work item is a plane (n, c).

Windows are done a vector at a time (`window`), those that reach over the edge of the map where that is simple; the
others of these one by one. A row's last vector is a whole one too: what it does beyond the row, later rows do again.
Masks would do, but are slow on some processors: 8.9 ms against 1.6 for 2 x 2 windows of 8 x 64 x 112 x 112 on a Zen 5.
"""

import math

from fastconv.backends.numba.jit import helper, ints, pointer, range_kernel, shift
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.vector import number
from fastconv.backends.numba.window import itemsize, max_windows, prefetch, quotient, sum_windows

LOWEST = -math.inf
# A thread's part of an input that is larger than FAR bytes is asked for AHEAD bytes in advance: 1.5 ms in place of 2.1
# for 3 x 3 windows of stride 2 on 8 x 64 x 112 x 112, 6.1 in place of 10.7 for 2 x 2 on 224 x 224. Data in a cache near
# by need no such help, and take 30 % longer with it: 64 x 32 x 26 x 26 by 2 x 2.
FAR, AHEAD = 8 << 20, 6 << 10
INDEXED = 1 << 31  # a map of fewer elements has indices of 32 bits, which the vectors keep


@helper
def _inside(size, kernel, outputs, stride, before, step):
    """The outputs [first, last) whose windows lie inside the input, along one axis."""
    first = (before + stride - 1) // stride
    room = size + before - (kernel - 1) * step - 1
    last = room // stride + 1 if room >= 0 else 0
    first = min(first, outputs)
    return first, max(first, min(last, outputs))


@helper
def _taps(start, size, kernel, step):
    """The taps [first, last) of the window at `start` that lie inside the input, along one axis."""
    first = (-start + step - 1) // step if start < 0 else 0
    last = kernel
    if start + (kernel - 1) * step >= size:
        last = (size - start + step - 1) // step if start < size else 0
    return first, last


@helper
def _stretch(kernel, stride, step):
    """Neighboring taps that vectors take at once: a whole row of the window, or one tap where there is no such code."""
    return kernel if stride == 2 and step == 1 and 2 <= kernel <= 3 else 1


@helper
def _max_some(rows, taps, stride, edge, indexed, x, gap, table, count, every, base, step, column, width, y, indices,
              out):
    """As `max_windows`, to output `out`."""
    if indexed:
        max_windows(rows, taps, stride, edge, 1, x, gap, table, count, every, base, step, column, width,
                    shift(y, out), shift(indices, out))
    else:
        max_windows(rows, taps, stride, edge, 0, x, gap, table, count, every, base, step, column, width,
                    shift(y, out), indices)


@helper
def _max_rows(rows, taps, stride, indexed, x, table, count, every, base, down, step, column, width, y, indices, out,
              across, lines, begun, whole, ended, done, last, far):
    """Vectors of windows for some lines of outputs, as `max_windows`.

    `base`, `column` and `out` are those of output 0 of the first line; a line takes `down` elements of the map and
    `across` outputs. Its vectors are `begun`, `begun` + LANES, .. below `done`, none of them beyond `last`. Those below
    `whole` and from `ended` on may reach over the ends of a row.
    """
    gap = 0
    if rows:
        base += table[0]
        gap = table[every] - table[0]
    for _ in range(lines):
        for q in range(begun, done, lanes(x)):
            i = min(q, last)
            if far:
                prefetch(shift(x, base + i * step), AHEAD)
                if rows:
                    prefetch(shift(x, base + i * step + gap), AHEAD)
            if taps > 1 and (q < whole or q >= ended):
                _max_some(rows, taps, stride, 1, indexed, x, gap, table, count, every, base + i * step, step,
                          column + i * step, width, y, indices, out + i)
            else:
                _max_some(rows, taps, stride, 0, indexed, x, gap, table, count, every, base + i * step, step, column,
                          width, y, indices, out + i)
        base += down
        out += across


@helper
def _max_stretches(indexed, taps, x, table, count, every, base, down, step, column, width, y, indices, out, across,
                   lines, begun, whole, ended, done, last, far):
    """`_max_rows` for any stride and stretches of `taps`."""
    if taps == 2 and count == 2:
        _max_rows(2, 2, 2, indexed, x, table, count, 2, base, down, 2, column, width, y, indices, out, across,
                  lines, begun, whole, ended, done, last, far)
    elif taps == 2:
        _max_rows(0, 2, 2, indexed, x, table, count, 2, base, down, 2, column, width, y, indices, out, across,
                  lines, begun, whole, ended, done, last, far)
    elif taps == 3 and count == 3:
        _max_rows(3, 3, 2, indexed, x, table, count, 3, base, down, 2, column, width, y, indices, out, across,
                  lines, begun, whole, ended, done, last, far)
    elif taps == 3:
        _max_rows(0, 3, 2, indexed, x, table, count, 3, base, down, 2, column, width, y, indices, out, across,
                  lines, begun, whole, ended, done, last, far)
    elif step == 1:
        _max_rows(0, 1, 1, indexed, x, table, count, 1, base, down, 1, column, width, y, indices, out, across,
                  lines, begun, whole, ended, done, last, far)
    elif step == 2:
        _max_rows(0, 1, 2, indexed, x, table, count, 1, base, down, 2, column, width, y, indices, out, across,
                  lines, begun, whole, ended, done, last, far)
    else:
        _max_rows(0, 1, 0, indexed, x, table, count, 1, base, down, step, column, width, y, indices, out, across,
                  lines, begun, whole, ended, done, last, far)


@helper
def max_one(x, y, indices, indexed, out, height, width, d0, h0, w0, t0, t1, r0, r1, s0, s1, step_d, step_h, step_w):
    """One window, clipped to the taps given."""
    where = ((d0 + t0 * step_d) * height + h0 + r0 * step_h) * width + w0 + s0 * step_w
    best = number(LOWEST, x)
    for t in range(t0, t1):
        for r in range(r0, r1):
            line = ((d0 + t * step_d) * height + h0 + r * step_h) * width + w0
            for s in range(s0, s1):
                value = x[line + s * step_w]
                if value > best or value != value:
                    best = value
                    where = line + s * step_w
    y[out] = best
    if indexed:
        indices[out] = where


@range_kernel
def max_forward(begin, end, a, like):
    maps, y, indices, taps = pointer(a[0], like), pointer(a[1], like), ints(a[2]), ints(a[3])
    depth, height, width = a[4], a[5], a[6]
    kernel_d, kernel_h, kernel_w = a[7], a[8], a[9]
    out_d, out_h, out_w = a[10], a[11], a[12]
    stride_d, stride_h, stride_w = a[13], a[14], a[15]
    front, top, left = a[16], a[17], a[18]
    step_d, step_h, step_w = a[19], a[20], a[21]
    indexed = a[2] != 0
    size, outputs, wide = depth * height * width, out_d * out_h * out_w, lanes(like)
    far = (end - begin) * size * itemsize(like) > FAR
    inner = _inside(width, kernel_w, out_w, stride_w, left, step_w)
    stretch = _stretch(kernel_w, stride_w, step_w)
    every = kernel_w if stretch > 1 else 1
    # Vectors take the windows that reach over an end of the row too, where each of them has a tap inside.
    reach = inner
    if stretch > 1 and left < kernel_w and (out_w - 1) * stride_w - left < width:
        reach = (0, out_w)
    through = reach[0] + (reach[1] - reach[0] + wide - 1) // wide * wide
    furthest = (through - 1) * stride_w - left + (kernel_w - 1) * step_w
    tall, down = _inside(height, kernel_h, out_h, stride_h, top, step_h), stride_h * width
    for plane in range(begin, end):
        x = shift(maps, plane * size)
        for o in range(out_d):
            d0 = o * stride_d - front
            t0, t1 = _taps(d0, depth, kernel_d, step_d)
            p = 0
            while p < out_h:
                h0 = p * stride_h - top
                r0, r1 = _taps(h0, height, kernel_h, step_h)
                out = ((plane * out_d + o) * out_h + p) * out_w
                highest = ((d0 + t0 * step_d) * height + h0 + r0 * step_h) * width + reach[0] * stride_w - left
                lowest = ((d0 + (t1 - 1) * step_d) * height + h0 + (r1 - 1) * step_h) * width + furthest
                # What a vector reads and writes beyond the row belongs to this call of the kernel, and the next rows
                # write it again.
                free = (out + through <= end * outputs and plane * size + lowest < end * size
                        and plane * size + highest >= begin * size)
                rows = tall[1] - p if tall[0] <= p < tall[1] else 1
                if not (free and out + (rows - 1) * out_w + through <= end * outputs
                        and plane * size + lowest + (rows - 1) * down < end * size):
                    rows = 1
                first, last = reach if free else inner
                # The taps of a clipped window are a stretch of the table unless both axes are clipped.
                if size >= INDEXED or (t1 - t0 > 1 and r1 - r0 < kernel_h) or not (free or last - first >= wide):
                    first, last = out_w, out_w
                if first < last:
                    table = shift(taps, (t0 * kernel_h + r0) * kernel_w)
                    count = (t1 - t0) * (r1 - r0) * (kernel_w // every)
                    base = (d0 * height + h0) * width - left
                    # The last vector reaches over the end of the row, or ends with it and does again what overlaps the
                    # one before.
                    ending = last if free else last - wide
                    ended = inner[1] - wide + 1 if inner[1] < last else last
                    if indexed:
                        _max_stretches(1, stretch, x, table, count, every, base, down, stride_w, -left, width, y,
                                       indices, out, out_w, rows, first, inner[0], ended, last, ending, far)
                    else:
                        _max_stretches(0, stretch, x, table, count, every, base, down, stride_w, -left, width, y,
                                       indices, out, out_w, rows, first, inner[0], ended, last, ending, far)
                for row in range(rows if last - first < out_w else 0):
                    for q in range(out_w - last + first):
                        q += last - first if q >= first else 0
                        w0 = q * stride_w - left
                        s0, s1 = _taps(w0, width, kernel_w, step_w)
                        max_one(x, y, indices, indexed, out + row * out_w + q, height, width, d0,
                                h0 + row * stride_h, w0, t0, t1, r0, r1, s0, s1, step_d, step_h, step_w)
                p += rows


@helper
def extent(output, size, kernel, stride, before, after, padded):
    """Elements of a window that count in its divisor, along one axis."""
    first = output * stride - before
    last = min(first + kernel, size + after)
    return last - first if padded else min(last, size) - max(first, 0)


@helper
def mean_one(x, y, out, height, width, d0, h0, w0, t0, t1, r0, r1, s0, s1, divisor):
    """One window, clipped to the taps given."""
    total = number(0, x)
    for t in range(t0, t1):
        for r in range(r0, r1):
            line = ((d0 + t) * height + h0 + r) * width + w0
            for s in range(s0, s1):
                total += x[line + s]
    y[out] = quotient(total, divisor)


@helper
def _mean_rows(rows, taps, stride, x, table, count, every, base, down, step, divisor, y, out, across, lines, begun,
               done, last):
    """As `_max_rows`, the sums of windows over `divisor`; nothing is gained by asking for them in advance."""
    gap = 0
    if rows:
        base += table[0]
        gap = table[every] - table[0]
    for _ in range(lines):
        for q in range(begun, done, lanes(x)):
            i = min(q, last)
            sum_windows(rows, taps, stride, shift(x, base + i * step), gap, table, count, every, divisor,
                        shift(y, out + i))
        base += down
        out += across


@helper
def _mean_stretches(taps, x, table, count, every, base, down, step, divisor, y, out, across, lines, begun, done, last):
    """`_mean_rows` for a stride of 1 or 2 and stretches of `taps`."""
    if taps == 2 and count == 2:
        _mean_rows(2, 2, 2, x, table, count, 2, base, down, 2, divisor, y, out, across, lines, begun, done, last)
    elif taps == 2:
        _mean_rows(0, 2, 2, x, table, count, 2, base, down, 2, divisor, y, out, across, lines, begun, done, last)
    elif taps == 3:
        _mean_rows(0, 3, 2, x, table, count, 3, base, down, 2, divisor, y, out, across, lines, begun, done, last)
    elif step == 2:
        _mean_rows(0, 1, 2, x, table, count, 1, base, down, 2, divisor, y, out, across, lines, begun, done, last)
    else:
        _mean_rows(0, 1, 1, x, table, count, 1, base, down, 1, divisor, y, out, across, lines, begun, done, last)


@range_kernel
def avg_forward(begin, end, a, like):
    maps, y, taps = pointer(a[0], like), pointer(a[1], like), ints(a[2])
    depth, height, width = a[3], a[4], a[5]
    kernel_d, kernel_h, kernel_w = a[6], a[7], a[8]
    out_d, out_h, out_w = a[9], a[10], a[11]
    stride_d, stride_h, stride_w = a[12], a[13], a[14]
    front, top, left = a[15], a[16], a[17]
    back, bottom, right = a[18], a[19], a[20]
    padded, divisor = a[21] != 0, a[22]
    size, outputs, wide = depth * height * width, out_d * out_h * out_w, lanes(like)
    inner = _inside(width, kernel_w, out_w, stride_w, left, 1)
    stretch = _stretch(kernel_w, stride_w, 1)
    every = kernel_w if stretch > 1 else 1
    through = inner[0] + (inner[1] - inner[0] + wide - 1) // wide * wide
    furthest = (through - 1) * stride_w - left + kernel_w - 1
    tall, down = _inside(height, kernel_h, out_h, stride_h, top, 1), stride_h * width
    for plane in range(begin, end):
        x = shift(maps, plane * size)
        for o in range(out_d):
            d0 = o * stride_d - front
            t0, t1 = _taps(d0, depth, kernel_d, 1)
            p = 0
            while p < out_h:
                h0 = p * stride_h - top
                r0, r1 = _taps(h0, height, kernel_h, 1)
                out = ((plane * out_d + o) * out_h + p) * out_w
                lowest = ((d0 + t1 - 1) * height + h0 + r1 - 1) * width
                # As in `max_forward`.
                whole = out + through <= end * outputs and plane * size + lowest + furthest < end * size
                rows = tall[1] - p if tall[0] <= p < tall[1] else 1
                if not (whole and out + (rows - 1) * out_w + through <= end * outputs
                        and plane * size + lowest + furthest + (rows - 1) * down < end * size):
                    rows = 1
                first, last = inner
                if stride_w > 2 or (t1 - t0 > 1 and r1 - r0 < kernel_h) or not (whole or last - first >= wide):
                    first, last = out_w, out_w
                slab = (extent(o, depth, kernel_d, stride_d, front, back, padded)
                        * extent(p, height, kernel_h, stride_h, top, bottom, padded))
                table = shift(taps, (t0 * kernel_h + r0) * kernel_w)
                count = (t1 - t0) * (r1 - r0) * (kernel_w // every)
                divided = divisor if divisor else slab * kernel_w
                if first < last:
                    base = (d0 * height + h0) * width - left
                    _mean_stretches(stretch, x, table, count, every, base, down, stride_w, divided, y, out, out_w, rows,
                                    first, last, last if whole else last - wide)
                for row in range(rows if last - first < out_w else 0):
                    for q in range(out_w - last + first):
                        q += last - first if q >= first else 0
                        w0 = q * stride_w - left
                        s0, s1 = _taps(w0, width, kernel_w, 1)
                        divided = divisor
                        if divisor == 0:
                            divided = slab * extent(q, width, kernel_w, stride_w, left, right, padded)
                        mean_one(x, y, out + row * out_w + q, height, width, d0, h0 + row * stride_h, w0, t0, t1, r0,
                                 r1, s0, s1, divided)
                p += rows
