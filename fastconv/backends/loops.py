"""Convolution and pooling spelled out in plain Python: the oracle that every other backend is checked against.

Each kernel is its definition and nothing else. Arrays become nested lists first: lists hand out an element in 50 ns
where an array takes 130, and as a Python float, which is a float64. So every sum is a float64 sum, and it is rounded to
the type of the result once, at the end.

Along one axis, output position ``o`` looks through a window of taps at the input positions::

    position = o * stride - padding_before + tap * dilation

Those outside the input are padding. `windows` lists the others, and all nine kernels walk them in the same three
nested loops, one an axis.

The kernels, their arguments and their shapes are described in `fastconv.backends`.
"""

from itertools import product

import numpy as np

SHAPED = True  # see `fastconv.backends`


def windows(g, axis):
    """For each output position along `axis`, the list of its (tap, input position) inside the input."""
    before = g.padding[axis][0]
    found = []
    for o in range(g.output[axis]):
        positions = [(tap, o * g.stride[axis] - before + tap * g.dilation[axis]) for tap in range(g.kernel[axis])]
        found.append([(tap, position) for tap, position in positions if 0 <= position < g.input[axis]])
    return found


def conv_forward(x, w, bias, y, g):
    """y[n, k, o, p, q] = bias[k] + the sum over the window of x times w."""
    xs, ws = x.tolist(), w.tolist()
    depths, heights, widths = windows(g, 0), windows(g, 1), windows(g, 2)
    for n, k in product(range(g.n), range(g.k)):
        for o, p, q in product(*map(range, g.output)):
            total = 0.0 if bias is None else float(bias[k])
            for c, channel in enumerate(channels_of(k, g)):
                for t, d in depths[o]:
                    for r, h in heights[p]:
                        row, taps = xs[n][channel][d][h], ws[k][c][t][r]
                        for s, i in widths[q]:
                            total += row[i] * taps[s]
            y[n, k, o, p, q] = rounded(total, y)


def conv_backward_input(dy, w, dx, g):
    """Each output hands its gradient back to the inputs it was summed from, times the weight it met them with."""
    dys, ws, dxs = dy.tolist(), w.tolist(), np.zeros(g.x_shape).tolist()
    depths, heights, widths = windows(g, 0), windows(g, 1), windows(g, 2)
    for n, k in product(range(g.n), range(g.k)):
        for o, p, q in product(*map(range, g.output)):
            gradient = dys[n][k][o][p][q]
            for c, channel in enumerate(channels_of(k, g)):
                for t, d in depths[o]:
                    for r, h in heights[p]:
                        row, taps = dxs[n][channel][d][h], ws[k][c][t][r]
                        for s, i in widths[q]:
                            row[i] += gradient * taps[s]
    dx[...] = rounded(dxs, dx)


def conv_backward_weight(x, dy, dw, db, g):
    """Each output hands its gradient to the weights it was summed with, times the input that they met."""
    xs, dys, dws, dbs = x.tolist(), dy.tolist(), np.zeros(g.w_shape).tolist(), [0.0] * g.k
    depths, heights, widths = windows(g, 0), windows(g, 1), windows(g, 2)
    for n, k in product(range(g.n), range(g.k)):
        for o, p, q in product(*map(range, g.output)):
            gradient = dys[n][k][o][p][q]
            dbs[k] += gradient
            for c, channel in enumerate(channels_of(k, g)):
                for t, d in depths[o]:
                    for r, h in heights[p]:
                        row, taps = xs[n][channel][d][h], dws[k][c][t][r]
                        for s, i in widths[q]:
                            taps[s] += gradient * row[i]
    dw[...] = rounded(dws, dw)
    if db is not None:
        db[...] = rounded(dbs, db)


def im2col(x, cols, g):
    """Write what each window sees into a column of its own: row (c, t, r, s), column (o, p, q); padding is zero."""
    cols[...] = 0
    for n, c, row, column, (d, h, i) in patches(g):
        cols[n, row, column] = x[n, c, d, h, i]


def col2im(cols, x, g):
    """Add every element of the columns to where `im2col` takes it from."""
    totals = np.zeros(g.x_shape)
    for n, c, row, column, (d, h, i) in patches(g):
        totals[n, c, d, h, i] += cols[n, row, column]
    x[...] = rounded(totals, x)


