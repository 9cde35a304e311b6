"""Short sums for many output channels: the operands of a few positions stay in registers while the channels pass by.

A first layer has 9 to 27 taps in all. Its results are many times its input, and each needs few multiply-adds: a tile
that is set up for every four rows of results spends most of its time on that.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import NAME
from fastconv.backends.numba.jit import helper, shift
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.words import INT, Loop, Vectors, choose

# Lengths of the sums for which there is code, and the vectors of positions whose operands the registers then hold.
FANS = {3: 2, 5: 2, 9: 2, 12: 2, 16: 1, 20: 1, 25: 1, 27: 1} if NAME in ("avx512", "neon") else {3: 2, 5: 2, 9: 1}


@intrinsic
def fan(typingctx, depth, nv, steps, columns, a, b, col_b, c, ldc, last, past):
    """For NV vectors of neighbors, and all of some columns::

        c[i * ldc + j] = a[i, 0] + sum over t < steps of a[i, 1 + t] * b[col_b[t] + j]      i < columns

    Parameters
    ----------
    depth, nv : int64
        An entry of `FANS`, or a smaller NV. `col_b` has DEPTH entries, of which those from `steps` on are 0, and a row
        of `a` one more: what the sum begins with.
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
            factors = v.at(a, builder.mul(loop.index, INT(depth + 1)))
            sums = [v.broadcast(builder.load(factors))] * nv
            for t in range(depth):
                factor = v.broadcast(builder.load(v.at(factors, t + 1)))
                sums = [v.fma(factor, operands[t][j], sums[j]) for j in range(nv)]
            target = v.at(c, builder.mul(loop.index, ldc))
            with builder.if_else(beyond) as (then, otherwise):
                for block, store in ((then, v.store_past), (otherwise, v.store)):
                    with block:
                        for value, place in zip(sums, places, strict=True):
                            store(value, v.at(target, place))
            loop.close()

        choose(builder, (depth, nv), [(d, n) for d, most in FANS.items() for n in range(1, most + 1)], variant)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, integer, integer, a, b, col_b, c, integer, integer,
                      types.boolean), generate


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
