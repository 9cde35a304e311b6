"""Elements that follow each other, a vector of them at a time: sums and copies."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.jit import ask_for
from fastconv.backends.numba.vector import folded
from fastconv.backends.numba.words import INT, Loop, Vectors


@intrinsic
def sum_of(typingctx, x, count):
    """The sum of `count` elements: by groups of four vectors, then by vectors, then of what is left.

    In registers; a loop over an array of sums waits for its stores: 0.19 ms in place of 0.12 for 512 planes of 56 x 56.
    """

    def generate(context, builder, signature, args):
        x, count = args
        v = Vectors(context, builder, signature.args[0].dtype)
        groups, whole = (builder.and_(count, INT(-n * v.lanes)) for n in (4, 1))
        loop = Loop(builder, "groups", groups, 4 * v.lanes, [v.zero] * 4)
        group = v.at(x, loop.index)
        a, b, c, d = loop.close([builder.fadd(total, v.load(v.at(group, j * v.lanes)))
                                 for j, total in enumerate(loop.values)])
        total = builder.fadd(builder.fadd(a, b), builder.fadd(c, d))
        rest = v.at(x, groups)
        loop = Loop(builder, "vectors", builder.sub(whole, groups), v.lanes, [total])
        (total,) = loop.close([builder.fadd(*loop.values, v.load(v.at(rest, loop.index)))])
        rest = v.at(x, whole)
        loop = Loop(builder, "rest", builder.sub(count, whole), 1, [folded(v, total, builder.fadd)])
        (total,) = loop.close([builder.fadd(*loop.values, builder.load(v.at(rest, loop.index)))])
        return total

    return x.dtype(x, types.int64), generate


@intrinsic
def add_vectors(typingctx, x, count, totals):
    """Add `count` elements to LANES sums: vector after vector, and what is left to the first ones."""

    def generate(context, builder, signature, args):
        x, count, totals = args
        v = Vectors(context, builder, signature.args[0].dtype)
        pairs, whole = (builder.and_(count, INT(-n * v.lanes)) for n in (2, 1))
        loop = Loop(builder, "pairs", pairs, 2 * v.lanes, [v.load(totals), v.zero])
        pair = v.at(x, loop.index)
        sums = loop.close([builder.fadd(value, v.load(v.at(pair, j * v.lanes)))
                           for j, value in enumerate(loop.values)])
        loop = Loop(builder, "vectors", whole, v.lanes, [builder.fadd(*sums)], pairs)
        (value,) = loop.close([builder.fadd(*loop.values, v.load(v.at(x, loop.index)))])
        v.store(value, totals)
        loop = Loop(builder, "rest", count, 1, [], whole)
        place = v.at(totals, builder.sub(loop.index, whole))
        builder.store(builder.fadd(builder.load(place), builder.load(v.at(x, loop.index))), place)
        loop.close()
        return context.get_dummy_value()

    return types.void(x, types.int64, x), generate


class _Single:
    """What `Vectors` does, with one element in place of a vector."""

    def __init__(self, v):
        self.at, self.load, self.store = v.at, v.builder.load, v.builder.store

    def broadcast(self, scalar):
        return scalar


def _each(context, builder, pointer, count, step):
    """Code that calls ``step(v, i)`` for the vector at each place i of `count` elements; `v` loads and stores.

    The last vector overlaps the one before it, so that no row is too odd for vectors; shorter rows take two that are a
    half or a quarter as long. A loop that LLVM makes does the rest of a row one by one, and the C library's copy takes
    4 ns a call: as much as a row of 56. One by one a row of 14 takes 10 ns, and longer if vectors of it are read soon.
    """
    v = Vectors(context, builder, pointer.dtype)
    room = builder.sub(count, INT(v.lanes))
    with builder.if_else(builder.icmp_signed(">=", room, INT(0))) as (whole, short):
        with whole:
            loop = Loop(builder, "vectors", room, v.lanes, [])
            step(v, loop.index)
            loop.close()
            step(v, room)
        with short:
            _short(context, builder, pointer, count, step, 2)
    return context.get_dummy_value()


def _short(context, builder, pointer, count, step, part):
    """The same of less than 1 / `part` of two vectors."""
    v = Vectors(context, builder, pointer.dtype, part)
    if part > 4 or v.lanes < 2:
        loop = Loop(builder, "single", count, 1, [])
        step(_Single(v), loop.index)
        loop.close()
        return
    room = builder.sub(count, INT(v.lanes))
    with builder.if_else(builder.icmp_signed(">=", room, INT(0))) as (enough, few):
        with enough:
            step(v, INT(0))
            step(v, room)
        with few:
            _short(context, builder, pointer, count, step, 2 * part)


@intrinsic
def copy(typingctx, source, out, count):
    """Copy `count` elements to `out`, which must not overlap: whole vectors may, where `out` begins below."""

    def generate(context, builder, signature, args):
        source, out, count = args
        return _each(context, builder, signature.args[0], count,
                     lambda v, i: v.store(v.load(v.at(source, i)), v.at(out, i)))

    return types.void(source, source, types.int64), generate


@intrinsic
def copy_ahead(typingctx, source, out, count, ahead):
    """`copy`; and what lies `ahead` elements behind the source is fetched into the cache."""

    def generate(context, builder, signature, args):
        source, out, count, ahead = args

        def step(v, i):
            ask_for(builder, v.at(v.at(source, i), ahead))
            v.store(v.load(v.at(source, i)), v.at(out, i))

        return _each(context, builder, signature.args[0], count, step)

    return types.void(source, source, types.int64, types.int64), generate


@intrinsic
def clear(typingctx, out, count):
    """Write `count` zeros."""

    def generate(context, builder, signature, args):
        out, count = args
        zero = ir.Constant(context.get_data_type(signature.args[0].dtype), 0.0)
        return _each(context, builder, signature.args[0], count, lambda v, i: v.store(v.broadcast(zero), v.at(out, i)))

    return types.void(out, types.int64), generate


@intrinsic
def copy_vectors(typingctx, source, out, count):
    """Copy `count` (a literal) vectors."""
    if not isinstance(count, types.IntegerLiteral):
        return None

    def generate(context, builder, signature, args):
        v = Vectors(context, builder, signature.args[0].dtype)
        values = [v.load(v.at(args[0], i * v.lanes)) for i in range(count.literal_value)]
        for i, value in enumerate(values):
            v.store(value, v.at(args[1], i * v.lanes))
        return context.get_dummy_value()

    return types.void(source, out, count), generate


@intrinsic
def pick_run(typingctx, x, source, y, first, last, fill):
    """y[i] = x[source[i]], or `fill` where that is negative, for the few i from `first` to `last`.

    LLVM would make vectors of them, whose set-up takes longer.
    """

    def generate(context, builder, signature, args):
        x, source, y, first, last, fill = args
        v = Vectors(context, builder, signature.args[0].dtype)
        source, y = v.at(source, first), v.at(y, first)
        loop = Loop(builder, "run", builder.sub(last, first), 1, [])
        place = builder.load(v.at(source, loop.index))
        before = builder.block
        with builder.if_then(builder.icmp_signed(">=", place, INT(0))):
            element = builder.load(v.at(x, place))
            inside = builder.block
        value = builder.phi(v.element)
        value.add_incoming(fill, before)
        value.add_incoming(element, inside)
        builder.store(value, v.at(y, loop.index))
        loop.close()
        return context.get_dummy_value()

    return types.void(x, source, x, types.int64, types.int64, x.dtype), generate


@intrinsic
def scaled(typingctx, source, out, count, factor):
    """out = source * factor"""

    def generate(context, builder, signature, args):
        source, out, count, factor = args
        return _each(context, builder, signature.args[0], count, lambda v, i: v.store(
            builder.fmul(v.load(v.at(source, i)), v.broadcast(factor)), v.at(out, i)))

    return types.void(source, source, types.int64, source.dtype), generate


@intrinsic
def lowered(typingctx, source, out, count, first, second):
    """out = source - first - second"""

    def generate(context, builder, signature, args):
        source, out, count, first, second = args
        return _each(context, builder, signature.args[0], count, lambda v, i: v.store(builder.fsub(builder.fsub(
            v.load(v.at(source, i)), v.broadcast(first)), v.broadcast(second)), v.at(out, i)))

    return types.void(source, source, types.int64, source.dtype, source.dtype), generate


@intrinsic
def less(typingctx, source, other, out, count, factor):
    """out = source - other * factor"""

    def generate(context, builder, signature, args):
        source, other, out, count, factor = args
        return _each(context, builder, signature.args[0], count, lambda v, i: v.store(builder.fsub(
            v.load(v.at(source, i)), builder.fmul(v.load(v.at(other, i)), v.broadcast(factor))), v.at(out, i)))

    return types.void(source, source, source, types.int64, source.dtype), generate
