"""Pooling kernels. A work item is a plane (n, c).

Windows that lie inside the map are done a vector at a time (`window`); the few that reach over its edge one by one.
"""

import math

from fastconv.backends.numba.columns import span
from fastconv.backends.numba.jit import helper, ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.vector import number
from fastconv.backends.numba.window import max_windows, sum_windows

LOWEST = -math.inf
STRETCH = 256  # outputs whose gradients are divided at a time
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
    last = (size - start + step - 1) // step if start < size else 0
    return first, min(last, kernel)


@helper
def _part(outputs, size):
    """By what to divide a vector of `size` so that a row of `outputs` fills one; 8 where not even a quarter.

    A part has at least two lanes.

    Masks would do for any width, but are slow on some processors: 8.9 ms against 1.6 for 2 x 2 windows of 8 x 64 x
    112 x 112 on a Zen 5.
    """
    if outputs >= size:
        return 1
    if outputs >= size // 2 and size >= 4:
        return 2
    return 4 if outputs >= size // 4 and size >= 8 else 8


@helper
def _max_row(part, stride, indexed, x, taps, count, base, y, indices, out, first, last, wide):
    """Windows `first` .. `last` of a row, `wide` at a time, as `max_windows`.

    The last vector ends with the row, and does again what overlaps the one before.
    """
    for q in range(first, last, wide):
        i = min(q, last - wide)
        start, to = base + i * stride, out + i
        if stride == 1 and indexed:
            max_windows(part, 1, 1, x, taps, count, start, stride, shift(y, to), shift(indices, to))
        elif stride == 1:
            max_windows(part, 1, 0, x, taps, count, start, stride, shift(y, to), indices)
        elif stride == 2 and indexed:
            max_windows(part, 2, 1, x, taps, count, start, stride, shift(y, to), shift(indices, to))
        elif stride == 2:
            max_windows(part, 2, 0, x, taps, count, start, stride, shift(y, to), indices)
        elif indexed:
            max_windows(part, 0, 1, x, taps, count, start, stride, shift(y, to), shift(indices, to))
        else:
            max_windows(part, 0, 0, x, taps, count, start, stride, shift(y, to), indices)


@helper
def _mean_some(part, stride, x, taps, count, divisor, y):
    """As `sum_windows`, for any stride up to 2."""
    if stride == 1:
        sum_windows(part, 1, x, taps, count, divisor, y)
    else:
        sum_windows(part, 2, x, taps, count, divisor, y)


