"""Rows copied, written as LLVM vector code: with zeros around, cut into even and odd elements, joined again."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.jit import ask_for
from fastconv.backends.numba.words import INT, Loop, Masked, Vectors


@intrinsic
def window(typingctx, source, width, first, target, count, ahead):
    """``target[j] = source[first + j]`` for j < `count`, and 0 where that is not in 0 .. `width`.

    The target is written in whole vectors, so up to LANES - 1 elements beyond `count`. What lies `ahead` elements
    behind the source is fetched into the cache.
    """

    def generate(context, builder, signature, args):
        source, width, first, target, count, ahead = args
        v = Masked(context, builder, signature.args[0].dtype)
        loop = Loop(builder, "copy", count, v.lanes, [])
        here = builder.add(first, loop.index)
        ask_for(builder, v.at(source, builder.add(here, ahead)))
        v.store(v.load_masked(v.at(source, here), v.inside(here, width)), v.at(target, loop.index))
        loop.close()
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, source, integer, integer), generate


@intrinsic
def split(typingctx, source, even, odd, count, ahead):
    """``even[i] = source[2 * i]`` and ``odd[i] = source[2 * i + 1]`` for as many as `count` elements of the source are.

    The last pair of vectors overlaps the one before; short rows take vectors of half the size. What lies `ahead`
    elements behind the source is fetched.
    """

    def generate(context, builder, signature, args):
        source, even, odd, count, ahead = args
        v, half = (Vectors(context, builder, signature.args[0].dtype, part) for part in (1, 2))

        def pair(v, at):
            place = v.at(source, at)
            values = [v.load(v.at(place, i * v.lanes)) for i in range(2)]
            for i in range(2):
                ask_for(builder, v.at(v.at(place, ahead), i * v.lanes))
            for i, target in enumerate((even, odd)):
                v.store(v.shuffle(*values, [2 * j + i for j in range(v.lanes)]), v.at(target, builder.lshr(at, INT(1))))

        def room(v):
            return builder.sub(count, INT(2 * v.lanes))

        def enough(v):
            return builder.icmp_signed(">=", room(v), INT(0))

        def pairs(v):
            loop = Loop(builder, "split", room(v), 2 * v.lanes, [])
            pair(v, loop.index)
            loop.close()
            pair(v, builder.and_(room(v), INT(-2)))

        with builder.if_else(enough(v)) as (then, otherwise):
            with then:
                pairs(v)
            with otherwise, builder.if_then(enough(half)):
                pairs(half)
        # One by one what is no pair, or too little for vectors.
        first = builder.select(enough(half), builder.and_(count, INT(-2)), INT(0))
        loop = Loop(builder, "single", count, 1, [], first)
        target = builder.select(builder.trunc(loop.index, ir.IntType(1)), odd, even)
        builder.store(builder.load(v.at(source, loop.index)), v.at(target, builder.lshr(loop.index, INT(1))))
        loop.close()
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, source, source, integer, integer), generate


@intrinsic
def weave(typingctx, even, odd, target, count):
    """``target[2 * j] = even[j]`` and ``target[2 * j + 1] = odd[j]`` below `count`; whole vectors are read."""

    def generate(context, builder, signature, args):
        even, odd, target, count = args
        v = Masked(context, builder, signature.args[0].dtype)
        half = v.lanes // 2
        loop = Loop(builder, "weave", count, 2 * v.lanes, [])
        from_ = builder.lshr(loop.index, ir.Constant(INT, 1))
        pair = [v.load(v.at(source, from_)) for source in (even, odd)]
        for i in range(2):
            joined = v.shuffle(*pair, [i * half + j // 2 + (v.lanes if j % 2 else 0) for j in range(v.lanes)])
            place = builder.add(loop.index, ir.Constant(INT, i * v.lanes))
            room = builder.sub(count, place)
            with builder.if_else(builder.icmp_signed(">=", room, ir.Constant(INT, v.lanes))) as (then, otherwise):
                with then:
                    v.store(joined, v.at(target, place))
                with otherwise, builder.if_then(builder.icmp_signed(">", room, ir.Constant(INT, 0))):
                    v.store_masked(joined, v.at(target, place), v.below(room))
        loop.close()
        return context.get_dummy_value()

    return types.void(even, even, even, types.int64), generate
