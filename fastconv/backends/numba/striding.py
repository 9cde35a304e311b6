"""Pooling by windows of stride 2 to 4: down the columns first, then along the row of what was found.

Down the columns neighbors need no strides; every `stride`-th element is then taken from a row near by. A window at a
time, 4 x 4 maxima of 8 x 64 x 56 x 56 take 0.58 ms on an Intel Xeon; so 0.31. A work item is a plane (n, c).
"""

from math import prod

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import VECTOR_BYTES
from fastconv.backends.numba.jit import ask_for, ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.neighbors import Columns, later, numbers
from fastconv.backends.numba.pool import AHEAD, LOWEST, extent
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.vector import number
from fastconv.backends.numba.window import divide
from fastconv.backends.numba.words import INT, Loop, choose, revised

SPACE = 1 << 12  # elements of each buffer: rows of several results
STRIDES = (2, 3, 4)
BEYOND = 1 << 30  # the place of what lies outside of a row: after all others
STEPS = 4  # that are done in a nanosecond, roughly


class _Strided(Columns):
    """Every `stride`-th element of a row."""

    def every(self, base, stride, part):
        """The elements `part`, part + stride, .. from `base` on, which may be 32-bit integers."""
        kind = ir.VectorType(base.type.pointee, stride * self.lanes)
        whole = self.builder.load(self.builder.bitcast(base, kind.as_pointer()), align=4)
        return self.shuffle(whole, whole, range(part, stride * self.lanes, stride))

    def taps(self, taps, stride, values, step):
        """``step(values, begun, part)`` for each tap begun + part, where `part` < `stride`, a literal."""
        builder = self.builder
        whole = builder.sub(taps, builder.srem(taps, INT(stride)))
        loop = Loop(builder, "taps", whole, stride, values)
        values = loop.values
        for part in range(stride):
            values = step(values, loop.index, part)
        values = loop.close(values)
        for part in range(stride - 1):
            values = revised(builder, builder.icmp_signed("<", builder.add(whole, INT(part)), taps), values,
                             lambda values, part=part: step(values, whole, part))
        return values

    def down(self, rows, width, x, first, fold, put):
        """Fold each vector of a row and those below it, `width` elements apart; only those are read."""
        builder = self.builder

        def step(j, mask):
            def load(place):
                return self.load(place) if mask is None else self.load_masked(place, mask)

            place = self.at(x, j)
            ask_for(builder, self.at(place, AHEAD // self.size))
            loop = Loop(builder, "rows", rows, 1, [*first(load(place)), self.at(place, width)], 1)
            *values, place = loop.values
            *values, _ = loop.close([*fold(values, loop.index, load(place)), self.at(place, width)])
            put(j, mask, *values)

        self.over(width, ir.IntType(1)(1), step)


@intrinsic
def max_rows(typingctx, rows, width, x, best, which):
    """``best[j]``, the maximum of ``x[r * width + j]`` for r < `rows` and j < `width`; ``which[j]``, its r * width."""

    def generate(context, builder, signature, args):
        rows, width, x, best, which = args
        v = _Strided(context, builder, signature.args[2].dtype)

        def put(j, mask, value, where):
            v.put(value, v.at(best, j), mask)
            v.put(where, v.at(which, j), mask)

        v.down(rows, width, x, lambda value: [value, v.splat(INT(0))],
               lambda values, r, value: later(builder, *values, value, v.splat(builder.mul(r, width))), put)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, x, best, which), generate


@intrinsic
def max_every(typingctx, taps, stride, best, which, count, base, y, indices, indexed, tight):
    """Write a row of the maxima of each `stride`-th window of `taps` of what `max_rows` has found, and its place.

    The place of column j is ``base + j + which[j]``. Whole vectors are written, unless `tight`.
    """

    def generate(context, builder, signature, args):
        taps, stride, best, which, count, base, y, indices, indexed, tight = args
        v = _Strided(context, builder, signature.args[2].dtype)
        low, none = ir.Constant(v.type, [float("-inf")] * v.lanes), v.splat(INT(BEYOND))

        def columns(stride, indexed):
            steps = ir.Constant(v.steps, [stride * j for j in range(v.lanes)])

            def step(j, mask):
                begin = builder.mul(j, INT(stride))

                def join(values, begun, part):
                    at = builder.add(begin, begun)
                    value = v.every(v.at(best, at), stride, part)
                    if not indexed:
                        return later(builder, *values, value, values[1])
                    column = builder.add(steps, v.splat(builder.add(at, INT(part))))
                    place = builder.add(v.every(v.at(which, at), stride, part), column)
                    return _first(builder, *values, value, place)

                value, where = v.taps(taps, stride, [low, none], join)
                v.put(value, v.at(y, j), mask)
                if indexed:
                    where = builder.add(where, v.splat(base))
                    v.put(builder.zext(where, ir.VectorType(INT, v.lanes)), v.at(indices, j), mask)

            v.over(count, tight, step)

        choose(builder, (stride, builder.zext(indexed, INT)), [(n, m) for n in STRIDES for m in (0, 1)], columns)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, best, which, integer, integer, y, indices, types.boolean,
                      types.boolean), generate


