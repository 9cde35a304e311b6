"""Operations that LLVM vectorises in the loops around them, which those of Numba are not, and some on whole vectors.

Numba computes in float64 as soon as a Python number is met, calls libm for ``exp`` one element at a time, and forbids
LLVM to reorder a sum.
"""

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.words import LANE, Loop, Vectors

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


def _exponential(builder, kind, x, gradual=True):
    """Code for exp of a float or a vector of them.

    x = n ln 2 + r with abs(r) <= ln(2) / 2, and exp(x) = 2**n exp(r), the latter by its Taylor series. Unless
    `gradual`, it is 0 where it would be subnormal and may be infinite from half of the largest number on: 5 of 25
    instructions fewer.
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

    if not gradual:
        least = -((1 << (bits - mantissa - 2)) - 1) * math.log(2)  # where 2**n becomes 0
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
    if not gradual:
        return builder.fmul(series, power_of_two(n))
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


@intrinsic
def exp_down(typingctx, x):
    """`exp` of numbers that are not above 0; 0 where it would be subnormal, as in torch's softmax."""

    def generate(context, builder, signature, args):
        return _exponential(builder, context.get_value_type(signature.return_type), args[0], gradual=False)

    return x(x), generate


def _larger(builder, a, b):
    """The larger; b where one is NaN: the machine's own instruction, where ``llvm.maximum`` takes six."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def folded(v, value, combine):
    """The elements of a vector combined, halves first."""
    count = v.lanes
    while count > 1:
        count //= 2
        value = combine(v.shuffle(value, value, range(count)), v.shuffle(value, value, range(count, 2 * count)))
    return v.builder.extract_element(value, LANE(0))


@intrinsic
def larger(typingctx, a, b):
    """The larger of two numbers; of a NaN and a number one of them."""

    def generate(context, builder, signature, args):
        return _larger(builder, *args)

    return a(a, a), generate


@intrinsic
def largest(typingctx, place, count):
    """The largest of `count` elements, a whole number of vectors; a NaN among them may be passed over."""

    def generate(context, builder, signature, args):
        place, count = args
        v = Vectors(context, builder, signature.args[0].dtype)
        loop = Loop(builder, "largest", count, v.lanes, [v.load(place)])
        (best,) = loop.close([_larger(builder, v.load(v.at(place, loop.index)), *loop.values)])
        return folded(v, best, lambda a, b: _larger(builder, a, b))

    return place.dtype(place, types.int64), generate


@intrinsic
def exp_run(typingctx, place, count, top, sums):
    """Replace `count` elements x, a whole number of vectors, by `exp_down` of x - top; `sums` is the vectors' sum."""

    def generate(context, builder, signature, args):
        place, count, top, sums = args
        v = Vectors(context, builder, signature.args[0].dtype)
        tops = v.broadcast(top)
        loop = Loop(builder, "exponentials", count, v.lanes, [v.zero])
        here = v.at(place, loop.index)
        e = _exponential(builder, v.type, builder.fsub(v.load(here), tops), gradual=False)
        v.store(e, here)
        (total,) = loop.close([builder.fadd(*loop.values, e)])
        v.store(total, sums)
        return context.get_dummy_value()

    return types.void(place, types.int64, top, place), generate


@intrinsic
def sum_vector(typingctx, place):
    """The sum of the vector at `place`."""

    def generate(context, builder, signature, args):
        v = Vectors(context, builder, place.dtype)
        return folded(v, v.load(args[0]), builder.fadd)

    return place.dtype(place), generate
