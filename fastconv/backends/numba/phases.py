"""Planes taken apart into their phases, the positions that are equal modulo a step, and put together again.

A dilated convolution of stride 1 is one without dilation on each phase, and a strided one is the sum of those of stride
1 on the phases. A work item is a plane (n, c).
"""

from fastconv.backends.numba.jit import pointer, range_kernel


@range_kernel
def split(begin, end, a, like):
    """Take planes apart: a phase has zeros where it is too short.

    Phase (i, j) of plane (n, c) becomes plane ``n * down * across * channels + (i * across + j) * phase + c * other``.
    """
    source, target = pointer(a[0], like), pointer(a[1], like)
    channels, height, width = a[2], a[3], a[4]
    down, across, top, left, rows, columns = a[5], a[6], a[7], a[8], a[9], a[10]
    phase, other = a[11], a[12]
    for plane in range(begin, end):
        n, c = plane // channels, plane % channels
        for i in range(down):
            for j in range(across):
                out = (n * down * across * channels + (i * across + j) * phase + c * other) * rows * columns
                first = 1 if j < left else 0
                last = max(first, min(columns, (width + left - j + across - 1) // across))
                for r in range(rows):
                    h = r * down + i - top
                    if h < 0 or h >= height:
                        for s in range(columns):
                            target[out + s] = 0
                    else:
                        line = (plane * height + h) * width + j - left
                        for s in range(first):
                            target[out + s] = 0
                        for s in range(first, last):
                            target[out + s] = source[line + s * across]
                        for s in range(last, columns):
                            target[out + s] = 0
                    out += columns


@range_kernel
def join(begin, end, a, like):
    """The inverse of `split`: elements that it added are left out."""
    source, target = pointer(a[0], like), pointer(a[1], like)
    channels, height, width = a[2], a[3], a[4]
    down, across, top, left, rows, columns = a[5], a[6], a[7], a[8], a[9], a[10]
    phase, other = a[11], a[12]
    for plane in range(begin, end):
        n, c = plane // channels, plane % channels
        for h in range(height):
            i, r = (h + top) % down, (h + top) // down
            line = (plane * height + h) * width
            for j in range(across):
                start = ((n * down * across * channels + (i * across + j) * phase + c * other) * rows + r) * columns
                first = 1 if j < left else 0
                last = min(columns, (width + left - j + across - 1) // across)
                for s in range(first, last):
                    target[line + s * across + j - left] = source[start + s]
