"""The words that kernels are written in, as LLVM and PTX; `fastconv.backends.cuda.twins` has them in plain Python.

Sizes that they take last are literals: 2, 4 or 8, the bytes of a stored element. Those of 2 bytes are computed with as
float32. A *place* is an address in the device's memory, an int64; a *shelf* points into the memory that the threads of
a block share, or to registers.
"""

from llvmlite import ir

from fastconv.backends.cuda import tables
from fastconv.backends.cuda.jit import intrinsic, types

STORED = {2: ir.HalfType(), 4: ir.FloatType(), 8: ir.DoubleType()}
COMPUTED = {2: ir.FloatType(), 4: ir.FloatType(), 8: ir.DoubleType()}
# Of a predicated load: PTX type, register class of the result, and the bits of zero.
PREDICATED = {2: ("b16", "h", "0"), 4: ("f32", "f", "0f00000000"), 8: ("f64", "d", "0d0000000000000000")}
INT, LONG = ir.IntType(32), ir.IntType(64)
GLOBAL = 1


def number(size):
    """The type in which elements of `size` bytes are computed with."""
    return types.float64 if size == 8 else types.float32


def literal(*values):
    """Whether all are literal integers; only then does an intrinsic compile."""
    return all(isinstance(value, types.IntegerLiteral) for value in values)


def at(builder, address, index, kind, lanes=1):
    """A pointer to element `index` after `address`, of `kind`, or a vector of them."""
    pointer = builder.inttoptr(address, kind.as_pointer(GLOBAL))
    pointer = builder.gep(pointer, [index])
    return pointer if lanes == 1 else builder.bitcast(pointer, ir.VectorType(kind, lanes).as_pointer(GLOBAL))


def read(builder, pointer, align, constant=True):
    """What stands there; `constant` says that no one writes to it while the kernel runs."""
    loaded = builder.load(pointer, align=align)
    if constant:
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return loaded


def widened(builder, value, size):
    return builder.fpext(value, COMPUTED[size]) if size == 2 else value


def rounded(builder, value, size):
    return builder.fptrunc(value, STORED[size]) if size == 2 else value


def tupled(context, builder, kind, values):
    return context.make_tuple(builder, kind, values)


def vector(builder, kind, values):
    result = ir.Constant(ir.VectorType(kind, len(values)), ir.Undefined)
    for lane, value in enumerate(values):
        result = builder.insert_element(result, value, INT(lane))
    return result


@intrinsic
def whole(typingctx, value, wide):
    """The integer `value` in 64 bits, or, if `wide` is 0, in 32."""
    if not literal(wide):
        return None
    kind = types.int64 if wide.literal_value else types.int32

    def generate(context, builder, signature, args):
        return context.cast(builder, args[0], value, kind)

    return kind(value, wide), generate


@intrinsic
def shift(typingctx, place, count, size):
    """`place` moved by `count` elements."""
    if not literal(size):
        return None

    def generate(context, builder, signature, args):
        return builder.add(args[0], builder.mul(context.cast(builder, args[1], count, types.int64),
                                                LONG(size.literal_value)))

    return types.int64(types.int64, count, size), generate


@intrinsic
def load(typingctx, place, index, size):
    """Element `index` after `place`."""
    if not literal(size):
        return None
    width = size.literal_value

    def generate(context, builder, signature, args):
        return widened(builder, read(builder, at(builder, args[0], args[1], STORED[width]), width), width)

    return number(width)(types.int64, index, size), generate


@intrinsic
def load_again(typingctx, place, index, size):
    """Element `index` after `place`, which this kernel itself may have written."""
    if not literal(size):
        return None
    width = size.literal_value

    def generate(context, builder, signature, args):
        return widened(builder, read(builder, at(builder, args[0], args[1], STORED[width]), width, False), width)

    return number(width)(types.int64, index, size), generate


