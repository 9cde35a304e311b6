# cython: boundscheck=False, wraparound=False, cdivision=True
"""Planes taken apart into their phases, the positions that are equal modulo a step, and put together again.

A dilated convolution of stride 1 is one without dilation on each phase, and a strided one is the sum of those of stride
1 on the phases. A work item is a plane (n, c).
"""

from cython cimport floating
from libc.stdint cimport int64_t
from libc.string cimport memset


cdef inline void cut(const floating* line, Py_ssize_t across, floating* part, Py_ssize_t first,
                     Py_ssize_t last) noexcept nogil:
    """Every `across`-th element of a line."""
    cdef Py_ssize_t s
    if across == 2:  # of a constant step the compiler makes vectors
        for s in range(first, last):
            part[s] = line[s * 2]
    else:
        for s in range(first, last):
            part[s] = line[s * across]


cdef inline void split(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """Take planes apart: a phase has zeros where it is too short.

    Phase (i, j) of plane (n, c) becomes plane ``((n * down + i) * across + j) * channels + c``.
    """
    cdef const floating* source = <const floating*>a[0]
    cdef floating* target = <floating*>a[1]
    cdef Py_ssize_t channels = a[2], height = a[3], width = a[4], down = a[5], across = a[6], top = a[7], left = a[8]
    cdef Py_ssize_t rows = a[9], columns = a[10]
    cdef Py_ssize_t plane, n, c, i, j, h, r, first, last
    cdef floating* out
    for plane in range(begin, end):
        n, c = plane // channels, plane % channels
        for i in range(down):
            for j in range(across):
                out = target + (((n * down + i) * across + j) * channels + c) * rows * columns
                first = 1 if j < left else 0
                last = max(first, min(columns, (width + left - j + across - 1) // across))
                for r in range(rows):
                    h = r * down + i - top
                    if h < 0 or h >= height:
                        memset(out, 0, columns * sizeof(floating))
                    else:
                        if first > 0:
                            out[0] = 0
                        cut(source + (plane * height + h) * width + j - left, across, out, first, last)
                        memset(out + last, 0, (columns - last) * sizeof(floating))
                    out += columns


cdef inline void weave(const floating* even, const floating* odd, floating* line, Py_ssize_t width) noexcept nogil:
    """A line's even and odd elements joined: 0.5 ms in place of 0.8 for 8 x 64 planes of 56 x 56."""
    cdef Py_ssize_t s
    for s in range(width // 2):
        line[2 * s] = even[s]
        line[2 * s + 1] = odd[s]
    if width % 2:
        line[width - 1] = even[width // 2]


cdef inline void join(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """The inverse of `split`: elements that it added are left out."""
    cdef const floating* source = <const floating*>a[0]
    cdef floating* target = <floating*>a[1]
    cdef Py_ssize_t channels = a[2], height = a[3], width = a[4], down = a[5], across = a[6], top = a[7], left = a[8]
    cdef Py_ssize_t rows = a[9], columns = a[10]
    cdef Py_ssize_t plane, n, c, i, j, h, r, s, first, last, other = channels * rows * columns
    cdef const floating* start
    cdef floating* line
    for plane in range(begin, end):
        n, c = plane // channels, plane % channels
        for h in range(height):
            i, r = (h + top) % down, (h + top) // down
            line = target + (plane * height + h) * width
            if across == 2:
                # Of the phase before the first element, there may be one more in front.
                start = source + (((n * down + i) * 2 * channels + c) * rows + r) * columns
                if left == 0:
                    weave(start, start + other, line, width)
                else:
                    weave(start + other, start + 1, line, width)
                continue
            for j in range(across):
                start = source + ((((n * down + i) * across + j) * channels + c) * rows + r) * columns
                first = 1 if j < left else 0
                last = min(columns, (width + left - j + across - 1) // across)
                for s in range(first, last):
                    line[s * across + j - left] = start[s]