def _first(builder, best, where, value, place):
    """The larger one, of equal ones that at the lower place; a NaN is larger than all, that at the highest place."""
    sooner = builder.icmp_signed("<", place, where)
    take = builder.or_(builder.fcmp_ordered(">", value, best),
                       builder.and_(builder.fcmp_ordered("==", value, best), sooner))
    missing = builder.and_(builder.fcmp_unordered("uno", value, value),
                           builder.or_(builder.fcmp_ordered("ord", best, best), builder.not_(sooner)))
    take = builder.or_(take, missing)
    return builder.select(take, value, best), builder.select(take, place, where)


@intrinsic
def sum_rows(typingctx, rows, width, x, sums):
    """``sums[j]``, that of ``x[r * width + j]`` for r < `rows` and j < `width`."""

    def generate(context, builder, signature, args):
        rows, width, x, sums = args
        v = _Strided(context, builder, signature.args[2].dtype)
        v.down(rows, width, x, lambda value: [value], lambda values, _, value: [builder.fadd(*values, value)],
               lambda j, mask, total: v.put(total, v.at(sums, j), mask))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, x, sums), generate


@intrinsic
def sum_every(typingctx, taps, stride, sums, count, tall, wide, y, tight):
    """Write a row of the sums of each `stride`-th window of `taps` of a row, over ``tall * wide[j]``.

    Whole vectors are written, unless `tight`.
    """

    def generate(context, builder, signature, args):
        taps, stride, sums, count, tall, wide, y, tight = args
        v = _Strided(context, builder, signature.args[2].dtype)
        tall = v.broadcast(tall)

        def columns(stride):
            def step(j, mask):
                begin = v.at(sums, builder.mul(j, INT(stride)))
                [total] = v.taps(taps, stride, [v.zero], lambda values, begun, part: [
                    builder.fadd(*values, v.every(v.at(begin, begun), stride, part))])
                v.put(divide(builder, v, total, builder.fmul(tall, v.load(v.at(wide, j)))), v.at(y, j), mask)

            v.over(count, tight, step)

        choose(builder, (stride,), [(n,) for n in STRIDES], columns)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, sums, integer, sums.dtype, wide, y, types.boolean), generate


