"""What `fastconv.backends.numba.amx` does, without a matrix unit and slowly: with it tests try the rest anywhere."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.jit import helper, shift
from fastconv.backends.numba.words import LANE
from fastconv.backends.plan_halves import PAIR, TILE


@intrinsic
def _half(typingctx, element, number):
    """The half in the lower (0) or the upper (1) 16 bits of an element, as a number of its type."""

    def generate(context, builder, signature, args):
        bits, upper = builder.bitcast(args[0], LANE), ir.Constant(LANE, 0xFFFF0000)
        moved = builder.select(builder.icmp_signed("==", args[1], ir.Constant(args[1].type, 0)),
                               builder.shl(bits, ir.Constant(LANE, 16)), builder.and_(bits, upper))
        return builder.bitcast(moved, args[0].type)

    return element(element, types.int64), generate


@helper
def configure():
    pass


@helper
def release():
    pass


@helper
def _multiply(a, pitch_a, b, pitch_b, c):
    """``c[r, s] += sum over pairs`` of a tile a times a tile b."""
    for r in range(TILE):
        for i in range(TILE):
            for s in range(TILE):
                for part in range(2):
                    c[r * PAIR + s] += _half(a[r * pitch_a + i], part) * _half(b[i * pitch_b + s], part)


@helper
def _clear(rows, columns, c):
    for r in range(rows * TILE):
        for s in range(columns * TILE):
            c[r * PAIR + s] = 0


@helper
def multiply_halves(rows, columns, steps, a, second, low, pitch, offsets, b, c, add):
    if not add:
        _clear(rows, columns, c)
    for t in range(steps):
        for i in range(rows):
            for j in range(columns):
                from_, target = shift(a, offsets[t] + i * second), shift(c, i * TILE * PAIR + j * TILE)
                to = shift(b, (t * 2 + j) * (2 * TILE * TILE))
                _multiply(from_, pitch, to, TILE, target)
                _multiply(shift(from_, low), pitch, to, TILE, target)
                _multiply(from_, pitch, shift(to, TILE * TILE), TILE, target)


@helper
def multiply_grads(steps, a, b, low, pitch, c, add):
    if not add:
        _clear(2, 2, c)
    for t in range(steps):
        for i in range(2):
            for j in range(2):
                from_, to = shift(a, (t * 2 + i) * (2 * TILE * TILE)), shift(b, t * PAIR * pitch + j * 2 * low)
                target = shift(c, i * TILE * PAIR + j * TILE)
                _multiply(from_, TILE, to, pitch, target)
                _multiply(from_, TILE, shift(to, low), pitch, target)
                _multiply(shift(from_, TILE * TILE), TILE, to, pitch, target)
