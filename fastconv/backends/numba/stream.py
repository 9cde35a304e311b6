"""Stores that go past the caches, for results that are larger than those: see `fastconv.backends.engine.PAST`."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv.backends.numba.isa import PAST, VECTOR_BYTES
from fastconv.backends.numba.words import INT, Loop, Vectors


@intrinsic
def stream(typingctx, target, source, added, count):
    """``target[j] = source[j] + added`` for `count` whole vectors, past the caches where `target` is aligned."""

    def generate(context, builder, signature, args):
        target, source, added, count = args
        v = Vectors(context, builder, signature.args[0].dtype)
        added = v.broadcast(added)
        with builder.if_else(v.aligned([target])) as (then, otherwise):
            for block, store in ((then, v.store_past), (otherwise, v.store)):
                with block, cgutils.for_range(builder, count) as loop:
                    place = builder.mul(loop.index, INT(v.lanes))
                    store(builder.fadd(v.load(v.at(source, place)), added), v.at(target, place))
        return context.get_dummy_value()

    return types.void(target, source, source.dtype, types.int64), generate


def copy_lines(v, source, target, count):
    """Code that copies `count` elements: whole vectors past the caches, and single ones before and after them."""
    builder = v.builder
    address = builder.ptrtoint(target, INT)
    before = builder.lshr(builder.and_(builder.neg(address), INT(VECTOR_BYTES - 1)), INT(v.size.bit_length() - 1))
    before = builder.select(builder.icmp_signed("<", before, count), before, count)
    whole = builder.and_(builder.sub(count, before), INT(-v.lanes))
    for start, size, step in ((INT(0), before, 1), (before, whole, v.lanes),
                              (builder.add(before, whole), builder.sub(count, builder.add(before, whole)), 1)):
        loop = Loop(builder, "stream", size, step, [])
        i = builder.add(start, loop.index)
        if step == 1:
            builder.store(builder.load(v.at(source, i)), v.at(target, i))
        else:
            v.store_past(v.load(v.at(source, i)), v.at(target, i))
        loop.close()


@intrinsic
def copy_past(typingctx, source, target, count):
    """Copy `count` elements past the caches; `drain` must follow."""

    def generate(context, builder, signature, args):
        copy_lines(Vectors(context, builder, signature.args[0].dtype), *args)
        return context.get_dummy_value()

    return types.void(source, target, types.int64), generate


def fence(builder):
    """Code that lets what went past the caches be seen before what is stored later."""
    if PAST:
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse.sfence"), [])


@intrinsic
def drain(typingctx, past):
    """Where results went `past` the caches: nothing is stored later before they are there for other threads too."""

    def generate(context, builder, signature, args):
        with builder.if_then(args[0]):
            fence(builder)
        return context.get_dummy_value()

    return types.void(types.boolean), generate
