"""The register tile and the register transpose, written as LLVM vector code.

Everything that multiplies goes through `tile`. It keeps MR x NV vectors of results in registers and, for each step t
of the reduction, loads NV vectors of b, broadcasts MR elements of a, and does MR * NV fused multiply-adds::

    c[i, j] (+)= sum over t < k of a[row[i] + col_a[t]] * b[col_b[t] + j]      0 <= i < MR, 0 <= j < NV * LANES

Both operands are addressed through tables of offsets. A row of the im2col matrix is then a pair of offsets and not a
copy: stride, dilation, groups, and one to three dimensions change the tables only.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.isa import NAME, UNROLLED, VECTOR_BYTES
from fastconv.backends.numba.jit import ask_for
from fastconv.backends.numba.words import INT, LANE, Loop, Vectors

# Whether steps that follow each other in b have a loop of their own, without col_b, which asks for every other line.
# Where another process shares the core, 22 instructions for 12 multiply-adds take less time than 24: on Zen 3 66 ms in
# place of 73 for 512 channels of 2 x 3199, 3 taps and a stride of 2, 6.6 in place of 7.3 for 24 to 56 channels of
# 16 x 4096 and 8 taps of stride 4; alone, 0 to 5 % less.
IN_ORDER, ASKED = NAME == "avx2", 2


@intrinsic
def lanes(typingctx, like):
    """Elements in a vector of the type that `like` points to."""

    def generate(context, builder, signature, args):
        return ir.Constant(INT, VECTOR_BYTES * 8 // like.dtype.bitwidth)

    return types.int64(like), generate


@intrinsic
def tile(typingctx, mr, nv, k, a, row, col_a, b, col_b, c, ldc, add, ahead):
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
    row, col_a, col_b : pointer to int64
        Offsets, in elements: MR and twice k of them, of which col_b rises.
    ldc : int64
        Elements from a row of c to the next.
    add : bool
    ahead : pointer
        Step t of the reduction, or every other one, asks for the line at ``ahead[col_a[t]]``, which is needed later.
    """
    if not isinstance(mr, types.IntegerLiteral) or not isinstance(nv, types.IntegerLiteral):
        return None
    rows, columns = mr.literal_value, nv.literal_value

    def generate(context, builder, signature, args):
        k, a, row, col_a, b, col_b, c, ldc, add, ahead = args[2:]
        v = Vectors(context, builder, signature.args[3].dtype)
        starts = [v.at(a, builder.load(v.at(row, i))) for i in range(rows)]
        # The places of more rows leave the registers, unrolled.
        width, most = columns * v.lanes, UNROLLED if rows <= 6 else 1
        place, whole = v.at(b, builder.load(col_b)), builder.and_(k, INT(-most))
        loops = [(most, False, whole), (1, False, k)] if most > 1 else [(1, False, k)]
        if IN_ORDER:
            last = builder.sub(k, INT(1))
            far = builder.sub(builder.load(v.at(col_b, last)), builder.load(col_b))
            ordered = builder.icmp_signed("==", far, builder.mul(last, INT(width)))
            loops.insert(0, (most, True, builder.select(ordered, whole, INT(0))))
        sums, begin = [v.zero] * (rows * columns), INT(0)
        for unrolled, in_order, end in loops:
            loop = Loop(builder, "steps", end, unrolled, [place, *sums] if in_order else sums, begin)
            sums = loop.values[in_order:]
            for u in range(unrolled):
                t = builder.add(loop.index, INT(u))
                here = builder.load(v.at(col_a, t))
                there = v.at(loop.values[0], u * width) if in_order else v.at(b, builder.load(v.at(col_b, t)))
                if not in_order or u % ASKED == 0:
                    ask_for(builder, v.at(ahead, here), level=2)
                sums = multiply_add(v, starts, here, there, sums)
            after = loop.close([v.at(loop.values[0], unrolled * width), *sums] if in_order else sums)
            sums, begin = after[in_order:], end
        store_sums(v, sums, c, ldc, columns, add)
        return context.get_dummy_value()

    return types.void(mr, nv, types.int64, a, row, col_a, b, col_b, c, types.int64, types.boolean, ahead), generate


def multiply_add(v, starts, at, place, sums):
    """Code of a step of a tile: the sums, row after row, with ``starts[i][at]`` times the vectors at `place` added."""
    columns = len(sums) // len(starts)
    operands, after = [v.load(v.at(place, j * v.lanes)) for j in range(columns)], []
    for i, start in enumerate(starts):
        factor = v.broadcast(v.builder.load(v.at(start, at)))
        after += [v.fma(factor, operand, sums[i * columns + j]) for j, operand in enumerate(operands)]
    return after


def store_sums(v, sums, c, ldc, columns, add):
    """Code that stores a tile's sums, row after row, or with `add` adds them to what is there."""
    builder = v.builder
    places = [v.at(v.at(c, builder.mul(ldc, INT(i // columns))), i % columns * v.lanes) for i in range(len(sums))]
    with builder.if_else(add) as (adding, storing):
        for block in (adding, storing):
            with block:
                for value, place in zip(sums, places, strict=True):
                    v.store(builder.fadd(v.load(place), value) if block is adding else value, place)


@intrinsic
def ask_for_lines(typingctx, place, pitch, write, level):
    """Ask for the cache lines at ``place[i * pitch]``, i < LANES, to `write` or to read, up to a `level` of the cache.

    Both are literals.
    """
    if not isinstance(write, types.IntegerLiteral) or not isinstance(level, types.IntegerLiteral):
        return None

    def generate(context, builder, signature, args):
        v = Vectors(context, builder, signature.args[0].dtype)
        for i in range(v.lanes):
            ask_for(builder, v.at(args[0], builder.mul(args[1], ir.Constant(INT, i))), write.literal_value,
                    level.literal_value)
        return context.get_dummy_value()

    return types.void(place, types.int64, write, level), generate


def flipped(v, lines):
    """Code that transposes LANES vectors, in rounds of which number s exchanges bit s of lane and line."""
    every, s = range(v.lanes), 1
    while s < v.lanes:
        exchanged = list(lines)
        for i in every:
            if not i & s:
                low = [j if not j & s else v.lanes + j - s for j in every]
                high = [j + s if not j & s else v.lanes + j for j in every]
                exchanged[i] = v.shuffle(lines[i], lines[i + s], low)
                exchanged[i + s] = v.shuffle(lines[i], lines[i + s], high)
        lines = exchanged
        s *= 2
    return lines


def flipped_block(v, source, lds):
    """Code that loads LANES lines of LANES elements, `lds` apart, and transposes them."""
    return flipped(v, [v.load(v.at(source, v.builder.mul(lds, INT(i)))) for i in range(v.lanes)])


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
                store_whole(flipped_block(v, source, lds))
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
                store_part(flipped(v, lines))
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, integer, target, integer, integer, shift, types.boolean), generate