@helper
def _max_one(x, y, indices, indexed, out, height, width, d0, h0, w0, t0, t1, r0, r1, s0, s1, step_d, step_h, step_w):
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
    inner = _inside(width, kernel_w, out_w, stride_w, left, step_w)
    part = _part(inner[1] - inner[0], lanes(like))
    wide = max(1, lanes(like) // part)
    if part > 4 or depth * height * width >= INDEXED:
        inner = (out_w, out_w)
    for plane in range(begin, end):
        x = shift(maps, plane * depth * height * width)
        for o in range(out_d):
            d0 = o * stride_d - front
            t0, t1 = _taps(d0, depth, kernel_d, step_d)
            for p in range(out_h):
                h0 = p * stride_h - top
                r0, r1 = _taps(h0, height, kernel_h, step_h)
                out = ((plane * out_d + o) * out_h + p) * out_w
                first, last = inner
                # The taps of a clipped window are a stretch of the table unless both axes are clipped.
                if t1 - t0 > 1 and r1 - r0 < kernel_h:
                    first, last = out_w, out_w
                for q in range(first):
                    w0 = q * stride_w - left
                    s0, s1 = _taps(w0, width, kernel_w, step_w)
                    _max_one(x, y, indices, indexed, out + q, height, width, d0, h0, w0, t0, t1, r0, r1, s0, s1,
                             step_d, step_h, step_w)
                table = shift(taps, (t0 * kernel_h + r0) * kernel_w)
                count = (t1 - t0) * (r1 - r0) * kernel_w
                base = (d0 * height + h0) * width - left
                if part == 1:
                    _max_row(1, stride_w, indexed, x, table, count, base, y, indices, out, first, last, wide)
                elif part == 2:
                    _max_row(2, stride_w, indexed, x, table, count, base, y, indices, out, first, last, wide)
                else:
                    _max_row(4, stride_w, indexed, x, table, count, base, y, indices, out, first, last, wide)
                for q in range(last, out_w):
                    w0 = q * stride_w - left
                    s0, s1 = _taps(w0, width, kernel_w, step_w)
                    _max_one(x, y, indices, indexed, out + q, height, width, d0, h0, w0, t0, t1, r0, r1, s0, s1,
                             step_d, step_h, step_w)


@range_kernel
def max_backward(begin, end, a, like):
    dy, indices, dx = pointer(a[0], like), ints(a[1]), pointer(a[2], like)
    size, outputs = a[3], a[4]
    for plane in range(begin, end):
        start, out = plane * size, plane * outputs
        for i in range(size):
            dx[start + i] = 0
        for q in range(outputs):
            dx[start + indices[out + q]] += dy[out + q]


@helper
def _extent(output, size, kernel, stride, before, after, padded):
    """Elements of a window that count in its divisor, along one axis."""
    first = output * stride - before
    last = min(first + kernel, size + after)
    return last - first if padded else min(last, size) - max(first, 0)


@helper
def _mean_one(x, y, out, height, width, d0, h0, w0, t0, t1, r0, r1, s0, s1, divisor, like):
    """One window, clipped to the taps given."""
    count = stack(1, like)  # converts the divisor to the arrays' type: dividing by an int64 would be done in float64
    count[0] = divisor
    y[out] = 0
    for t in range(t0, t1):
        for r in range(r0, r1):
            line = ((d0 + t) * height + h0 + r) * width + w0
            for s in range(s0, s1):
                y[out] += x[line + s]
    y[out] /= count[0]


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
    inner = _inside(width, kernel_w, out_w, stride_w, left, 1)
    part = _part(inner[1] - inner[0], lanes(like))
    wide = max(1, lanes(like) // part)
    if stride_w > 2 or part > 4:
        inner = (out_w, out_w)
    for plane in range(begin, end):
        x = shift(maps, plane * depth * height * width)
        for o in range(out_d):
            d0 = o * stride_d - front
            t0, t1 = _taps(d0, depth, kernel_d, 1)
            for p in range(out_h):
                h0 = p * stride_h - top
                r0, r1 = _taps(h0, height, kernel_h, 1)
                out = ((plane * out_d + o) * out_h + p) * out_w
                slab = (_extent(o, depth, kernel_d, stride_d, front, back, padded)
                        * _extent(p, height, kernel_h, stride_h, top, bottom, padded))
                first, last = inner
                if t1 - t0 > 1 and r1 - r0 < kernel_h:
                    first, last = out_w, out_w
                for q in range(first):
                    w0 = q * stride_w - left
                    s0, s1 = _taps(w0, width, kernel_w, 1)
                    whole = divisor if divisor else slab * _extent(q, width, kernel_w, stride_w, left, right, padded)
                    _mean_one(x, y, out + q, height, width, d0, h0, w0, t0, t1, r0, r1, s0, s1, whole, like)
                table = shift(taps, (t0 * kernel_h + r0) * kernel_w)
                count = (t1 - t0) * (r1 - r0) * kernel_w
                whole = divisor if divisor else slab * kernel_w
                for q in range(first, last, wide):
                    i = min(q, last - wide)
                    base = shift(x, (d0 * height + h0) * width + i * stride_w - left)
                    if part == 1:
                        _mean_some(1, stride_w, base, table, count, whole, shift(y, out + i))
                    elif part == 2:
                        _mean_some(2, stride_w, base, table, count, whole, shift(y, out + i))
                    else:
                        _mean_some(4, stride_w, base, table, count, whole, shift(y, out + i))
                for q in range(last, out_w):
                    w0 = q * stride_w - left
                    s0, s1 = _taps(w0, width, kernel_w, 1)
                    whole = divisor if divisor else slab * _extent(q, width, kernel_w, stride_w, left, right, padded)
                    _mean_one(x, y, out + q, height, width, d0, h0, w0, t0, t1, r0, r1, s0, s1, whole, like)


@range_kernel
def avg_backward(begin, end, a, like):
    dy, dx = pointer(a[0], like), pointer(a[1], like)
    depth, height, width = a[2], a[3], a[4]
    kernel_d, kernel_h, kernel_w = a[5], a[6], a[7]
    out_d, out_h, out_w = a[8], a[9], a[10]
    stride_d, stride_h, stride_w = a[11], a[12], a[13]
    front, top, left = a[14], a[15], a[16]
    back, bottom, right = a[17], a[18], a[19]
    padded, divisor = a[20] != 0, a[21]
    count, share = stack(1, like), stack(STRETCH, like)
    for plane in range(begin, end):
        start = plane * depth * height * width
        for i in range(depth * height * width):
            dx[start + i] = 0
        for o in range(out_d):
            for p in range(out_h):
                out = ((plane * out_d + o) * out_h + p) * out_w
                slab = (_extent(o, depth, kernel_d, stride_d, front, back, padded)
                        * _extent(p, height, kernel_h, stride_h, top, bottom, padded))
                for begun in range(0, out_w, STRETCH):
                    done = min(begun + STRETCH, out_w)
                    for q in range(begun, done):
                        count[0] = divisor
                        if divisor == 0:
                            count[0] = slab * _extent(q, width, kernel_w, stride_w, left, right, padded)
                        share[q - begun] = dy[out + q] / count[0]
                    for t in range(kernel_d):
                        d = o * stride_d - front + t
                        if d < 0 or d >= depth:
                            continue
                        for r in range(kernel_h):
                            h = p * stride_h - top + r
                            if h < 0 or h >= height:
                                continue
                            if stride_w == 2 and kernel_w == 2 and left == 0 and done * 2 <= width:
                                # Both taps in one loop: their stores join to whole vectors.
                                line = start + (d * height + h) * width + 2 * begun
                                for q in range(done - begun):
                                    dx[line + 2 * q] += share[q]
                                    dx[line + 2 * q + 1] += share[q]
                                continue
                            for s in range(kernel_w):
                                first, last = span(width, out_w, stride_w, s - left)
                                line = start + (d * height + h) * width + s - left
                                for q in range(max(first, begun), min(last, done)):
                                    dx[line + q * stride_w] += share[q - begun]
