"""Unpooling by indices of places in a map, and places turned into channels. A work item is a plane (n, c)."""

import numpy as np

from fastconv.backends.numba.jit import address, ints, pointer, range_kernel, run, shift
from fastconv.backends.threads import get_num_threads


@range_kernel
def _scatter(begin, end, a, like):
    x, places, y = pointer(a[0], like), ints(a[1]), pointer(a[2], like)
    count, size = a[3], a[4]
    for plane in range(begin, end):
        start, first = plane * size, plane * count
        for i in range(size):
            y[start + i] = 0
        for i in range(first, first + count):
            y[start + places[i]] = x[i]


@range_kernel
def _gather(begin, end, a, like):
    dy, places, dx = pointer(a[0], like), ints(a[1]), pointer(a[2], like)
    count, size = a[3], a[4]
    for plane in range(begin, end):
        start, first = plane * size, plane * count
        for i in range(first, first + count):
            dx[i] = dy[start + places[i]]


@range_kernel
def _shuffle(begin, end, a, like):
    small, large, back = pointer(a[0], like), pointer(a[1], like), a[2] != 0
    factor, height, width = a[3], a[4], a[5]
    for plane in range(begin, end):
        for h in range(height):
            for r in range(factor):
                wide = shift(large, ((plane * height + h) * factor + r) * factor * width)
                for s in range(factor):
                    row = shift(small, (((plane * factor + r) * factor + s) * height + h) * width)
                    if back:
                        for w in range(width):
                            row[w] = wide[w * factor + s]
                    else:
                        for w in range(width):
                            wide[w * factor + s] = row[w]


def pixel_shuffle(small, large, factor, back):
    """Write to `large` (planes, H r, W r) what `small` (planes, r, r, H, W) holds, or the other way where `back`."""
    args = (address(small), address(large), back, factor, *small.shape[3:])
    run(_shuffle, len(small), np.array(args, np.int64), small.dtype, get_num_threads(), small.size)


def max_unpool(x, indices, y):
    """``y[plane, indices[plane, i]] = x[plane, i]``, the last of several for a place, and 0 elsewhere."""
    args = (address(x), address(indices), address(y), x.shape[1], y.shape[1])
    run(_scatter, len(x), np.array(args, np.int64), x.dtype, get_num_threads(), x.size + y.size)


def max_unpool_backward(dy, indices, dx):
    """``dx[plane, i] = dy[plane, indices[plane, i]]``"""
    args = (address(dy), address(indices), address(dx), dx.shape[1], dy.shape[1])
    run(_gather, len(dy), np.array(args, np.int64), dy.dtype, get_num_threads(), dx.size)
