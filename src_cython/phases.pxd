# cython: boundscheck=False, wraparound=False, cdivision=True
"""Planes taken apart into their phases, the positions that are equal modulo a step, and put together again.

A dilated convolution of stride 1 is one without dilation on each phase, and a strided one is the sum of those of stride
1 on the phases. A work item is a plane (n, c).
"""

from cython cimport floating
from libc.stdint cimport int64_t
from libc.string cimport memset


cdef inline void split(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """Take planes apart: a phase has zeros where it is too short.

    Phase (i, j) of plane (n, c) becomes plane ``n * down * across * channels + (i * across + j) * phase + c * other``.
    """
    cdef const floating* source = <const floating*>a[0]
    cdef floating* target = <floating*>a[1]
    cdef Py_ssize_t channels = a[2], height = a[3], width = a[4], down = a[5], across = a[6], top = a[7], left = a[8]
    cdef Py_ssize_t rows = a[9], columns = a[10], phase = a[11], other = a[12]
    cdef Py_ssize_t plane, n, c, i, j, h, r, s, first, last
    cdef const floating* line
    cdef floating* out
    for plane in range(begin, end):
        n, c = plane // channels, plane % channels
        for i in range(down):
            for j in range(across):
                out = target + (n * down * across * channels + (i * across + j) * phase + c * other) * rows * columns
                first = 1 if j < left else 0
                last = max(first, min(columns, (width + left - j + across - 1) // across))
                for r in range(rows):
                    h = r * down + i - top
                    if h < 0 or h >= height:
                        memset(out, 0, columns * sizeof(floating))
                    else:
                        line = source + (plane * height + h) * width + j - left
                        if first > 0:
                            out[0] = 0
                        for s in range(first, last):
                            out[s] = line[s * across]
                        for s in range(last, columns):
                            out[s] = 0
                    out += columns


cdef inline void join(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """The inverse of `split`: elements that it added are left out."""
    cdef const floating* source = <const floating*>a[0]
    cdef floating* target = <floating*>a[1]
    cdef Py_ssize_t channels = a[2], height = a[3], width = a[4], down = a[5], across = a[6], top = a[7], left = a[8]
    cdef Py_ssize_t rows = a[9], columns = a[10], phase = a[11], other = a[12]
    cdef Py_ssize_t plane, n, c, i, j, h, r, s, first, last
    cdef const floating* start
    cdef floating* line
    for plane in range(begin, end):
        n, c = plane // channels, plane % channels
        for h in range(height):
            i, r = (h + top) % down, (h + top) // down
            line = target + (plane * height + h) * width
            for j in range(across):
                start = source + ((n * down * across * channels + (i * across + j) * phase + c * other) * rows
                                  + r) * columns
                first = 1 if j < left else 0
                last = min(columns, (width + left - j + across - 1) // across)
                for s in range(first, last):
                    line[s * across + j - left] = start[s]
