"""Short sums for many output channels: the operands of a few positions stay in registers while the channels pass by.

A first layer has 9 to 27 taps in all. Its results are many times its input, and each needs few multiply-adds: a tile
that is set up for every four rows of results spends most of its time on that.
"""

from functools import reduce

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import INTEL, NAME
from fastconv.backends.numba.jit import ask_for, helper, shift
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.vector import number
from fastconv.backends.numba.words import INT, Loop, Vectors, choose

# Lengths of the sums for which there is code, and the vectors of positions whose operands the registers then hold.
FANS = {3: 2, 5: 2, 9: 2, 12: 2, 16: 1, 20: 1, 25: 1, 27: 1} if NAME in ("avx512", "neon") else {3: 2, 5: 2, 9: 1}
# Whether each factor lies in memory as a whole vector, which a multiplication reads without a broadcast before it:
# 0.44 ms in place of 0.53 on Zen 3 for 1 to 32 channels of 64 x 28 x 28. With AVX-512 it broadcasts by itself.
REPEATED = NAME in ("avx2", "generic")


@intrinsic
def fan(typingctx, depth, nv, steps, columns, a, b, col_b, c, ldc, last, past):
    """For NV vectors of neighbors, and all of some columns::

        c[i * ldc + j] = a[i, 0] + sum over t < steps of a[i, 1 + t] * b[col_b[t] + j]      i < columns

    Parameters
    ----------
    depth, nv : int64
        An entry of `FANS`, or a smaller NV. `col_b` has DEPTH entries, of which those from `steps` on are 0, and a row
        of `a`, as `fan_factors` writes it, one more: what the sum begins with.
    steps, columns, ldc : int64
    a, b, c : pointer
    col_b : pointer to int64
    last : int64
        Where the last vector starts; it may overlap the one before.
    past : bool
        As of `dot.line`.
    """

    def generate(context, builder, signature, args):
        depth, nv, steps, columns, a, b, col_b, c, ldc, last, past = args
        v = Vectors(context, builder, signature.args[4].dtype)
        beyond = builder.and_(past, v.aligned([c], last, ldc))

        def variant(depth, nv):
            places = [ir.Constant(INT, j * v.lanes) for j in range(nv - 1)] + [last]
            operands = []
            for t in range(depth):
                source = v.at(b, builder.load(v.at(col_b, t)))
                inside = builder.icmp_signed("<", ir.Constant(INT, t), steps)
                # Beyond the sum an infinity in b must not meet the 0 in a.
                operands.append([builder.select(inside, v.load(v.at(source, place)), v.zero) for place in places])
            loop = Loop(builder, "columns", columns, 1, [])
            each = v.lanes if REPEATED else 1
            factors = v.at(a, builder.mul(loop.index, INT((depth + 1) * each)))
            start, *others = [v.load(v.at(factors, t * each)) if REPEATED
                              else v.broadcast(builder.load(v.at(factors, t))) for t in range(depth + 1)]
            # Two halves of a long sum: 1.3 ms in place of 1.5 on Intel for 3 to 32 channels of 8 x 112 x 112, as the
            # additions of one wait for each other.
            halves = [[start] * nv, [v.zero] * nv] if depth > 12 else [[start] * nv]
            for t, (factor, vectors) in enumerate(zip(others, operands, strict=True)):
                half = t * len(halves) // depth
                halves[half] = [v.fma(factor, *pair) for pair in zip(vectors, halves[half], strict=True)]
            sums = [reduce(builder.fadd, parts) for parts in zip(*halves, strict=True)]
            target = v.at(c, builder.mul(loop.index, ldc))
            with builder.if_else(beyond) as (then, otherwise):
                for block, store in ((then, v.store_past), (otherwise, v.store)):
                    with block:
                        # Short sums wait for the lines that the next ones go to: 0.29 ms in place of 0.35 on Intel for
                        # 1 to 32 channels of 64 x 28 x 28.
                        for j in range(nv if INTEL and nv > 1 and block is otherwise else 0):
                            ask_for(builder, v.at(target, (nv + j) * v.lanes), write=True)
                        for value, place in zip(sums, places, strict=True):
                            store(value, v.at(target, place))
            loop.close()

        choose(builder, (depth, nv), [(d, n) for d, most in FANS.items() for n in range(1, most + 1)], variant)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, integer, integer, a, b, col_b, c, integer, integer,
                      types.boolean), generate


@helper
def fan_factors(depth, steps, columns, w, column_stride, col_a, bias, with_bias, factors):
    """Write the factors of all columns as `fan` reads them: of each its bias, its weights, and zeros."""
    each = lanes(w) if REPEATED else 1
    for column in range(columns):
        for t in range(depth + 1):
            factor = number(0, w)
            if t == 0:
                if with_bias:
                    factor = bias[column]
            elif t <= steps:
                factor = w[column * column_stride + col_a[t - 1]]
            for j in range(each):
                factors[(column * (depth + 1) + t) * each + j] = factor


@helper
def fan_row(depth, most, steps, columns, a, b, col_b, c, ldc, width, past):
    """A row of at least LANES positions, in tiles of at most `most` vectors whose last one overlaps."""
    size = lanes(b)
    vectors = (width + size - 1) // size
    first = 0
    for tiles in range((vectors + most - 1) // most, 0, -1):
        here = (vectors - first + tiles - 1) // tiles
        q = first * size
        first += here
        fan(depth, here, steps, columns, a, shift(b, q), col_b, shift(c, q), ldc,
            (here - 1) * size if tiles > 1 else width - size - q, past)
