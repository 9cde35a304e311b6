"""Steps of the optimizers: what one does to a parameter in a single pass, operation by operation as NumPy would.

A work item is a block that stays in the first-level cache. What there is not is None, as a kernel's address 0.
"""

import math

import numpy as np

from fastconv.backends.numba.elementwise import run
from fastconv.backends.numba.jit import pointer, range_kernel, shift, stack

BLOCK = 1024


@range_kernel
def _momentum(begin, end, a, like):
    numbers, size, started, nesterov = pointer(a[3], like), a[4], a[5] != 0, a[6] != 0
    lr, part, share = numbers[0], numbers[1], numbers[2]
    for first in range(begin * BLOCK, min(end * BLOCK, size), BLOCK):
        w, g, buffer = (shift(pointer(a[0], like), first), shift(pointer(a[1], like), first),
                        shift(pointer(a[2], like), first))
        count = min(BLOCK, size - first)
        for i in range(count):
            buffer[i] = buffer[i] * part + g[i] * share if started else g[i]
        if nesterov:
            for i in range(count):
                w[i] -= (buffer[i] * part + g[i]) * lr
        else:
            for i in range(count):
                w[i] -= buffer[i] * lr


@range_kernel
def _rmsprop(begin, end, a, like):
    numbers, size, step = pointer(a[5], like), a[6], stack(BLOCK, like)
    lr, alpha, rest, eps, momentum = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    for first in range(begin * BLOCK, min(end * BLOCK, size), BLOCK):
        w, g, square = (shift(pointer(a[0], like), first), shift(pointer(a[1], like), first),
                        shift(pointer(a[2], like), first))
        mean, buffer = shift(pointer(a[3], like), first), shift(pointer(a[4], like), first)
        count = min(BLOCK, size - first)
        for i in range(count):
            square[i] = square[i] * alpha + g[i] * g[i] * rest
            step[i] = square[i]
        if a[3] != 0:
            for i in range(count):
                mean[i] += (g[i] - mean[i]) * rest
                step[i] -= mean[i] * mean[i]
        for i in range(count):
            step[i] = g[i] / (math.sqrt(step[i]) + eps)
        if a[4] != 0:
            for i in range(count):
                buffer[i] = buffer[i] * momentum + step[i]
                step[i] = buffer[i]
        for i in range(count):
            w[i] -= step[i] * lr


@range_kernel
def _adam(begin, end, a, like):
    numbers, size, step = pointer(a[5], like), a[6], stack(BLOCK, like)
    rate, rest1, beta2, rest2, root, eps = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    for first in range(begin * BLOCK, min(end * BLOCK, size), BLOCK):
        w, g, mean = (shift(pointer(a[0], like), first), shift(pointer(a[1], like), first),
                      shift(pointer(a[2], like), first))
        square, largest = shift(pointer(a[3], like), first), shift(pointer(a[4], like), first)
        count = min(BLOCK, size - first)
        for i in range(count):
            mean[i] += (g[i] - mean[i]) * rest1
            square[i] = square[i] * beta2 + g[i] * g[i] * rest2
            step[i] = square[i]
        if a[4] != 0:
            for i in range(count):
                value = step[i]
                step[i] = value if value > largest[i] or value != value else largest[i]
                largest[i] = step[i]
        for i in range(count):
            w[i] -= mean[i] / (math.sqrt(step[i]) * root + eps) * rate


def _run(kernel, arrays, numbers, *flags):
    data = arrays[0]
    numbers = np.array(numbers, data.dtype)
    run(kernel, -(-data.size // BLOCK), (*arrays, numbers), (data.size, *flags), data, data.nbytes // 10)


def momentum(data, grad, buffer, lr, part, share, started, nesterov):
    """`buffer` becomes the gradient, or if `started`, a `part` of itself plus a `share` of the gradient."""
    _run(_momentum, (data, grad, buffer), (lr, part, share), started, nesterov)


def rmsprop(data, grad, square, mean, buffer, lr, alpha, rest, eps, momentum):
    """`rest` is 1 - alpha; without a `mean` the step is not centered, without a `buffer` it has no momentum."""
    _run(_rmsprop, (data, grad, square, mean, buffer), (lr, alpha, rest, eps, momentum))


def adam(data, grad, mean, square, largest, rate, rest1, beta2, rest2, root, eps):
    """`rest1` and `rest2` are 1 - beta1 and 1 - beta2; `rate` and `root` scale the step and the root of `square`."""
    _run(_adam, (data, grad, mean, square, largest), (rate, rest1, beta2, rest2, root, eps))
