"""Planes taken apart into their phases, the positions that are equal modulo a step, and put together again.

A dilated convolution of stride 1 is one without dilation on each phase, and a strided one is the sum of those of stride
1 on the phases. A work item is a plane (n, c).
"""

from fastconv.backends.numba import copies
from fastconv.backends.numba.jit import helper, pointer, range_kernel, shift


@helper
def _along(width, left, across, columns, j):
    """The columns of phase j that lie inside a row: from where, to where."""
    first = 1 if j < left else 0
    return first, max(first, min(columns, (width + left - j + across - 1) // across))


@range_kernel
def split(begin, end, a, like):
    """Take planes apart: a phase has zeros where it is too short.

    Phase (i, j) of plane (n, c) becomes plane ``((n * down + i) * across + j) * channels + c``.
    """
    source, target = pointer(a[0], like), pointer(a[1], like)
    channels, height, width = a[2], a[3], a[4]
    down, across, top, left, rows, columns = a[5], a[6], a[7], a[8], a[9], a[10]
    plane_size, phase_size = rows * columns, channels * rows * columns
    for plane in range(begin, end):
        n, c = plane // channels, plane % channels
        for i in range(down):
            out = shift(target, (n * down + i) * across * phase_size + c * plane_size)
            for r in range(rows):
                h = r * down + i - top
                line, to = shift(source, (plane * height + h) * width), shift(out, r * columns)
                paired = across == 2 and 0 <= h < height
                if paired:
                    # Of the phase before the first element, there may be one more in front.
                    even, odd = shift(to, left * phase_size), shift(to, (1 - left) * phase_size + left)
                    copies.split(line, even, odd, min(width, 2 * columns - left), 0)
                for j in range(across):
                    first, last = _along(width, left, across, columns, j)
                    if h < 0 or h >= height:
                        first = last = 0
                    part = shift(to, j * phase_size)
                    for s in range(first):
                        part[s] = 0
                    if not paired:
                        for s in range(first, last):
                            part[s] = line[s * across + j - left]
                    for s in range(last, columns):
                        part[s] = 0


@range_kernel
def join(begin, end, a, like):
    """The inverse of `split`: elements that it added are left out."""
    source, target = pointer(a[0], like), pointer(a[1], like)
    channels, height, width = a[2], a[3], a[4]
    down, across, top, left, rows, columns = a[5], a[6], a[7], a[8], a[9], a[10]
    plane_size, phase_size = rows * columns, channels * rows * columns
    for plane in range(begin, end):
        n, c = plane // channels, plane % channels
        for h in range(height):
            i, r = (h + top) % down, (h + top) // down
            line = shift(target, (plane * height + h) * width)
            start = shift(source, (n * down + i) * across * phase_size + c * plane_size + r * columns)
            if across == 2:
                # Of the phase before the first element, there may be one more in front.
                other = shift(start, phase_size)
                if left == 1:
                    copies.weave(other, shift(start, 1), line, width)
                else:
                    copies.weave(start, other, line, width)
                continue
            for j in range(across):
                first, last = _along(width, left, across, columns, j)
                part = shift(start, j * phase_size)
                for s in range(first, last):
                    line[s * across + j - left] = part[s]
