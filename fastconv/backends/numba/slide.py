"""Kernels of one channel that slide down a plane where it lies, written as LLVM vector code.

`slide` multiplies, `slide_dots` sums up the weight gradient. A row of the plane is read once for all that it meets;
there is no copy with zeros around it, since what lies beyond it is left out by masks. With 3 x 3 taps that is a copy's
time: 8 x 144 planes of 56 x 56 take 1.03 ms on an Intel Xeon, and 28.9 MB from one place to another 1.00, whatever
instructions move them.
"""

from itertools import chain

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import INTEL, NAME, TILE_VECTORS
from fastconv.backends.numba.jit import ask_for
from fastconv.backends.numba.words import INT, Loop, Masked, align_stack, choose, revised

# (taps down, taps across, stride, vectors) of what there is code for: the other instruction sets have no masks, or such
# as take long to load with.
SLIDES = tuple((n, n, stride, nv) for n, stride, most in ((3, 1, 4), (3, 2, 4), (5, 1, 2), (5, 2, 2), (7, 1, 2))
               for nv in range(min(most, TILE_VECTORS) + 1)) if NAME == "avx512" else ()
SLIDE_DOTS = ((3, 3, 1, 1),) if SLIDES else ()


def _pieces(values, size):
    return [list(values[i:i + size]) for i in range(0, len(values), size)]


