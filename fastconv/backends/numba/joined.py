"""Pooling by windows of 2 x 2 side by side: the rows of results of all planes as one long row.

Vectors of results are whole then, and do not overlap: maxima of 64 x 32 x 26 x 26 and their indices take 0.27 ms in
place of 0.38 on Zen 3, those of 64 x 64 x 8 x 8, whose rows fill half a vector of AVX2, 0.05 in place of 0.20.

Where a row of results ends within half a vector, the half's operands lie in pieces. Of results 10 to 13, with 13 a row
and 26 columns, in the upper rows of their windows::

    first piece    20 21 22 23 24 25  .  .    of the row of the map that begins with element 0
    last piece      .  .  .  .  .  . 52 53    of the one that begins with element 52: loaded from 46 on

A piece is loaded as a whole vector that has its elements in their lanes, and the vectors are blended. The first begins
with the first window and the last ends with the last one, so that nothing beyond the windows is read. Where pieces lie
is read from a table, the same for all planes.
"""

from functools import lru_cache, reduce
from math import gcd, prod

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends import engine, plan
from fastconv.backends.numba.isa import VECTOR_BYTES
from fastconv.backends.numba.jit import ask_for, helper, ints, pointer, range_kernel, shift
from fastconv.backends.numba.pool import AHEAD, FAR, max_one, mean_one
from fastconv.backends.numba.stream import drain
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.window import LINE_BYTES, Windows, divide
from fastconv.backends.numba.words import INT, LANE, Loop, Vectors, choose

# Results of a map at most: tables of more would not stay in the cache of a core.
MOST = 16384
# Results of the planes that tables are made for, at least: after them a loop begins anew.
LEAST = 256
# Pieces of half a vector that there is code for: no more than it has windows.
PIECES = (1, 2, 4, 8)
# How results are stored: near; with the input asked for in advance, as in `pool`; or also past the caches, as those
# of `engine.PAST` bytes: 2.4 ms in place of 3.4 for 8 x 64 x 112 x 112 with indices.
NEAR, ASKED, PASSED = 0, 1, 2
INDEX_BYTES = 8


