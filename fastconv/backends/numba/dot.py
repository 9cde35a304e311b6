"""Tiles whose vectors are positions next to each other in a row, written as LLVM vector code.

`line` multiplies: several rows of results, each a few vectors of positions, share either the elements of the source or
the weights. `dots` is its adjoint: sums over positions, kept as vectors. `window` copies a row with zeros around it,
`split` the even and the odd elements of one, and `weave` joins such rows again.
"""

from functools import reduce

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import NAME, TILE_VECTORS
from fastconv.backends.numba.tile import INT, LANE, Vectors, keep_rolled

# Rows and vectors of a row of the tiles of `line`, by the operand that the rows share, and rows and columns of those
# of `dots`: as many sums as the registers hold beside the operands.
VECTORS = TILE_VECTORS
SHARE_A = ((8, 1), *((4, n) for n in range(1, VECTORS + 1)))
SHARE_B = tuple((m, n) for m in (2, 3, 4) for n in range(1, VECTORS + 1))
# Kernels that slide read their margins under masks, which the other instruction sets have not.
SLIDES = tuple((n, n, stride, nv) for n, stride, most in ((3, 1, 4), (3, 2, 4), (5, 1, 2), (5, 2, 2), (7, 1, 2))
               for nv in range(1, min(most, VECTORS) + 1)) if NAME in ("avx512", "avx2") else ()
SLIDE_DOTS = ((3, 3, 1, 1),) if SLIDES else ()
DOTS = ((1, 1), (1, 3), (1, 9), (2, 9), (4, 6)) if TILE_VECTORS == 4 else ((1, 1), (1, 3), (1, 9), (2, 4))


class _Masked(Vectors):
    """Vectors of which a mask may leave out lanes: those are not touched in memory, and read as zeros."""

    def __init__(self, context, builder, dtype):
        super().__init__(context, builder, dtype)
        self.flags = ir.VectorType(ir.IntType(1), self.lanes)
        self.steps = ir.VectorType(LANE, self.lanes)
        self.alignment = ir.Constant(LANE, self.size)

    def below(self, count):
        """Which lanes are below `count`, at most LANES."""
        one = self.builder.insert_element(ir.Constant(self.steps, ir.Undefined), self.builder.trunc(count, LANE),
                                          ir.Constant(LANE, 0))
        return self.builder.icmp_signed("<", ir.Constant(self.steps, list(range(self.lanes))),
                                        self.shuffle(one, one, [0] * self.lanes))

    def inside(self, first, width):
        """For which lanes ``first + lane`` is in 0 .. `width`."""
        return self.builder.and_(self.below(self._clip(self.builder.sub(width, first))),
                                 self.builder.not_(self.below(self._clip(self.builder.neg(first)))))

    def _clip(self, value):
        """`value`, or the nearest of 0 and LANES."""
        for bound, beyond in ((0, "<"), (self.lanes, ">")):
            limit = ir.Constant(INT, bound)
            value = self.builder.select(self.builder.icmp_signed(beyond, value, limit), limit, value)
        return value

    def prefetch(self, base):
        """Fetch the cache line of `base`, which may lie outside of any array."""
        pointer = ir.IntType(8).as_pointer()
        function = self.intrinsic("llvm.prefetch.p0", ir.VoidType(), [pointer, LANE, LANE, LANE])
        read, keep, data = (ir.Constant(LANE, value) for value in (0, 3, 1))
        self.builder.call(function, [self.builder.bitcast(base, pointer), read, keep, data])

    def load_masked(self, base, mask):
        pointer = self.type.as_pointer()
        function = self.intrinsic(f"llvm.masked.load.{self.suffix}.p0", self.type,
                                  [pointer, LANE, self.flags, self.type])
        return self.builder.call(function, [self.builder.bitcast(base, pointer), self.alignment, mask, self.zero])

    def store_masked(self, value, base, mask):
        pointer = self.type.as_pointer()
        function = self.intrinsic(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(),
                                  [self.type, pointer, LANE, self.flags])
        self.builder.call(function, [value, self.builder.bitcast(base, pointer), self.alignment, mask])


