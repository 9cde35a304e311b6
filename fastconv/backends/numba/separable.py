"""Pooling by windows of stride 1: along the rows first, then down the columns.

What a row adds to a window is found once for all the windows that share it: R + S steps a result in place of R x S, and
none of them one by one at the edges of a map: 0.49 ms in place of 4.7 for 5 x 5 maxima of 8 x 256 x 13 x 13 on an
Intel Xeon, 1.0 in place of 2.7 for 3 x 3 ones of 8 x 192 x 28 x 28. A work item is a plane (n, c).
"""

from itertools import chain
from math import prod

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import VECTOR_BYTES
from fastconv.backends.numba.jit import ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.neighbors import Columns, later, numbers
from fastconv.backends.numba.pool import INDEXED, extent
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.vector import number
from fastconv.backends.numba.window import divide
from fastconv.backends.numba.words import INT, Loop, choose

SPACE = 1 << 13  # elements of each buffer
TOGETHER = 1 << 12  # that are worked on together: what they become stays in the first-level cache
STEPS = 4  # that are done in a nanosecond, roughly


@intrinsic
def max_along(typingctx, taps, left, x, width, count, best, which):
    """``best[j]``, the maximum of ``x[j + s - left]`` for s < `taps`, and ``which[j]``, its s, a 32-bit integer.

    Only elements among the `width` of the row x are chosen, and only those are read; whole vectors are written.
    """

    def generate(context, builder, signature, args):
        taps, left, x, width, count, best, which = args
        v = Columns(context, builder, signature.args[2].dtype)
        low, none = ir.Constant(v.type, [float("-inf")] * v.lanes), ir.Constant(v.steps, [0] * v.lanes)

        def fold(values, s, element):
            if values is None:
                first = builder.sub(v.splat(left), v.count_from(s))
                return low, builder.select(builder.icmp_signed(">", first, none), first, none)
            return later(builder, *values, element, v.splat(s))

        def put(j, value, where):
            v.store(value, v.at(best, j))
            v.store_places(where, v.at(which, j))

        v.along(taps, left, x, width, count, low, fold, put)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, x, types.int64, types.int64, best, which), generate


@intrinsic
def max_down(typingctx, rows, pitch, best, which, count, base, width, y, indices, indexed, tight):
    """Write a row of the maxima of `rows` elements of `best`, `pitch` apart, and where they are, if `indexed`.

    That is ``base + j + r * width + which[j + r * pitch]`` for column j and row r. Whole vectors are written, unless
    `tight`.
    """

    def generate(context, builder, signature, args):
        rows, pitch, best, which, count, base, width, y, indices, indexed, tight = args
        v = Columns(context, builder, signature.args[2].dtype)
        down = v.splat(width)

        def columns(indexed):
            def step(j, mask):
                starts = [v.at(best, j), v.at(which, j)]
                value = v.load(starts[0])
                where = v.load_places(starts[1]) if indexed else ir.Constant(v.steps, [0] * v.lanes)
                following = [v.at(start, pitch) for start in starts]
                loop = Loop(builder, "rows", rows, 1, [value, where, *following, down], 1)
                value, where, row, steps, further = loop.values
                at = builder.add(v.load_places(steps), further) if indexed else where
                found = later(builder, value, where, v.load(row), at)
                value, where, *_ = loop.close([*found, v.at(row, pitch), v.at(steps, pitch),
                                               builder.add(further, down)])
                v.put(value, v.at(y, j), mask)
                if indexed:
                    where = builder.add(where, v.count_from(builder.add(base, j)))
                    v.put(builder.zext(where, ir.VectorType(INT, v.lanes)), v.at(indices, j), mask)

            v.over(count, tight, step)

        choose(builder, (builder.zext(indexed, INT),), [(0,), (1,)], columns)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, best, which, integer, integer, integer, y, indices, types.boolean,
                      types.boolean), generate


