"""Winograd F(M x M, R x R) with M + R = 7: for 3 x 3 kernels, 36 multiplications for 16 outputs in place of 144.

A 6 x 6 tile of the input, the kernel, and the tile of M x M outputs are each carried to 36 points, where convolution
is multiplication, so that the sum over channels becomes 36 products of matrices (`tile` again)::

    y = A^T [ sum over c of (G w G^T) * (B^T x B) ] A

The weight gradient is F(R x R, M x M) with the same B: the tile of dy takes the part of the kernel. All transforms
work on vectors of channels, so planes are first turned, in registers, from (channel, position) to (position, channel).

A strided kernel's taps fall into phases, each with input rows and columns of its own: the sum over channels becomes one
over the channels of all phases. A phase whose kernel lacks the last row or column of taps has zeros at some points.

The input gradient is the same with the kernel flipped and dy in the place of x. Where dy has fewer tiles than x, as
without padding, it is the adjoint instead, tile for tile: dy is carried to the points, and what comes back from them to
the 6 x 6 positions of each tile of x is added up.

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

from fastconv.backends.numba.conv import multiply_block, offset, pack_columns
from fastconv.backends.numba.isa import PAST_BY_TURNS, UNROLLED
from fastconv.backends.numba.jit import helper, ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.lines import copy, sum_of
from fastconv.backends.numba.straight import multiply_straight
from fastconv.backends.numba.stream import drain
from fastconv.backends.numba.tile import ask_for_lines, lanes, transpose
from fastconv.backends.numba.words import Vectors
from fastconv.backends.plan_winograd import BESIDE

P, Q = 11 / 16, 11 / 8
# Rows of the weight gradient's products at a time: whole tiles of 6 and of 8, since a tile adds to all of its rows, and
# those beyond would be the first of the next.
TOGETHER = 480
TABLE = TOGETHER + 16
LINE = 16  # elements of a cache line
STAGE = 25 * 16  # elements of the taps of a kernel, a vector each
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


@helper
def along(size, step, phase):
    """Taps of a phase along an axis of a kernel of `size` taps."""
    return (size - phase + step - 1) // step


@helper
def vanishes(taps, phase, flipped, xi):
    """Whether a phase's kernel is zeros at a point, as its last row or column is missing: see `Taps`."""
    kernel, down, across = taps[0], taps[3], taps[4]
    at = 0 if flipped else 5
    return ((xi // 6 == at and along(taps[1], down, phase // across) < kernel)
            or (xi % 6 == at and along(taps[2], across, phase % across) < kernel))


@helper
def spread_taps(taps, phase, flipped, source, pitch, stage, target, point, like):
    """Carry a vector of the taps of a phase, which lie `pitch` apart from tap to tap of the kernel, to the points."""
    kernel, columns, down, across = taps[0], taps[2], taps[3], taps[4]
    i, j = phase // across, phase % across
    source, row, column = shift(source, (i * columns + j) * pitch), down * columns * pitch, across * pitch
    rows_here, columns_here = along(taps[1], down, i), along(columns, across, j)
    if rows_here < kernel or columns_here < kernel:
        size = lanes(like)
        for r in range(kernel):
            for s in range(kernel):
                to = (r * kernel + s) * size
                if r < rows_here and s < columns_here:
                    for k in range(size):
                        stage[to + k] = source[r * row + s * column + k]
                else:
                    for k in range(size):
                        stage[to + k] = 0
        source, row, column = stage, kernel * size, size
    if flipped:
        source, row, column = shift(source, (kernel - 1) * (row + column)), -row, -column
    spread_tile(kernel, source, row, column, target, point)


@helper
def gather_taps(taps, phase, source, point, stage, target, pitch, like):
    """Carry vectors at the points to the taps of a phase."""
    kernel, columns, down, across = taps[0], taps[2], taps[3], taps[4]
    i, j = phase // across, phase % across
    target, row, column = shift(target, (i * columns + j) * pitch), down * columns * pitch, across * pitch
    rows_here, columns_here = along(taps[1], down, i), along(columns, across, j)
    if rows_here == kernel and columns_here == kernel:
        gather_tile(kernel, source, point, target, row, column)
        return
    size = lanes(like)
    gather_tile(kernel, source, point, stage, kernel * size, size)
    for r in range(rows_here):
        for s in range(columns_here):
            for k in range(size):
                target[r * row + s * column + k] = stage[(r * kernel + s) * size + k]


@range_kernel
def transform_weights(begin, end, a, like):
    """From panels of (c, R x S) steps to panels of c steps at each of the 36 points; a work item is a (panel, c).

    Of each phase: its steps follow those of the one before, or its panels do, or, where a panel has the columns of all,
    its columns do: these are written in that order, as a vector of them may reach into the next one's.
    """
    panels, out = pointer(a[0], like), pointer(a[1], like)
    depth, width, flipped, point = a[2], a[3], a[4] != 0, a[5]
    blocks, to_phase, to_block, to_group, taps = a[6], a[7], a[8], a[9], shift(a, 10)
    size = lanes(like)
    phases, stage = taps[3] * taps[4], stack(STAGE, like)
    wide = min(width, to_phase)
    for item in range(begin, end):
        panel, c = item // depth, item % depth
        source = shift(panels, item * taps[1] * taps[2] * width)
        target = shift(out, panel // blocks * to_group + panel % blocks * to_block + c * width)
        for phase in range(phases):
            for j in range(0, wide, size):
                spread_taps(taps, phase, flipped, shift(source, j), width, stage, shift(target, phase * to_phase + j),
                            point, like)


@helper
def turn(source, room, plane, channels, height, width, top, left, rows, columns, slab, like):
    """A window of up to LANES planes, turned to (row, column, channel) with zeros outside the planes.

    Whole blocks are turned, of 16 planes and columns, as long as there is `room` for them in the source: masked loads
    would take most of the time where rows are short. What they bring beyond the planes lands in unused channels, in
    the margin, which is cleared after them, and in rows that are turned later.
    """
    size = lanes(like)
    first, last = max(0, -left), max(0, min(columns, width - left))
    first = min(first, columns)
    nothing = pointer(0, like)
    for i in range(rows):
        line, h = i * columns * size, top + i
        if h < 0 or h >= height or last <= first:
            for j in range(columns * size):
                slab[line + j] = 0
            continue
        for j in range(first * size):
            slab[line + j] = 0
        for next_ in range(first, last, size):
            j = min(next_, max(first, last - size))
            from_ = h * width + left + j
            # The planes that follow are turned next: under load, 0.2 ms in place of 0.5 for those of 64 x 32 x 13 x 13.
            ask_for_lines(shift(source, from_ + size * plane), plane, 0)
            if from_ + (size - 1) * plane + size <= room:
                transpose(shift(source, from_), plane, size, size, shift(slab, line + j * size), size, size, nothing,
                          False)
            else:
                transpose(shift(source, from_), plane, channels, min(size, last - j), shift(slab, line + j * size),
                          size, size, nothing, False)
        for j in range(last * size, columns * size):
            slab[line + j] = 0


@helper
def spread(tile_size, step, source, room, plane, channels, height, width, top, left, tile_rows, tile_columns, slab,
           target, point, pitch, like):
    """Carry the tiles of a window of all its channels to the 36 points, ``target[point][tile][channel]``.

    Tiles of 6 x 6 are those of the input. From the source there are `room` elements to the end of its array.
    """
    size = lanes(like)
    rows, columns = step * tile_rows + tile_size - step, step * tile_columns + tile_size - step
    for c in range(0, channels, size):
        turn(shift(source, c * plane), room - c * plane, plane, min(size, channels - c), height, width, top, left, rows,
             columns, slab, like)
        for i in range(tile_rows):
            for j in range(tile_columns):
                place = shift(target, (i * tile_columns + j) * pitch + c)
                from_ = shift(slab, (i * step * columns + j * step) * size)
                if tile_size == 6:
                    transform(INPUT, from_, columns * size, size, place, 6 * point, point)
                else:
                    spread_tile(tile_size, from_, columns * size, size, place, point)


@helper
def clear(target, point, pitch, tiles, channels):
    """Zeros at the points of `channels` channels of some tiles."""
    for xi in range(36):
        for i in range(tiles):
            line = xi * point + i * pitch
            for j in range(channels):
                target[line + j] = 0


@helper
def spread_volume(six, source, room, channels, depth, first, taps, step, between, height, width, top, left, tile_rows,
                  tile_columns, slab, target, point, pitch, like):
    """`spread` the slices `first`, `first` + `step`, ... of a volume's channels, slice after slice; zeros outside.

    From a tile to the next there are `between` elements. Tiles are of `six`, which as a literal would be a type of its
    own to Numba: another variant of `spread` to compile, for a second or two.
    """
    plane, each = height * width, pitch // taps
    for t in range(taps):
        d = first + t * step
        if 0 <= d < depth:
            spread(six, between, shift(source, d * plane), room - d * plane, depth * plane, channels, height, width,
                   top, left, tile_rows, tile_columns, slab, shift(target, t * each), point, pitch, like)
        else:
            clear(shift(target, t * each), point, pitch, tile_rows * tile_columns, each)


@helper
def gather(tile, products, product_point, panel_width, wide, rows, columns, top, left, whole, outputs, target, height,
           width, plane, bias, column, past, like):
    """Carry an image's products back to rows of results from (`top`, `left`) on, and turn them to planes.

    Rows of results lie one behind the other where the tiles are of `whole` ones: then they are turned as one.
    """
    size = lanes(like)
    line = width if whole else tile * columns
    for i in range(rows):
        # From right to left: what the last tile has beyond the row, the first one of the next overwrites.
        for j in range(columns - 1, -1, -1):
            place = (i * columns + j) * panel_width
            for k in range(0, wide, size):
                gather_tile(tile, shift(products, place + k), product_point,
                            shift(outputs, tile * j * panel_width + k), line * panel_width, panel_width)
        p = top + tile * i
        lines = min(tile, height - p)
        for r in range(0, lines, lines if whole else 1):
            length = lines * width if whole else min(line, width - left)
            # 16 planes after the other, as the hardware does not foresee more: 5.7 ms in place of 6.5 for 64 channels
            # of 8 x 56 x 56; and 1 to 4 % less as each vector asks for the one after the next.
            for k in range(0, wide, size):
                for next_ in range(0, length, size):
                    j = min(next_, max(0, length - size))
                    there = shift(target, k * plane + (p + r) * width + left + j)
                    if not past:
                        ask_for_lines(shift(there, 2 * size), plane, 1)
                    transpose(shift(outputs, (r * line + j) * panel_width + k), panel_width, size, min(size, wide - k),
                              there, plane, min(size, length - j), offset(bias, column + k, like), past)


@helper
def overlap(tile, kernel, products, product_point, panel_width, wide, rows, columns, top, left, outputs, target, height,
            width, plane, past, like):
    """Carry an image's products back to the input: what 6 x 6 positions of its tiles make, `tile` apart, is added up.

    Of a row of tiles the first `tile` rows are then done; the others are the first ones of the next row's.
    """
    size, nothing = lanes(like), pointer(0, like)
    line = (tile * columns + kernel - 1) * panel_width
    done = shift(outputs, 6 * line)
    for j in range(6 * line):
        outputs[j] = 0
    for i in range(rows):
        for j in range(columns):
            for k in range(0, wide, size):
                transform(SCATTER, shift(products, (i * columns + j) * panel_width + k), 6 * product_point,
                          product_point, shift(outputs, tile * j * panel_width + k), line, panel_width)
        first = max(0, top - tile * i)
        last = min(6 if i == rows - 1 else tile, height + top - tile * i)
        for r in range(first, last):
            copy(shift(outputs, r * line + left * panel_width), shift(done, (r - first) * width * panel_width),
                 width * panel_width)
        length, p = (last - first) * width, tile * i + first - top
        for k in range(0, wide, size):
            for next_ in range(0, length, size):
                j = min(next_, max(0, length - size))
                transpose(shift(done, j * panel_width + k), panel_width, size, min(size, wide - k),
                          shift(target, k * plane + p * width + j), plane, min(size, length - j), nothing, past)
        for j in range((kernel - 1) * line):
            outputs[j] = outputs[tile * line + j]
        for j in range((kernel - 1) * line, 6 * line):
            outputs[j] = 0


@range_kernel
def multiply(begin, end, a, like):
    """A work item is a block of tiles (part of an image, or several whole images) and a run of panels of a group.

    `fused`: `panels` is the kernel itself, and each part of it is packed and transformed just before its use.
    """
    source, panels, out = pointer(a[0], like), pointer(a[1], like), pointer(a[3], like)
    col_a, col_b = ints(a[4]), ints(a[5])
    images, groups, channels, filters = a[7], a[8], a[9], a[10]
    height, width, top, left, out_height, out_width = a[11], a[12], a[13], a[14], a[15], a[16]
    tiles_h, tiles_w, block_h, block_w, together = a[17], a[18], a[19], a[20], a[21]
    panel_width, run, pitch, point, product_point, chunk = a[22], a[23], a[24], a[25], a[26], a[27]
    slab_at, points_at, products_at = 0, a[28], a[29]
    outputs_at, work_size, parts, count, weight_point = a[30], a[31], a[32], a[33], a[34]
    fused, flipped, own_at = a[35] != 0, a[36] != 0, a[37]
    slices, depth, out_depth, front, stride_d, step_d = a[38], a[39], a[40], a[41], a[42], a[43]
    taps, sets, column_sets, steps, set_panels = shift(a, 44), a[49], a[50], a[51], a[52]
    adjoint, past = a[53] != 0, PAST_BY_TURNS and a[58] != 0
    group_stride, step_stride, column_stride, packed_at = a[54], a[55], a[56], a[57]
    kernel, all_taps = taps[0], taps[1] * taps[2]
    tile = 7 - kernel
    # The part of the work that begins here tells which of the `parts` workspaces is this thread's.
    work = shift(pointer(a[6], like), (begin * parts + count - 1) // count * work_size)
    slab, points = shift(work, slab_at), shift(work, points_at)
    products, outputs, own = shift(work, products_at), shift(work, outputs_at), shift(work, own_at)
    packed = shift(work, packed_at)
    size = lanes(like)
    row, stage = stack(128, col_a), stack(STAGE, like)
    panel_count, set_filters = column_sets * set_panels, filters // column_sets
    runs = (panel_count + run - 1) // run
    blocks_h, blocks_w = (tiles_h + block_h - 1) // block_h, (tiles_w + block_w - 1) // block_w
    image_blocks = (images + together - 1) // together
    plane, out_plane = height * width, out_height * out_width
    size_in = images // out_depth * groups * channels * depth * plane
    for item in range(begin, end):
        first_panel, rest = item % runs * run, item // runs
        tile_w, rest = rest % blocks_w * block_w, rest // blocks_w
        tile_h, rest = rest % blocks_h * block_h, rest // blocks_h
        image, group = rest % image_blocks * together, rest // image_blocks
        rows, columns = min(block_h, tiles_h - tile_h), min(block_w, tiles_w - tile_w)
        here = min(together, images - image)
        tiles = here * rows * columns
        for n in range(here):
            volume, o = (image + n) // out_depth, (image + n) % out_depth
            start = (volume * groups + group) * channels * depth * plane
            target = shift(points, n * rows * columns * pitch)
            if adjoint:
                start += o * plane
                spread(tile, tile, shift(source, start), size_in - start, depth * plane, channels, height, width,
                       tile * tile_h, tile * tile_w, rows, columns, slab, target, point, pitch, like)
            else:
                spread_volume(tile + kernel - 1, shift(source, start), size_in - start, channels, depth,
                              o * stride_d - front, slices, step_d, tile, height, width, tile * tile_h - top,
                              tile * tile_w - left, rows, columns, slab, target, point, pitch, like)
        for i in range(tiles):
            row[i] = i * pitch
        for i in range(tiles, tiles + 16):
            row[i] = row[tiles - 1]
        stop, lead = min(first_panel + run, panel_count), first_panel
        while lead < stop:
            # Panels of one set of columns, side by side.
            column_set, first_column = lead // set_panels, lead % set_panels * panel_width
            beside = min(stop - lead, set_panels - lead % set_panels, 1 if fused else max(1, BESIDE // panel_width))
            if fused:
                panel = shift(panels, group * group_stride + first_column * column_stride)
            else:
                panel = shift(panels, (group * panel_count + lead) * 36 * weight_point)
            for one in range(sets):
                phase = one + column_set
                for c in range(0, steps, chunk):
                    some = min(chunk, steps - c)
                    weights = own
                    if not fused:
                        weights = shift(panel, (one * steps + c) * panel_width)
                    else:
                        wide = min(set_filters - first_column, panel_width)
                        if step_stride == all_taps:  # the steps of a column follow each other
                            pack_columns(shift(panel, c * all_taps), wide, 1, some * all_taps, 0, column_stride, packed,
                                         panel_width, like)
                        else:
                            for i in range(some):
                                start = (c + i) // slices * step_stride + (c + i) % slices * all_taps
                                pack_columns(shift(panel, start), wide, 1, all_taps, 0, column_stride,
                                             shift(packed, i * all_taps * panel_width), panel_width, like)
                        for i in range(some):
                            start = shift(packed, i * all_taps * panel_width)
                            for j in range(0, wide, size):
                                spread_taps(taps, phase, flipped, shift(start, j), panel_width, stage,
                                            shift(own, i * panel_width + j), weight_point, like)
                    for xi in range(36):
                        if max(sets, column_sets) > 1 and vanishes(taps, phase, flipped, xi):
                            continue
                        for k in range(beside):
                            wide = min(set_filters - first_column - k * panel_width, panel_width)
                            of_point = shift(weights, (k * 36 + xi) * weight_point)
                            target = shift(products, (k * 36 + xi) * product_point)
                            if slices == 1:
                                multiply_straight(tiles, wide, some, shift(points, xi * point + one * steps + c), row,
                                                  1, of_point, panel_width, target, panel_width, one + c > 0,
                                                  shift(of_point, weight_point), LINE,
                                                  (some + UNROLLED - 1) // UNROLLED * LINE, like)
                            else:
                                multiply_block(tiles, wide, some, shift(points, xi * point), row,
                                               shift(col_a, one * steps + c), of_point, col_b, target, panel_width,
                                               one + c > 0, like)
            for k in range(beside):
                of_panel = shift(products, k * 36 * product_point)
                for xi in range(36):
                    if column_sets > 1 and vanishes(taps, column_set, flipped, xi):
                        for i in range(tiles * panel_width):
                            of_panel[xi * product_point + i] = 0
                wide = min(set_filters - first_column - k * panel_width, panel_width)
                column = group * filters + column_set * set_filters + first_column + k * panel_width
                for n in range(here):
                    volume, o = (image + n) // out_depth, (image + n) % out_depth
                    target = shift(out, ((volume * groups * filters + column) * out_depth + o) * out_plane)
                    of_image = shift(of_panel, n * rows * columns * panel_width)
                    if adjoint:
                        overlap(tile, kernel, of_image, product_point, panel_width, wide, rows, columns, top, left,
                                outputs, target, out_height, out_width, out_depth * out_plane, past, like)
                    else:
                        gather(tile, of_image, product_point, panel_width, wide, rows, columns, tile * tile_h,
                               tile * tile_w, columns == tiles_w, outputs, target, out_height, out_width,
                               out_depth * out_plane, a[2], column, past, like)
            lead += beside
    drain(past)


@range_kernel
def multiply_weight(begin, end, a, like):
    """The weight gradient. A work item is a piece of the blocks of tiles and a run of panels of a group."""
    source, grads, out, natural = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), ints(a[3])
    images, groups, channels, filters = a[5], a[6], a[7], a[8]
    height, width, top, left, out_height, out_width = a[9], a[10], a[11], a[12], a[13], a[14]
    tiles_h, tiles_w, block_h, block_w, together = a[15], a[16], a[17], a[18], a[19]
    panel_width, run, pitch, point, product_point, splits = a[20], a[21], a[22], a[23], a[24], a[25]
    points_at, grads_at, grad_point, products_at = a[26], a[27], a[28], a[29]
    work_size, parts, count = a[30], a[31], a[32]
    slices, depth, out_depth, front, stride_d, step_d = a[33], a[34], a[35], a[36], a[37], a[38]
    taps, sets, set_rows = shift(a, 39), a[44], a[45]
    kernel, all_taps = taps[0], taps[1] * taps[2]
    tile, phases = 7 - kernel, taps[3] * taps[4]
    steps, set_steps = channels * slices // phases, channels * slices // sets
    work = shift(pointer(a[4], like), (begin * parts + count - 1) // count * work_size)
    slab, points, grad_points = work, shift(work, points_at), shift(work, grads_at)
    products = shift(work, products_at)
    size = lanes(like)
    rows = stack(TABLE, ints(0))
    stage = stack(STAGE, like)
    panel_count = (filters + panel_width - 1) // panel_width
    runs = (panel_count + run - 1) // run
    blocks_h, blocks_w = (tiles_h + block_h - 1) // block_h, (tiles_w + block_w - 1) // block_w
    blocks = (images + together - 1) // together * blocks_h * blocks_w
    plane, out_plane = height * width, out_height * out_width
    nothing = pointer(0, like)
    size_in = images // out_depth * groups * channels * depth * plane
    grads_size = images // out_depth * groups * filters * out_depth * out_plane
    for item in range(begin, end):
        first_panel, rest = item % runs * run, item // runs
        group, split = rest % groups, rest // groups
        last_panel = min(first_panel + run, panel_count)
        first_filter = first_panel * panel_width
        wide_run = min(filters, last_panel * panel_width) - first_filter
        pitch_run = (last_panel - first_panel) * panel_width
        begun = split * blocks // splits
        for block in range(begun, (split + 1) * blocks // splits):
            tile_w, rest = block % blocks_w * block_w, block // blocks_w
            tile_h, image = rest % blocks_h * block_h, rest // blocks_h * together
            tile_rows, tile_columns = min(block_h, tiles_h - tile_h), min(block_w, tiles_w - tile_w)
            here = min(together, images - image)
            each = tile_rows * tile_columns
            tiles = here * each
            for n in range(here):
                volume, o = (image + n) // out_depth, (image + n) % out_depth
                start = (volume * groups + group) * channels * depth * plane
                spread_volume(tile + kernel - 1, shift(source, start), size_in - start, channels, depth,
                              o * stride_d - front, slices, step_d, tile, height, width, tile * tile_h - top,
                              tile * tile_w - left, tile_rows, tile_columns, slab, shift(points, n * each * pitch),
                              point, pitch, like)
                start = (((volume * groups + group) * filters + first_filter) * out_depth + o) * out_plane
                spread(tile, tile, shift(grads, start), grads_size - start, out_depth * out_plane, wide_run,
                       out_height, out_width, tile * tile_h, tile * tile_w, tile_rows, tile_columns, slab,
                       shift(grad_points, n * each * pitch_run), grad_point, pitch_run, like)
            for xi in range(36):
                for one in range(sets):
                    if sets > 1 and vanishes(taps, one, False, xi):
                        continue
                    for panel in range(last_panel - first_panel):
                        wide = min(panel_width, wide_run - panel * panel_width)
                        for c in range(0, set_steps, TOGETHER):
                            some = min(TOGETHER, set_steps - c)
                            for i in range(some):
                                rows[i] = natural[one * set_steps + c + i]
                            for i in range(some, some + 16):
                                rows[i] = rows[0]
                            to = xi * product_point + (one * set_rows + c) * pitch_run + panel * panel_width
                            # A tile asks for its channels at the next point: 6 or 8, of which a line holds 16.
                            following = shift(points, (xi + 1) * point + one * set_steps + c)
                            multiply_straight(some, wide, tiles, shift(points, xi * point), rows, pitch,
                                              shift(grad_points, xi * grad_point + panel * panel_width), pitch_run,
                                              shift(products, to), pitch_run, block > begun, following, pitch, 8, like)
        # The slab is free now: gradients of 16 steps at a time, as (step, tap) rows of `pitch_run` filters.
        target = shift(out, ((split * groups + group) * filters + first_filter) * steps * all_taps)
        for c in range(0, steps, 16):
            some = min(16, steps - c)
            for i in range(some):
                for phase in range(phases):
                    from_ = (phase * (steps if sets == 1 else set_rows) + c + i) * pitch_run
                    for k in range(0, wide_run, size):
                        gather_taps(taps, phase, shift(products, from_ + k), product_point, stage,
                                    shift(slab, all_taps * i * pitch_run + k), pitch_run, like)
            for i in range(0, all_taps * some, size):
                for k in range(0, wide_run, size):
                    transpose(shift(slab, i * pitch_run + k), pitch_run, size, min(size, wide_run - k),
                              shift(target, k * steps * all_taps + c * all_taps + i), steps * all_taps,
                              min(size, all_taps * some - i), nothing, False)


@range_kernel
def sum_planes(begin, end, a, like):
    """Sum of each plane: the bias gradient's parts. A work item is a plane."""
    source, sums, size = pointer(a[0], like), pointer(a[1], like), a[2]
    for plane in range(begin, end):
        sums[plane] = sum_of(shift(source, plane * size), size)
