"""Operations that LLVM vectorises in the loops around them, which those of Numba are not, and some on whole vectors.

Numba computes in float64 as soon as a Python number is met, calls libm for ``exp`` one element at a time, and forbids
LLVM to reorder a sum.
"""

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv.backends.numba.isa import VECTOR_BYTES

# By type: (bits, bits of the mantissa, terms of the series, the largest and the smallest argument that count, and ln 2
# as the sum of a number of so few bits that its multiples are exact, and the rest). Within ln(2) / 2 of 0 the terms of
# the Taylor series that are left out add up to less than 1e-8 and 5e-18.
_EXP = {"float": (32, 23, 8, 89.0, -104.0, 0.693359375, -2.121944400546905827e-4),
        "double": (64, 52, 14, 710.0, -746.0, 0.6931471803691238165, 1.9082149292705877e-10)}


@intrinsic
def number(typingctx, value, like):
    """`value`, an int or a float, as an element of `like`, a pointer."""

    def generate(context, builder, signature, args):
        return context.cast(builder, args[0], signature.args[0], signature.return_type)

    return like.dtype(value, like), generate


@intrinsic
def double(typingctx, value):
    """`value` in float64."""

    def generate(context, builder, signature, args):
        return context.cast(builder, args[0], signature.args[0], signature.return_type)

    return types.float64(value), generate


@intrinsic
def doubles(typingctx, address):
    """`address` as a pointer to float64."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float64)(address), generate


@intrinsic
def flags(typingctx, address):
    """`address` as a pointer to bools, a byte each."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(address), generate


@intrinsic
def plus(typingctx, a, b):
    """``a + b`` as a step of a sum, which may be taken in any order: the order is fixed when it is compiled."""

    def generate(context, builder, signature, args):
        return builder.fadd(*args, flags=("reassoc",))

    return a(a, a), generate


@intrinsic
def larger(typingctx, a, b):
    """The larger of two numbers; NaN if one of them is."""

    def generate(context, builder, signature, args):
        kind = context.get_value_type(signature.return_type)
        name = f"llvm.maximum.f{_EXP[str(kind)][0]}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind, kind]), name)
        return builder.call(function, args)

    return a(a, a), generate


def _exponential(builder, kind, x):
    """Code for exp of a float or a vector of them.

    x = n ln 2 + r with abs(r) <= ln(2) / 2, and exp(x) = 2**n exp(r), the latter by its Taylor series.
    """
    element = getattr(kind, "element", kind)
    bits, mantissa, terms, most, least, high, low = _EXP[str(element)]
    integer = ir.IntType(bits) if element is kind else ir.VectorType(ir.IntType(bits), kind.count)

    def constant(value, of=kind):
        return ir.Constant(of, value if element is kind else [value] * kind.count)

    def multiply_add(a, b, c):
        return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))

    def power_of_two(n):
        biased = builder.add(n, constant((1 << (bits - mantissa - 2)) - 1, integer))
        return builder.bitcast(builder.shl(biased, constant(mantissa, integer)), kind)

    # A NaN is neither above nor below.
    x = builder.select(builder.fcmp_ordered(">", x, constant(most)), constant(most), x)
    x = builder.select(builder.fcmp_ordered("<", x, constant(least)), constant(least), x)
    # Added to 1.5 * 2**mantissa a number is rounded to an integer, which stands in the lowest bits.
    magic = constant(1.5 * 2.0**mantissa)
    shifted = multiply_add(x, constant(1 / math.log(2)), magic)
    n = builder.sub(builder.bitcast(shifted, integer), builder.bitcast(magic, integer))
    whole = builder.fsub(shifted, magic)
    r = multiply_add(whole, constant(-high), x)
    r = multiply_add(whole, constant(-low), r)
    series = constant(1 / math.factorial(terms - 1))
    for k in reversed(range(terms - 1)):
        series = multiply_add(series, r, constant(1 / math.factorial(k)))
    # In two steps: 2**n alone may overflow where the product does not, and be subnormal.
    half = builder.ashr(n, constant(1, integer))
    series = builder.fmul(series, power_of_two(half))
    return builder.fmul(series, power_of_two(builder.sub(n, half)))


@intrinsic
def exp(typingctx, x):
    """The exponential, within 2 units in the last place; of NaN, infinities and where it overflows as libm's."""

    def generate(context, builder, signature, args):
        return _exponential(builder, context.get_value_type(signature.return_type), args[0])

    return x(x), generate


class _Vectors:
    """Loads and stores of whole vectors of the type of a pointer."""

    def __init__(self, context, builder, element):
        self.builder, self.element = builder, context.get_value_type(element)
        self.bits = _EXP[str(self.element)][0]
        self.count = VECTOR_BYTES * 8 // self.bits
        self.kind = ir.VectorType(self.element, self.count)

    def load(self, place):
        value = self.builder.load(self.builder.bitcast(place, self.kind.as_pointer()))
        value.align = self.bits // 8
        return value

    def store(self, value, place):
        self.builder.store(value, self.builder.bitcast(place, self.kind.as_pointer())).align = self.bits // 8

    def call(self, name, result, *args):
        kind = ir.FunctionType(result, [value.type for value in args])
        suffix = f".v{self.count}f{self.bits}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name + suffix), args)


@intrinsic
def keep_larger(typingctx, best, place):
    """Replace each element of the vector at `best` by the one at `place` if that is larger, or NaN."""

    def generate(context, builder, signature, args):
        vectors = _Vectors(context, builder, best.dtype)
        larger = vectors.call("llvm.maximum", vectors.kind, *map(vectors.load, args))
        vectors.store(larger, args[0])
        return context.get_dummy_value()

    return types.void(best, place), generate


@intrinsic
def largest(typingctx, place):
    """The largest element of the vector at `place`; NaN if one of them is."""

    def generate(context, builder, signature, args):
        vectors = _Vectors(context, builder, place.dtype)
        return vectors.call("llvm.vector.reduce.fmaximum", vectors.element, vectors.load(args[0]))

    return place.dtype(place), generate


@intrinsic
def sum_vector(typingctx, place):
    """The sum of the vector at `place`."""

    def generate(context, builder, signature, args):
        vectors = _Vectors(context, builder, place.dtype)
        kind = ir.FunctionType(vectors.element, [vectors.element, vectors.kind])
        name = f"llvm.vector.reduce.fadd.v{vectors.count}f{vectors.bits}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        values = [ir.Constant(vectors.element, 0.0), vectors.load(args[0])]
        return builder.call(function, values, fastmath=("reassoc",))

    return place.dtype(place), generate


@intrinsic
def exp_vector(typingctx, place, top, total):
    """Replace the vector x at `place` by exp(x - top), and add that to the vector at `total`."""

    def generate(context, builder, signature, args):
        vectors = _Vectors(context, builder, place.dtype)
        tops = builder.insert_element(ir.Constant(vectors.kind, ir.Undefined), args[1], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vectors.count), [0] * vectors.count)
        tops = builder.shuffle_vector(tops, ir.Constant(vectors.kind, ir.Undefined), zeros)
        e = _exponential(builder, vectors.kind, builder.fsub(vectors.load(args[0]), tops))
        vectors.store(e, args[0])
        vectors.store(builder.fadd(vectors.load(args[2]), e), args[2])
        return context.get_dummy_value()

    return types.void(place, top, total), generate
