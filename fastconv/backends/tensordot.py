"""Convolution and pooling in NumPy alone, with one Python loop, over the taps of the kernel.

Tap (t, r, s) of every window at once is a strided slice of the padded input, so that a convolution is the sum over the
taps of one matrix product each: the vectorised baseline, and what there is to fall back on where nothing compiles.

The kernels, their arguments and their shapes are described in `fastconv.backends`.
"""

from itertools import product

import numpy as np

SHAPED = True  # see `fastconv.backends`

# An infinity or a NaN in the data is no fault of the kernel's: it passes into the result without a warning.
quiet = np.errstate(all="ignore")


@quiet
def conv_forward(x, w, bias, y, g):
    padded = pad(x, g)
    y[...] = 0 if bias is None else bias.reshape(-1, 1, 1, 1)
    for tap in taps(g):
        seen = padded[window(tap, g)]
        for ins, outs in groups(g):
            y[:, outs] += np.tensordot(w[outs, :, *tap], seen[:, ins], axes=(1, 1)).swapaxes(0, 1)


@quiet
def conv_backward_input(dy, w, dx, g):
    padded = np.zeros(padded_shape(g), dx.dtype)
    for tap in taps(g):
        seen = padded[window(tap, g)]
        for ins, outs in groups(g):
            seen[:, ins] += np.tensordot(w[outs, :, *tap], dy[:, outs], axes=(0, 1)).swapaxes(0, 1)
    dx[...] = padded[inside(g)]


@quiet
def conv_backward_weight(x, dy, dw, db, g):
    padded = pad(x, g)
    every_output = (0, 2, 3, 4)
    for tap in taps(g):
        seen = padded[window(tap, g)]
        for ins, outs in groups(g):
            dw[outs, :, *tap] = np.tensordot(dy[:, outs], seen[:, ins], axes=(every_output, every_output))
    if db is not None:
        db[...] = dy.sum(axis=every_output)


def im2col(x, cols, g):
    padded = pad(x, g)
    by_tap = cols.reshape(g.n, g.c, *g.kernel, *g.output)
    for tap in taps(g):
        by_tap[:, :, *tap] = padded[window(tap, g)]


@quiet
def col2im(cols, x, g):
    padded = np.zeros(padded_shape(g), x.dtype)
    by_tap = cols.reshape(g.n, g.c, *g.kernel, *g.output)
    for tap in taps(g):
        padded[window(tap, g)] += by_tap[:, :, *tap]
    x[...] = padded[inside(g)]


@quiet
def max_pool_forward(x, y, indices, g):
    padded = pad(x, g)
    # The flat index of each padded element in its map, and -1, which no element has, for padding.
    index = np.full(padded_shape(g)[2:], -1)
    index[inside(g)[2:]] = np.arange(np.prod(g.input)).reshape(g.input)
    where = np.empty(g.y_shape, np.int64) if indices is None else indices
    where[...] = -1
    for tap in taps(g):
        value, place = padded[window(tap, g)], index[window(tap, g)[2:]]
        # The first element, a greater one, or a NaN: only a NaN differs from itself, and no element exceeds it.
        better = (place >= 0) & ((where < 0) | (value > y) | (value != value))
        np.copyto(y, value, where=better)
        np.copyto(where, place, where=better)


@quiet
def max_pool_backward(dy, indices, dx, g):
    dx[...] = 0
    maps = g.n * g.c
    # Unbuffered and in order: an element that several windows chose gets the sum of their gradients.
    np.add.at(dx.reshape(maps, -1), (np.arange(maps)[:, None], indices.reshape(maps, -1)), dy.reshape(maps, -1))


@quiet
def avg_pool_forward(x, y, g):
    padded = pad(x, g)
    y[...] = 0
    for tap in taps(g):
        y += padded[window(tap, g)]
    y /= divisors(g, y.dtype)


@quiet
def avg_pool_backward(dy, dx, g):
    padded = np.zeros(padded_shape(g), dx.dtype)
    part = dy / divisors(g, dx.dtype)
    for tap in taps(g):
        padded[window(tap, g)] += part
    dx[...] = padded[inside(g)]


def taps(g):
    """(t, r, s) of each element of the kernel."""
    return product(*map(range, g.kernel))


def groups(g):
    """The (input channels, output channels) of each group, as slices."""
    c, k = g.c // g.groups, g.k // g.groups
    return [(slice(i * c, (i + 1) * c), slice(i * k, (i + 1) * k)) for i in range(g.groups)]


def window(tap, g):
    """The slices of a padded array at which tap `tap` of every window looks."""
    along = [slice(t * d, t * d + (o - 1) * s + 1, s)
             for t, d, o, s in zip(tap, g.dilation, g.output, g.stride, strict=True)]
    return (slice(None), slice(None), *along)


def padded_shape(g):
    """The input's shape with its padding, and with as much more as the last windows reach beyond it."""
    sizes = [max(before + i, (o - 1) * s + (f - 1) * d + 1) for (before, _), i, o, s, f, d
             in zip(g.padding, g.input, g.output, g.stride, g.kernel, g.dilation, strict=True)]
    return (g.n, g.c, *sizes)


def inside(g):
    """The slices of the input in a padded array."""
    along = [slice(before, before + i) for (before, _), i in zip(g.padding, g.input, strict=True)]
    return (slice(None), slice(None), *along)


def pad(x, g):
    """`x` with zeros around it; `x` itself where there is nothing to add."""
    shape = padded_shape(g)
    if shape == x.shape:
        return x
    padded = np.zeros(shape, x.dtype)
    padded[inside(g)] = x
    return padded


def divisors(g, dtype):
    """What the sum of each window (O, P, Q) of an average pooling is divided by."""
    if g.divisor:
        return np.full(g.output, g.divisor, dtype)
    counts = []
    for axis, (before, after) in enumerate(g.padding):
        starts = np.arange(g.output[axis]) * g.stride[axis] - before
        reached = starts[:, None] + np.arange(g.kernel[axis]) * g.dilation[axis]
        low, high = (-before, g.input[axis] + after) if g.count_include_pad else (0, g.input[axis])
        counts.append(((reached >= low) & (reached < high)).sum(axis=1))
    return np.einsum("o,p,q->opq", *counts).astype(dtype)
