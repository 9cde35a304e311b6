"""Batch normalisation of (N, C, M): sums over a channel, in float64, and what is done to each of its elements.

Where sums are taken a work item is a channel, and their order does not depend on the number of threads.
"""

from fastconv.backends.numba.elementwise import run
from fastconv.backends.numba.jit import pointer, range_kernel
from fastconv.backends.numba.vector import double, doubles, plus


@range_kernel
def _moments(begin, end, a, like):
    x, means, variances = pointer(a[0], like), doubles(a[1]), doubles(a[2])
    images, channels, size = a[3], a[4], a[5]
    for c in range(begin, end):
        total = 0.0
        for n in range(images):
            start = (n * channels + c) * size
            for i in range(start, start + size):
                total = plus(total, double(x[i]))
        mean = total / (images * size)
        total = 0.0
        for n in range(images):
            start = (n * channels + c) * size
            for i in range(start, start + size):
                off = double(x[i]) - mean
                total = plus(total, off * off)
        means[c] = mean
        variances[c] = total / (images * size)


@range_kernel
def _sums(begin, end, a, like):
    x, dy = pointer(a[0], like), pointer(a[1], like)
    centres, totals, products = doubles(a[2]), doubles(a[3]), doubles(a[4])
    images, channels, size = a[5], a[6], a[7]
    for c in range(begin, end):
        total, product, centre = 0.0, 0.0, centres[c]
        for n in range(images):
            start = (n * channels + c) * size
            for i in range(start, start + size):
                total = plus(total, double(dy[i]))
                product = plus(product, (double(x[i]) - centre) * double(dy[i]))
        totals[c] = total
        products[c] = product


@range_kernel
def _scale(begin, end, a, like):
    x, y, table, channels, size = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), a[3], a[4]
    for plane in range(begin, end):
        c = plane % channels
        centre, factor, shift = table[3 * c], table[3 * c + 1], table[3 * c + 2]
        for i in range(plane * size, (plane + 1) * size):
            y[i] = (x[i] - centre) * factor + shift


@range_kernel
def _scale_grad(begin, end, a, like):
    x, dy, dx, table = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like)
    channels, size = a[4], a[5]
    for plane in range(begin, end):
        c = plane % channels
        centre, factor, slope, shift = table[4 * c], table[4 * c + 1], table[4 * c + 2], table[4 * c + 3]
        for i in range(plane * size, (plane + 1) * size):
            dx[i] = dy[i] * factor - (x[i] - centre) * slope - shift


def batch_norm_moments(x, means, variances):
    """Mean and mean squared deviation of each channel of x (N, C, M), into float64 (C,)."""
    n, c, m = x.shape
    run(_moments, c, (x, means, variances), (n, c, m), x, x.nbytes // 20)


def batch_norm_sums(x, dy, centres, totals, products):
    """Sums of dy and of (x - centre) dy over each channel; centres and sums are float64 (C,)."""
    n, c, m = x.shape
    run(_sums, c, (x, dy, centres, totals, products), (n, c, m), x, x.nbytes // 20)


def batch_norm_scale(x, y, table):
    """y = (x - centre) factor + shift, with the three of each channel from `table` (C, 3)."""
    n, c, m = x.shape
    run(_scale, n * c, (x, y, table), (c, m), x, x.nbytes // 40)


def batch_norm_scale_grad(x, dy, dx, table):
    """dx = dy factor - (x - centre) slope - shift, with centre, factor, slope and shift from `table` (C, 4)."""
    n, c, m = x.shape
    run(_scale_grad, n * c, (x, dy, dx, table), (c, m), x, x.nbytes // 30)
