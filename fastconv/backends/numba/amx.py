"""Intel's matrix unit (AMX): eight registers of 16 rows of 64 bytes, and products of bfloat16 tiles added in float32.

LLVM would allocate the registers itself, and knows nothing of what is left in them: the code here names them, and LLVM
never uses them for anything else.
"""

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv.backends.numba.jit import INTS
from fastconv.backends.numba.words import INT, Loop, Vectors

binding.initialize_native_asmparser()

_BYTE = ir.IntType(8)
# Palette 1; 64 bytes a row and 16 rows of each of the eight registers.
_CONFIGURATION = bytes([1]) + bytes(15) + bytes([64, 0] * 8) + bytes(16) + bytes([16] * 8) + bytes(8)
TILE_BYTES = 1024


def _emit(builder, code, *values):
    """An instruction, or several, with `values` for $0, $1 and so on, which may read and write memory."""
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    constraints = ",".join(["r"] * len(values) + ["~{memory}"])
    builder.call(ir.InlineAsm(kind, code, constraints, side_effect=True), list(values))


@intrinsic
def configure(typingctx):
    """Shape the registers of this thread as whole tiles; `release` must follow."""

    def generate(context, builder, signature, args):
        shape = cgutils.alloca_once_value(builder, cgutils.make_bytearray(_CONFIGURATION))
        _emit(builder, "ldtilecfg ($0)", builder.bitcast(shape, _BYTE.as_pointer()))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def release(typingctx):
    """Give the registers back: the system then saves none when it lets another thread run."""

    def generate(context, builder, signature, args):
        _emit(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


def _step(spread, packed, turned):
    """Code of a step: tmm0 and 1 for the `spread` tile at $0 and $1, high and low, tmm2 and 3 for that at $2 and $3.

    Its rows are $5 bytes apart, the `packed` tiles at $4 follow each other ($6 is 64). What of those is low comes
    first: then each tile is loaded once. `turned`, the packed tiles are rows of the product.
    """
    first, second = range(spread), range(packed)
    load_first, load_second = "tileloadd (${},$5,1), %tmm{}", "tileloadd {}($4,$6,1), %tmm{}"

    def multiply(i, j):
        if turned:
            return f"tdpbf16ps %tmm{4 + i}, %tmm{6 + j}, %tmm{2 * j + i}"
        return f"tdpbf16ps %tmm{6 + j}, %tmm{4 + i}, %tmm{2 * i + j}"

    code = [load_first.format(2 * i, 4 + i) for i in first]
    for part in (TILE_BYTES, 0):
        for j in second:
            code += [load_second.format(2 * TILE_BYTES * j + part, 6 + j), *(multiply(i, j) for i in first)]
    for i in first:
        code += [load_first.format(2 * i + 1, 4 + i), *(multiply(i, j) for j in second)]
    return "\n".join(code)


def _product(v, rows, columns, c, add, steps):
    """Code of `rows` x `columns` tiles of c, 32 elements a row, in tmm0 to 3, to which `steps` adds."""
    builder, apart = v.builder, INT(128)
    places = {2 * i + j: v.at(c, 512 * i + 16 * j) for i in range(rows) for j in range(columns)}
    with builder.if_else(add) as (then, otherwise):
        with then:
            for j, place in places.items():
                _emit(builder, f"tileloadd ($0,$1,1), %tmm{j}", place, apart)
        with otherwise:
            for j in places:
                _emit(builder, f"tilezero %tmm{j}")
    steps()
    for j, place in places.items():
        _emit(builder, f"tilestored %tmm{j}, ($0,$1,1)", place, apart)


@intrinsic
def multiply_halves(typingctx, rows, columns, steps, a, second, low, pitch, offsets, b, c, add):
    """``c[16 * i + r, 16 * j + s] (+)= sum over steps`` of `rows` tiles a times `columns` tiles b, 1 or 2 of each.

    A tile of a or b is 16 rows of 16 pairs, one of c 16 rows of 16 floats; rows of c are 32 floats.

    Parameters
    ----------
    rows, columns : literal int
    steps : int64
    a : pointer
        Rows are `pitch` elements of 4 bytes apart, the low halves `low` such elements on, the second tile `second`.
    offsets : pointer to int64
        Of a, of each step.
    b : pointer
        Of each step 2 pairs of tiles, high and low, as they follow each other.
    c : pointer
    add : bool
    """
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(columns, types.IntegerLiteral):
        return None
    down, across = rows.literal_value, columns.literal_value

    def generate(context, builder, signature, args):
        steps, a, apart, low, pitch, offsets, b, c, add = args[2:]
        v = Vectors(context, builder, signature.args[3].dtype)

        def multiply():
            loop = Loop(builder, "halves", steps, 1, [b])
            first = v.at(a, builder.load(v.at(offsets, loop.index)))
            second = v.at(first, apart)
            _emit(builder, _step(down, across, False), first, v.at(first, low), second, v.at(second, low),
                  loop.values[0], builder.mul(pitch, INT(4)), INT(64))
            loop.close([v.at(loop.values[0], 2 * 2 * TILE_BYTES // 4)])

        _product(v, down, across, c, add, multiply)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(rows, columns, integer, a, integer, integer, integer, INTS, b, c, types.boolean), generate


@intrinsic
def multiply_grads(typingctx, steps, a, b, low, pitch, c, add):
    """The same of 2 tiles a times 2 tiles b, of which those of a follow each other.

    Rows of b are `pitch` elements of 4 bytes apart, those of the next step 32 such rows on; the low halves are `low`
    elements on, and the second tile twice that.
    """

    def generate(context, builder, signature, args):
        steps, a, b, low, pitch, c, add = args
        v = Vectors(context, builder, signature.args[1].dtype)

        def multiply():
            loop = Loop(builder, "grads", steps, 1, [a, b])
            left, first = loop.values
            second = v.at(first, builder.mul(low, INT(2)))
            _emit(builder, _step(2, 2, True), first, v.at(first, low), second, v.at(second, low), left,
                  builder.mul(pitch, INT(4)), INT(64))
            loop.close([v.at(left, 2 * 2 * TILE_BYTES // 4), v.at(first, builder.mul(pitch, INT(32)))])

        _product(v, 2, 2, c, add, multiply)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, a, b, integer, integer, c, types.boolean), generate
