"""The register tile and the register transpose, written as LLVM vector code.

Everything that multiplies goes through `tile`. It keeps MR x NV vectors of results in registers and, for each step t
of the reduction, loads NV vectors of b, broadcasts MR elements of a, and does MR * NV fused multiply-adds::

    c[i, j] (+)= sum over t < k of a[row[i] + col_a[t]] * b[col_b[t] + j]      0 <= i < MR, 0 <= j < NV * LANES

Both operands are addressed through tables of offsets. A row of the im2col matrix is then a pair of offsets and not a
copy: stride, dilation, groups, and one to three dimensions change the tables only.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv.backends.numba.isa import PAST, VECTOR_BYTES
from fastconv.backends.numba.jit import ask_for

INT = ir.IntType(64)
LANE = ir.IntType(32)


class _LoopID(ir.values.MDValue):
    """Metadata that names a loop: a node that is its own first operand, so compared by identity alone."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def keep_rolled(branch, module):
    """Forbid LLVM to unroll the loop that `branch` closes.

    Unrolled by two, the scheduler hoists the second step's loads, runs out of registers and spills accumulators inside
    the loop: 76 instead of 261 GFLOP/s for 8 x 3 vectors of 16 floats.
    """
    loop = _LoopID(module, (), str(len(module.metadata)))
    loop.operands = (loop, module.add_metadata(["llvm.loop.unroll.disable"]))
    branch.set_metadata("llvm.loop", loop)


class Vectors:
    """Vector loads, stores and arithmetic for one element type; `part` divides the width."""

    def __init__(self, context, builder, dtype, part=1):
        self.builder = builder
        self.element = context.get_data_type(dtype)
        self.size = dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.size // part
        self.type = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)
        self.undefined = ir.Constant(self.type, ir.Undefined)
        self.suffix = f"v{self.lanes}f{dtype.bitwidth}"

    def intrinsic(self, name, result, arguments):
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)

    def at(self, base, offset):
        return self.builder.gep(base, [offset if isinstance(offset, ir.Value) else ir.Constant(INT, offset)])

    def load(self, base):
        return self.builder.load(self.builder.bitcast(base, self.type.as_pointer()), align=self.size)

    def store(self, value, base):
        self.builder.store(value, self.builder.bitcast(base, self.type.as_pointer()), align=self.size)

    def store_past(self, value, base):
        """Store past the caches, where there is such a thing and `aligned` holds."""
        stored = self.builder.store(value, self.builder.bitcast(base, self.type.as_pointer()),
                                    align=self.lanes * self.size)
        if PAST:
            stored.set_metadata("nontemporal", self.builder.module.add_metadata([LANE(1)]))

    def aligned(self, bases, *steps):
        """Whether all addresses and `steps`, distances in elements, are multiples of a vector's size."""
        builder, bits = self.builder, INT(0)
        for part in [builder.ptrtoint(base, INT) for base in bases] + [builder.mul(step, INT(self.size)) for step in
                                                                       steps]:
            bits = builder.or_(bits, part)
        return builder.icmp_unsigned("==", builder.and_(bits, INT(self.lanes * self.size - 1)), INT(0))

    def broadcast(self, scalar):
        one = self.builder.insert_element(self.undefined, scalar, ir.Constant(LANE, 0))
        return self.shuffle(one, one, [0] * self.lanes)

    def shuffle(self, left, right, lanes):
        return self.builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(LANE, len(lanes)), list(lanes)))

    def fma(self, a, b, c):
        return self.builder.call(self.intrinsic(f"llvm.fmuladd.{self.suffix}", self.type, [self.type] * 3), [a, b, c])