@intrinsic
def slide(typingctx, nr, ns, stride, nv, a, col_a, b, height, width, top, left, zeros, start, c, pitch, rows, last,
          written):
    """Slide a kernel of NR x NS taps down a stripe of NV vectors of results, reading the plane b in place::

        c[p * pitch + j] = start + sum of a[col_a[r * NS + s]] * b[p * STRIDE + r - top, j * STRIDE + s - left]

    for p < `rows`, with zeros around b. A row of b is read once for all the rows of c that it belongs to.

    Parameters
    ----------
    nr, ns, stride, nv : int64
        Taps of the kernel, stride and vectors: one of `SLIDES`. 0 vectors are one that holds the row's margins too: it
        is loaded once and rotated to meet each tap, 0.38 ms in place of 0.50 for 8 x 240 planes of 28 x 28 and 5 x 5
        taps of stride 2 on Zen 4.
    a, b, c : pointer
    col_a : pointer to int64
        Offsets of the taps.
    height, width : int64
        Of the plane b, beyond which nothing is read.
    top, left : int64
    zeros : pointer
        A row of zeros as long as one of b.
    start : element
    pitch : int64
        Elements from a row of c to the next.
    rows : int64
        At least 1.
    last, written : int64
        The last vector and its width, as of `line`.
    """

    def generate(context, builder, signature, args):
        nr, ns, stride, nv = args[:4]
        a, col_a, b, height, width, top, left, zeros, start, c, pitch, rows, last, written = args[4:]
        align_stack(builder)
        v = Masked(context, builder, signature.args[4].dtype)
        mask = v.below(written)
        whole = builder.icmp_signed("==", written, ir.Constant(INT, v.lanes))
        first = v.broadcast(start)

        def stripe(nr, ns, stride, vectors):
            nv = max(1, vectors)
            places = [ir.Constant(INT, j * v.lanes) for j in range(nv - 1)] + [last]
            taps = [v.broadcast(builder.load(v.at(a, builder.load(v.at(col_a, t))))) for t in range(nr * ns)]
            # The column of each vector that is read, and its mask: only the outer vectors can reach beyond a row.
            reads = []
            for j, place in enumerate(places):
                begin = builder.sub(builder.mul(place, ir.Constant(INT, stride)), left)
                for s in range(0, ns if vectors else 1, stride):
                    for part in range(stride):
                        column = builder.add(begin, ir.Constant(INT, s + part * v.lanes))
                        reads.append((column, v.inside(column, width) if j in (0, nv - 1) else None))

            def operands(line):
                """The vectors of b that meet the taps 0, 1, ... of a row, vector of results by vector of results."""
                found = iter(v.load_all([(v.at(line, column), mask) for column, mask in reads]))
                if not vectors:
                    parts = [next(found) for _ in range(stride)]
                    if stride == 2:
                        parts = [v.shuffle(*parts, [2 * i + part for i in range(v.lanes)]) for part in (0, 1)]
                    turned = [[(i + by) % v.lanes for i in range(v.lanes)] for by in range(ns)]
                    yield [v.shuffle(parts[s % stride], parts[s % stride], turned[s // stride]) for s in range(ns)]
                    return
                for _ in range(nv):
                    if stride == 1:
                        yield [next(found) for _ in range(ns)]
                    else:
                        pairs = [(next(found), next(found)) for _ in range(0, ns, 2)]
                        yield [v.shuffle(*pairs[s // 2], [2 * i + s % 2 for i in range(v.lanes)]) for s in range(ns)]

            def row(index, sums, oldest):
                """Add row `index` of b to the sums of the rows of c that it meets, the oldest with its row `oldest`."""
                at = builder.sub(index, top)
                inside, line = builder.icmp_unsigned("<", at, height), v.at(b, builder.mul(at, width))
                met = range(oldest // stride + 1)
                sums = [list(sums[i]) if i < len(sums) else [first] * nv for i in met]
                if nr == 3 and nv > 1:
                    return added(builder.select(inside, line, zeros), sums, oldest)
                # Rows of zeros are left out where they count: 7 x 7 taps and 8 x 384 planes of 14 x 14 take 0.66 ms in
                # place of 0.79 on an Intel Xeon. Choices cost 5% of 3 x 3 taps and 8 x 144 planes of 56 x 56.
                values = revised(builder, inside, list(chain(*sums)),
                                 lambda values: list(chain(*added(line, _pieces(values, nv), oldest))))
                return _pieces(values, nv)

            def added(line, sums, oldest):
                met = range(len(sums))
                for j, vectors in enumerate(operands(line)):
                    for i in met:
                        factors = taps[(oldest - i * stride) * ns:][:ns]
                        # Few vectors leave the chains of additions as what takes the time: a row gets its own.
                        found = v.zero if nv == 1 else sums[i][j]
                        for factor, operand in zip(factors, vectors, strict=True):
                            found = v.fma(factor, operand, found)
                        sums[i][j] = builder.fadd(sums[i][j], found) if nv == 1 else found
                return sums

            ahead = nr - stride
            sums = []
            for h in range(ahead):
                sums = row(ir.Constant(INT, h), sums, h)
            loop = Loop(builder, "rows", rows, 1, [value for found in sums for value in found])
            sums = _pieces(loop.values, nv)
            for h in range(ahead, nr):
                index = builder.add(builder.mul(loop.index, ir.Constant(INT, stride)), ir.Constant(INT, h))
                if stride > 1 or INTEL:
                    # The hardware sees too late that the next plane follows: 0.41 ms in place of 0.45 for 8 x 240
                    # planes of 28 x 28 and 5 x 5 taps. With a stride of 1 Zen's keeps up, but Intel's takes 0.32 ms in
                    # place of 0.28 for 8 x 512 of 14 x 14 and 3 x 3 taps.
                    following = v.at(b, builder.mul(builder.add(builder.sub(index, top), height), width))
                    for j in range(nv * stride):
                        ask_for(builder, v.at(following, j * v.lanes))
                sums = row(index, sums, h)
            done, *sums = sums
            target = v.at(c, builder.mul(loop.index, pitch))
            for j in range(nv - 1):
                v.store(done[j], v.at(target, places[j]))
            fits = whole
            if not vectors:
                # What a whole vector stores beyond its row, the next rows overwrite.
                room = builder.mul(builder.sub(rows, loop.index), pitch)
                fits = builder.icmp_signed(">=", room, ir.Constant(INT, v.lanes))
            with builder.if_else(fits) as (then, otherwise):
                with then:
                    v.store(done[-1], v.at(target, last))
                with otherwise:
                    v.store_masked(done[-1], v.at(target, last), mask)
            loop.close([value for found in sums for value in found])

        choose(builder, (nr, ns, stride, nv), SLIDES, stripe)
        return context.get_dummy_value()

    integers, integer = col_a, types.int64
    return types.void(integer, integer, integer, integer, a, integers, b, integer, integer, integer, integer, b,
                      a.dtype, c, integer, integer, integer, integer), generate


@intrinsic
def slide_dots(typingctx, nr, ns, x, height, width, top, left, zeros, y, pitch, rows, count, sums):
    """Add to NR x NS vectors of sums over a stripe of one vector, and to one more the sums of y::

        sums[r * NS + s] += y[p * pitch + j] * x[p + r - top, j + s - left]     p < rows, j < count

    with zeros around the plane x. A row of x is read once for all the taps that it meets. The sums start at 0, as those
    of `dot.dots`.

    Parameters
    ----------
    nr, ns : int64
        Taps of the kernel: of one of `SLIDE_DOTS`.
    x, y, sums : pointer
    height, width, top, left, zeros, rows
        As of `slide`.
    pitch : int64
        Elements from a row of y to the next.
    count : int64
        Columns, at most LANES.
    """

    def generate(context, builder, signature, args):
        nr, ns, x, height, width, top, left, zeros, y, pitch, rows, count, sums = args
        align_stack(builder)
        v = Masked(context, builder, signature.args[2].dtype)
        mask = v.below(count)

        def stripe(nr, ns):
            columns = [builder.sub(ir.Constant(INT, s), left) for s in range(ns)]
            masks = [builder.and_(mask, v.inside(column, width)) for column in columns]
            targets = [v.at(sums, t * v.lanes) for t in range(nr * ns + 1)]

            def row(index):
                at = builder.sub(index, top)
                line = builder.select(builder.icmp_unsigned("<", at, height), v.at(x, builder.mul(at, width)), zeros)
                return v.load_all([(v.at(line, column), here) for column, here in zip(columns, masks, strict=True)])

            lines = [value for r in range(nr - 1) for value in row(ir.Constant(INT, r))]
            loop = Loop(builder, "rows", rows, 1, [*lines, *[v.zero] * len(targets)])
            lines, found = loop.values[:len(lines)], loop.values[len(lines):]
            lines = [*lines, *row(builder.add(loop.index, ir.Constant(INT, nr - 1)))]
            place = v.at(y, builder.mul(loop.index, pitch))
            [factor] = v.load_all([(place, mask)])
            # Stripe by stripe, the hardware foresees no more than a line; the next planes follow these.
            ask_for(builder, v.at(place, builder.mul(rows, pitch)))
            ask_for(builder, v.at(v.at(x, builder.mul(builder.add(loop.index, height), width)), columns[-1]))
            total = builder.fadd(found[-1], factor)
            found = [v.fma(factor, line, value) for line, value in zip(lines, found[:-1], strict=True)]
            result = loop.close([*lines[ns:], *found, total])
            for value, target in zip(result[(nr - 1) * ns:], targets, strict=True):
                v.store(builder.fadd(v.load(target), value), target)

        choose(builder, (nr, ns), [(nr, ns) for nr, ns, _, _ in SLIDE_DOTS], stripe)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, x, integer, integer, integer, integer, x, y, integer, integer, integer,
                      sums), generate
