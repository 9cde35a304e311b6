"""What kernels of pooling are written with that do a vector of neighboring windows at a time, along a row."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.jit import ask_for
from fastconv.backends.numba.pool import AHEAD
from fastconv.backends.numba.words import INT, LANE, Loop, Masked


class Columns(Masked):
    """Neighboring windows, a vector of them at a time."""

    def splat(self, number):
        """A vector of the 32-bit integer to which an int64 is cut."""
        one = self.builder.insert_element(ir.Constant(self.steps, ir.Undefined), self.builder.trunc(number, LANE),
                                          LANE(0))
        return self.shuffle(one, one, [0] * self.lanes)

    def count_from(self, number):
        """number, number + 1, .."""
        return self.builder.add(self.splat(number), ir.Constant(self.steps, list(range(self.lanes))))

    def load_places(self, base):
        return self.builder.load(self.builder.bitcast(base, self.steps.as_pointer()), align=4)

    def store_places(self, value, base):
        self.builder.store(value, self.builder.bitcast(base, self.steps.as_pointer()), align=4)

    def put(self, value, base, mask):
        """Store a vector, of integers too; of its lanes only those of `mask` unless that is None."""
        kind = value.type
        size = {INT: 8, LANE: 4}.get(kind.element, self.size)
        target = self.builder.bitcast(base, kind.as_pointer())
        if mask is None:
            self.builder.store(value, target, align=size)
            return
        suffix = f"v{self.lanes}i{8 * size}" if kind.element in (INT, LANE) else self.suffix
        function = self.intrinsic(f"llvm.masked.store.{suffix}.p0", ir.VoidType(),
                                  [kind, kind.as_pointer(), LANE, self.flags])
        self.builder.call(function, [value, target, LANE(size), mask])

    def over(self, count, tight, step):
        """``step(j, mask)`` for each vector of `count` columns; `tight`: the last one may not write beyond them."""
        builder = self.builder
        whole = builder.select(tight, builder.and_(count, INT(-self.lanes)), count)
        loop = Loop(builder, "columns", whole, self.lanes, [])
        step(loop.index, None)
        loop.close()
        with builder.if_then(builder.icmp_signed("<", whole, builder.select(tight, count, INT(0)))):
            step(whole, self.below(builder.sub(count, whole)))

    def along(self, taps, left, x, width, count, outside, fold, put):
        """Fold each vector of `count` windows over its `taps`, and ``put(j, *values)``.

        Parameters
        ----------
        outside : constant
            What there is in place of elements that are not among the `width` of the row x.
        fold : function
            ``fold(values, s, element)``, the values after tap s; ``fold(None, j, None)`` those before the first one.
        """
        builder = self.builder
        loop = Loop(builder, "columns", count, self.lanes, [])
        column = builder.sub(loop.index, left)
        start, columns = self.at(x, column), self.count_from(column)
        ask_for(builder, self.at(start, AHEAD // self.size))
        stop = builder.add(builder.add(column, taps), INT(self.lanes - 1))
        inner = builder.and_(builder.icmp_signed(">=", column, INT(0)), builder.icmp_signed("<=", stop, width))
        found = []
        with builder.if_else(inner) as branches:
            for inside, branch in zip((True, False), branches, strict=True):
                with branch:
                    by_tap = Loop(builder, "taps", taps, 1, fold(None, loop.index, None))
                    place = self.at(start, by_tap.index)
                    if inside:
                        element = self.load(place)
                    else:
                        # Seen as unsigned, a negative column is a huge one.
                        here = builder.add(columns, self.splat(by_tap.index))
                        mask = builder.icmp_unsigned("<", here, self.splat(width))
                        element = self.load_masked(place, mask, outside)
                    found.append((by_tap.close(fold(by_tap.values, by_tap.index, element)), builder.block))
        values = [builder.phi(value.type) for value in found[0][0]]
        for given, block in found:
            for value, one in zip(values, given, strict=True):
                value.add_incoming(one, block)
        put(loop.index, *values)
        loop.close()


def later(builder, best, where, value, at):
    """The larger one of `best` and what comes after it, and where that is. A NaN is larger than all, the last one."""
    keep = builder.and_(builder.fcmp_ordered("ord", value, value), builder.fcmp_unordered("<=", value, best))
    return builder.select(keep, best, value), builder.select(keep, where, at)


@intrinsic
def numbers(typingctx, space):
    """`space` for 32-bit integers, as many as elements."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], LANE.as_pointer())

    return types.CPointer(types.int32)(space), generate
