"""Tiles whose vectors are positions next to each other in a row, written as LLVM vector code.

`line` multiplies: several rows of results, each a few vectors of positions, share either the elements of the source or
the weights. `dots` is its adjoint: sums over positions, kept as vectors. `window` copies a row with zeros around it,
`split` the even and the odd elements of one, and `weave` joins such rows again.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.tile import INT, LANE, _keep_rolled, _Vectors


class _Masked(_Vectors):
    """Vectors of which a mask may leave out lanes: those are not touched in memory, and read as zeros."""

    def __init__(self, context, builder, dtype):
        super().__init__(context, builder, dtype)
        self.flags = ir.VectorType(ir.IntType(1), self.lanes)
        self.steps = ir.VectorType(INT, self.lanes)
        self.alignment = ir.Constant(LANE, self.size)

    def numbers(self, start, step=1):
        """start, start + step, ..."""
        one = self.builder.insert_element(ir.Constant(self.steps, ir.Undefined), start, ir.Constant(LANE, 0))
        return self.builder.add(self.shuffle(one, one, [0] * self.lanes),
                                ir.Constant(self.steps, [i * step for i in range(self.lanes)]))

    def below(self, numbers, count):
        """Which numbers, taken as unsigned, are below `count`."""
        one = self.builder.insert_element(ir.Constant(self.steps, ir.Undefined), count, ir.Constant(LANE, 0))
        return self.builder.icmp_unsigned("<", numbers, self.shuffle(one, one, [0] * self.lanes))

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


class _Loop:
    """A loop that LLVM leaves rolled: index = 0, step, ... below `stop`, with values carried round; may run never."""

    def __init__(self, builder, name, stop, step, carried, until=None):
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
        _keep_rolled(self.builder.branch(self.head), self.builder.module)
        self.builder.position_at_end(self.done)
        return self.values


def _literals(*values):
    return all(isinstance(value, types.IntegerLiteral) for value in values)


@intrinsic
def line(typingctx, mr, nv, one, steps, a, row_a, col_a, b, row_b, col_b, start, c, row_c, last, width):
    """Multiply a tile of MR rows of NV vectors of neighbors::

        c[row_c[i] + j] = start[i] + sum over t < steps of a[row_a[i] + col_a[t]] * b[row_b[i] + col_b[t] + j]

    Parameters
    ----------
    mr, nv : literal int
        Rows, and vectors a row.
    one : literal int
        1 where all rows share a, row_a[0]; 0 where they share b, row_b[0].
    steps : int64
        Steps of the reduction, at least 1.
    a, b, start, c : pointer
    row_a, row_b, row_c, col_a, col_b : pointer to int64
        Offsets, in elements.
    last : int64
        Where the last vector of a row starts; it may overlap the one before. The others follow each other.
    width : int64
        Elements of the last vector that are written. Whole vectors are read.
    """
    if not _literals(mr, nv, one):
        return None
    rows, columns, shared = range(mr.literal_value), range(nv.literal_value), one.literal_value

    def generate(context, builder, signature, args):
        steps, a, row_a, col_a, b, row_b, col_b, start, c, row_c, last, width = args[3:]
        v = _Masked(context, builder, signature.args[4].dtype)
        places = [ir.Constant(INT, j * v.lanes) for j in columns[:-1]] + [last]
        factors = [v.at(a, builder.load(v.at(row_a, i))) for i in (rows[:1] if shared else rows)]
        sources = [v.at(b, builder.load(v.at(row_b, i))) for i in (rows if shared else rows[:1])]
        first = [v.broadcast(builder.load(v.at(start, i))) for i in rows]
        before, loop, done = builder.block, *(builder.append_basic_block(name) for name in ("loop", "done"))
        builder.branch(loop)

        builder.position_at_end(loop)
        t = builder.phi(INT)
        sums = [[builder.phi(v.type) for _ in columns] for _ in rows]
        here, there = builder.load(v.at(col_a, t)), builder.load(v.at(col_b, t))
        factors = [v.broadcast(builder.load(v.at(factor, here))) for factor in factors]
        operands = [[v.load(v.at(v.at(source, there), place)) for place in places] for source in sources]
        after = [[v.fma(factors[0 if shared else i], operands[i if shared else 0][j], sums[i][j]) for j in columns]
                 for i in rows]
        following = builder.add(t, ir.Constant(INT, 1))
        _keep_rolled(builder.cbranch(builder.icmp_signed("<", following, steps), loop, done), builder.module)
        t.add_incoming(ir.Constant(INT, 0), before)
        t.add_incoming(following, loop)
        for i in rows:
            for j in columns:
                sums[i][j].add_incoming(first[i], before)
                sums[i][j].add_incoming(after[i][j], loop)

        builder.position_at_end(done)
        targets = [v.at(c, builder.load(v.at(row_c, i))) for i in rows]
        whole = builder.icmp_signed("==", width, ir.Constant(INT, v.lanes))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                for i in rows:
                    for j in columns:
                        v.store(after[i][j], v.at(targets[i], places[j]))
            with otherwise:
                mask = v.below(v.numbers(ir.Constant(INT, 0)), width)
                for i in rows:
                    for j in columns[:-1]:
                        v.store(after[i][j], v.at(targets[i], places[j]))
                    v.store_masked(after[i][-1], v.at(targets[i], last), mask)
        return context.get_dummy_value()

    integers = row_a
    return types.void(mr, nv, one, types.int64, a, integers, integers, b, integers, integers, start, c, integers,
                      types.int64, types.int64), generate


@intrinsic
def dots(typingctx, mr, nr, rows, width, a, row_a, pitch_a, b, col_b, pitch_b, c, ldc):
    """Add to MR x NR vectors of sums over positions::

        c[i * ldc + j] += a[row_a[i] + p * pitch_a + q] * b[col_b[j] + p * pitch_b + q]     p < rows, q < width

    where c is an array of vectors, and a position goes to the lane that is q modulo LANES.

    Parameters
    ----------
    mr, nr : literal int
        Rows and columns of the tile.
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
    if not _literals(mr, nr):
        return None
    lines, columns = range(mr.literal_value), range(nr.literal_value)

    def generate(context, builder, signature, args):
        rows, width, a, row_a, pitch_a, b, col_b, pitch_b, c, ldc = args[2:]
        v = _Masked(context, builder, signature.args[4].dtype)
        ahead = [v.at(a, builder.load(v.at(row_a, i))) for i in lines]
        behind = [v.at(b, builder.load(v.at(col_b, j))) for j in columns]
        size = ir.Constant(INT, v.lanes)
        targets = [v.at(c, builder.mul(builder.add(builder.mul(ldc, ir.Constant(INT, i)), ir.Constant(INT, j)), size))
                   for i in lines for j in columns]
        rest = builder.and_(width, ir.Constant(INT, v.lanes - 1))
        whole = builder.sub(width, rest)
        mask = v.below(v.numbers(ir.Constant(INT, 0)), rest)

        def add(load, index_a, index_b, sums):
            left = [load(v.at(pointer, index_a)) for pointer in ahead]
            found = list(sums)
            for j in columns:
                right = load(v.at(behind[j], index_b))
                for i in lines:
                    k = i * len(columns) + j
                    found[k] = v.fma(left[i], right, sums[k])
            return found

        outer = _Loop(builder, "rows", rows, 1, [v.load(target) for target in targets])
        at_a, at_b = builder.mul(outer.index, pitch_a), builder.mul(outer.index, pitch_b)
        inner = _Loop(builder, "vectors", whole, v.lanes, outer.values)
        sums = inner.close(add(v.load, builder.add(at_a, inner.index), builder.add(at_b, inner.index), inner.values))
        before, tail = builder.block, builder.append_basic_block("tail")
        after = builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed(">", rest, ir.Constant(INT, 0)), tail, after)
        builder.position_at_end(tail)
        added = add(lambda base: v.load_masked(base, mask), builder.add(at_a, whole), builder.add(at_b, whole), sums)
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
        return context.get_dummy_value()

    integers, integer = row_a, types.int64
    return types.void(mr, nr, integer, integer, a, integers, integer, b, integers, integer, c, integer), generate


