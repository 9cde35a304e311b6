"""What NumPy would need several passes or a branch for, and the calls that `fastconv.functional` makes.

Two work items are never parts of the same vector, whatever the number of threads: an item is a block or a plane.
"""

import numpy as np

from fastconv.backends import threads
from fastconv.backends.numba import jit
from fastconv.backends.numba.jit import pointer, range_kernel
from fastconv.backends.numba.vector import double, doubles, exp, flags, number, plus

BLOCK = 1 << 12


@range_kernel
def _sigmoid(begin, end, a, like):
    x, y, size = pointer(a[0], like), pointer(a[1], like), a[2]
    one = number(1, like)
    for i in range(begin * BLOCK, min(end * BLOCK, size)):
        y[i] = one / (one + exp(-x[i]))


@range_kernel
def _sigmoid_input(begin, end, a, like):
    y, dy, dx, size = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), a[3]
    one = number(1, like)
    for i in range(begin * BLOCK, min(end * BLOCK, size)):
        dx[i] = dy[i] * (one - y[i]) * y[i]


@range_kernel
def _tanh_input(begin, end, a, like):
    y, dy, dx, size = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), a[3]
    one = number(1, like)
    for i in range(begin * BLOCK, min(end * BLOCK, size)):
        dx[i] = dy[i] * (one - y[i] * y[i])


@range_kernel
def _relu(begin, end, a, like):
    x, y = pointer(a[0], like), pointer(a[1], like)
    zero = number(0, like)
    for i in range(begin * BLOCK, min(end * BLOCK, a[2])):
        y[i] = zero if x[i] < zero else x[i]


@range_kernel
def _relu_input(begin, end, a, like):
    x, dy, dx = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    zero = number(0, like)
    for i in range(begin * BLOCK, min(end * BLOCK, a[3])):
        dx[i] = zero if x[i] <= zero else dy[i]


@range_kernel
def _squared(begin, end, a, like):
    x, t, sums, size = pointer(a[0], like), pointer(a[1], like), doubles(a[2]), a[3]
    for block in range(begin, end):
        total = 0.0
        for i in range(block * BLOCK, min((block + 1) * BLOCK, size)):
            off = x[i] - t[i]
            total = plus(total, double(off * off))
        sums[block] = total


@range_kernel
def _off(begin, end, a, like):
    x, t, dx, scale = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like)[0]
    for i in range(begin * BLOCK, min(end * BLOCK, a[4])):
        dx[i] = (x[i] - t[i]) * scale


@range_kernel
def _keep(begin, end, a, like):
    x, kept, y, scale = pointer(a[0], like), flags(a[1]), pointer(a[2], like), pointer(a[3], like)[0]
    zero = number(0, like)
    for i in range(begin * BLOCK, min(end * BLOCK, a[4])):
        y[i] = x[i] * (scale if kept[i] else zero)


@range_kernel
def _leaky(begin, end, a, like):
    x, y, slope, size = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)[0], a[3]
    for i in range(begin * BLOCK, min(end * BLOCK, size)):
        y[i] = x[i] if x[i] > 0 else x[i] * slope


@range_kernel
def _leaky_input(begin, end, a, like):
    x, dy, dx, slope = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like)[0]
    for i in range(begin * BLOCK, min(end * BLOCK, a[4])):
        dx[i] = dy[i] if x[i] > 0 else dy[i] * slope


@range_kernel
def _prelu(begin, end, a, like):
    x, y, weight = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    channels, size = a[3], a[4]
    for plane in range(begin, end):
        slope = weight[plane % channels]
        for i in range(plane * size, (plane + 1) * size):
            y[i] = x[i] if x[i] > 0 else x[i] * slope


@range_kernel
def _prelu_input(begin, end, a, like):
    x, dy, dx, weight = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like)
    channels, size = a[4], a[5]
    for plane in range(begin, end):
        slope = weight[plane % channels]
        for i in range(plane * size, (plane + 1) * size):
            dx[i] = dy[i] if x[i] > 0 else dy[i] * slope