def _load_if(builder, place, index, wanted, width):
    """The IR of `load_if`."""
    name, register, zero = PREDICATED[width]
    pointer = builder.ptrtoint(at(builder, place, index, STORED[width]), LONG)
    kind = ir.IntType(16) if width == 2 else STORED[width]
    code = ir.InlineAsm(
        ir.FunctionType(kind, [LONG, INT]),
        f"{{ .reg .pred wanted; setp.ne.s32 wanted, $2, 0; mov.{name} $0, {zero}; "
        f"@wanted ld.global.nc.{name} $0, [$1]; }}", f"={register},l,r", side_effect=False)
    found = builder.call(code, [pointer, builder.zext(wanted, INT)])
    return builder.fpext(builder.bitcast(found, STORED[2]), COMPUTED[2]) if width == 2 else found


@intrinsic
def load_if(typingctx, place, index, wanted, size):
    """Element `index` after `place` if it is `wanted`, else zero and nothing is read: without a branch."""
    if not literal(size):
        return None
    width = size.literal_value

    def generate(context, builder, signature, args):
        return _load_if(builder, args[0], args[1], args[2], width)

    return number(width)(types.int64, index, types.boolean, size), generate


@intrinsic
def load4(typingctx, place, index, size):
    """The four elements from `index` on, which stand at a multiple of 16 bytes (8 for elements of 2)."""
    if not literal(size):
        return None
    width = size.literal_value
    kind = types.UniTuple(number(width), 4)

    def generate(context, builder, signature, args):
        found = read(builder, at(builder, args[0], args[1], STORED[width], 4), min(16, 4 * width))
        return tupled(context, builder, kind,
                      [widened(builder, builder.extract_element(found, INT(i)), width) for i in range(4)])

    return kind(types.int64, index, size), generate


@intrinsic
def load4_if(typingctx, place, index, wanted, array, size):
    """As `load4` if they are `wanted`, else four zeros; `array` has four elements that can be read in any case."""
    if not literal(size):
        return None
    width = size.literal_value
    kind = types.UniTuple(number(width), 4)

    def generate(context, builder, signature, args):
        pointers = [at(builder, address, position, STORED[width], 4)
                    for address, position in ((args[0], args[1]), (args[3], LONG(0)))]
        found = read(builder, builder.select(args[2], *pointers), min(16, 4 * width))
        zero = COMPUTED[width](0)
        return tupled(context, builder, kind,
                      [builder.select(args[2], widened(builder, builder.extract_element(found, INT(i)), width), zero)
                       for i in range(4)])

    return kind(types.int64, index, types.boolean, types.int64, size), generate


@intrinsic
def store(typingctx, place, index, value, size):
    """Write element `index` after `place`."""
    if not literal(size):
        return None
    width = size.literal_value

    def generate(context, builder, signature, args):
        kept = rounded(builder, context.cast(builder, args[2], value, number(width)), width)
        builder.store(kept, at(builder, args[0], args[1], STORED[width]), align=width)
        return context.get_dummy_value()

    return types.void(types.int64, index, value, size), generate


@intrinsic
def store4(typingctx, place, index, values, size):
    """Write the four elements from `index` on, which stand at a multiple of 16 bytes (8 for elements of 2)."""
    if not literal(size):
        return None
    width = size.literal_value

    def generate(context, builder, signature, args):
        kept = [rounded(builder, builder.extract_value(args[2], i), width) for i in range(4)]
        builder.store(vector(builder, STORED[width], kept), at(builder, args[0], args[1], STORED[width], 4),
                      align=min(16, 4 * width))
        return context.get_dummy_value()

    return types.void(types.int64, index, values, size), generate


@intrinsic
def field(typingctx, table, index):
    """The int64 that stands in a table."""

    def generate(context, builder, signature, args):
        return read(builder, at(builder, args[0], args[1], LONG), 8)

    return types.int64(types.int64, index), generate


@intrinsic
def integer(typingctx, place, index):
    """Element `index` of an int64 array after `place`."""

    def generate(context, builder, signature, args):
        return read(builder, at(builder, args[0], args[1], LONG), 8)

    return types.int64(types.int64, index), generate


@intrinsic
def keep(typingctx, place, index, value):
    """Write element `index` of an int64 array after `place`."""

    def generate(context, builder, signature, args):
        builder.store(context.cast(builder, args[2], value, types.int64), at(builder, args[0], args[1], LONG), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, index, value), generate


