# cython: boundscheck=False, wraparound=False, cdivision=True
"""Pooling kernels. A work item is a plane (n, c); a row of outputs is done at once, one tap after the other."""

from cython cimport floating
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memset

from columns cimport end_inside, first_inside

cdef enum:
    STRETCH = 256  # outputs of a row that are handled at a time
    EXACT = 1 << 23  # elements of a plane in which float32 holds each place, with room for the padding


cdef inline Py_ssize_t first_tap(Py_ssize_t shift, Py_ssize_t step) noexcept nogil:
    """The first tap whose position ``shift + tap * step`` is not negative."""
    return (-shift + step - 1) // step if shift < 0 else 0


cdef inline void max_forward(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* x = <const floating*>a[0]
    cdef floating* y = <floating*>a[1]
    cdef int64_t* indices = <int64_t*>a[2]
    cdef Py_ssize_t depth = a[3], height = a[4], width = a[5]
    cdef Py_ssize_t kernel_d = a[6], kernel_h = a[7], kernel_w = a[8]
    cdef Py_ssize_t out_d = a[9], out_h = a[10], out_w = a[11]
    cdef Py_ssize_t stride_d = a[12], stride_h = a[13], stride_w = a[14]
    cdef Py_ssize_t front = a[15], top = a[16], left = a[17]
    cdef Py_ssize_t step_d = a[18], step_h = a[19], step_w = a[20]
    cdef bint pairs = (kernel_d == 1 and kernel_h == 2 and kernel_w == 2 and stride_h == 2 and stride_w == 2
                       and front == 0 and top == 0 and left == 0 and step_h == 1 and step_w == 1
                       and 2 * out_h <= height and 2 * out_w <= width)
    cdef bint exact = depth * height * width <= EXACT
    cdef Py_ssize_t plane, t, r, s, o, p, q, d, h, w, d0, h0, out, line, shift, begun, done, first, last
    cdef const floating* start
    cdef floating where[STRETCH]
    for plane in range(begin, end):
        start = x + plane * depth * height * width
        for o in range(out_d):
            for p in range(out_h):
                out = ((plane * out_d + o) * out_h + p) * out_w
                if pairs:
                    max_of_four(start, (o * stride_d * height + 2 * p) * width, width, y + out,
                                indices + out if indices != NULL else NULL, out_w)
                    continue
                d0, h0 = o * stride_d - front, p * stride_h - top
                done = 0
                while done < out_w:
                    begun, done = done, min(done + STRETCH, out_w)
                    line = ((d0 + first_tap(d0, step_d) * step_d) * height + h0 + first_tap(h0, step_h) * step_h
                            ) * width
                    for q in range(begun, done):
                        y[out + q] = -INFINITY
                        if indices != NULL:
                            w = q * stride_w - left
                            indices[out + q] = line + w + first_tap(w, step_w) * step_w
                            where[q - begun] = <floating>(indices[out + q] - q * stride_w)
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
                                first = first_inside(out_w, stride_w, shift)
                                last = end_inside(width, out_w, stride_w, shift, first)
                                first, last = max(first, begun), min(last, done)
                                line = (d * height + h) * width + shift
                                if indices == NULL:
                                    max_tap(start + line, y + out, first, last, stride_w)
                                elif exact:
                                    argmax_tap(start + line + first * stride_w, <floating>line, y + out + first,
                                               where + first - begun, last - first, stride_w)
                                else:
                                    distant_argmax_tap(start, line, y + out, indices + out, first, last, stride_w)
                    if indices != NULL and exact:
                        for q in range(begun, done):
                            indices[out + q] = <int>where[q - begun] + q * stride_w


cdef inline void max_tap(const floating* x, floating* y, Py_ssize_t first, Py_ssize_t last,
                         Py_ssize_t stride) noexcept nogil:
    """Where this tap is larger, or a NaN, it becomes the maximum."""
    cdef Py_ssize_t q
    cdef floating value, best
    for q in range(first, last):
        value, best = x[q * stride], y[q]
        y[q] = value if (value > best) | (value != value) else best


cdef inline void argmax_tap(const floating* x, floating line, floating* y, floating* where, Py_ssize_t count,
                            Py_ssize_t stride) noexcept nogil:
    """The same with the tap's `line`, held as the values are: vectors of both are compared and chosen at once.

    Windows of 3 x 3 with stride 2 over 8 x 64 x 112 x 112 take 7 ms, and 35 with a place in int64 for each output.
    """
    cdef Py_ssize_t q
    cdef floating value, best, before
    cdef bint larger
    for q in range(count):
        value, best, before = x[q * stride], y[q], where[q]
        larger = (value > best) | (value != value)
        y[q], where[q] = value if larger else best, line if larger else before


cdef inline void distant_argmax_tap(const floating* x, Py_ssize_t line, floating* y, int64_t* indices,
                                    Py_ssize_t first, Py_ssize_t last, Py_ssize_t stride) noexcept nogil:
    """The same in planes so large that `floating` does not hold each place in them."""
    cdef Py_ssize_t q
    for q in range(first, last):
        if (x[line + q * stride] > y[q]) | (x[line + q * stride] != x[line + q * stride]):
            y[q], indices[q] = x[line + q * stride], line + q * stride


cdef inline void max_of_four(const floating* x, Py_ssize_t line, Py_ssize_t width, floating* y, int64_t* indices,
                             Py_ssize_t out_w) noexcept nogil:
    """A row of 2 x 2 windows with stride 2, each kept in registers: 4 loads and 2 stores in place of 16 and 8."""
    cdef Py_ssize_t q, i, begun, done
    cdef floating b, c, d, best, which
    cdef floating where[STRETCH]
    cdef int64_t offsets[4]
    cdef bint larger
    if indices == NULL:
        for q in range(out_w):
            i = line + 2 * q
            best, b, c, d = x[i], x[i + 1], x[i + width], x[i + width + 1]
            best = b if (b > best) | (b != b) else best
            best = c if (c > best) | (c != c) else best
            y[q] = d if (d > best) | (d != d) else best
        return
    # Which of the four it was is held as one of them is, so that a vector of both is compared and chosen at once.
    offsets[0], offsets[1], offsets[2], offsets[3] = 0, 1, width, width + 1
    done = 0
    while done < out_w:
        begun, done = done, min(done + STRETCH, out_w)
        for q in range(begun, done):
            i = line + 2 * q
            best, b, c, d = x[i], x[i + 1], x[i + width], x[i + width + 1]
            larger = (b > best) | (b != b)
            best, which = b if larger else best, 1 if larger else 0
            larger = (c > best) | (c != c)
            best, which = c if larger else best, 2 if larger else which
            larger = (d > best) | (d != d)
            y[q], where[q - begun] = d if larger else best, 3 if larger else which
        for q in range(begun, done):
            indices[q] = line + 2 * q + offsets[<int>where[q - begun]]


cdef inline void max_backward(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* dy = <const floating*>a[0]
    cdef const int64_t* indices = <const int64_t*>a[1]
    cdef floating* dx = <floating*>a[2]
    cdef Py_ssize_t size = a[3], outputs = a[4]
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


cdef inline void avg_forward(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* x = <const floating*>a[0]
    cdef floating* y = <floating*>a[1]
    cdef Py_ssize_t depth = a[2], height = a[3], width = a[4]
    cdef Py_ssize_t kernel_d = a[5], kernel_h = a[6], kernel_w = a[7]
    cdef Py_ssize_t out_d = a[8], out_h = a[9], out_w = a[10]
    cdef Py_ssize_t stride_d = a[11], stride_h = a[12], stride_w = a[13]
    cdef Py_ssize_t front = a[14], top = a[15], left = a[16]
    cdef Py_ssize_t back = a[17], bottom = a[18], right = a[19]
    cdef bint padded = a[20]
    cdef Py_ssize_t divisor = a[21]
    cdef Py_ssize_t plane, t, r, s, o, p, q, d, h, slab, first, last
    cdef const floating* line
    cdef floating* out
    for plane in range(begin, end):
        for o in range(out_d):
            for p in range(out_h):
                out = y + ((plane * out_d + o) * out_h + p) * out_w
                memset(out, 0, out_w * sizeof(floating))
                for t in range(kernel_d):
                    d = o * stride_d - front + t
                    if d < 0 or d >= depth:
                        continue
                    for r in range(kernel_h):
                        h = p * stride_h - top + r
                        if h < 0 or h >= height:
                            continue
                        for s in range(kernel_w):
                            first = first_inside(out_w, stride_w, s - left)
                            last = end_inside(width, out_w, stride_w, s - left, first)
                            line = x + ((plane * depth + d) * height + h) * width + s - left
                            if stride_w == 1:
                                for q in range(first, last):
                                    out[q] += line[q]
                            else:
                                for q in range(first, last):
                                    out[q] += line[q * stride_w]
                slab = (extent(o, depth, kernel_d, stride_d, front, back, padded)
                        * extent(p, height, kernel_h, stride_h, top, bottom, padded))
                for q in range(out_w):
                    out[q] /= <floating>(divisor if divisor else slab * extent(q, width, kernel_w, stride_w, left,
                                                                               right, padded))


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
                        share[q - begun] = gradient[q] / <floating>(
                            divisor if divisor else slab * extent(q, width, kernel_w, stride_w, left, right, padded))
                    for t in range(kernel_d):
                        d = o * stride_d - front + t
                        if d < 0 or d >= depth:
                            continue
                        for r in range(kernel_h):
                            h = p * stride_h - top + r
                            if h < 0 or h >= height:
                                continue
                            for s in range(kernel_w):
                                first = first_inside(out_w, stride_w, s - left)
                                last = end_inside(width, out_w, stride_w, s - left, first)
                                line = dx + ((plane * depth + d) * height + h) * width + s - left
                                for q in range(max(first, begun), min(last, done)):
                                    line[q * stride_w] += share[q - begun]
