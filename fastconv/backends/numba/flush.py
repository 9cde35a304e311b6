"""Numbers too small for their exponent, read and written as zeros where a core would take far longer for them.

On an Intel Xeon a convolution of such numbers takes 180 times as long as of others, as each multiply-add of one is done
by microcode. AMD's Zen needs none, and keeps them.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv.backends.numba.isa import FLUSHES

_MODES = ir.IntType(32)
_BYTE = ir.IntType(8).as_pointer()
_TO_ZERO = 0x8040   # of the control register MXCSR: results, and operands


def _move(builder, name, place):
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [_BYTE]),
                                              f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(place, _BYTE)])


@intrinsic
def flush(typingctx):
    """From here on, in this thread; returns what `restore` needs."""

    def generate(context, builder, signature, args):
        if not FLUSHES:
            return _MODES(0)
        place = cgutils.alloca_once(builder, _MODES)
        _move(builder, "stmxcsr", place)
        before = builder.load(place)
        builder.store(builder.or_(before, _MODES(_TO_ZERO)), place)
        _move(builder, "ldmxcsr", place)
        return before

    return types.int32(), generate


@intrinsic
def restore(typingctx, modes):
    """Do with small numbers what was done before `flush`."""

    def generate(context, builder, signature, args):
        if FLUSHES:
            place = cgutils.alloca_once(builder, _MODES)
            builder.store(args[0], place)
            _move(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.int32), generate
