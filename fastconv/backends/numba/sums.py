"""Sums: of the parts of a reduction that was split, and of planes, the bias gradient."""

from fastconv.backends.numba.jit import pointer, range_kernel, shift, stack
from fastconv.backends.numba.lines import sum_of


@range_kernel
def add_up(begin, end, a, like):
    """Sum `parts` arrays in order, so that the result has the same bits however the work was shared out.

    A work item is a stretch of 1024 elements. 64 arrays at a time: one running sum of many would lose digits.
    """
    parts, out = pointer(a[0], like), pointer(a[1], like)
    count, elements = a[2], a[3]
    piece = stack(1024, like)
    for item in range(begin, end):
        first, last = item * 1024, min((item + 1) * 1024, elements)
        for j in range(first, last):
            out[j] = 0
        for i in range(0, count, 64):
            for j in range(last - first):
                piece[j] = 0
            for k in range(i, min(i + 64, count)):
                source = shift(parts, k * elements + first)
                for j in range(last - first):
                    piece[j] += source[j]
            for j in range(first, last):
                out[j] += piece[j - first]


@range_kernel
def sum_planes(begin, end, a, like):
    """Sum of each plane: the bias gradient's parts. A work item is a plane."""
    source, sums, size = pointer(a[0], like), pointer(a[1], like), a[2]
    for plane in range(begin, end):
        sums[plane] = sum_of(shift(source, plane * size), size)
