"""Batch normalisation of (N, C, M): sums over a channel, in float64, and what is done to each of its elements.

Where sums are taken a work item is a channel, and their order does not depend on the number of threads.
"""

import numpy as np

from fastconv.backends.numba.elementwise import run
from fastconv.backends.numba.jit import pointer, range_kernel
from fastconv.backends.numba.vector import double, doubles, plus

PLANE = 16  # elements of a plane that fill a vector
STRIP = 64


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


# Of planes shorter than a vector the columns of (N, C M) are summed instead, and then those of a channel.


@range_kernel
def _column_sums(begin, end, a, like):
    x, totals, rows, columns = pointer(a[0], like), doubles(a[1]), a[2], a[3]
    for strip in range(begin, end):
        first, last = strip * STRIP, min((strip + 1) * STRIP, columns)
        for j in range(first, last):
            totals[j] = 0
        for n in range(rows):
            for j in range(first, last):
                totals[j] += double(x[n * columns + j])


@range_kernel
def _column_squares(begin, end, a, like):
    x, centres, totals, rows, columns = pointer(a[0], like), doubles(a[1]), doubles(a[2]), a[3], a[4]
    for strip in range(begin, end):
        first, last = strip * STRIP, min((strip + 1) * STRIP, columns)
        for j in range(first, last):
            totals[j] = 0
        for n in range(rows):
            for j in range(first, last):
                off = double(x[n * columns + j]) - centres[j]
                totals[j] += off * off


@range_kernel
def _column_products(begin, end, a, like):
    x, dy, centres = pointer(a[0], like), pointer(a[1], like), doubles(a[2])
    totals, products, rows, columns = doubles(a[3]), doubles(a[4]), a[5], a[6]
    for strip in range(begin, end):
        first, last = strip * STRIP, min((strip + 1) * STRIP, columns)
        for j in range(first, last):
            totals[j] = 0
            products[j] = 0
        for n in range(rows):
            for j in range(first, last):
                slope = double(dy[n * columns + j])
                totals[j] += slope
                products[j] += (double(x[n * columns + j]) - centres[j]) * slope


@range_kernel
def _scale_columns(begin, end, a, like):
    x, y, table, columns = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), a[3]
    for n in range(begin, end):
        for j in range(columns):
            y[n * columns + j] = (x[n * columns + j] - table[j]) * table[columns + j] + table[2 * columns + j]


@range_kernel
def _scale_grad_columns(begin, end, a, like):
    x, dy, dx = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    table, columns = pointer(a[3], like), a[4]
    for n in range(begin, end):
        for j in range(columns):
            dx[n * columns + j] = (dy[n * columns + j] * table[columns + j]
                                   - (x[n * columns + j] - table[j]) * table[2 * columns + j] - table[3 * columns + j])


def batch_norm_moments(x, means, variances):
    """Mean and mean squared deviation of each channel of x (N, C, M), into float64 (C,)."""
    n, c, m = x.shape
    if m >= PLANE:
        run(_moments, c, (x, means, variances), (n, c, m), x, x.nbytes // 20)
        return
    totals = np.empty(c * m)
    run(_column_sums, -(-c * m // STRIP), (x, totals), (n, c * m), x, x.nbytes // 40)
    means[...] = totals.reshape(c, m).sum(axis=1) / (n * m)
    run(_column_squares, -(-c * m // STRIP), (x, np.repeat(means, m), totals), (n, c * m), x, x.nbytes // 40)
    variances[...] = totals.reshape(c, m).sum(axis=1) / (n * m)


def batch_norm_sums(x, dy, centres, totals, products):
    """Sums of dy and of (x - centre) dy over each channel; centres and sums are float64 (C,)."""
    n, c, m = x.shape
    if m >= PLANE:
        run(_sums, c, (x, dy, centres, totals, products), (n, c, m), x, x.nbytes // 20)
        return
    found = np.empty((2, c * m))
    run(_column_products, -(-c * m // STRIP), (x, dy, np.repeat(centres, m), *found), (n, c * m), x, x.nbytes // 20)
    totals[...], products[...] = found.reshape(2, c, m).sum(axis=2)


def batch_norm_scale(x, y, table):
    """y = (x - centre) factor + shift, with the three of each channel from `table` (C, 3)."""
    n, c, m = x.shape
    if m >= PLANE:
        run(_scale, n * c, (x, y, table), (c, m), x, x.nbytes // 40)
    else:
        run(_scale_columns, n, (x, y, _by_columns(table, m)), (c * m,), x, x.nbytes // 40)


def batch_norm_scale_grad(x, dy, dx, table):
    """dx = dy factor - (x - centre) slope - shift, with centre, factor, slope and shift from `table` (C, 4)."""
    n, c, m = x.shape
    if m >= PLANE:
        run(_scale_grad, n * c, (x, dy, dx, table), (c, m), x, x.nbytes // 30)
    else:
        run(_scale_grad_columns, n, (x, dy, dx, _by_columns(table, m)), (c * m,), x, x.nbytes // 30)


def _by_columns(table, m):
    """A table of channels as one of their M columns each, turned round."""
    return np.repeat(np.ascontiguousarray(table.T), m, axis=1)
