# cython: boundscheck=False, wraparound=False, cdivision=True
"""Pooling kernels. A work item is a plane (n, c).

Windows that lie inside the map are done a row at a time, in vectors (window_kernels.h); the few that reach over its
edge one by one.
"""

from cython cimport floating
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memset

from columns cimport end_inside, first_inside
from tiles cimport divide_row, max_row, mean_row

cdef enum:
    STRETCH = 256  # outputs whose gradients are divided at a time
    MAX_INDEXED = 0x7FFFFFFF  # elements of a map whose offsets fit the 32 bits that vectors keep


cdef struct Span:
    Py_ssize_t first, last


cdef inline Span inside(Py_ssize_t size, Py_ssize_t kernel, Py_ssize_t outputs, Py_ssize_t stride, Py_ssize_t before,
                        Py_ssize_t step) noexcept nogil:
    """The outputs whose windows lie inside the input, along one axis."""
    cdef Py_ssize_t first = min((before + stride - 1) // stride, outputs)
    cdef Py_ssize_t room = size + before - (kernel - 1) * step - 1
    return Span(first, max(first, min(room // stride + 1 if room >= 0 else 0, outputs)))


cdef inline Span taps_inside(Py_ssize_t start, Py_ssize_t size, Py_ssize_t kernel, Py_ssize_t step) noexcept nogil:
    """The taps of the window at `start` that lie inside the input, along one axis."""
    cdef Py_ssize_t first = (-start + step - 1) // step if start < 0 else 0
    return Span(first, min((size - start + step - 1) // step if start < size else 0, kernel))


cdef inline void max_one(const floating* x, floating* y, int64_t* indices, Py_ssize_t height, Py_ssize_t width,
                         Py_ssize_t d0, Py_ssize_t h0, Py_ssize_t w0, Span t, Span r, Span s, Py_ssize_t step_d,
                         Py_ssize_t step_h, Py_ssize_t step_w) noexcept nogil:
    """One window, clipped to the taps given."""
    cdef Py_ssize_t i, j, k, line
    cdef Py_ssize_t where = ((d0 + t.first * step_d) * height + h0 + r.first * step_h) * width + w0 + s.first * step_w
    cdef floating value, best = -INFINITY
    for i in range(t.first, t.last):
        for j in range(r.first, r.last):
            line = ((d0 + i * step_d) * height + h0 + j * step_h) * width + w0
            for k in range(s.first, s.last):
                value = x[line + k * step_w]
                if value > best or value != value:
                    best, where = value, line + k * step_w
    y[0] = best
    if indices != NULL:
        indices[0] = where


cdef inline void max_forward(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* maps = <const floating*>a[0]
    cdef floating* y = <floating*>a[1]
    cdef int64_t* indices = <int64_t*>a[2]
    cdef const int64_t* taps = <const int64_t*>a[3]
    cdef Py_ssize_t depth = a[4], height = a[5], width = a[6]
    cdef Py_ssize_t kernel_d = a[7], kernel_h = a[8], kernel_w = a[9]
    cdef Py_ssize_t out_d = a[10], out_h = a[11], out_w = a[12]
    cdef Py_ssize_t stride_d = a[13], stride_h = a[14], stride_w = a[15]
    cdef Py_ssize_t front = a[16], top = a[17], left = a[18]
    cdef Py_ssize_t step_d = a[19], step_h = a[20], step_w = a[21]
    cdef Span inner = inside(width, kernel_w, out_w, stride_w, left, step_w), t, r, s
    cdef bint small = depth * height * width <= MAX_INDEXED
    cdef Py_ssize_t plane, o, p, q, d0, h0, w0, out, skipped, resumed
    cdef const floating* x
    for plane in range(begin, end):
        x = maps + plane * depth * height * width
        for o in range(out_d):
            d0 = o * stride_d - front
            t = taps_inside(d0, depth, kernel_d, step_d)
            for p in range(out_h):
                h0 = p * stride_h - top
                r = taps_inside(h0, height, kernel_h, step_h)
                out = ((plane * out_d + o) * out_h + p) * out_w
                skipped = resumed = out_w
                # The taps of a clipped window are a stretch of the table unless both axes are clipped.
                if small and (t.last - t.first == 1 or r.last - r.first == kernel_h) and max_row(
                        x, (d0 * height + h0) * width + inner.first * stride_w - left,
                        taps + (t.first * kernel_h + r.first) * kernel_w,
                        (t.last - t.first) * (r.last - r.first) * kernel_w, stride_w, inner.last - inner.first,
                        y + out + inner.first, indices + out + inner.first if indices != NULL else NULL):
                    skipped, resumed = inner.first, inner.last
                q = 0
                while q < out_w:
                    if q == skipped:
                        q = resumed
                        continue
                    w0 = q * stride_w - left
                    s = taps_inside(w0, width, kernel_w, step_w)
                    max_one(x, y + out + q, indices + out + q if indices != NULL else NULL, height, width, d0, h0, w0,
                            t, r, s, step_d, step_h, step_w)
                    q += 1


cdef inline void max_backward(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* dy = <const floating*>a[0]
    cdef const int64_t* indices = <const int64_t*>a[1]
    cdef floating* dx = <floating*>a[2]
    # a[3] is for kernels that check indices on the way, which here takes longer than NumPy does before the call.
    cdef Py_ssize_t size = a[4] * a[5] * a[6], outputs = a[7] * a[8] * a[9]
    cdef Py_ssize_t plane, q
    for plane in range(begin, end):
        memset(dx + plane * size, 0, size * sizeof(floating))
        for q in range(plane * outputs, (plane + 1) * outputs):
            dx[plane * size + indices[q]] += dy[q]


cdef inline Py_ssize_t extent(Py_ssize_t output, Py_ssize_t size, Py_ssize_t kernel, Py_ssize_t stride,
                              Py_ssize_t before, Py_ssize_t after, bint padded) noexcept nogil:
    """Elements of a window that count in its divisor, along one axis."""
    cdef Py_ssize_t first = output * stride - before
    cdef Py_ssize_t last = min(first + kernel, size + after)
    return last - first if padded else min(last, size) - max(first, 0)


cdef inline void mean_one(const floating* x, floating* y, Py_ssize_t height, Py_ssize_t width, Py_ssize_t d0,
                          Py_ssize_t h0, Py_ssize_t w0, Span t, Span r, Span s, Py_ssize_t divisor) noexcept nogil:
    """One window, clipped to the taps given."""
    cdef Py_ssize_t i, j, k, line
    cdef floating total = 0
    for i in range(t.first, t.last):
        for j in range(r.first, r.last):
            line = ((d0 + i) * height + h0 + j) * width + w0
            for k in range(s.first, s.last):
                total += x[line + k]
    divide_row(&total, 1, divisor, y)


cdef inline void avg_forward(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* maps = <const floating*>a[0]
    cdef floating* y = <floating*>a[1]
    cdef const int64_t* taps = <const int64_t*>a[2]
    cdef Py_ssize_t depth = a[3], height = a[4], width = a[5]
    cdef Py_ssize_t kernel_d = a[6], kernel_h = a[7], kernel_w = a[8]
    cdef Py_ssize_t out_d = a[9], out_h = a[10], out_w = a[11]
    cdef Py_ssize_t stride_d = a[12], stride_h = a[13], stride_w = a[14]
    cdef Py_ssize_t front = a[15], top = a[16], left = a[17]
    cdef Py_ssize_t back = a[18], bottom = a[19], right = a[20]
    cdef bint padded = a[21]
    cdef Py_ssize_t divisor = a[22]
    cdef Span inner = inside(width, kernel_w, out_w, stride_w, left, 1), t, r, s
    cdef Py_ssize_t plane, o, p, q, d0, h0, w0, out, slab, skipped, resumed
    cdef const floating* x
    for plane in range(begin, end):
        x = maps + plane * depth * height * width
        for o in range(out_d):
            d0 = o * stride_d - front
            t = taps_inside(d0, depth, kernel_d, 1)
            for p in range(out_h):
                h0 = p * stride_h - top
                r = taps_inside(h0, height, kernel_h, 1)
                out = ((plane * out_d + o) * out_h + p) * out_w
                slab = (extent(o, depth, kernel_d, stride_d, front, back, padded)
                        * extent(p, height, kernel_h, stride_h, top, bottom, padded))
                skipped = resumed = out_w
                if (t.last - t.first == 1 or r.last - r.first == kernel_h) and mean_row(
                        x + (d0 * height + h0) * width + inner.first * stride_w - left,
                        taps + (t.first * kernel_h + r.first) * kernel_w,
                        (t.last - t.first) * (r.last - r.first) * kernel_w, stride_w, inner.last - inner.first,
                        divisor if divisor else slab * kernel_w, y + out + inner.first):
                    skipped, resumed = inner.first, inner.last
                q = 0
                while q < out_w:
                    if q == skipped:
                        q = resumed
                        continue
                    w0 = q * stride_w - left
                    s = taps_inside(w0, width, kernel_w, 1)
                    mean_one(x, y + out + q, height, width, d0, h0, w0, t, r, s,
                             divisor if divisor else slab * extent(q, width, kernel_w, stride_w, left, right, padded))
                    q += 1


cdef inline void avg_backward(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* dy = <const floating*>a[0]
    cdef floating* dx = <floating*>a[1]
    cdef Py_ssize_t depth = a[2], height = a[3], width = a[4]
    cdef Py_ssize_t kernel_d = a[5], kernel_h = a[6], kernel_w = a[7]
    cdef Py_ssize_t out_d = a[8], out_h = a[9], out_w = a[10]
    cdef Py_ssize_t stride_d = a[11], stride_h = a[12], stride_w = a[13]
    cdef Py_ssize_t front = a[14], top = a[15], left = a[16]
    cdef Py_ssize_t back = a[17], bottom = a[18], right = a[19]
    cdef bint padded = a[20]
    cdef Py_ssize_t divisor = a[21]
    cdef Span inner = inside(width, kernel_w, out_w, stride_w, left, 1)
    cdef Py_ssize_t plane, t, r, s, o, p, q, d, h, slab, begun, done, first, last
    cdef const floating* gradient
    cdef floating* line
    cdef floating share[STRETCH]
    for plane in range(begin, end):
        memset(dx + plane * depth * height * width, 0, depth * height * width * sizeof(floating))
        for o in range(out_d):
            for p in range(out_h):
                gradient = dy + ((plane * out_d + o) * out_h + p) * out_w
                slab = (extent(o, depth, kernel_d, stride_d, front, back, padded)
                        * extent(p, height, kernel_h, stride_h, top, bottom, padded))
                done = 0
                while done < out_w:
                    begun, done = done, min(done + STRETCH, out_w)
                    for q in range(begun, done):
                        if inner.first <= q < inner.last:
                            continue
                        share[q - begun] = gradient[q] / <floating>(
                            divisor if divisor else slab * extent(q, width, kernel_w, stride_w, left, right, padded))
                    first, last = max(inner.first, begun), min(inner.last, done)
                    if first < last:
                        divide_row(gradient + first, last - first, divisor if divisor else slab * kernel_w,
                                   share + first - begun)
                    for t in range(kernel_d):
                        d = o * stride_d - front + t
                        if d < 0 or d >= depth:
                            continue
                        for r in range(kernel_h):
                            h = p * stride_h - top + r
                            if h < 0 or h >= height:
                                continue
                            if stride_w == 2 and kernel_w == 2 and left == 0 and 2 * done <= width:
                                # Both taps in one loop: their stores join to whole vectors.
                                line = dx + ((plane * depth + d) * height + h) * width + 2 * begun
                                for q in range(done - begun):
                                    line[2 * q] += share[q]
                                    line[2 * q + 1] += share[q]
                                continue
                            for s in range(kernel_w):
                                first = first_inside(out_w, stride_w, s - left)
                                last = end_inside(width, out_w, stride_w, s - left, first)
                                line = dx + ((plane * depth + d) * height + h) * width + s - left
                                first, last = max(first, begun), min(last, done)
                                if stride_w == 1:
                                    for q in range(first, last):
                                        line[q] += share[q - begun]
                                else:
                                    for q in range(first, last):
                                        line[q * stride_w] += share[q - begun]