@intrinsic
def sum_along(typingctx, taps, left, x, width, count, sums):
    """``sums[j]``, that of ``x[j + s - left]`` for s < `taps`, of elements among the `width` of the row x."""

    def generate(context, builder, signature, args):
        taps, left, x, width, count, sums = args
        v = Columns(context, builder, signature.args[2].dtype)
        v.along(taps, left, x, width, count, v.zero,
                lambda values, s, element: [v.zero] if values is None else [builder.fadd(*values, element)],
                lambda j, total: v.store(total, v.at(sums, j)))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, x, types.int64, types.int64, sums), generate


@intrinsic
def sum_down(typingctx, rows, pitch, sums, count, tall, wide, divided, y, tight):
    """Write a row of the sums of `rows` elements, `pitch` apart; if `divided`, over ``tall * wide[j]``.

    Whole vectors are written, unless `tight`.
    """

    def generate(context, builder, signature, args):
        rows, pitch, sums, count, tall, wide, divided, y, tight = args
        v = Columns(context, builder, signature.args[2].dtype)
        tall = v.broadcast(tall)

        def columns(divided):
            def step(j, mask):
                loop = Loop(builder, "rows", rows, 1, [v.zero, v.at(sums, j)])
                total, row = loop.values
                total, _ = loop.close([builder.fadd(total, v.load(row)), v.at(row, pitch)])
                if divided:
                    total = divide(builder, v, total, builder.fmul(tall, v.load(v.at(wide, j))))
                v.put(total, v.at(y, j), mask)

            v.over(count, tight, step)

        choose(builder, (builder.zext(divided, INT),), [(0,), (1,)], columns)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, sums, integer, sums.dtype, wide, types.boolean, y, types.boolean), generate


@intrinsic
def divide_row(typingctx, x, count, tall, wide, shares):
    """``shares[j] = x[j] / (tall * wide[j])``; `count` elements are read and written."""

    def generate(context, builder, signature, args):
        x, count, tall, wide, shares = args
        v = Columns(context, builder, signature.args[0].dtype)
        tall = v.broadcast(tall)

        def step(j, mask):
            value = v.load(v.at(x, j)) if mask is None else v.load_masked(v.at(x, j), mask)
            divisor = builder.fmul(tall, v.load(v.at(wide, j)))
            v.put(divide(builder, v, value, divisor), v.at(shares, j), mask)

        v.over(count, ir.IntType(1)(1), step)
        return context.get_dummy_value()

    return types.void(x, types.int64, x.dtype, wide, shares), generate


@range_kernel
def max_separable(begin, end, a, like):
    maps, y, indices, indexed = pointer(a[0], like), pointer(a[1], like), ints(a[2]), a[2] != 0
    height, width, kernel_h, kernel_w, out_h, out_w = a[3], a[4], a[5], a[6], a[7], a[8]
    top, left, pitch, strip = a[9], a[10], a[11], a[12]
    best, which = stack(SPACE, like), numbers(stack(SPACE, like))
    outputs, whole = out_h * out_w, (out_w + lanes(like) - 1) // lanes(like) * lanes(like)
    for plane in range(begin, end):
        x, room = shift(maps, plane * height * width), (end - plane) * outputs
        for begun in range(0, out_h, strip):
            done = min(begun + strip, out_h)
            above, below = max(0, begun - top), min(height, done - 1 - top + kernel_h)
            for h in range(above, below):
                at = (h - above) * pitch
                max_along(kernel_w, left, shift(x, h * width), width, out_w, shift(best, at), shift(which, at))
            for p in range(begun, done):
                h = max(0, p - top)
                at, out = (h - above) * pitch, plane * outputs + p * out_w
                max_down(min(height, p - top + kernel_h) - h, pitch, shift(best, at), shift(which, at), out_w,
                         h * width - left, width, shift(y, out), shift(indices, out), indexed,
                         p * out_w + whole > room)