@range_kernel
def max_striding(begin, end, a, like):
    maps, y, indices, indexed = pointer(a[0], like), pointer(a[1], like), ints(a[2]), a[2] != 0
    height, width, kernel_h, kernel_w, out_h, out_w = a[3], a[4], a[5], a[6], a[7], a[8]
    stride_h, stride_w, top, left, pitch, strip = a[9], a[10], a[11], a[12], a[13], a[14]
    best, which = stack(SPACE, like), numbers(stack(SPACE, like))
    outputs, whole = out_h * out_w, (out_w + lanes(like) - 1) // lanes(like) * lanes(like)
    for j in range(pitch * strip):
        best[j], which[j] = number(LOWEST, like), BEYOND
    for plane in range(begin, end):
        x, room = shift(maps, plane * height * width), (end - plane) * outputs
        for begun in range(0, out_h, strip):
            done = min(begun + strip, out_h)
            for p in range(begun, done):
                h, at = max(0, p * stride_h - top), (p - begun) * pitch + left
                rows = min(height, p * stride_h - top + kernel_h) - h
                max_rows(rows, width, shift(x, h * width), shift(best, at), shift(which, at))
            for p in range(begun, done):
                at, out = (p - begun) * pitch, plane * outputs + p * out_w
                max_every(kernel_w, stride_w, shift(best, at), shift(which, at), out_w,
                          max(0, p * stride_h - top) * width - left, shift(y, out), shift(indices, out), indexed,
                          p * out_w + whole > room)


@range_kernel
def avg_striding(begin, end, a, like):
    maps, y = pointer(a[0], like), pointer(a[1], like)
    height, width, kernel_h, kernel_w, out_h, out_w = a[2], a[3], a[4], a[5], a[6], a[7]
    stride_h, stride_w, top, left, pitch, strip = a[8], a[9], a[10], a[11], a[12], a[13]
    bottom, right, padded, divisor = a[14], a[15], a[16] != 0, a[17]
    sums, wide = stack(SPACE, like), stack(SPACE, like)
    outputs, whole = out_h * out_w, (out_w + lanes(like) - 1) // lanes(like) * lanes(like)
    for j in range(pitch * strip):
        sums[j] = number(0, like)
    for q in range(whole):
        wide[q] = number(1, like)
        if divisor == 0 and q < out_w:
            wide[q] = extent(q, width, kernel_w, stride_w, left, right, padded)
    for plane in range(begin, end):
        x, room = shift(maps, plane * height * width), (end - plane) * outputs
        for begun in range(0, out_h, strip):
            done = min(begun + strip, out_h)
            for p in range(begun, done):
                h = max(0, p * stride_h - top)
                rows = min(height, p * stride_h - top + kernel_h) - h
                sum_rows(rows, width, shift(x, h * width), shift(sums, (p - begun) * pitch + left))
            for p in range(begun, done):
                tall = divisor if divisor else extent(p, height, kernel_h, stride_h, top, bottom, padded)
                sum_every(kernel_w, stride_w, shift(sums, (p - begun) * pitch), out_w, number(tall, like), wide,
                          shift(y, plane * outputs + p * out_w), p * out_w + whole > room)


def serves(p, g):
    """Whether windows are of such strides, and a row fits the buffers."""
    return (g.kernel[0] == g.stride[0] == 1 and not any(g.padding[0]) and g.stride[2] in STRIDES
            and max(g.dilation) == 1 and prod(g.input[1:]) < BEYOND and _rows(p, g)[1] > 0)


def _rows(p, g):
    """Elements from a row of the buffers to the next, and rows of results that are computed together."""
    lanes = VECTOR_BYTES // p.dtype.itemsize
    pitch = max((g.output[2] + lanes) * g.stride[2] + g.kernel[2], g.padding[2][0] + g.input[2])
    return pitch, min(g.output[1], SPACE // pitch)


def max_forward(p, g, x, y, indices):
    """Plan `max_pool_forward`."""
    (top, _), (left, _) = g.padding[1:]
    p.do("max_striding", g.n * g.c * g.input[0], (x, y, indices),
         (*g.input[1:], *g.kernel[1:], *g.output[1:], *g.stride[1:], top, left, *_rows(p, g)),
         x.size * g.kernel[1] // STEPS)


def avg_forward(p, g, x, y):
    """Plan `avg_pool_forward`."""
    (top, bottom), (left, right) = g.padding[1:]
    p.do("avg_striding", g.n * g.c * g.input[0], (x, y),
         (*g.input[1:], *g.kernel[1:], *g.output[1:], *g.stride[1:], top, left, *_rows(p, g), bottom, right,
          g.count_include_pad, g.divisor or 0), x.size * g.kernel[1] // STEPS)
