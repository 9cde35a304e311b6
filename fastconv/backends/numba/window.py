"""Windows of a pooling, a vector of them at a time: the largest or the sum of every tap, kept in registers.

The taps come as a table of offsets within a map. Written as plain loops, the maximum, its index and the strided loads
are not vectorized: 19 ms in place of 2.9 for 3 x 3 windows of stride 2 on 8 x 64 x 112 x 112.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.tile import INT, LANE, Vectors, keep_rolled


class _Window:
    """Loads of one tap of LANES neighboring windows, `stride` elements apart, or `step` where `stride` is 0."""

    def __init__(self, vectors, stride, step=None):
        self.v, self.builder, self.stride, self.step = vectors, vectors.builder, stride, step

    def load(self, base):
        if self.stride == 1:
            return self.v.load(base)
        if self.stride == 0:
            value = self.v.undefined
            for i in range(self.v.lanes):
                one = self.builder.load(self.v.at(base, self.builder.mul(self.step, INT(i))))
                value = self.builder.insert_element(value, one, LANE(i))
            return value
        # The second load begins one element early, so that it ends at the last element needed and not beyond.
        n = self.v.lanes
        even = [2 * i for i in range(n // 2)] + [n + 1 + 2 * i for i in range(n // 2)]
        return self.v.shuffle(self.v.load(base), self.v.load(self.v.at(base, n - 1)), even)

    def splat(self, value):
        kind = ir.VectorType(value.type, self.v.lanes)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, LANE(0))
        return self.v.shuffle(one, one, [0] * self.v.lanes)

    def over(self, taps, count, first, step):
        """Fold ``step(values, offset)`` over the table of offsets, from the values `first`."""
        builder, entry = self.builder, self.builder.block
        loop, done = builder.append_basic_block("taps"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        t = builder.phi(INT)
        values = [builder.phi(value.type) for value in first]
        after = step(values, builder.load(self.v.at(taps, t)))
        following = builder.add(t, INT(1))
        keep_rolled(builder.cbranch(builder.icmp_signed("<", following, count), loop, done), builder.module)
        t.add_incoming(INT(0), entry)
        t.add_incoming(following, loop)
        for value, begun, ended in zip(values, first, after, strict=True):
            value.add_incoming(begun, entry)
            value.add_incoming(ended, loop)
        builder.position_at_end(done)
        return after


@intrinsic
def max_windows(typingctx, part, stride, indexed, x, taps, count, base, step, y, indices):
    """Maxima of LANES / `part` neighboring windows that lie inside the map, and where they are.

    Parameters
    ----------
    part : literal 1, 2 or 4
    stride : literal 0, 1 or 2
        0 for that of `step`, whose elements are loaded one by one.
    indexed : literal 0 or 1
        Whether to write `indices`.
    x : pointer
        The map.
    taps : pointer to int64
        Offsets of the taps, `count` of them, in the order in which ties are decided.
    base : int64
        What to add to an offset to find the first window's tap in the map.
    step : int64
        Elements from a window to the next.
    y, indices : pointer
        Where the first window's result goes.
    """
    if not all(isinstance(value, types.IntegerLiteral) for value in (part, stride, indexed)):
        return None

    def generate(context, builder, signature, args):
        x, taps, count, base, step, y, indices = args[3:]
        v = Vectors(context, builder, signature.args[3].dtype, part.literal_value)
        if v.lanes < 2:  # narrow vectors have no such part, and pool.py does not ask for it
            return context.get_dummy_value()
        w = _Window(v, stride.literal_value, step)
        start = v.at(x, base)

        def fold(values, tap):
            value = w.load(v.at(start, tap))
            # A NaN is larger than all, the last one than another.
            missing = builder.fcmp_unordered("uno", value, value)
            larger = builder.or_(builder.fcmp_ordered(">", value, values[0]), missing)
            after = [builder.select(larger, value, values[0])]
            if indexed.literal_value:
                # A map's offset fits 32 bits where its elements do; the caller sees to that.
                after.append(builder.select(larger, w.splat(builder.trunc(tap, LANE)), values[1]))
            return after

        begun = [ir.Constant(v.type, [float("-inf")] * v.lanes)]
        if indexed.literal_value:
            begun.append(w.splat(builder.trunc(builder.load(taps), LANE)))
        ended = w.over(taps, count, begun, fold)
        v.store(ended[0], y)
        if indexed.literal_value:
            wide = ir.VectorType(INT, v.lanes)
            ahead = ir.Constant(wide, [i * (stride.literal_value or 1) for i in range(v.lanes)])
            if stride.literal_value == 0:
                ahead = builder.mul(ahead, w.splat(step))
            place = builder.add(builder.add(builder.sext(ended[1], wide), ahead), w.splat(base))
            builder.store(place, builder.bitcast(indices, wide.as_pointer()), align=8)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(part, stride, indexed, x, taps, integer, integer, integer, y, indices), generate


@intrinsic
def sum_windows(typingctx, part, stride, x, taps, count, divisor, y):
    """Sums of LANES / `part` neighboring windows that lie inside the map, divided by `divisor`."""
    if not all(isinstance(value, types.IntegerLiteral) for value in (part, stride)):
        return None

    def generate(context, builder, signature, args):
        x, taps, count, divisor, y = args[2:]
        v = Vectors(context, builder, signature.args[2].dtype, part.literal_value)
        if v.lanes < 2:  # narrow vectors have no such part, and pool.py does not ask for it
            return context.get_dummy_value()
        w = _Window(v, stride.literal_value)

        def fold(values, tap):
            return [builder.fadd(values[0], w.load(v.at(x, tap)))]

        [total] = w.over(taps, count, [v.zero], fold)
        v.store(builder.fdiv(total, w.splat(builder.sitofp(divisor, v.element))), y)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(part, stride, x, taps, integer, integer, y), generate
