"""Windows of a pooling, a vector of them at a time: the largest or the sum of every tap, kept in registers.

The taps come as a table of offsets within a map, one for each stretch of neighboring taps. Written as plain loops, the
maximum, its index and the strided loads are not vectorized: 19 ms in place of 2.9 for 3 x 3 windows of stride 2 on
8 x 64 x 112 x 112.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import NAME, VECTOR_BYTES
from fastconv.backends.numba.jit import ask_for
from fastconv.backends.numba.words import INT, LANE, Vectors, keep_rolled

LINE_BYTES = 64  # of a cache line
FUSED = NAME != "generic"  # whether a multiply-add is one instruction


class Windows:
    """LANES neighboring windows `stride` elements apart, or `step` where `stride` is 0, by stretches of `taps`.

    Only a stretch of one tap goes with `stride` 0.
    """

    def __init__(self, vectors, taps, stride, step=None):
        self.v, self.builder, self.taps, self.stride, self.step = vectors, vectors.builder, taps, stride, step

    def load(self, base):
        """A vector for each tap of a stretch: nothing beyond the last window's is read."""
        n = self.v.lanes
        if self.stride == 1:
            return [self.v.load(self.v.at(base, s)) for s in range(self.taps)]
        if self.stride == 0:
            value = self.v.undefined
            for i in range(n):
                one = self.builder.load(self.v.at(base, self.builder.mul(self.step, INT(i))))
                value = self.builder.insert_element(value, one, LANE(i))
            return [value]
        values = []
        for s in range(0, self.taps - 1, 2):
            low, high = self.v.load(self.v.at(base, s)), self.v.load(self.v.at(base, s + n))
            values += [self.v.shuffle(low, high, range(odd, 2 * n, 2)) for odd in (0, 1)]
        if self.taps % 2:
            # The second load begins one element early, so that it ends at the last element needed and not beyond.
            s = self.taps - 1
            low, high = self.v.load(self.v.at(base, s)), self.v.load(self.v.at(base, s + n - 1))
            even = [2 * i for i in range(n // 2)] + [n + 1 + 2 * i for i in range(n // 2)]
            values.append(self.v.shuffle(low, high, even))
        return values

    def splat(self, value):
        kind = ir.VectorType(value.type, self.v.lanes)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, LANE(0))
        return self.v.shuffle(one, one, [0] * self.v.lanes)

    def numbers(self, values):
        """A constant of 32-bit integers, `values` for each lane or one for all."""
        values = [values] * self.v.lanes if isinstance(values, int) else list(values)
        return ir.Constant(ir.VectorType(LANE, self.v.lanes), values)

    def over(self, rows, gap, table, count, every, first, step):
        """Fold ``step(values, offset)`` over the offsets of a window's stretches, from ``first(offset)``.

        There are `rows` of them, `gap` apart, if that is not 0, else `count`, every `every`-th of a table. Offsets from
        a table are loaded again for each vector, as LLVM cannot know that results do not overwrite it.
        """
        builder = self.builder
        if rows:
            values = first(INT(0))
            for t in range(1, rows):
                values = step(values, builder.mul(gap, INT(t)))
            return values
        begun = first(builder.load(table))
        entry, loop, done = builder.block, builder.append_basic_block("taps"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed(">", count, INT(1)), loop, done)
        builder.position_at_end(loop)
        t = builder.phi(INT)
        values = [builder.phi(value.type) for value in begun]
        after = step(values, builder.load(self.v.at(table, builder.mul(t, every))))
        following = builder.add(t, INT(1))
        keep_rolled(builder.cbranch(builder.icmp_signed("<", following, count), loop, done), builder.module)
        t.add_incoming(INT(1), entry)
        t.add_incoming(following, loop)
        builder.position_at_end(done)
        ended = [builder.phi(value.type) for value in begun]
        for value, end, start, last in zip(values, ended, begun, after, strict=True):
            value.add_incoming(start, entry)
            value.add_incoming(last, loop)
            end.add_incoming(start, entry)
            end.add_incoming(last, loop)
        return ended


class _Largest:
    """The largest of what was met so far, where it is, and whether anything was."""

    def __init__(self, builder, best, which, met=None):
        self.builder, self.best, self.which, self.met = builder, best, which, met

    def join(self, best, which, met=None):
        """With what comes later. A NaN is larger than all, the last one than another."""
        builder = self.builder
        keep = builder.and_(builder.fcmp_ordered("ord", best, best), builder.fcmp_unordered("<=", best, self.best))
        if self.met is not None:
            keep = builder.or_(builder.and_(keep, self.met), builder.not_(met))
            met = builder.or_(met, self.met)
        return _Largest(builder, builder.select(keep, self.best, best), builder.select(keep, self.which, which), met)


@intrinsic
def max_windows(typingctx, rows, taps, stride, edge, indexed, x, gap, table, count, every, base, step, column, width,
                y, indices):
    """Maxima of LANES neighboring windows, and where they are.

    Parameters
    ----------
    rows : literal int
        Stretches of taps in a window, `gap` elements apart; or 0 for as many as `count` says, by `table`.
    taps : literal int
        Neighbors of a stretch.
    stride : literal 0, 1 or 2
        0 for that of `step`, whose elements are loaded one by one; `taps` is 1 then.
    edge : literal 0 or 1
        Whether windows may reach over the ends of a row, which are then never chosen; each has a tap inside.
    indexed : literal 0 or 1
        Whether to write `indices`.
    x : pointer
        The map.
    gap : int64
    table : pointer to int64
        Every `every`-th of it is the offset of a stretch, in the order in which ties are decided.
    base : int64
        What to add to an offset to find the first window's tap in the map.
    step : int64
        Elements from a window to the next.
    column, width : int64
        Where in a row the first window's stretches begin, and the length of a row; read only with `edge`.
    y, indices : pointer
        Where the first window's result goes.
    """
    if not all(isinstance(value, types.IntegerLiteral) for value in (rows, taps, stride, edge, indexed)):
        return None

    def generate(context, builder, signature, args):
        x, gap, table, count, every, base, step, column, width, y, indices = args[5:]
        v = Vectors(context, builder, signature.args[5].dtype)
        w = Windows(v, taps.literal_value, stride.literal_value, step)
        start = v.at(x, base)
        steps = w.numbers(i * (stride.literal_value or 1) for i in range(v.lanes))
        if stride.literal_value == 0:
            steps = builder.mul(steps, w.splat(builder.trunc(step, LANE)))
        inside = [None] * w.taps
        if edge.literal_value:
            columns = builder.add(steps, w.splat(builder.trunc(column, LANE)))
            # Seen as unsigned, a negative column is a huge one.
            inside = [builder.icmp_unsigned("<", builder.add(columns, w.numbers(s)),
                                            w.splat(builder.trunc(width, LANE))) for s in range(w.taps)]

        def stretch(offset):
            # A map's offset fits 32 bits where its elements do; the caller sees to that. The sums with `steps` are
            # the same for all vectors, so that LLVM takes them out of the loop over them.
            near = builder.add(steps, w.splat(builder.trunc(offset, LANE)))
            values = w.load(v.at(start, offset))
            largest = _Largest(builder, values[0], near, inside[0])
            for s in range(1, w.taps):
                largest = largest.join(values[s], builder.add(near, w.numbers(s)), inside[s])
            return [largest.best, largest.which]

        def join(values, offset):
            largest = _Largest(builder, *values).join(*stretch(offset))
            return [largest.best, largest.which]

        best, which = w.over(rows.literal_value, gap, table, count, every, stretch, join)
        v.store(best, y)
        if indexed.literal_value:
            place = builder.add(which, w.splat(builder.trunc(base, LANE)))
            wide = ir.VectorType(INT, v.lanes)
            builder.store(builder.zext(place, wide), builder.bitcast(indices, wide.as_pointer()), align=8)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(rows, taps, stride, edge, indexed, x, integer, table, *[integer] * 6, y, indices), generate


def divide(builder, v, value, divisor):
    """``value / divisor`` as a product with the reciprocal whose rounding its rest corrects.

    The bits are those of a division but for a half of the smallest subnormal number, which may go the other way. A
    division, and a product that is not part of a multiply-add, takes twice the time where it is subnormal. The rest,
    exact because multiply-adds are fused, is NaN where the value is infinite or NaN.
    """
    if not FUSED:
        return builder.fdiv(value, divisor)
    kind = value.type
    suffix = v.suffix if kind is v.type else f"f{8 * v.size}"
    fma = v.intrinsic(f"llvm.fma.{suffix}", kind, [kind] * 3)
    one = ir.Constant(kind, [1.0] * v.lanes if kind is v.type else 1.0)
    zero = ir.Constant(kind, [0.0] * v.lanes if kind is v.type else 0.0)
    inverse = builder.fdiv(one, divisor)
    product = builder.call(fma, [value, inverse, zero])
    rest = builder.call(fma, [builder.fneg(product), divisor, value])
    return builder.select(builder.fcmp_ordered("ord", rest, rest), builder.call(fma, [rest, inverse, product]), product)


@intrinsic
def quotient(typingctx, value, divisor):
    """``value / divisor``, an int, with the bits that vectors of them have."""

    def generate(context, builder, signature, args):
        v = Vectors(context, builder, signature.args[0])
        return divide(builder, v, args[0], builder.sitofp(args[1], v.element))

    return value(value, types.int64), generate


@intrinsic
def sum_windows(typingctx, rows, taps, stride, x, gap, table, count, every, divisor, y):
    """Sums of LANES neighboring windows that lie inside the map, in the order of the taps, over `divisor`."""
    if not all(isinstance(value, types.IntegerLiteral) for value in (rows, taps, stride)):
        return None

    def generate(context, builder, signature, args):
        x, gap, table, count, every, divisor, y = args[3:]
        v = Vectors(context, builder, signature.args[3].dtype)
        w = Windows(v, taps.literal_value, stride.literal_value)

        def stretch(totals, offset):
            [total] = totals
            for value in w.load(v.at(x, offset)):
                total = builder.fadd(total, value)
            return [total]

        [total] = w.over(rows.literal_value, gap, table, count, every, lambda offset: stretch([v.zero], offset),
                         stretch)
        v.store(divide(builder, v, total, w.splat(builder.sitofp(divisor, v.element))), y)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(rows, taps, stride, x, integer, table, integer, integer, integer, y), generate


@intrinsic
def prefetch(typingctx, place, ahead):
    """Ask for two vectors that lie `ahead` bytes after `place`, to read them; they may lie outside of any array."""

    def generate(context, builder, signature, args):
        start = builder.gep(builder.bitcast(args[0], ir.IntType(8).as_pointer()), [args[1]])
        for line in range(0, 2 * VECTOR_BYTES, LINE_BYTES):
            ask_for(builder, builder.gep(start, [INT(line)]))
        return context.get_dummy_value()

    return types.void(place, types.int64), generate


@intrinsic
def itemsize(typingctx, like):
    """Bytes of what `like` points to."""

    def generate(context, builder, signature, args):
        return INT(like.dtype.bitwidth // 8)

    return types.int64(like), generate
