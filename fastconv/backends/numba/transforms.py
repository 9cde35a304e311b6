"""Winograd's transforms of one tile of vectors: to the 36 points, where convolution is multiplication, and back.

Six points serve kernels of 2 x 2 to 5 x 5 taps. What a kernel's taps or a tile's outputs are multiplied with are powers
of the points, from the same place on: `spread` and `gather` of as many elements.

The points are 0, +-11/16, +-11/8 and infinity. The customary 0, +-1, +-2 lose 4 times as much: 5.9e-6 against 1.5e-6 of
the largest output at 64 channels, 9.2e-6 against 2.5e-6 at 256. Good points lie near 1 on either side of it, which
keeps the powers in A and B near 1, and these are exact in binary. Source of the method: Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", 2015; of the effect of the points: Barabasz et al., "Error Analysis and
Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2018.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.jit import helper
from fastconv.backends.numba.words import Vectors

P, Q = 11 / 16, 11 / 8
P2, Q2 = P * P, Q * Q

# Transforms of tiles, by the elements along an axis: of the input, and those of 2 to 5 to the points and back.
INPUT = 0
SPREAD_2, SPREAD_3, SPREAD_4, SPREAD_5 = 2, 3, 4, 5
GATHER_2, GATHER_3, GATHER_4, GATHER_5 = 12, 13, 14, 15
SCATTER = 20  # of the points back to the input, to which it is added


class _Lines:
    """The one-dimensional transforms, on lists of vectors; each pairs the points +a and -a to share their halves."""

    def __init__(self, vectors):
        self.v = vectors
        self.builder = vectors.builder

    def times(self, factor, x, more=None):
        constant = ir.Constant(self.v.type, [factor] * self.v.lanes)
        return self.builder.fmul(constant, x) if more is None else self.v.fma(constant, x, more)

    def add(self, x, y):
        return self.builder.fadd(x, y)

    def subtract(self, x, y):
        return self.builder.fsub(x, y)

    def input(self, d):
        """B^T d: 6 to 6, in 12 multiply-adds."""
        even_p, odd_p = self.times(-Q2, d[2], d[4]), self.times(-Q2, d[1], d[3])
        even_q, odd_q = self.times(-P2, d[2], d[4]), self.times(-P2, d[1], d[3])
        return [self.times(P2 * Q2, d[0], self.times(-(P2 + Q2), d[2], d[4])),
                self.times(P, odd_p, even_p), self.times(-P, odd_p, even_p),
                self.times(Q, odd_q, even_q), self.times(-Q, odd_q, even_q),
                self.times(P2 * Q2, d[1], self.times(-(P2 + Q2), d[3], d[5]))]

    def scatter(self, m):
        """B D m: 6 to 6, the adjoint of `input`, where D takes out what `spread` has scaled once too often."""
        of_p, of_q = 2 * P2 * (P2 - Q2), 2 * Q2 * (Q2 - P2)
        sum_p, sum_q = self.add(m[1], m[2]), self.add(m[3], m[4])
        less_p, less_q = self.subtract(m[1], m[2]), self.subtract(m[3], m[4])

        def total(first, on_p, p, on_q, q):
            return self.times(on_p * of_p, p, self.times(on_q * of_q, q, first))

        both = P2 * Q2
        return [self.times(both * both, m[0]), total(self.times(both, m[5]), -P * Q2, less_p, -Q * P2, less_q),
                total(self.times(-(P2 + Q2) * both, m[0]), -Q2, sum_p, -P2, sum_q),
                total(self.times(-(P2 + Q2), m[5]), P, less_p, Q, less_q),
                total(self.times(both, m[0]), 1, sum_p, 1, sum_q), m[5]]

    def spread(self, g):
        """G g: 2 to 5 elements to 6, the values at the points of the polynomial that has them as coefficients."""
        pairs = []
        for point, scale in ((P, 1 / (2 * P2 * (P2 - Q2))), (Q, 1 / (2 * Q2 * (Q2 - P2)))):
            even, odd = self._powers(point, scale, g, 0), g[1]
            if len(g) < 4:
                pairs += [self.times(scale * point, odd, even), self.times(-scale * point, odd, even)]
            else:
                odd = self._powers(point, scale, g, 1)
                pairs += [self.add(even, odd), self.subtract(even, odd)]
        return [self.times(1 / (P2 * Q2), g[0]), *pairs, g[-1]]

    def _powers(self, point, scale, g, first):
        total = None
        for i in range(first, len(g), 2):
            total = self.times(scale * point**i, g[i], total)
        return total

    def gather(self, m, count):
        """A^T m: 6 to 2 to 5."""
        sums = self.add(m[1], m[2]), self.add(m[3], m[4])
        lesses = self.subtract(m[1], m[2]), self.subtract(m[3], m[4])
        found = [self.add(self.add(m[0], sums[0]), sums[1])]
        for i in range(1, count):
            of_p, of_q = lesses if i % 2 else sums
            found.append(self.times(P**i, of_p, self.times(Q**i, of_q, m[5] if i == count - 1 else None)))
        return found


@intrinsic
def transform(typingctx, kind, source, row, column, target, row_out, column_out):
    """Transform one square tile of vectors: `kind` (a literal) names the transform, the rest where its vectors lie."""
    if not isinstance(kind, types.IntegerLiteral):
        return None
    kind_ = kind.literal_value
    size = kind_ if INPUT < kind_ < GATHER_2 else 6

    def generate(context, builder, signature, args):
        _, source, row, column, target, row_out, column_out = args
        v = Vectors(context, builder, signature.args[1].dtype)
        lines = _Lines(v)

        def line(values):
            if kind_ == INPUT:
                return lines.input(values)
            if kind_ == SCATTER:
                return lines.scatter(values)
            return lines.spread(values) if kind_ < GATHER_2 else lines.gather(values, kind_ - 10)

        def at(base, i, j, row, column):
            return v.at(base, builder.add(builder.mul(row, ir.Constant(row.type, i)),
                                          builder.mul(column, ir.Constant(column.type, j))))

        columns = [line([v.load(at(source, i, j, row, column)) for i in range(size)]) for j in range(size)]
        for i in range(len(columns[0])):
            for j, value in enumerate(line([columns[c][i] for c in range(size)])):
                place = at(target, i, j, row_out, column_out)
                v.store(builder.fadd(v.load(place), value) if kind_ == SCATTER else value, place)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(kind, source, integer, integer, target, integer, integer), generate


@helper
def spread_tile(size, source, row, column, target, point):
    """Carry `size` x `size` vectors to the points."""
    if size == 2:
        transform(SPREAD_2, source, row, column, target, 6 * point, point)
    elif size == 3:
        transform(SPREAD_3, source, row, column, target, 6 * point, point)
    elif size == 4:
        transform(SPREAD_4, source, row, column, target, 6 * point, point)
    else:
        transform(SPREAD_5, source, row, column, target, 6 * point, point)


@helper
def gather_tile(size, source, point, target, row, column):
    """Carry the vectors at the points to `size` x `size`."""
    if size == 2:
        transform(GATHER_2, source, 6 * point, point, target, row, column)
    elif size == 3:
        transform(GATHER_3, source, 6 * point, point, target, row, column)
    elif size == 4:
        transform(GATHER_4, source, 6 * point, point, target, row, column)
    else:
        transform(GATHER_5, source, 6 * point, point, target, row, column)