@intrinsic
def late(typingctx, table, index):
    """As `field`, but read where it stands: a number that only the end of a kernel needs costs no register before."""

    def generate(context, builder, signature, args):
        return read(builder, at(builder, args[0], args[1], LONG), 8, constant=False)

    return types.int64(types.int64, index), generate


@intrinsic
def entry(typingctx, table, index, wide):
    """Four integers of a table of such, of 64 bits if it is `wide`, else of 32."""
    if not literal(wide):
        return None
    element, kind = (types.int64, LONG) if wide.literal_value else (types.int32, INT)
    result = types.UniTuple(element, 4)

    def generate(context, builder, signature, args):
        first = builder.shl(args[1], args[1].type(2))
        found = read(builder, at(builder, args[0], first, kind, 4), 16)
        return tupled(context, builder, result, [builder.extract_element(found, INT(i)) for i in range(4)])

    return result(types.int64, index, wide), generate


@intrinsic
def inside(typingctx, position, size):
    """0 <= position < size, in one comparison."""

    def generate(context, builder, signature, args):
        kind = max(position, size, key=lambda one: one.bitwidth)
        values = [context.cast(builder, arg, one, kind) for arg, one in zip(args, (position, size), strict=True)]
        return builder.icmp_unsigned("<", *values)

    return types.boolean(position, size), generate


def _field(builder, table, number, constant=False):
    return read(builder, at(builder, table, LONG(number), LONG), 8, constant)


def _parts(builder, phase, pixel, wide, constant):
    """The IR of `split`; `constant` as of `read`."""
    kind = LONG if wide else INT
    parts = []
    for name in (tables.PIXELS, tables.PLANE, tables.ROW):
        divisor, magic, by = (_field(builder, phase, name + i, constant) for i in range(3))
        if wide:
            found = builder.udiv(pixel, divisor)
        else:
            product = builder.mul(builder.zext(pixel, LONG), magic)
            found, divisor = builder.trunc(builder.lshr(product, by), kind), builder.trunc(divisor, kind)
        parts.append(found)
        pixel = builder.sub(pixel, builder.mul(found, divisor))
    return [*parts, pixel]


@intrinsic
def divided(typingctx, value, divisor, wide):
    """``value // divisor`` of integers that are not negative, and, unless `wide`, fit 31 bits."""
    if not literal(wide):
        return None

    def generate(context, builder, signature, args):
        if wide.literal_value:
            return builder.udiv(*args[:2])
        return builder.zext(builder.udiv(*(builder.trunc(arg, INT) for arg in args[:2])), LONG)

    return types.int64(types.int64, types.int64, wide), generate


@intrinsic
def split(typingctx, phase, pixel, wide):
    """(image, depth, height, width) of a pixel of a phase, by `tables.reciprocal`, or, if `wide`, by division."""
    if not literal(wide):
        return None
    kind = types.int64 if wide.literal_value else types.int32

    def generate(context, builder, signature, args):
        return tupled(context, builder, signature.return_type,
                      _parts(builder, args[0], args[1], wide.literal_value, True))

    return types.UniTuple(kind, 4)(types.int64, kind, wide), generate


@intrinsic
def target_of(typingctx, place, phase, pixel, size, wide):
    """Where a phase writes a pixel, from the `place` of the first element of its group."""
    if not literal(size, wide):
        return None
    kind = types.int64 if wide.literal_value else types.int32

    def generate(context, builder, signature, args):
        # Read where it stands, as by `late`.
        parts = _parts(builder, args[1], args[2], wide.literal_value, False)
        steps = tables.TARGET_IMAGE, *(tables.TARGET_STEP + i for i in range(3))
        offset = _field(builder, args[1], tables.TARGET)
        for part, step in zip(parts, steps, strict=True):
            part = part if wide.literal_value else builder.zext(part, LONG)
            offset = builder.add(offset, builder.mul(part, _field(builder, args[1], step)))
        return builder.add(args[0], builder.mul(offset, LONG(size.literal_value)))

    return types.int64(types.int64, types.int64, kind, size, wide), generate


