# cython: boundscheck=False, wraparound=False, cdivision=True
"""im2col and col2im: every tap's shifted copy of the planes, and the sum back. A work item is a plane (n, c)."""

from cython cimport floating
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset


cdef inline Py_ssize_t first_inside(Py_ssize_t outputs, Py_ssize_t stride, Py_ssize_t shift) noexcept nogil:
    """The first output whose input position, ``output * stride + shift``, is not negative."""
    return min((-shift + stride - 1) // stride, outputs) if shift < 0 else 0


cdef inline Py_ssize_t end_inside(Py_ssize_t size, Py_ssize_t outputs, Py_ssize_t stride, Py_ssize_t shift,
                                  Py_ssize_t first) noexcept nogil:
    """One beyond the last output whose input position is below `size`; `first` where there is none."""
    cdef Py_ssize_t last = (size - shift + stride - 1) // stride if shift < size else 0
    return max(min(last, outputs), first)


cdef inline void im2col(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* x = <const floating*>a[0]
    cdef floating* cols = <floating*>a[1]
    cdef Py_ssize_t depth = a[2], height = a[3], width = a[4]
    cdef Py_ssize_t kernel_d = a[5], kernel_h = a[6], kernel_w = a[7]
    cdef Py_ssize_t out_d = a[8], out_h = a[9], out_w = a[10]
    cdef Py_ssize_t stride_d = a[11], stride_h = a[12], stride_w = a[13]
    cdef Py_ssize_t front = a[14], top = a[15], left = a[16]
    cdef Py_ssize_t step_d = a[17], step_h = a[18], step_w = a[19]
    cdef Py_ssize_t plane, t, r, s, o, p, q, d, h, shift, first, last
    cdef const floating* start
    cdef const floating* line
    cdef floating* out = cols + begin * kernel_d * kernel_h * kernel_w * out_d * out_h * out_w
    for plane in range(begin, end):
        start = x + plane * depth * height * width
        for t in range(kernel_d):
            for r in range(kernel_h):
                for s in range(kernel_w):
                    shift = s * step_w - left
                    first = first_inside(out_w, stride_w, shift)
                    last = end_inside(width, out_w, stride_w, shift, first)
                    for o in range(out_d):
                        d = o * stride_d + t * step_d - front
                        for p in range(out_h):
                            h = p * stride_h + r * step_h - top
                            if d < 0 or d >= depth or h < 0 or h >= height:
                                memset(out, 0, out_w * sizeof(floating))
                            else:
                                line = start + (d * height + h) * width + shift
                                if first > 0:
                                    memset(out, 0, first * sizeof(floating))
                                if stride_w == 1:
                                    memcpy(out + first, line + first, (last - first) * sizeof(floating))
                                else:
                                    for q in range(first, last):
                                        out[q] = line[q * stride_w]
                                if last < out_w:
                                    memset(out + last, 0, (out_w - last) * sizeof(floating))
                            out += out_w


cdef inline void col2im(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    cdef const floating* cols = <const floating*>a[0]
    cdef floating* x = <floating*>a[1]
    cdef Py_ssize_t depth = a[2], height = a[3], width = a[4]
    cdef Py_ssize_t kernel_d = a[5], kernel_h = a[6], kernel_w = a[7]
    cdef Py_ssize_t out_d = a[8], out_h = a[9], out_w = a[10]
    cdef Py_ssize_t stride_d = a[11], stride_h = a[12], stride_w = a[13]
    cdef Py_ssize_t front = a[14], top = a[15], left = a[16]
    cdef Py_ssize_t step_d = a[17], step_h = a[18], step_w = a[19]
    cdef Py_ssize_t plane, t, r, s, o, p, q, d, h, shift, first, last
    cdef floating* start
    cdef floating* line
    cdef const floating* source = cols + begin * kernel_d * kernel_h * kernel_w * out_d * out_h * out_w
    for plane in range(begin, end):
        start = x + plane * depth * height * width
        memset(start, 0, depth * height * width * sizeof(floating))
        for t in range(kernel_d):
            for r in range(kernel_h):
                for s in range(kernel_w):
                    shift = s * step_w - left
                    first = first_inside(out_w, stride_w, shift)
                    last = end_inside(width, out_w, stride_w, shift, first)
                    for o in range(out_d):
                        d = o * stride_d + t * step_d - front
                        for p in range(out_h):
                            h = p * stride_h + r * step_h - top
                            if 0 <= d < depth and 0 <= h < height:
                                line = start + (d * height + h) * width + shift
                                if stride_w == 1:
                                    for q in range(first, last):
                                        line[q] += source[q]
                                else:
                                    for q in range(first, last):
                                        line[q * stride_w] += source[q]
                            source += out_w
