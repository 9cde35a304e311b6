"""Short sums for many output channels: the operands of a few positions stay in registers while the channels pass by.

A first layer has 9 to 27 taps in all. Its results are many times its input, and each needs few multiply-adds: a tile
that is set up for every four rows of results spends most of its time on that.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import NAME
from fastconv.backends.numba.jit import helper, shift
from fastconv.backends.numba.tile import INT, Vectors, lanes
from fastconv.backends.numba.words import Loop, choose

# Lengths of the sums for which there is code, and the vectors of positions whose operands the registers then hold.
FANS = {3: 2, 5: 2, 9: 2, 12: 2, 16: 1, 20: 1, 25: 1, 27: 1} if NAME in ("avx512", "neon") else {3: 2, 5: 2, 9: 1}


# Whether vectors may run from a row into the next, which needs a permutation that is known only at run time.
FLAT = NAME == "avx512"


def _permuted(v, value, lanes):
    """`value` with its lanes in the order of `lanes`, a vector of int64."""
    if not FLAT:
        return value  # code that never runs
    builder, size = v.builder, 8 * v.size
    kind = ir.VectorType(ir.IntType(size), v.lanes)
    function = v.intrinsic(f"llvm.x86.avx512.permvar.{'sf' if size == 32 else 'df'}.512", v.type, [v.type, kind])
    return builder.call(function, [value, builder.trunc(lanes, kind) if size == 32 else lanes])


@intrinsic
def fan(typingctx, flat, depth, nv, steps, columns, a, b, col_b, c, ldc, last, order, past):
    """For NV vectors of neighbors, and all of some columns::

        c[i * ldc + j] = a[i, 0] + sum over t < steps of a[i, 1 + t] * b[col_b[t] + j]      i < columns

    Parameters
    ----------
    flat : literal 0 or 1
        Whether the vectors follow each other without an end, and go where `order` says.
    depth, nv : int64
        An entry of `FANS`, or a smaller NV. `col_b` has DEPTH entries, of which those from `steps` on are 0, and a row
        of `a` one more: what the sum begins with.
    steps, columns, ldc : int64
    a, b, c : pointer
    col_b : pointer to int64
    last : int64
        Where the last vector starts; it may overlap the one before.
    order : pointer to int64
        As of `plan_rows._flat`, from the first vector on.
    past : bool
        As of `dot.line`.
    """

    if not isinstance(flat, types.IntegerLiteral):
        return None
    flattened = flat.literal_value

    def generate(context, builder, signature, args):
        _, depth, nv, steps, columns, a, b, col_b, c, ldc, last, order, past = args
        v = Vectors(context, builder, signature.args[5].dtype)
        beyond = builder.and_(past, v.aligned([c], last, ldc))

        def variant(depth, nv):
            places = [ir.Constant(INT, j * v.lanes) for j in range(nv)]
            targets, permute = places, []
            if flattened:
                entries = [v.at(order, j * (v.lanes + 1)) for j in range(nv)]
                targets = [builder.load(entry) for entry in entries]
                wide = ir.VectorType(INT, v.lanes)
                permute = [builder.load(builder.bitcast(v.at(entry, 1), wide.as_pointer()), align=8)
                           for entry in entries]
            else:
                places[-1] = last
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
            sums = [_permuted(v, value, lanes) for value, lanes in zip(sums, permute, strict=True)] if permute else sums
            target = v.at(c, builder.mul(loop.index, ldc))
            if flattened:
                for value, place in zip(sums, targets, strict=True):
                    v.store(value, v.at(target, place))
                loop.close()
                return
            with builder.if_else(beyond) as (then, otherwise):
                for block, store in ((then, v.store_past), (otherwise, v.store)):
                    with block:
                        for value, place in zip(sums, places, strict=True):
                            store(value, v.at(target, place))
            loop.close()

        choose(builder, (depth, nv), [(d, n) for d, most in FANS.items() for n in range(1, most + 1)], variant)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(flat, integer, integer, integer, integer, a, b, col_b, c, integer, integer, order,
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
        fan(0, depth, here, steps, columns, a, shift(b, q), col_b, shift(c, q), ldc,
            (here - 1) * size if tiles > 1 else width - size - q, col_b, past)


@helper
def fan_rows(depth, most, steps, columns, a, b, col_b, c, ldc, positions, order):
    """Rows that lie next to each other in `b` and `c`, `positions` of `b` in all. The row after them is next.

    26 of a row of 28 elements take 46 vectors of 16 in place of 52: 0.29 ms in place of 0.31 for 64 x 1 x 28 x 28 and
    32 filters of 3 x 3.
    """
    size = lanes(b)
    vectors = (positions + size - 1) // size
    for first in range(0, vectors, most):
        fan(1, depth, min(most, vectors - first), steps, columns, a, shift(b, first * size), col_b, c, ldc, 0,
            shift(order, first * (size + 1)), False)