def _extreme(predicate):
    @intrinsic
    def extreme(typingctx, a, b):
        def generate(context, builder, signature, args):
            values = [context.cast(builder, arg, kind, types.int64) for arg, kind in zip(args, (a, b), strict=True)]
            return builder.select(builder.icmp_signed(predicate, *values), *values)

        return types.int64(a, b), generate

    return extreme


least, most = _extreme("<"), _extreme(">")  # of two integers; Numba's min and max cannot be compiled without a GPU


@intrinsic
def reach(typingctx, start, phase, axis, counted):
    """How many elements of a pooling window that opens at `start` count: those inside, and, if `counted`, padding."""

    def generate(context, builder, signature, args):
        begin = context.cast(builder, args[0], start, types.int64)

        def of(name):
            return read(builder, at(builder, args[1], builder.add(LONG(name), args[2]), LONG), 8)

        # Without padding, `counted` is 0 and takes it away.
        lowest = builder.neg(builder.mul(of(tables.BEFORE), args[3]))
        highest = builder.add(of(tables.WINDOW_SIZE), builder.mul(of(tables.AFTER), args[3]))
        end = builder.add(begin, of(tables.KERNEL))
        begin = builder.select(builder.icmp_signed("<", begin, lowest), lowest, begin)
        end = builder.select(builder.icmp_signed("<", highest, end), highest, end)
        return builder.sub(end, begin)

    return types.int64(start, types.int64, types.int64, types.int64), generate


@intrinsic
def floating(typingctx, value, size):
    """An integer as a number to compute with."""
    if not literal(size):
        return None

    def generate(context, builder, signature, args):
        return builder.sitofp(args[0], COMPUTED[size.literal_value])

    return number(size.literal_value)(value, size), generate


@intrinsic
def given(typingctx, place):
    """Whether there is an array: the address of none is 0."""

    def generate(context, builder, signature, args):
        return builder.icmp_unsigned("!=", args[0], args[0].type(0))

    return types.boolean(place), generate


@intrinsic
def shared(typingctx, array, size):
    """The memory of a shared `array` as a shelf of elements."""
    if not literal(size):
        return None
    result = types.CPointer(number(size.literal_value))

    def generate(context, builder, signature, args):
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.bitcast(data, context.get_value_type(result))

    return result(array, size), generate


@intrinsic
def registers(typingctx, count, size):
    """`count` elements of the thread's own, which hold zeros."""
    if not literal(count, size):
        return None
    many, kind = count.literal_value, COMPUTED[size.literal_value]

    def generate(context, builder, signature, args):
        with builder.goto_entry_block():
            space = builder.alloca(ir.ArrayType(kind, many))
        space.align = 16
        builder.store(ir.Constant(space.type.pointee, None), space)
        return builder.bitcast(space, kind.as_pointer())

    return types.CPointer(number(size.literal_value))(count, size), generate