@intrinsic
def lanes(typingctx, like):
    """Elements in a vector of the type that `like` points to."""

    def generate(context, builder, signature, args):
        return ir.Constant(INT, VECTOR_BYTES * 8 // like.dtype.bitwidth)

    return types.int64(like), generate


@intrinsic
def tile(typingctx, mr, nv, k, a, row, col_a, b, col_b, c, ldc, add, ahead, col_ahead):
    """Multiply an MR x NV tile, as the module says; with `add` it adds the sums to what is in c.

    They start at 0 even then: for 4608 steps, 192 at a time, one running sum over all calls would err 10 times as much
    as torch, these sums of sums 1.2 times.

    Parameters
    ----------
    mr, nv : literal int
        Rows, and vectors a row.
    k : int64
        Steps of the reduction, at least 1.
    a, b, c : pointer
    row, col_a, col_b, col_ahead : pointer to int64
        Offsets, in elements: MR and three times k of them.
    ldc : int64
        Elements from a row of c to the next.
    add : bool
    ahead : pointer
        Step t of the reduction asks for the line at ``ahead[col_ahead[t]]``, which is needed later.
    """
    if not isinstance(mr, types.IntegerLiteral) or not isinstance(nv, types.IntegerLiteral):
        return None
    rows, columns = range(mr.literal_value), range(nv.literal_value)

    def generate(context, builder, signature, args):
        k, a, row, col_a, b, col_b, c, ldc, add, ahead, col_ahead = args[2:]
        v = Vectors(context, builder, signature.args[3].dtype)
        starts = [v.at(a, builder.load(v.at(row, i))) for i in rows]
        targets = [[v.at(v.at(c, builder.mul(ldc, ir.Constant(INT, i))), j * v.lanes) for j in columns] for i in rows]
        entry, loop = builder.block, builder.append_basic_block("loop")
        adding, storing = builder.append_basic_block("adding"), builder.append_basic_block("storing")
        done = builder.append_basic_block("done")
        builder.branch(loop)

        builder.position_at_end(loop)
        t = builder.phi(INT)
        sums = [[builder.phi(v.type) for _ in columns] for _ in rows]
        here, there = builder.load(v.at(col_a, t)), builder.load(v.at(col_b, t))
        source = v.at(b, there)
        operands = [v.load(v.at(source, j * v.lanes)) for j in columns]
        ask_for(builder, v.at(ahead, builder.load(v.at(col_ahead, t))), level=2)
        after = []
        for i in rows:
            factor = v.broadcast(builder.load(v.at(starts[i], here)))
            after.append([v.fma(factor, operands[j], sums[i][j]) for j in columns])
        following = builder.add(t, ir.Constant(INT, 1))
        summed = builder.append_basic_block("summed")
        keep_rolled(builder.cbranch(builder.icmp_signed("<", following, k), loop, summed), builder.module)
        t.add_incoming(ir.Constant(INT, 0), entry)
        t.add_incoming(following, loop)
        for i in rows:
            for j in columns:
                sums[i][j].add_incoming(v.zero, entry)
                sums[i][j].add_incoming(after[i][j], loop)

        builder.position_at_end(summed)
        builder.cbranch(add, adding, storing)
        for block in (adding, storing):
            builder.position_at_end(block)
            for i in rows:
                for j in columns:
                    value = after[i][j]
                    if block is adding:
                        value = builder.fadd(v.load(targets[i][j]), value)
                    v.store(value, targets[i][j])
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    signature = types.void(mr, nv, types.int64, a, row, col_a, b, col_b, c, types.int64, types.boolean, ahead,
                           col_ahead)
    return signature, generate


@intrinsic
def ask_for_lines(typingctx, place, pitch, write):
    """Ask for the cache lines at ``place[i * pitch]``, i < LANES: to `write` (a literal) or, further away, to read."""
    if not isinstance(write, types.IntegerLiteral):
        return None

    def generate(context, builder, signature, args):
        v, written = Vectors(context, builder, signature.args[0].dtype), write.literal_value
        for i in range(v.lanes):
            ask_for(builder, v.at(args[0], builder.mul(args[1], ir.Constant(INT, i))), written, 1 if written else 2)
        return context.get_dummy_value()

    return types.void(place, types.int64, write), generate


@intrinsic
def transpose(typingctx, source, lds, rows, columns, target, ldt, width, shift, past):
    """Transpose one block of at most LANES x LANES elements through registers.

    ``target[j * ldt + i] = source[i * lds + j] + shift[j]`` for j < `columns` and i < `width`, where rows of the
    source from `rows` on read as zeros. `shift` may be a null pointer.

    Parameters
    ----------
    source, target, shift : pointer
    lds, ldt : int64
        Elements from a row to the next.
    rows, columns, width : int64
        At most LANES; nothing outside ``rows x columns`` is read and nothing outside ``columns x width`` written.
    past : bool
        Store whole vectors past the caches where they are aligned; `stream.drain` must follow.
    """

    def generate(context, builder, signature, args):
        source, lds, rows, columns, target, ldt, width, shift, past = args
        v = Vectors(context, builder, signature.args[0].dtype)
        every = range(v.lanes)
        flags = ir.VectorType(ir.IntType(1), v.lanes)
        steps = ir.Constant(ir.VectorType(INT, v.lanes), list(every))
        alignment = ir.Constant(LANE, v.size)
        vector_pointer = v.type.as_pointer()

        def below(count):
            one = builder.insert_element(ir.Constant(steps.type, ir.Undefined), count, ir.Constant(LANE, 0))
            return builder.icmp_signed("<", steps, v.shuffle(one, one, [0] * v.lanes))

        def whole(count):
            return builder.icmp_signed("==", count, ir.Constant(INT, v.lanes))

        def flip(lines):
            # log2(LANES) rounds; round s exchanges lane bit s with line bit s.
            s = 1
            while s < v.lanes:
                flipped = list(lines)
                for i in every:
                    if not i & s:
                        low = [j if not j & s else v.lanes + j - s for j in every]
                        high = [j + s if not j & s else v.lanes + j for j in every]
                        flipped[i] = v.shuffle(lines[i], lines[i + s], low)
                        flipped[i + s] = v.shuffle(lines[i], lines[i + s], high)
                lines = flipped
                s *= 2
            return lines

        none = ir.Constant(builder.ptrtoint(shift, INT).type, 0)
        shifted = builder.icmp_unsigned("!=", builder.ptrtoint(shift, INT), none)

        def shifted_line(lines, j):
            entry = builder.block
            with builder.if_then(shifted):
                added = builder.fadd(lines[j], v.broadcast(builder.load(v.at(shift, j))))
                adding = builder.block
            line = builder.phi(v.type)
            line.add_incoming(lines[j], entry)
            line.add_incoming(added, adding)
            return line

        places = [v.at(target, builder.mul(ldt, ir.Constant(INT, j))) for j in every]

        def store_whole(lines):
            lines = [shifted_line(lines, j) for j in every]
            with builder.if_else(builder.and_(past, v.aligned([target], ldt))) as (then, otherwise):
                for block, store in ((then, v.store_past), (otherwise, v.store)):
                    with block:
                        for line, place in zip(lines, places, strict=True):
                            store(line, place)

        def store_part(lines):
            mask = below(width)
            function = v.intrinsic(f"llvm.masked.store.{v.suffix}.p0", ir.VoidType(),
                                   [v.type, vector_pointer, LANE, flags])
            for j in every:
                with builder.if_then(builder.icmp_signed("<", ir.Constant(INT, j), columns)):
                    builder.call(function, [shifted_line(lines, j), builder.bitcast(places[j], vector_pointer),
                                            alignment, mask])

        full = builder.and_(builder.and_(whole(rows), whole(columns)), whole(width))
        with builder.if_else(full) as (then, otherwise):
            with then:
                store_whole(flip([v.load(v.at(source, builder.mul(lds, ir.Constant(INT, i)))) for i in every]))
            with otherwise:
                mask = below(columns)
                nothing = ir.Constant(flags, [False] * v.lanes)
                function = v.intrinsic(f"llvm.masked.load.{v.suffix}.p0", v.type,
                                       [vector_pointer, LANE, flags, v.type])
                lines = []
                for i in every:
                    place = builder.bitcast(v.at(source, builder.mul(lds, ir.Constant(INT, i))), vector_pointer)
                    here = builder.select(builder.icmp_signed("<", ir.Constant(INT, i), rows), mask, nothing)
                    lines.append(builder.call(function, [place, alignment, here, v.zero]))
                store_part(flip(lines))
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, integer, target, integer, integer, shift, types.boolean), generate
