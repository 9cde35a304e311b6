"""Tiles whose vectors are positions next to each other in a row, written as LLVM vector code.

`line` multiplies: several rows of results, each a few vectors of positions, share either the elements of the source or
the weights. `dots` is its adjoint: sums over positions, kept as vectors.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import TILE_VECTORS
from fastconv.backends.numba.jit import ask_for
from fastconv.backends.numba.words import INT, LANE, Loop, Masked, choose, revised

# Rows and vectors of a row of the tiles of `line`, by the operand that the rows share, and rows and columns of those
# of `dots`: as many sums as the registers hold beside the operands.
VECTORS = TILE_VECTORS
SHARE_A = ((8, 1), *((4, n) for n in range(1, VECTORS + 1)))
SHARE_B = tuple((m, n) for m in (2, 3, 4) for n in range(1, VECTORS + 1))
DOTS = ((1, 1), (1, 3), (1, 9), (2, 9), (4, 6)) if TILE_VECTORS == 4 else ((1, 1), (1, 3), (1, 9), (2, 4))


@intrinsic
def line(typingctx, one, mr, nv, steps, run, totals, a, row_a, col_a, b, row_b, col_b, at_b, start, c, row_c, at_c,
         width, past):
    """Multiply a tile of MR rows of NV vectors of neighbors, for each of the vectors k::

        c[row_c[i] + at_c[k] + j] = start[i] + sum over t < steps of
            a[row_a[i] + col_a[t]] * b[row_b[i] + at_b[k] + col_b[t] + j]

    Parameters
    ----------
    one : literal int
        1 where all rows share a, that of row_a[0]; 0 where they share b, that of row_b[0].
    mr, nv : int64
        Rows, and vectors a row: a pair of `SHARE_A` or `SHARE_B`.
    steps : int64
        Steps of the reduction, at least 1.
    run : int64
        Steps of a running sum: longer ones are sums of such sums.
    totals : pointer
        Space for MR x NV vectors, which more than one run needs. In registers they would take those of the sums.
    a, b, start, c : pointer
    row_a, row_b, row_c, col_a, col_b, at_b, at_c : pointer to int64
        Offsets, in elements. Vectors may overlap.
    width : int64
        Elements of each vector that are written. Whole vectors are read.
    past : bool
        Store past the caches where all vectors are whole and aligned; `stream.drain` must follow.
    """
    if not isinstance(one, types.IntegerLiteral):
        return None
    shared = one.literal_value

    def generate(context, builder, signature, args):
        mr, nv, steps, run, totals, a, row_a, col_a, b, row_b, col_b, at_b, start, c, row_c, at_c, width, past = (
            args[1:])
        v = Masked(context, builder, signature.args[5].dtype)

        def tile(mr, nv):
            rows, columns = range(mr), range(nv)
            places = [builder.load(v.at(at_b, j)) for j in columns]
            starts = [v.at(a, builder.load(v.at(row_a, i))) for i in (rows[:1] if shared else rows)]
            sources = [v.at(b, builder.load(v.at(row_b, i))) for i in (rows if shared else rows[:1])]
            outer = Loop(builder, "runs", steps, run, [v.broadcast(builder.load(v.at(start, i))) for i in rows])
            stop = builder.add(outer.index, run)
            more = builder.icmp_signed("<", stop, steps)
            inner = Loop(builder, "steps", builder.select(more, stop, steps), 1,
                         [value for value in outer.values for _ in columns], outer.index)
            here, there = builder.load(v.at(col_a, inner.index)), builder.load(v.at(col_b, inner.index))
            factors = [v.broadcast(builder.load(v.at(one, here))) for one in starts]
            operands = [[v.load(v.at(v.at(source, there), place)) for place in places] for source in sources]
            sums = inner.close([v.fma(factors[0 if shared else i], operands[i if shared else 0][j],
                                      inner.values[i * nv + j]) for i in rows for j in columns])
            kept = [v.at(totals, k * v.lanes) for k in range(mr * nv)]
            sums = revised(builder, builder.icmp_signed(">", outer.index, ir.Constant(INT, 0)), sums, lambda sums: [
                builder.fadd(v.load(place), value) for place, value in zip(kept, sums, strict=True)])
            with builder.if_else(more) as (then, otherwise):
                with then:
                    for value, place in zip(sums, kept, strict=True):
                        v.store(value, place)
                with otherwise:
                    store([sums[i * nv:(i + 1) * nv] for i in rows])
            outer.close([v.zero] * mr)

        def store(sums):
            places = [builder.load(v.at(at_c, j)) for j in range(len(sums[0]))]
            targets = [v.at(c, builder.load(v.at(row_c, i))) for i in range(len(sums))]

            def store_all(store, *mask):
                for line, target in zip(sums, targets, strict=True):
                    for value, place in zip(line, places, strict=True):
                        store(value, v.at(target, place), *mask)

            with builder.if_else(builder.icmp_signed("==", width, ir.Constant(INT, v.lanes))) as (then, otherwise):
                with then, builder.if_else(builder.and_(past, v.aligned(targets, *places))) as (beyond, within):
                    with beyond:
                        store_all(v.store_past)
                    with within:
                        store_all(v.store)
                with otherwise:
                    store_all(v.store_masked, v.below(width))

        choose(builder, (mr, nv), SHARE_A if shared else SHARE_B, tile)
        return context.get_dummy_value()

    integers, integer = row_a, types.int64
    return types.void(one, integer, integer, integer, integer, totals, a, integers, integers, b, integers, integers,
                      integers, start, c, integers, integers, integer, types.boolean), generate


@intrinsic
def dots(typingctx, mr, nr, rows, width, a, row_a, pitch_a, ahead, b, col_b, pitch_b, c, ldc):
    """Add to MR x NR vectors of sums over positions::

        c[i * ldc + j] += a[row_a[i] + p * pitch_a + q] * b[col_b[j] + p * pitch_b + q]     p < rows, q < width

    where c is an array of vectors, and a position goes to the lane that is q modulo LANES. The sums start at 0 even so:
    one running sum over all calls would lose digits.

    Parameters
    ----------
    mr, nr : int64
        Rows and columns of the tile: a pair of `DOTS`.
    rows, width : int64
        Nothing is read beyond them.
    a, b, c : pointer
    row_a, col_b : pointer to int64
        Offsets, in elements.
    pitch_a, pitch_b : int64
        Elements from a row of positions to the next.
    ahead : int64
        What lies so many elements behind a is fetched into the cache.
    ldc : int64
        Vectors from a row of c to the next.
    """

    def generate(context, builder, signature, args):
        mr, nr, rows, width, a, row_a, pitch_a, later, b, col_b, pitch_b, c, ldc = args
        v = Masked(context, builder, signature.args[4].dtype)
        size = ir.Constant(INT, v.lanes)
        rest = builder.and_(width, ir.Constant(INT, v.lanes - 1))
        whole = builder.sub(width, rest)
        mask = v.below(rest)

        def tile(mr, nr):
            lines, columns = range(mr), range(nr)
            ahead = [v.at(a, builder.load(v.at(row_a, i))) for i in lines]
            behind = [v.at(b, builder.load(v.at(col_b, j))) for j in columns]
            targets = [v.at(c, builder.mul(builder.add(builder.mul(ldc, ir.Constant(INT, i)), ir.Constant(INT, j)),
                                           size)) for i in lines for j in columns]

            def add(load, index_a, index_b, sums):
                left = [load(v.at(pointer, index_a)) for pointer in ahead]
                for pointer in ahead:
                    ask_for(builder, v.at(pointer, builder.add(index_a, later)), level=2)
                found = list(sums)
                for j in columns:
                    right = load(v.at(behind[j], index_b))
                    for i in lines:
                        k = i * len(columns) + j
                        found[k] = v.fma(left[i], right, sums[k])
                return found

            outer = Loop(builder, "rows", rows, 1, [v.zero] * len(targets))
            at_a, at_b = builder.mul(outer.index, pitch_a), builder.mul(outer.index, pitch_b)
            inner = Loop(builder, "vectors", whole, v.lanes, outer.values)
            sums = inner.close(add(v.load, builder.add(at_a, inner.index), builder.add(at_b, inner.index),
                                   inner.values))
            sums = revised(builder, builder.icmp_signed(">", rest, ir.Constant(INT, 0)), sums, lambda sums: add(
                lambda base: v.load_masked(base, mask), builder.add(at_a, whole), builder.add(at_b, whole), sums))
            for value, target in zip(outer.close(sums), targets, strict=True):
                v.store(builder.fadd(v.load(target), value), target)

        choose(builder, (mr, nr), DOTS, tile)
        return context.get_dummy_value()

    integers, integer = row_a, types.int64
    return types.void(integer, integer, integer, integer, a, integers, integer, integer, b, integers, integer, c,
                      integer), generate


@intrinsic
def total(typingctx, source):
    """The sum of the vector at `source`, in halves."""

    def generate(context, builder, signature, args):
        v = Masked(context, builder, source.dtype)
        value, here = v.load(args[0]), v.lanes // 2
        while here > 0:
            value = builder.fadd(value, v.shuffle(value, value, [(i + here) % v.lanes for i in range(v.lanes)]))
            here //= 2
        return builder.extract_element(value, ir.Constant(LANE, 0))

    return source.dtype(source), generate