@range_kernel
def avg_separable(begin, end, a, like):
    """Sums of windows of x over their divisors; `shared`, which is the gradient, of dy that has been divided so."""
    maps, y = pointer(a[0], like), pointer(a[1], like)
    height, width, kernel_h, kernel_w, out_h, out_w = a[2], a[3], a[4], a[5], a[6], a[7]
    top, left, pitch, strip, shared = a[8], a[9], a[10], a[11], a[12] != 0
    divisor, padded = a[13], a[14] != 0
    before_h, size_h, after_h, before_w, size_w, after_w = a[15], a[16], a[17], a[18], a[19], a[20]
    shares, sums, wide = stack(SPACE, like), stack(SPACE, like), stack(SPACE, like)
    outputs, whole = out_h * out_w, (out_w + lanes(like) - 1) // lanes(like) * lanes(like)
    for q in range(pitch):
        wide[q] = number(1, like)
        if divisor == 0 and q < (width if shared else out_w):
            wide[q] = extent(q, size_w, kernel_w, 1, before_w, after_w, padded)
    for plane in range(begin, end):
        x, room = shift(maps, plane * height * width), (end - plane) * outputs
        for begun in range(0, out_h, strip):
            done = min(begun + strip, out_h)
            above, below = max(0, begun - top), min(height, done - 1 - top + kernel_h)
            for h in range(above if shared else below, below):
                tall = divisor if divisor else extent(h, size_h, kernel_h, 1, before_h, after_h, padded)
                divide_row(shift(x, h * width), width, number(tall, like), wide, shift(shares, (h - above) * pitch))
            for h in range(above, below):
                at = (h - above) * pitch
                row = shift(shares, at) if shared else shift(x, h * width)
                sum_along(kernel_w, left, row, width, out_w, shift(sums, at))
            for p in range(begun, done):
                h = max(0, p - top)
                tall = divisor if divisor else extent(p, size_h, kernel_h, 1, before_h, after_h, padded)
                sum_down(min(height, p - top + kernel_h) - h, pitch, shift(sums, (h - above) * pitch), out_w,
                         number(tall, like), wide, not shared, shift(y, plane * outputs + p * out_w),
                         p * out_w + whole > room)


def serves(p, g):
    """Whether windows are of stride 1, and some of their rows fit the buffers."""
    return (g.kernel[0] == g.stride[0] == 1 and not any(g.padding[0]) and g.stride[1:] == g.dilation[1:] == (1, 1)
            and all(max(pads) < kernel for pads, kernel in zip(g.padding, g.kernel, strict=True))
            and _rows(p, g)[1] >= g.kernel[1] and prod(g.input[1:]) < INDEXED)


def pays(g):
    """Whether fewer elements meet, or some windows reach over the edges: 2 x 2 windows without padding take longer."""
    return sum(g.kernel[1:]) < prod(g.kernel) or any(map(sum, g.padding))


def _rows(p, g):
    """Elements from a row of the buffers to the next, and rows of results that are computed together."""
    lanes = VECTOR_BYTES // p.dtype.itemsize
    pitch = (max(g.input[2], g.output[2]) // lanes + 1) * lanes
    most = SPACE // pitch - g.kernel[1] + 1
    return pitch, min(most, max(TOGETHER // pitch, 2 * g.kernel[1]))


def max_forward(p, g, x, y, indices):
    """Plan `max_pool_forward`."""
    (top, _), (left, _) = g.padding[1:]
    p.do("max_separable", g.n * g.c * g.input[0], (x, y, indices),
         (*g.input[1:], *g.kernel[1:], *g.output[1:], top, left, *_rows(p, g)),
         y.size * sum(g.kernel[1:]) // STEPS)


def avg_forward(p, g, x, y):
    """Plan `avg_pool_forward`."""
    (top, _), (left, _) = g.padding[1:]
    _average(p, g, x, y, g.input, g.output, top, left, False)


def avg_backward(p, g, dy, dx):
    """Plan `avg_pool_backward`: each element's sum over the windows that it is in."""
    top, left = (kernel - 1 - before for kernel, (before, _) in zip(g.kernel[1:], g.padding[1:], strict=True))
    _average(p, g, dy, dx, g.output, g.input, top, left, True)


def _average(p, g, source, out, size, outputs, top, left, shared):
    extents = ((before, length, after) for length, (before, after) in zip(g.input[1:], g.padding[1:], strict=True))
    p.do("avg_separable", g.n * g.c * g.input[0], (source, out),
         (*size[1:], *g.kernel[1:], *outputs[1:], top, left, *_rows(p, g), shared, g.divisor or 0,
          g.count_include_pad, *chain.from_iterable(extents)), out.size * sum(g.kernel[1:]) // STEPS)