class Loop:
    """A loop that LLVM leaves rolled: index = 0, step, ... below `stop`, with values carried round; may run never."""

    def __init__(self, builder, name, stop, step, carried):
        self.builder, self.step = builder, ir.Constant(INT, step)
        self.stop = stop
        self.head, self.body = builder.append_basic_block(name), builder.append_basic_block(name + ".body")
        self.done = builder.append_basic_block(name + ".done")
        before = builder.block
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.index = builder.phi(INT)
        self.index.add_incoming(ir.Constant(INT, 0), before)
        self.values = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            self.values.append(phi)
        builder.cbranch(builder.icmp_signed("<", self.index, stop), self.body, self.done)
        builder.position_at_end(self.body)

    def close(self, values=()):
        """End the body with the values of the next round; returns the values after the loop."""
        end = self.builder.block
        self.index.add_incoming(self.builder.add(self.index, self.step), end)
        for phi, value in zip(self.values, values, strict=True):
            phi.add_incoming(value, end)
        keep_rolled(self.builder.branch(self.head), self.builder.module)
        self.builder.position_at_end(self.done)
        return self.values


def choose(builder, keys, table, generate):
    """Run the code that `generate` makes for the literals of `table` which equal the run-time values `keys`."""
    done = builder.append_basic_block("chosen")
    for literals in table:
        here, other = builder.append_basic_block("variant"), builder.append_basic_block("other")
        same = [builder.icmp_signed("==", key, ir.Constant(INT, value))
                for key, value in zip(keys, literals, strict=True)]
        builder.cbranch(reduce(builder.and_, same), here, other)
        builder.position_at_end(here)
        generate(*literals)
        builder.branch(done)
        builder.position_at_end(other)
    builder.branch(done)
    builder.position_at_end(done)


@intrinsic
def line(typingctx, one, mr, nv, steps, a, row_a, col_a, b, row_b, col_b, start, c, row_c, last, width, past):
    """Multiply a tile of MR rows of NV vectors of neighbors::

        c[row_c[i] + j] = start[i] + sum over t < steps of a[row_a[i] + col_a[t]] * b[row_b[i] + col_b[t] + j]

    Parameters
    ----------
    one : literal int
        1 where all rows share a, that of row_a[0]; 0 where they share b, that of row_b[0].
    mr, nv : int64
        Rows, and vectors a row: a pair of `SHARE_A` or `SHARE_B`.
    steps : int64
        Steps of the reduction, at least 1.
    a, b, start, c : pointer
    row_a, row_b, row_c, col_a, col_b : pointer to int64
        Offsets, in elements.
    last : int64
        Where the last vector of a row starts; it may overlap the one before. The others follow each other.
    width : int64
        Elements of the last vector that are written. Whole vectors are read.
    past : bool
        Store past the caches where all vectors are whole and aligned; `stream.drain` must follow.
    """
    if not isinstance(one, types.IntegerLiteral):
        return None
    shared = one.literal_value

    def generate(context, builder, signature, args):
        mr, nv, steps, a, row_a, col_a, b, row_b, col_b, start, c, row_c, last, width, past = args[1:]
        v = _Masked(context, builder, signature.args[4].dtype)

        def tile(mr, nv):
            rows, columns = range(mr), range(nv)
            places = [ir.Constant(INT, j * v.lanes) for j in columns[:-1]] + [last]
            starts = [v.at(a, builder.load(v.at(row_a, i))) for i in (rows[:1] if shared else rows)]
            sources = [v.at(b, builder.load(v.at(row_b, i))) for i in (rows if shared else rows[:1])]
            first = [v.broadcast(builder.load(v.at(start, i))) for i in rows]
            before, loop, done = builder.block, *(builder.append_basic_block(name) for name in ("loop", "done"))
            builder.branch(loop)

            builder.position_at_end(loop)
            t = builder.phi(INT)
            sums = [[builder.phi(v.type) for _ in columns] for _ in rows]
            here, there = builder.load(v.at(col_a, t)), builder.load(v.at(col_b, t))
            factors = [v.broadcast(builder.load(v.at(one, here))) for one in starts]
            operands = [[v.load(v.at(v.at(source, there), place)) for place in places] for source in sources]
            after = [[v.fma(factors[0 if shared else i], operands[i if shared else 0][j], sums[i][j])
                      for j in columns] for i in rows]
            following = builder.add(t, ir.Constant(INT, 1))
            keep_rolled(builder.cbranch(builder.icmp_signed("<", following, steps), loop, done), builder.module)
            t.add_incoming(ir.Constant(INT, 0), before)
            t.add_incoming(following, loop)
            for i in rows:
                for j in columns:
                    sums[i][j].add_incoming(first[i], before)
                    sums[i][j].add_incoming(after[i][j], loop)

            builder.position_at_end(done)
            targets = [v.at(c, builder.load(v.at(row_c, i))) for i in rows]
            whole = builder.icmp_signed("==", width, ir.Constant(INT, v.lanes))

            def store_all(store, count):
                for i in rows:
                    for j in columns[:count]:
                        store(after[i][j], v.at(targets[i], places[j]))

            with builder.if_else(whole) as (then, otherwise):
                with then, builder.if_else(builder.and_(past, v.aligned(targets, last))) as (beyond, within):
                    with beyond:
                        store_all(v.store_past, nv)
                    with within:
                        store_all(v.store, nv)
                with otherwise:
                    store_all(v.store, nv - 1)
                    mask = v.below(width)
                    for i in rows:
                        v.store_masked(after[i][-1], v.at(targets[i], last), mask)

        choose(builder, (mr, nv), SHARE_A if shared else SHARE_B, tile)
        return context.get_dummy_value()

    integers, integer = row_a, types.int64
    return types.void(one, integer, integer, integer, a, integers, integers, b, integers, integers, start, c, integers,
                      integer, integer, types.boolean), generate