@range_kernel
def _prelu_weight(begin, end, a, like):
    x, dy, sums, size = pointer(a[0], like), pointer(a[1], like), doubles(a[2]), a[3]
    zero = number(0, like)
    for plane in range(begin, end):
        total = 0.0
        for i in range(plane * size, (plane + 1) * size):
            total = plus(total, double(zero if x[i] > 0 else x[i] * dy[i]))
        sums[plane] = total


def run(kernel, count, arrays, numbers, like, work):
    """Do `count` items of a kernel whose arguments are the addresses of `arrays`, then `numbers`."""
    args = np.array([*map(jit.address, arrays), *numbers], np.int64)
    jit.run(kernel, count, args, like.dtype, threads.get_num_threads(), work)


def sigmoid(x, y):
    """y = 1 / (1 + exp(-x)), for contiguous arrays that are not empty."""
    run(_sigmoid, -(-x.size // BLOCK), (x, y), (x.size,), x, x.nbytes // 20)


def sigmoid_input(y, dy, dx):
    """dx = dy y (1 - y)"""
    run(_sigmoid_input, -(-y.size // BLOCK), (y, dy, dx), (y.size,), y, y.nbytes // 30)


def tanh_input(y, dy, dx):
    """dx = dy (1 - y y)"""
    run(_tanh_input, -(-y.size // BLOCK), (y, dy, dx), (y.size,), y, y.nbytes // 30)


def relu(x, y):
    """y = 0 where x is below 0, else x."""
    run(_relu, -(-x.size // BLOCK), (x, y), (x.size,), x, x.nbytes // 40)


def relu_input(x, dy, dx):
    """dx = 0 where x is at most 0, else dy."""
    run(_relu_input, -(-x.size // BLOCK), (x, dy, dx), (x.size,), x, x.nbytes // 30)


def squared_difference(x, t):
    """The sum of (x - t)**2, taken in float64: a number."""
    sums = np.empty(-(-x.size // BLOCK))
    run(_squared, len(sums), (x, t, sums), (x.size,), x, x.nbytes // 20)
    return np.sum(sums)


def mse_loss_input(x, t, scale, dx):
    """dx = (x - t) times `scale`, an array of one element."""
    run(_off, -(-x.size // BLOCK), (x, t, dx, scale), (x.size,), x, x.nbytes // 30)


def dropout(x, kept, scale, y):
    """y = x times `scale`, an array of one element, where `kept`, and times 0 elsewhere."""
    run(_keep, -(-x.size // BLOCK), (x, kept, y, scale), (x.size,), x, x.nbytes // 40)


def leaky_relu(x, slope, y):
    """y = x where it is above 0, else x times `slope`, an array of one element."""
    run(_leaky, -(-x.size // BLOCK), (x, y, slope), (x.size,), x, x.nbytes // 40)


def leaky_relu_input(x, slope, dy, dx):
    """dx = dy where x is above 0, else dy times `slope`."""
    run(_leaky_input, -(-x.size // BLOCK), (x, dy, dx, slope), (x.size,), x, x.nbytes // 30)


def prelu(x, weight, y):
    """`leaky_relu` of planes (N, C, M) with a slope for each channel."""
    n, c, m = x.shape
    run(_prelu, n * c, (x, y, weight), (c, m), x, x.nbytes // 40)


def prelu_input(x, weight, dy, dx):
    """Gradient of `prelu` with respect to x."""
    n, c, m = x.shape
    run(_prelu_input, n * c, (x, dy, dx, weight), (c, m), x, x.nbytes // 30)


def prelu_weight(x, dy, sums):
    """Sums over each plane of x dy where x is not above 0, taken in float64: (N, C)."""
    n, c, m = x.shape
    run(_prelu_weight, n * c, (x, dy, sums), (m,), x, x.nbytes // 20)