@intrinsic
def window(typingctx, source, width, first, target, count):
    """``target[j] = source[first + j]`` for j < `count`, and 0 where that is not in 0 .. `width`.

    The target is written in whole vectors, so up to LANES - 1 elements beyond `count`.
    """

    def generate(context, builder, signature, args):
        source, width, first, target, count = args
        v = _Masked(context, builder, signature.args[0].dtype)
        loop = _Loop(builder, "copy", count, v.lanes, [])
        here = builder.add(first, loop.index)
        v.store(v.load_masked(v.at(source, here), v.below(v.numbers(here), width)), v.at(target, loop.index))
        loop.close()
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, source, integer), generate


@intrinsic
def split(typingctx, source, width, first, target, pitch, count):
    """``target[i * pitch + j] = source[first + 2 * j + i]`` for i < 2 and j < `count`, zeros outside as of `window`."""

    def generate(context, builder, signature, args):
        source, width, first, target, pitch, count = args
        v = _Masked(context, builder, signature.args[0].dtype)
        loop = _Loop(builder, "split", count, v.lanes, [])
        here = builder.add(first, builder.shl(loop.index, ir.Constant(INT, 1)))
        there = builder.add(here, ir.Constant(INT, v.lanes))
        pair = [v.load_masked(v.at(source, place), v.below(v.numbers(place), width)) for place in (here, there)]
        for i in range(2):
            row = v.at(target, builder.mul(pitch, ir.Constant(INT, i)))
            v.store(v.shuffle(*pair, [2 * j + i for j in range(v.lanes)]), v.at(row, loop.index))
        loop.close()
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, source, integer, integer), generate


@intrinsic
def weave(typingctx, even, odd, target, count):
    """``target[2 * j] = even[j]`` and ``target[2 * j + 1] = odd[j]`` below `count`; whole vectors are read."""

    def generate(context, builder, signature, args):
        even, odd, target, count = args
        v = _Masked(context, builder, signature.args[0].dtype)
        half = v.lanes // 2
        loop = _Loop(builder, "weave", count, 2 * v.lanes, [])
        from_ = builder.lshr(loop.index, ir.Constant(INT, 1))
        pair = [v.load(v.at(source, from_)) for source in (even, odd)]
        for i in range(2):
            joined = v.shuffle(*pair, [i * half + j // 2 + (v.lanes if j % 2 else 0) for j in range(v.lanes)])
            place = builder.add(loop.index, ir.Constant(INT, i * v.lanes))
            v.store_masked(joined, v.at(target, place), v.below(v.numbers(place), count))
        loop.close()
        return context.get_dummy_value()

    return types.void(even, even, even, types.int64), generate