@intrinsic
def slide(typingctx, nr, ns, stride, nv, a, col_a, b, height, width, top, left, zeros, start, c, pitch, rows, last,
          written):
    """Slide a kernel of NR x NS taps down a stripe of NV vectors of results, reading the plane b in place::

        c[p * pitch + j] = start + sum of a[col_a[r * NS + s]] * b[p * STRIDE + r - top, j * STRIDE + s - left]

    for p < `rows`, with zeros around b. A row of b is read once for all the rows of c that it belongs to.

    Parameters
    ----------
    nr, ns, stride, nv : int64
        Taps of the kernel, stride and vectors: one of `SLIDES`.
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
        v = _Masked(context, builder, signature.args[4].dtype)
        mask = v.below(written)
        whole = builder.icmp_signed("==", written, ir.Constant(INT, v.lanes))
        first = v.broadcast(start)

        def stripe(nr, ns, stride, nv):
            places = [ir.Constant(INT, j * v.lanes) for j in range(nv - 1)] + [last]
            taps = [v.broadcast(builder.load(v.at(a, builder.load(v.at(col_a, t))))) for t in range(nr * ns)]
            # The column of each vector that is read, and its mask: only the outer vectors can reach beyond a row.
            reads = []
            for j, place in enumerate(places):
                begin = builder.sub(builder.mul(place, ir.Constant(INT, stride)), left)
                for s in range(0, ns, stride):
                    for part in range(stride):
                        column = builder.add(begin, ir.Constant(INT, s + part * v.lanes))
                        reads.append((column, v.inside(column, width) if j in (0, nv - 1) else None))

            def operands(line):
                """The vectors of b that meet the taps 0, 1, ... of a row, vector of results by vector of results."""
                found = iter([v.load(v.at(line, column)) if here is None else v.load_masked(v.at(line, column), here)
                              for column, here in reads])
                for _ in range(nv):
                    if stride == 1:
                        yield [next(found) for _ in range(ns)]
                    else:
                        pairs = [(next(found), next(found)) for _ in range(0, ns, 2)]
                        yield [v.shuffle(*pairs[s // 2], [2 * i + s % 2 for i in range(v.lanes)]) for s in range(ns)]

            def row(index, sums, oldest):
                """Add row `index` of b to the sums of the rows of c that it meets, the oldest with its row `oldest`."""
                at = builder.sub(index, top)
                line = builder.select(builder.icmp_unsigned("<", at, height), v.at(b, builder.mul(at, width)), zeros)
                met = range(oldest // stride + 1)
                sums = [list(sums[i]) if i < len(sums) else [first] * nv for i in met]
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
            sums = [loop.values[i * nv:(i + 1) * nv] for i in range(len(sums))]
            for h in range(ahead, nr):
                index = builder.add(builder.mul(loop.index, ir.Constant(INT, stride)), ir.Constant(INT, h))
                if stride > 1:
                    # The hardware sees too late that the next plane follows: 0.41 ms in place of 0.45 for 8 x 240
                    # planes of 28 x 28 and 5 x 5 taps. With a stride of 1 it keeps up.
                    following = v.at(b, builder.mul(builder.add(builder.sub(index, top), height), width))
                    for j in range(nv * stride):
                        v.prefetch(v.at(following, j * v.lanes))
                sums = row(index, sums, h)
            done, *sums = sums
            target = v.at(c, builder.mul(loop.index, pitch))
            for j in range(nv - 1):
                v.store(done[j], v.at(target, places[j]))
            with builder.if_else(whole) as (then, otherwise):
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
def dots(typingctx, mr, nr, rows, width, a, row_a, pitch_a, b, col_b, pitch_b, c, ldc):
    """Add to MR x NR vectors of sums over positions::

        c[i * ldc + j] += a[row_a[i] + p * pitch_a + q] * b[col_b[j] + p * pitch_b + q]     p < rows, q < width

    where c is an array of vectors, and a position goes to the lane that is q modulo LANES.

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
    ldc : int64
        Vectors from a row of c to the next.
    """

    def generate(context, builder, signature, args):
        mr, nr, rows, width, a, row_a, pitch_a, b, col_b, pitch_b, c, ldc = args
        v = _Masked(context, builder, signature.args[4].dtype)
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
                found = list(sums)
                for j in columns:
                    right = load(v.at(behind[j], index_b))
                    for i in lines:
                        k = i * len(columns) + j
                        found[k] = v.fma(left[i], right, sums[k])
                return found

            outer = Loop(builder, "rows", rows, 1, [v.load(target) for target in targets])
            at_a, at_b = builder.mul(outer.index, pitch_a), builder.mul(outer.index, pitch_b)
            inner = Loop(builder, "vectors", whole, v.lanes, outer.values)
            sums = inner.close(add(v.load, builder.add(at_a, inner.index), builder.add(at_b, inner.index),
                                   inner.values))
            before, tail = builder.block, builder.append_basic_block("tail")
            after = builder.append_basic_block("after")
            builder.cbranch(builder.icmp_signed(">", rest, ir.Constant(INT, 0)), tail, after)
            builder.position_at_end(tail)
            added = add(lambda base: v.load_masked(base, mask), builder.add(at_a, whole), builder.add(at_b, whole),
                        sums)
            builder.branch(after)
            builder.position_at_end(after)
            result = []
            for left, right in zip(sums, added, strict=True):
                phi = builder.phi(v.type)
                phi.add_incoming(left, before)
                phi.add_incoming(right, tail)
                result.append(phi)
            for value, target in zip(outer.close(result), targets, strict=True):
                v.store(value, target)

        choose(builder, (mr, nr), DOTS, tile)
        return context.get_dummy_value()

    integers, integer = row_a, types.int64
    return types.void(integer, integer, integer, integer, a, integers, integer, b, integers, integer, c,
                      integer), generate


@intrinsic
def slide_dots(typingctx, nr, ns, x, height, width, top, left, zeros, y, pitch, rows, count, sums):
    """Add to NR x NS vectors of sums over a stripe of one vector, and to one more the sums of y::

        sums[r * NS + s] += y[p * pitch + j] * x[p + r - top, j + s - left]     p < rows, j < count

    with zeros around the plane x. A row of x is read once for all the taps that it meets.

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
        v = _Masked(context, builder, signature.args[2].dtype)
        mask = v.below(count)

        def stripe(nr, ns):
            columns = [builder.sub(ir.Constant(INT, s), left) for s in range(ns)]
            masks = [builder.and_(mask, v.inside(column, width)) for column in columns]
            targets = [v.at(sums, t * v.lanes) for t in range(nr * ns + 1)]

            def row(index):
                at = builder.sub(index, top)
                line = builder.select(builder.icmp_unsigned("<", at, height), v.at(x, builder.mul(at, width)), zeros)
                return [v.load_masked(v.at(line, column), here) for column, here in zip(columns, masks, strict=True)]

            lines = [value for r in range(nr - 1) for value in row(ir.Constant(INT, r))]
            loop = Loop(builder, "rows", rows, 1, [*lines, *(v.load(target) for target in targets)])
            lines, found = loop.values[:len(lines)], loop.values[len(lines):]
            lines = [*lines, *row(builder.add(loop.index, ir.Constant(INT, nr - 1)))]
            place = v.at(y, builder.mul(loop.index, pitch))
            factor = v.load_masked(place, mask)
            # Stripe by stripe, the hardware foresees no more than a line; the next planes follow these.
            v.prefetch(v.at(place, builder.mul(rows, pitch)))
            v.prefetch(v.at(v.at(x, builder.mul(builder.add(loop.index, height), width)), columns[-1]))
            total = builder.fadd(found[-1], factor)
            found = [v.fma(factor, line, value) for line, value in zip(lines, found[:-1], strict=True)]
            result = loop.close([*lines[ns:], *found, total])
            for value, target in zip(result[(nr - 1) * ns:], targets, strict=True):
                v.store(value, target)

        choose(builder, (nr, ns), [(nr, ns) for nr, ns, _, _ in SLIDE_DOTS], stripe)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, x, integer, integer, integer, integer, x, y, integer, integer, integer,
                      sums), generate


