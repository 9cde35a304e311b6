"""Pooling kernels. A work item is a plane (n, c); a row of outputs is done at once, one tap after the other."""

import math

from fastconv.backends.numba.columns import span
from fastconv.backends.numba.jit import helper, ints, pointer, range_kernel, stack

LOWEST = -math.inf
STRETCH = 256  # outputs whose gradients are divided at a time


@helper
def _first(size, shift, step):
    """The first tap whose position ``shift + tap * step`` lies inside the input."""
    return (-shift + step - 1) // step if shift < 0 else 0


@range_kernel
def max_forward(begin, end, a, like):
    x, y, indices = pointer(a[0], like), pointer(a[1], like), ints(a[2])
    depth, height, width = a[3], a[4], a[5]
    kernel_d, kernel_h, kernel_w = a[6], a[7], a[8]
    out_d, out_h, out_w = a[9], a[10], a[11]
    stride_d, stride_h, stride_w = a[12], a[13], a[14]
    front, top, left = a[15], a[16], a[17]
    step_d, step_h, step_w = a[18], a[19], a[20]
    indexed = a[2] != 0
    pairs = (kernel_d == 1 and kernel_h == 2 and kernel_w == 2 and stride_h == 2 and stride_w == 2 and front == 0
             and top == 0 and left == 0 and step_h == 1 and step_w == 1 and 2 * out_h <= height and 2 * out_w <= width)
    for plane in range(begin, end):
        start = plane * depth * height * width
        for o in range(out_d):
            for p in range(out_h):
                out = ((plane * out_d + o) * out_h + p) * out_w
                if pairs:
                    line = (o * stride_d * height + 2 * p) * width
                    _max_of_four(x, y, indices, start, line, width, out, out_w, indexed)
                    continue
                d0, h0 = o * stride_d - front, p * stride_h - top
                line = ((d0 + _first(depth, d0, step_d) * step_d) * height + h0 + _first(height, h0, step_h) * step_h
                        ) * width
                for q in range(out_w):
                    y[out + q] = LOWEST
                if indexed:
                    for q in range(out_w):
                        w0 = q * stride_w - left
                        indices[out + q] = line + w0 + (_first(width, w0, step_w) * step_w)
                for t in range(kernel_d):
                    d = d0 + t * step_d
                    if d < 0 or d >= depth:
                        continue
                    for r in range(kernel_h):
                        h = h0 + r * step_h
                        if h < 0 or h >= height:
                            continue
                        for s in range(kernel_w):
                            shift = s * step_w - left
                            first, last = span(width, out_w, stride_w, shift)
                            line = (d * height + h) * width + shift
                            if not indexed:
                                for q in range(first, last):
                                    value = x[start + line + q * stride_w]
                                    best = y[out + q]
                                    y[out + q] = value if value > best or value != value else best
                            elif stride_w == 1:
                                _tap(x, y, indices, start, line, out, first, last, 1)
                            elif stride_w == 2:
                                _tap(x, y, indices, start, line, out, first, last, 2)
                            else:
                                _tap(x, y, indices, start, line, out, first, last, stride_w)


@helper
def _tap(x, y, indices, start, line, out, first, last, stride):
    """Where this tap is larger, or a NaN, it becomes the maximum. Stores are unconditional so that they vectorise."""
    for q in range(first, last):
        value, best = x[start + line + q * stride], y[out + q]
        larger = value > best or value != value
        y[out + q] = value if larger else best
        indices[out + q] = line + q * stride if larger else indices[out + q]


@helper
def _max_of_four(x, y, indices, start, line, width, out, out_w, indexed):
    """A row of 2 x 2 windows with stride 2, each kept in registers: 4 loads and 2 stores in place of 16 and 8."""
    for q in range(out_w):
        i = line + 2 * q
        a, b, c, d = x[start + i], x[start + i + 1], x[start + i + width], x[start + i + width + 1]
        best, where = a, i
        right = b > best or b != b
        best, where = b if right else best, i + 1 if right else where
        below = c > best or c != c
        best, where = c if below else best, i + width if below else where
        corner = d > best or d != d
        y[out + q] = d if corner else best
        if indexed:
            indices[out + q] = i + width + 1 if corner else where


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


@range_kernel
def avg_forward(begin, end, a, like):
    x, y = pointer(a[0], like), pointer(a[1], like)
    depth, height, width = a[2], a[3], a[4]
    kernel_d, kernel_h, kernel_w = a[5], a[6], a[7]
    out_d, out_h, out_w = a[8], a[9], a[10]
    stride_d, stride_h, stride_w = a[11], a[12], a[13]
    front, top, left = a[14], a[15], a[16]
    back, bottom, right = a[17], a[18], a[19]
    padded, divisor = a[20] != 0, a[21]
    count = stack(1, like)  # converts the divisor to the arrays' type: dividing by an int64 would be done in float64
    for plane in range(begin, end):
        start = plane * depth * height * width
        for o in range(out_d):
            for p in range(out_h):
                out = ((plane * out_d + o) * out_h + p) * out_w
                for q in range(out_w):
                    y[out + q] = 0
                for t in range(kernel_d):
                    d = o * stride_d - front + t
                    if d < 0 or d >= depth:
                        continue
                    for r in range(kernel_h):
                        h = p * stride_h - top + r
                        if h < 0 or h >= height:
                            continue
                        for s in range(kernel_w):
                            first, last = span(width, out_w, stride_w, s - left)
                            line = start + (d * height + h) * width + s - left
                            if stride_w == 1:
                                for q in range(first, last):
                                    y[out + q] += x[line + q]
                            elif stride_w == 2:
                                for q in range(first, last):
                                    y[out + q] += x[line + 2 * q]
                            else:
                                for q in range(first, last):
                                    y[out + q] += x[line + q * stride_w]
                slab = (_extent(o, depth, kernel_d, stride_d, front, back, padded)
                        * _extent(p, height, kernel_h, stride_h, top, bottom, padded))
                for q in range(out_w):
                    count[0] = divisor
                    if divisor == 0:
                        count[0] = slab * _extent(q, width, kernel_w, stride_w, left, right, padded)
                    y[out + q] /= count[0]


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
                            for s in range(kernel_w):
                                first, last = span(width, out_w, stride_w, s - left)
                                line = start + (d * height + h) * width + s - left
                                for q in range(max(first, begun), min(last, done)):
                                    dx[line + q * stride_w] += share[q - begun]