def max_pool_forward(x, y, indices, g):
    """The largest element of each window, and where it stands in its map; see `fastconv.backends` for ties and NaN."""
    xs = x.tolist()
    depths, heights, widths = windows(g, 0), windows(g, 1), windows(g, 2)
    _, height, width = g.input
    for n, c in product(range(g.n), range(g.c)):
        for o, p, q in product(*map(range, g.output)):
            largest, where = None, None
            for _, d in depths[o]:
                for _, h in heights[p]:
                    for _, i in widths[q]:
                        value = xs[n][c][d][h][i]
                        # Only a NaN differs from itself. Nothing exceeds it, so that only a later NaN replaces it.
                        if largest is None or value > largest or value != value:
                            largest, where = value, (d * height + h) * width + i
            y[n, c, o, p, q] = largest
            if indices is not None:
                indices[n, c, o, p, q] = where


def max_pool_backward(dy, indices, dx, g):
    """Each output's gradient goes to the element that it was."""
    dxs = np.zeros((g.n, g.c, g.input[0] * g.input[1] * g.input[2]))
    for n, c in product(range(g.n), range(g.c)):
        for o, p, q in product(*map(range, g.output)):
            dxs[n, c, indices[n, c, o, p, q]] += dy[n, c, o, p, q]
    dx[...] = rounded(dxs.reshape(g.x_shape), dx)


def avg_pool_forward(x, y, g):
    """The sum of each window over its divisor."""
    xs = x.tolist()
    depths, heights, widths = windows(g, 0), windows(g, 1), windows(g, 2)
    for n, c in product(range(g.n), range(g.c)):
        for o, p, q in product(*map(range, g.output)):
            total = 0.0
            for _, d in depths[o]:
                for _, h in heights[p]:
                    for _, i in widths[q]:
                        total += xs[n][c][d][h][i]
            y[n, c, o, p, q] = rounded(total / divisor(o, p, q, g), y)


def avg_pool_backward(dy, dx, g):
    """Each output's gradient goes in equal parts to the elements of its window."""
    dys, dxs = dy.tolist(), np.zeros(g.x_shape).tolist()
    depths, heights, widths = windows(g, 0), windows(g, 1), windows(g, 2)
    for n, c in product(range(g.n), range(g.c)):
        for o, p, q in product(*map(range, g.output)):
            part = dys[n][c][o][p][q] / divisor(o, p, q, g)
            for _, d in depths[o]:
                for _, h in heights[p]:
                    for _, i in widths[q]:
                        dxs[n][c][d][h][i] += part
    dx[...] = rounded(dxs, dx)


def channels_of(k, g):
    """The input channels that output channel `k` is summed from: those of its group."""
    per_group = g.c // g.groups
    first = k // (g.k // g.groups) * per_group
    return range(first, first + per_group)


def patches(g):
    """(n, c, row, column, position) of every element of the column matrix that is not padding."""
    depths, heights, widths = windows(g, 0), windows(g, 1), windows(g, 2)
    (_, rows, taps), (_, heights_out, widths_out) = g.kernel, g.output
    for n, c in product(range(g.n), range(g.c)):
        for o, p, q in product(*map(range, g.output)):
            for (t, d), (r, h), (s, i) in product(depths[o], heights[p], widths[q]):
                row = ((c * g.kernel[0] + t) * rows + r) * taps + s
                yield n, c, row, (o * heights_out + p) * widths_out + q, (d, h, i)


def divisor(o, p, q, g):
    """What the sum of window (o, p, q) of an average pooling is divided by.

    That is ``g.divisor`` if it is not 0, else the number of the window's elements: those inside the input, or, with
    ``count_include_pad``, inside the input and its padding. The part of a window that `ceil_mode` lets hang over even
    the padding never counts.
    """
    if g.divisor:
        return g.divisor
    count = 1
    for axis, position in enumerate((o, p, q)):
        before, after = g.padding[axis] if g.count_include_pad else (0, 0)
        start = position * g.stride[axis] - g.padding[axis][0]
        reached = [start + tap * g.dilation[axis] for tap in range(g.kernel[axis])]
        count *= sum(-before <= i < g.input[axis] + after for i in reached)
    return count


def rounded(values, result):
    """float64 `values` in the type of `result`; what is too large for it becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(result.dtype)