def serves(g):
    """Whether a pooling is by windows of 2 x 2 that cover all but perhaps the last row and column of a map."""
    return (g.kernel == (1, 2, 2) and g.stride == (1, 2, 2) and g.dilation == (1, 1, 1) and g.input[0] == 1
            and g.output == (1, g.input[1] // 2, g.input[2] // 2) and not any(map(sum, g.padding))
            and prod(g.output) <= MOST)


def serves_mean(p, g):
    """The same, of an average.

    Sums take less time than maxima. In rows of two vectors and more, pieces are worth it only where a fifth of the
    lanes would be idle otherwise, 0.44 ms in place of 0.57 for 64 x 32 x 26 x 26 in float64, but 0.185 in place of
    0.160 for 32 x 20 x 30 x 30; and not in vectors of 128 bits, which baseline x86-64 has no instruction to blend.
    """
    if not serves(g):
        return False
    lanes, out_w = VECTOR_BYTES // p.dtype.itemsize, g.output[2]
    idle = -out_w % lanes
    return out_w < 2 * lanes or (VECTOR_BYTES > 16 and 5 * idle >= out_w) or tables(*g.input[1:], lanes)[2] == 1


def max_forward(p, g, x, y, indices):
    """Plan a maximum pooling."""
    pieces, places, *numbers = planned(g, p.dtype.itemsize, p.most)
    p.do("max_joined", g.n * g.c, (x, y, indices, pieces, places), numbers, y.size * 4)


def avg_forward(p, g, x, y):
    """Plan an average pooling."""
    pieces, _, *numbers = planned(g, p.dtype.itemsize, p.most)
    p.do("avg_joined", g.n * g.c, (x, y, pieces), (*numbers, g.divisor or 4), y.size * 4)


@lru_cache(maxsize=64)
def planned(g, size, most):
    """Tables and numbers that the kernels read, for elements of `size` bytes and `most` threads."""
    asked = ASKED if prod(g.x_shape) * size > FAR * most else NEAR
    far, indexed_far = (PASSED if prod(g.y_shape) * (size + more) >= engine.PAST else asked
                        for more in (0, INDEX_BYTES))
    return (*tables(*g.input[1:], VECTOR_BYTES // size), far, indexed_far, *g.input[1:], g.output[2], prod(g.output))


@lru_cache(maxsize=64)
def tables(height, width, lanes):
    """Where the operands of results lie, for as many planes as have LEAST results.

    Parameters
    ----------
    height, width : int
        Of a map.
    lanes : int
        Results of a vector.

    Returns
    -------
    pieces : Table of int32
        For half a vector from each result on: where its first piece is loaded from and the lane in which the piece
        ends, the same of the others, and where the last one is loaded from.
    places : Table of int64
        Of the first element of each result's window, in its map.
    most : int
        Pieces of half a vector at most, one of PIECES.
    period, span : int
        Results and elements of the planes.
    """
    half, out_w, outputs, size = lanes // 2, width // 2, height // 2 * (width // 2), height * width
    planes = -(-LEAST // outputs)
    period = planes * outputs
    plane, rest = np.divmod(np.arange(period + lanes), outputs)
    row, column = np.divmod(rest, out_w)
    places = 2 * row * width + 2 * column
    source, row = plane * size + places, plane * (height // 2) + row
    # The results that vectors begin with are multiples of this.
    met = np.arange(0, period + half, gcd(lanes, half, period))
    most = 1 + int((row[met + half - 1] - row[met]).max())
    most = next(count for count in PIECES if count >= most)
    first = np.arange(period + half)[:, None]
    rows = row[first + np.arange(half)] - row[first]
    ends = (rows[:, None] <= np.arange(most - 1)[:, None]).sum(-1)
    begins = np.minimum(np.hstack((np.zeros_like(first), ends)), half - 1)
    begins[:, -1] = half - 1
    pieces = np.empty((len(first), 2 * most - 1), np.int32)
    pieces[:, ::2] = source[first + begins] - 2 * begins
    pieces[:, 1::2] = 2 * ends
    return plan.Table(pieces, pieces.ctypes.data), plan.table(places), most, period, planes * size


class Rows(Vectors):
    """Vectors of joined rows, in registers in an order of their own.

    Even and odd elements of two vectors are told apart in each 128 bits alone, as that takes one instruction; what is
    stored is put in order.
    """

    def __init__(self, context, builder, dtype):
        super().__init__(context, builder, dtype)
        self.windows = Windows(self, 2, 2)
        self.numbers = ir.VectorType(ir.IntType(8 * self.size), self.lanes)
        wide = 16 // self.size
        self.even = [start + i for first in range(0, self.lanes, wide) for start in (first, first + self.lanes)
                     for i in range(0, wide, 2)]
        order = [i // 2 for i in self.even]
        self.where = [order.index(i) for i in range(self.lanes)]  # the lane of each result

    def taps(self, upper, lower, pieces, at, most):
        """The four taps of the windows of LANES results from result `at` on, in order."""
        builder, lanes = self.builder, self.windows.numbers(range(self.lanes))
        halves = []
        for half in range(2):
            entry = builder.mul(builder.add(at, INT(half * self.lanes // 2)), INT(2 * most - 1))
            entry = [builder.load(self.at(pieces, builder.add(entry, INT(i)))) for i in range(2 * most - 1)]
            starts = [builder.sext(start, INT) for start in entry[::2]]
            inside = [builder.icmp_signed("<", lanes, self.windows.splat(end)) for end in entry[1::2]]
            for line in (upper, lower):
                *others, value = [self.load(self.at(line, start)) for start in starts]
                for mask, other in zip(inside[::-1], others[::-1], strict=True):
                    value = builder.select(mask, other, value)
                halves.append(value)
        return [self.shuffle(*halves[row::2], [i + odd for i in self.even]) for row in range(2) for odd in range(2)]

    def put(self, value, place, far):
        """Store results."""
        store = self.store_past if far == PASSED else self.store
        store(self.shuffle(value, value, self.where), place)

    def put_places(self, offsets, first, place, far):
        """Store `first`, in order, plus `offsets`, not in order."""
        store = self.store_past if far == PASSED else self.store
        builder, parts = self.builder, 8 // self.size
        count = self.lanes // parts
        kind = ir.VectorType(INT, count)
        zero = ir.Constant(self.numbers, [0] * self.lanes)
        for start in range(0, self.lanes, count):
            # Zeros between numbers of 32 bits make them ones of 64: one instruction where the order is this one.
            lanes = [lane for i in range(start, start + count) for lane in (self.where[i], self.lanes)[:parts]]
            wide = builder.bitcast(self.shuffle(offsets, zero, lanes), kind)
            wide = builder.add(wide, builder.load(builder.bitcast(self.at(first, start), kind.as_pointer()), align=8))
            store(builder.bitcast(wide, self.type), self.at(place, start))

    def over(self, count, x, width, pieces, most, period, span, far, step):
        """``step(begun, at, taps)`` for each vector of `count` results, that from ``begun + at`` on, `at` in tables."""
        builder = self.builder
        planes = Loop(builder, "planes", count, period, [INT(0), x])
        first, upper = planes.values
        lower = self.at(upper, width)
        rest = builder.sub(count, planes.index)
        stop = builder.select(builder.icmp_signed("<", rest, period), rest, period)
        loop = Loop(builder, "vectors", stop, self.lanes, [], first)
        if far:
            # Four elements a result, however they lie: by the pieces themselves it takes 3.4 ms in place of 2.0 for
            # 1024 x 64 x 8 x 8.
            ahead = self.at(upper, builder.add(builder.mul(loop.index, INT(4)), INT(AHEAD // self.size)))
            for line in range(0, 4 * VECTOR_BYTES, LINE_BYTES):
                ask_for(builder, self.at(ahead, line // self.size))
        step(planes.index, loop.index, self.taps(upper, lower, pieces, loop.index, most))
        loop.close()
        planes.close([builder.sub(loop.index, period), self.at(upper, span)])


def largest(builder, taps):
    """Of the four `taps` of windows, the largest; whether that of a row is the right one; whether it is a lower one."""

    def later(a, b):
        """Whether b, which comes later, takes the place of a: if it is larger, or NaN."""
        return builder.or_(builder.fcmp_ordered(">", b, a), builder.fcmp_unordered("uno", b, b))

    right = [later(*taps[:2]), later(*taps[2:])]
    upper, lower = (builder.select(right[row], taps[2 * row + 1], taps[2 * row]) for row in range(2))
    below = later(upper, lower)
    return right, builder.select(below, lower, upper), below


def variants(v):
    """(pieces, far) of what there is code for."""
    return [(most, far) for most in PIECES if most <= v.lanes // 2 for far in (NEAR, ASKED, PASSED)]


@intrinsic
def max_rows(typingctx, most, far, indexed, x, width, pieces, places, period, span, count, y, indices):
    """Maxima of `count` windows, whole vectors of them, and where they are.

    Parameters
    ----------
    most, far : int64
        Pieces of half a vector; NEAR, ASKED or PASSED.
    indexed : bool
        Whether to write `indices`.
    x : pointer
        The map with which the results begin.
    width : int64
        Elements of a row of it.
    pieces, places : pointer to int64
    period, span : int64
        As `tables` gives them.
    count : int64
    y, indices : pointer
        Where the first result goes.
    """

    def generate(context, builder, signature, args):
        most, far, indexed, x, width, pieces, places, period, span, count, y, indices = args
        v = Rows(context, builder, signature.args[3].dtype)
        pieces = builder.bitcast(pieces, LANE.as_pointer())
        one = ir.Constant(v.numbers, [1] * v.lanes)
        down = builder.trunc(width, v.numbers.element)
        down = builder.insert_element(ir.Constant(v.numbers, ir.Undefined), down, LANE(0))
        down = v.shuffle(down, down, [0] * v.lanes)

        def variant(most, far, indexed):
            def step(begun, at, taps):
                right, best, below = largest(builder, taps)
                # Two results that go past the caches by turns, each half a line at a time, take 15 ms in place of 9 for
                # 256 x 64 x 26 x 26 in float64 with AVX2: one does then.
                halves = indexed and v.lanes * INDEX_BYTES < LINE_BYTES
                v.put(best, v.at(v.at(y, begun), at), NEAR if halves else far)
                if indexed:
                    zero = ir.Constant(v.numbers, [0] * v.lanes)
                    upper, lower = (builder.select(mask, builder.add(offset, one), offset)
                                    for mask, offset in zip(right, (zero, down), strict=True))
                    v.put_places(builder.select(below, lower, upper), v.at(places, at), v.at(v.at(indices, begun), at),
                                 far)

            v.over(count, x, width, pieces, most, period, span, far, step)

        choose(builder, (most, far, builder.zext(indexed, INT)),
               [(*literals, indexed) for literals in variants(v) for indexed in (0, 1)], variant)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, types.boolean, x, integer, pieces, places, integer, integer, integer, y,
                      indices), generate


@intrinsic
def mean_rows(typingctx, most, far, x, width, pieces, period, span, count, divisor, y):
    """Sums of `count` windows over `divisor`, as `max_rows`."""

    def generate(context, builder, signature, args):
        most, far, x, width, pieces, period, span, count, divisor, y = args
        v = Rows(context, builder, signature.args[2].dtype)
        pieces = builder.bitcast(pieces, LANE.as_pointer())
        divisor = v.broadcast(builder.sitofp(divisor, v.element))

        def variant(most, far):
            def step(begun, at, taps):
                # As a sum that begins with 0: of -0.0 that is 0.0.
                total = reduce(builder.fadd, taps, v.zero)
                v.put(divide(builder, v, total, divisor), v.at(v.at(y, begun), at), far)

            v.over(count, x, width, pieces, most, period, span, far, step)

        choose(builder, (most, far), variants(v), variant)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, x, integer, pieces, integer, integer, integer, integer, y), generate


@intrinsic
def _aligned(typingctx, y, indices):
    """Whether results may go past the caches."""

    def generate(context, builder, signature, args):
        return Vectors(context, builder, signature.args[0].dtype).aligned(args)

    return types.boolean(y, indices), generate


@helper
def allowed(far, y, indices):
    """`far`, but not PASSED where results are not aligned."""
    return far if far < PASSED or _aligned(y, indices) else ASKED


@range_kernel
def max_joined(begin, end, a, like):
    x, y, indices, pieces, places = pointer(a[0], like), pointer(a[1], like), ints(a[2]), ints(a[3]), ints(a[4])
    most, period, span, height, width, out_w, outputs = a[5], a[6], a[7], a[10], a[11], a[12], a[13]
    indexed, size, first, last = a[2] != 0, height * width, begin * outputs, end * outputs
    whole = (last - first) // lanes(like) * lanes(like)
    far = allowed(a[9] if indexed else a[8], shift(y, first), shift(indices, first))
    max_rows(most, far, indexed, shift(x, begin * size), width, pieces, places, period, span, whole, shift(y, first),
             shift(indices, first))
    for out in range(first + whole, last):
        q = out % outputs
        max_one(shift(x, out // outputs * size), y, indices, indexed, out, height, width, 0, q // out_w * 2,
                q % out_w * 2, 0, 1, 0, 2, 0, 2, 1, 1, 1)
    drain(far == PASSED)


@range_kernel
def avg_joined(begin, end, a, like):
    x, y, pieces = pointer(a[0], like), pointer(a[1], like), ints(a[2])
    most, period, span, height, width, out_w, outputs = a[3], a[4], a[5], a[8], a[9], a[10], a[11]
    divisor, size, first, last = a[12], height * width, begin * outputs, end * outputs
    whole = (last - first) // lanes(like) * lanes(like)
    far = allowed(a[6], shift(y, first), ints(0))
    mean_rows(most, far, shift(x, begin * size), width, pieces, period, span, whole, divisor, shift(y, first))
    for out in range(first + whole, last):
        q = out % outputs
        mean_one(shift(x, out // outputs * size), y, out, height, width, 0, q // out_w * 2, q % out_w * 2, 0, 1, 0, 2,
                 0, 2, divisor)
    drain(far == PASSED)