@intrinsic
def total(typingctx, source):
    """The sum of the vector at `source`, in halves."""

    def generate(context, builder, signature, args):
        v = _Masked(context, builder, source.dtype)
        value, here = v.load(args[0]), v.lanes // 2
        while here > 0:
            value = builder.fadd(value, v.shuffle(value, value, [(i + here) % v.lanes for i in range(v.lanes)]))
            here //= 2
        return builder.extract_element(value, ir.Constant(LANE, 0))

    return source.dtype(source), generate


@intrinsic
def window(typingctx, source, width, first, target, count, ahead):
    """``target[j] = source[first + j]`` for j < `count`, and 0 where that is not in 0 .. `width`.

    The target is written in whole vectors, so up to LANES - 1 elements beyond `count`. What lies `ahead` elements
    behind the source is fetched into the cache.
    """

    def generate(context, builder, signature, args):
        source, width, first, target, count, ahead = args
        v = _Masked(context, builder, signature.args[0].dtype)
        loop = Loop(builder, "copy", count, v.lanes, [])
        here = builder.add(first, loop.index)
        v.prefetch(v.at(source, builder.add(here, ahead)))
        v.store(v.load_masked(v.at(source, here), v.inside(here, width)), v.at(target, loop.index))
        loop.close()
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, source, integer, integer), generate