@intrinsic
def put(typingctx, shelf, index, value):
    """Write one element of a shelf."""

    def generate(context, builder, signature, args):
        builder.store(context.cast(builder, args[2], value, shelf.dtype), builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(shelf, index, value), generate


@intrinsic
def take(typingctx, shelf, index):
    """Read one element of a shelf."""

    def generate(context, builder, signature, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return shelf.dtype(shelf, index), generate


def _four(builder, shelf, index):
    pointer = builder.gep(shelf, [index])
    return builder.bitcast(pointer, ir.VectorType(shelf.type.pointee, 4).as_pointer())


@intrinsic
def put4(typingctx, shelf, index, values):
    """Write four elements, from a multiple of 16 bytes on."""

    def generate(context, builder, signature, args):
        kept = [builder.extract_value(args[2], i) for i in range(4)]
        builder.store(vector(builder, args[0].type.pointee, kept), _four(builder, args[0], args[1]), align=16)
        return context.get_dummy_value()

    return types.void(shelf, index, values), generate


@intrinsic
def take4(typingctx, shelf, index):
    """Read four elements, from a multiple of 16 bytes on."""
    kind = types.UniTuple(shelf.dtype, 4)

    def generate(context, builder, signature, args):
        found = builder.load(_four(builder, args[0], args[1]), align=16)
        return tupled(context, builder, kind, [builder.extract_element(found, INT(i)) for i in range(4)])

    return kind(shelf, index), generate


@intrinsic
def multiply(typingctx, sums, a, first_a, step_a, b, first_b, step_b, depth, rows, columns):
    """Add to ``sums[i, j]`` the products ``a[k, i] b[k, j]`` for k < depth.

    Row k of `a` is four elements from ``first_a + k step_a`` on, and four more every ``step_a / (rows / 4)``; of `b`
    likewise. So the threads of a warp read consecutive groups of four, without bank conflicts.
    """
    if not literal(step_a, step_b, depth, rows, columns):
        return None
    pitch_a, pitch_b, many, m, n = (one.literal_value for one in (step_a, step_b, depth, rows, columns))

    def generate(context, builder, signature, args):
        shelf, at_a, from_a, at_b, from_b = args[0], args[1], args[2], args[4], args[5]
        kind = shelf.type.pointee
        fma = builder.module.declare_intrinsic("llvm.fma", [kind], ir.FunctionType(kind, [kind] * 3))
        # One base and constant offsets: added to the index instead, each of the 32 loads of a step would extend a sum
        # of its own to 64 bits.
        base_a, base_b = builder.gep(at_a, [from_a]), builder.gep(at_b, [from_b])
        places = [builder.gep(shelf, [INT(i)]) for i in range(m * n)]
        total = [builder.load(place) for place in places]

        def line(base, k, pitch, length):
            values = []
            for group in range(length // 4):
                offset = k * pitch + group * (pitch_of(pitch) // (length // 4))
                found = builder.load(_four(builder, base, INT(offset)), align=16)
                values += [builder.extract_element(found, INT(i)) for i in range(4)]
            return values

        for k in range(many):
            left, right = line(base_a, k, pitch_a, m), line(base_b, k, pitch_b, n)
            for i in range(m):
                for j in range(n):
                    total[i * n + j] = builder.call(fma, [left[i], right[j], total[i * n + j]])
        for place, value in zip(places, total, strict=True):
            builder.store(value, place)
        return context.get_dummy_value()

    return types.void(sums, a, first_a, step_a, b, first_b, step_b, depth, rows, columns), generate


@intrinsic
def tf32(typingctx, value):
    """A float32 rounded to the 10 bits of mantissa that tensor cores multiply; exact for what was a float16."""

    def generate(context, builder, signature, args):
        code = ir.InlineAsm(ir.FunctionType(INT, [ir.FloatType()]), "cvt.rna.tf32.f32 $0, $1;", "=r,f",
                            side_effect=False)
        return builder.bitcast(builder.call(code, args), ir.FloatType())

    return types.float32(types.float32), generate


@intrinsic
def multiply_tensor(typingctx, sums, a, first_a, step_a, b, first_b, step_b, lane, depth, rows, columns):
    """`multiply` by the tensor cores, for a warp together: ``rows x columns`` are the warp's, in squares of 16 x 8.

    Of the square (i, j), ``sums[4 (i columns / 8 + j) + c]`` is the element in row ``lane / 4 + 8 (c / 2)`` and column
    ``2 (lane % 4) + c % 2``: the fragments of mma.m16n8k8, PTX ISA 9.7.14. A step of 8 more than a multiple of 32 puts
    the 32 elements that a warp loads of a fragment into as many banks.
    """
    if not literal(step_a, step_b, depth, rows, columns):
        return None
    pitch_a, pitch_b, many, m, n = (one.literal_value for one in (step_a, step_b, depth, rows, columns))

    def generate(context, builder, signature, args):
        shelf, at_a, from_a, at_b, from_b, lane = args[0], args[1], args[2], args[4], args[5], args[7]
        kind = shelf.type.pointee
        group, inner = builder.lshr(lane, INT(2)), builder.and_(lane, INT(3))
        # As in `multiply`: one base each, and constant offsets.
        mine_a = builder.gep(at_a, [builder.add(from_a, builder.add(builder.mul(inner, INT(pitch_a)), group))])
        mine_b = builder.gep(at_b, [builder.add(from_b, builder.add(builder.mul(inner, INT(pitch_b)), group))])
        places = [builder.gep(shelf, [INT(i)]) for i in range(m * n // 32)]
        total = [builder.load(place) for place in places]
        result = ir.LiteralStructType([kind] * 4)
        code = ir.InlineAsm(
            ir.FunctionType(result, [INT] * 6 + [kind] * 4),
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, "
            "{$10,$11,$12,$13};", "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True)

        def bits(base, offset):
            return builder.bitcast(builder.load(builder.gep(base, [INT(offset)])), INT)

        for k in range(0, many, 8):
            left = [[bits(mine_a, (k + 4 * (i // 2)) * pitch_a + 16 * row + 8 * (i % 2)) for i in range(4)]
                    for row in range(m // 16)]
            right = [[bits(mine_b, (k + 4 * i) * pitch_b + 8 * column) for i in range(2)]
                     for column in range(n // 8)]
            for row in range(m // 16):
                for column in range(n // 8):
                    first = 4 * (row * (n // 8) + column)
                    found = builder.call(code, [*left[row], *right[column], *total[first:first + 4]])
                    total[first:first + 4] = [builder.extract_value(found, i) for i in range(4)]
        for place, value in zip(places, total, strict=True):
            builder.store(value, place)
        return context.get_dummy_value()

    return types.void(sums, a, first_a, step_a, b, first_b, step_b, lane, depth, rows, columns), generate


@intrinsic
def store2(typingctx, place, index, first, second, size):
    """Write the two elements from `index` on, which stand at a multiple of their bytes."""
    if not literal(size):
        return None
    width = size.literal_value

    def generate(context, builder, signature, args):
        kept = [rounded(builder, value, width) for value in args[2:4]]
        builder.store(vector(builder, STORED[width], kept), at(builder, args[0], args[1], STORED[width], 2),
                      align=2 * width)
        return context.get_dummy_value()

    return types.void(types.int64, index, first, second, size), generate


@intrinsic
def slide(typingctx, sums, place, offset, h, height, w, width, weights, r, s, step, py, size):
    """Add to each of the `py` sums of a strip what a kernel of ``r x s`` weights sees at ``h + p step, w``.

    `offset` leads from `place` to the element at (h, w); elements outside of (height, width) are zero.
    """
    if not literal(r, s, step, py, size):
        return None
    rows, columns, stride, many, stored = (one.literal_value for one in (r, s, step, py, size))

    def generate(context, builder, signature, args):
        shelf, place, offset, h, height, w, width, weights = args[:8]
        kept = max(stored, 4)
        kind = COMPUTED[stored]
        fma = builder.module.declare_intrinsic("llvm.fma", [kind], ir.FunctionType(kind, [kind] * 3))
        places = [builder.gep(shelf, [INT(p)]) for p in range(many)]
        total = [builder.load(one) for one in places]
        seen = range((many - 1) * stride + rows)
        across = [builder.icmp_unsigned("<", builder.add(h, h.type(i)), height) for i in seen]
        for j in range(columns):
            beside = builder.icmp_unsigned("<", builder.add(w, w.type(j)), width)
            line = [read(builder, at(builder, weights, LONG(i * columns + j), STORED[kept]), kept)
                    for i in range(rows)]
            found = []
            for i in seen:
                index = builder.add(offset, builder.add(builder.mul(width, width.type(i)), width.type(j)))
                found.append(_load_if(builder, place, index, builder.and_(beside, across[i]), stored))
            for i in range(rows):
                for p in range(many):
                    total[p] = builder.call(fma, [line[i], found[p * stride + i], total[p]])
        for one, value in zip(places, total, strict=True):
            builder.store(value, one)
        return context.get_dummy_value()

    return types.void(sums, place, offset, h, height, w, width, weights, r, s, step, py, size), generate


def pitch_of(step):
    """A step without the padding that keeps its rows in different banks."""
    return step // 8 * 8