@intrinsic
def split(typingctx, source, width, first, target, pitch, count, ahead):
    """``target[i * pitch + j] = source[first + 2 * j + i]`` for i < 2 and j < `count`, zeros outside as of `window`."""

    def generate(context, builder, signature, args):
        source, width, first, target, pitch, count, ahead = args
        v = _Masked(context, builder, signature.args[0].dtype)
        loop = Loop(builder, "split", count, v.lanes, [])
        here = builder.add(first, builder.shl(loop.index, ir.Constant(INT, 1)))
        there = builder.add(here, ir.Constant(INT, v.lanes))
        pair = [v.load_masked(v.at(source, place), v.inside(place, width)) for place in (here, there)]
        for place in (here, there):
            v.prefetch(v.at(source, builder.add(place, ahead)))
        for i in range(2):
            row = v.at(target, builder.mul(pitch, ir.Constant(INT, i)))
            v.store(v.shuffle(*pair, [2 * j + i for j in range(v.lanes)]), v.at(row, loop.index))
        loop.close()
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, source, integer, integer, integer), generate


@intrinsic
def weave(typingctx, even, odd, target, count):
    """``target[2 * j] = even[j]`` and ``target[2 * j + 1] = odd[j]`` below `count`; whole vectors are read."""

    def generate(context, builder, signature, args):
        even, odd, target, count = args
        v = _Masked(context, builder, signature.args[0].dtype)
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
