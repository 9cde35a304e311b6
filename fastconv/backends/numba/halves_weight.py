"""The weight gradient on halves, as `fastconv.backends.plan_halves_weight` lays them out, by the matrix unit."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba import isa
from fastconv.backends.numba.copies import window
from fastconv.backends.numba.dot import total
from fastconv.backends.numba.halves import fill, halve, pairs_of
from fastconv.backends.numba.jit import FLOAT32, RangeKernel, helper, ints, pointer, shift, stack
from fastconv.backends.numba.lines import add_vectors
from fastconv.backends.numba.tile import flipped_block, transpose
from fastconv.backends.numba.words import LANE, Vectors
from fastconv.backends.plan_halves import DEPTH, PAIR, TILE

if isa.AMX:
    from fastconv.backends.numba.amx import configure, multiply_grads, release
else:
    from fastconv.backends.numba.amx_emulated import configure, multiply_grads, release

LINE = 240      # columns of a line
LINES = TILE * LINE
GRADS = 4 * TILE * TILE     # elements of a step of 32 filters of dy


@intrinsic
def halve_row(typingctx, line, high, low):
    """Convert 32 elements: pairs of the halves of elements i, i + 16."""

    def generate(context, builder, signature, args):
        line, high, low = args
        v = Vectors(context, builder, signature.args[0].dtype)
        for pairs, target in zip(pairs_of(v, v.load(line), v.load(v.at(line, TILE))), (high, low), strict=True):
            v.store(pairs, target)
        return context.get_dummy_value()

    return types.void(line, high, low), generate


@intrinsic
def halve_pairs(typingctx, source, lds, back, high, low):
    """Halves of 16 lines of 16 elements, `lds` apart, turned: each row goes to the lower 16 bits of one of the target.

    And to the upper ones of the row `back` elements before.
    """

    def generate(context, builder, signature, args):
        source, lds, back, high, low = args
        v = Vectors(context, builder, signature.args[0].dtype)
        kind = ir.VectorType(LANE, v.lanes)
        half, lower = (ir.Constant(kind, [value] * v.lanes) for value in (16, 0xFFFF))
        for i, line in enumerate(flipped_block(v, source, lds)):
            for value, target in zip(halve(v, line), (high, low), strict=True):
                place = v.at(target, TILE * i)
                before = v.at(place, builder.neg(back))
                kept = builder.and_(builder.bitcast(v.load(before), kind), lower)
                v.store(builder.bitcast(builder.lshr(value, half), v.type), place)
                v.store(builder.bitcast(builder.or_(value, kept), v.type), before)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, high, low), generate


@helper
def _clear(high, low, back, begin, end):
    """Zeros in place of the columns `begin` to `end`, of which there may be none."""
    for j in range(begin, end):
        for part in range(2):
            to = shift(high, part * low + j * TILE)
            for i in range(TILE):
                to[i] = 0
            keep_lower(shift(to, -back))


@intrinsic
def keep_lower(typingctx, row):
    """Zeros in place of the upper 16 bits of 16 elements."""

    def generate(context, builder, signature, args):
        v = Vectors(context, builder, signature.args[0].dtype)
        kind = ir.VectorType(LANE, v.lanes)
        kept = builder.and_(builder.bitcast(v.load(args[0]), kind), ir.Constant(kind, [0xFFFF] * v.lanes))
        v.store(builder.bitcast(kept, v.type), args[0])
        return context.get_dummy_value()

    return types.void(row), generate


@helper
def _spread_pairs(source, size, image_stride, images, row, first, wide, a, pairs, like):
    """Pairs of `wide` channels from `first` on of `images` images, for the positions of a block of rows from `row`.

    There are `size` elements from `source` on.
    """
    channels, height, width = a[7], a[9], a[10]
    stride_h, across, top, left, phases, apart = a[13], a[14] // a[18], a[15], a[16], a[17], a[18]
    fold, step, rows, pitch, image, plane = a[19], a[20], a[23], a[25], a[26], a[28]
    front = TILE * apart
    lines, low, back, area = stack(LINES, like), TILE * (front + plane), TILE * front, height * width
    begin, end = min(max(0, left), pitch), max(0, min(pitch, width + left))
    for tile in range(0, wide, TILE):
        high = shift(pairs, (tile * 2 + TILE) * front + tile * 2 * plane)
        c = first + tile
        used = min(TILE, channels * fold - c)   # lines: the others are zeros
        if used <= 0:
            _clear(high, low, back, 0, plane)
            continue
        for j in range(used * LINE, LINES):
            lines[j] = 0
        for n in range(images):
            at = n * image
            for i in range(phases):
                for r in range(rows):
                    h = (row + r) * stride_h + i - top
                    if h < 0 or h >= height:
                        _clear(high, low, back, at, at + pitch)
                    elif fold == 1 and across == 1 and used == TILE:
                        _clear(high, low, back, at, at + begin)
                        for j in range(begin, end, TILE):
                            start = n * image_stride + (c * height + h) * width + j - left
                            to = shift(high, (at + j) * TILE)
                            if start + (TILE - 1) * area + TILE <= size:
                                halve_pairs(shift(source, start), area, back, to, shift(to, low))
                                continue
                            for k in range(TILE):
                                fill(shift(lines, k * TILE), shift(source, start + k * area), 0, 1, end - j, TILE)
                            halve_pairs(lines, TILE, back, to, shift(to, low))
                        _clear(high, low, back, at + end, at + pitch)
                    else:
                        for j in range(0, pitch, LINE):
                            some = min(LINE, pitch - j)
                            for v in range(c, c + used):
                                fill(shift(lines, (v - c) * LINE),
                                     shift(source, n * image_stride + (v // fold * height + h) * width),
                                     j * across - left + v % fold * step, across, width, some)
                            for k in range(0, some, TILE):
                                to = shift(high, (at + j + k) * TILE)
                                halve_pairs(shift(lines, k), LINE, back, to, shift(to, low))
                    at += pitch
        _clear(high, low, back, images * image, plane)


@helper
def _spread_grads(dy, image_stride, images, row, some, first, wide, a, grads, lines, totals, summed, like):
    """Gradients of `wide` filters from `first` on of `images` images, for `some` rows from `row` on.

    Those of 16 filters are laid out with their padding first, as far as they are not read where they lie. Where they
    are to be `summed`, they are added to the `totals` while they are near: a vector for each filter.
    """
    filters, height, width, pitch, steps, joined, apart = a[8], a[11], a[12], a[24], a[27], a[48] != 0, a[49]
    length, used = steps * DEPTH + TILE, some * pitch
    whole = used // DEPTH if pitch == width and not joined else 0  # steps that are read where they lie
    for n in range(images):
        begun = n * apart if joined else 0
        stop = begun + apart if joined and n < images - 1 else steps * DEPTH
        for tile in range(0, wide, TILE):
            here = max(0, min(TILE, filters - first - tile))
            from_ = shift(dy, n * image_stride + ((first + tile) * height + row) * width)
            own = shift(lines, tile * length if joined else 0)
            for f in range(here):
                line, source = shift(own, f * length + begun), shift(from_, f * height * width)
                if pitch == width:
                    for j in range(whole * DEPTH, used):
                        line[j] = source[j]
                else:
                    for p in range(some):   # each with the zeros between it and the next
                        window(shift(source, p * width), width, 0, shift(line, p * pitch), pitch, 0)
                for j in range(used, stop - begun):
                    line[j] = 0
                if summed:
                    add_vectors(source, some * width, shift(totals, (tile + f) * TILE))
            for f in range(here, TILE):
                for j in range(begun, stop):
                    own[f * length + j] = 0
            if joined and n < images - 1:
                continue
            to = shift(grads, ((tile // PAIR * (1 if joined else images) + (0 if joined else n)) * steps * 2
                               + tile // TILE % 2) * (GRADS // 2))
            for t in range(steps):
                for f in range(TILE):
                    line = shift(own, f * length)
                    if t < whole and f < here:
                        line = shift(from_, f * height * width)
                    target = shift(to, t * GRADS + f * TILE)
                    halve_row(shift(line, t * DEPTH), target, shift(target, TILE * TILE))


@helper
def _write(sums, a, part, first_filter, first_channel, wide, across, places, like):
    """The sums as gradients of weights."""
    channels, filters, fold, taps, together = a[7], a[8], a[19], a[29], a[47] != 0
    filter_stride, channel_stride = a[45], a[46]
    nothing = pointer(0, like)
    for f in range(min(wide, filters - first_filter)):
        to = shift(part, (first_filter + f) * filter_stride)
        for v in range(0, across, TILE):
            from_ = shift(sums, (f // PAIR * (across // PAIR) + v // PAIR) * (taps * PAIR * PAIR) + f % PAIR * PAIR
                          + v % PAIR)
            here = min(TILE, channels * fold - first_channel - v)
            if here <= 0:
                continue
            if taps == 1 and channel_stride == 1:
                for j in range(here):
                    to[first_channel + v + j] = from_[j]
                continue
            if together:
                target = shift(to, (first_channel + v) * channel_stride)
                for t in range(0, taps, TILE):
                    some = min(TILE, taps - t)
                    transpose(shift(from_, t * PAIR * PAIR), PAIR * PAIR, some, here, shift(target, t), taps, some,
                              nothing, False)
                continue
            for t in range(taps):
                for j in range(here):
                    c, s = (first_channel + v + j) // fold, (first_channel + v + j) % fold
                    to[c * channel_stride + places[t] + s] = from_[t * PAIR * PAIR + j]


def _add_halves(begin, end, a, like):
    """A work item is a range of filters, a range of channels of a group, and a part of the blocks of positions."""
    x, dy, out, db = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[5], like)
    tap_at, biased = ints(a[4]), a[5] != 0
    space, a = pointer(a[3], like), shift(a, 1)
    images, groups, channels, filters, height, width = a[5], a[6], a[7], a[8], a[9], a[10]
    rows, dy_width, apart = a[11], a[12], a[18]
    block_rows, together, image, steps, plane, taps, chunk = a[21], a[22], a[26], a[27], a[28], a[29], a[30]
    wide, across, filter_ranges, channel_ranges, splits, blocks = a[31], a[32], a[33], a[34], a[35], a[36]
    parts, count, group_stride = a[37], a[38], a[44]
    pairs = shift(space, (begin * parts + count - 1) // count * a[43])
    grads, sums, lines, totals = (shift(pairs, a[39]), shift(pairs, a[40]), shift(pairs, a[41]), shift(pairs, a[42]))
    row_blocks = (rows + block_rows - 1) // block_rows
    x_plane, dy_plane = channels * height * width, filters * rows * dy_width
    front, joined = TILE * apart, a[48] != 0
    low, pitch = TILE * (front + plane), TILE * apart
    configure()
    for item in range(begin, end):
        split, rest = item % splits, item // splits
        first_filter, rest = rest % filter_ranges * wide, rest // filter_ranges
        first_channel, group = rest % channel_ranges * across, rest // channel_ranges
        begun, summed = split * blocks // splits, biased and first_channel == 0
        for j in range(wide * TILE):
            totals[j] = 0
        for block in range(begun, (split + 1) * blocks // splits):
            row, n = block % row_blocks * block_rows, block // row_blocks * together
            here, some = min(together, images - n), min(block_rows, rows - row)
            start = (n * groups + group) * x_plane
            _spread_pairs(shift(x, start), images * groups * x_plane - start, groups * x_plane, here, row,
                          first_channel, across, a, pairs, like)
            _spread_grads(shift(dy, (n * groups + group) * dy_plane), groups * dy_plane, here, row, some, first_filter,
                          wide, a, grads, lines, totals, summed, like)
            runs = 1 if joined else here
            for i in range(runs):
                for t in range(0, steps, chunk):
                    add = block > begun or i > 0 or t > 0
                    for f in range(0, wide, PAIR):
                        left = shift(grads, ((f // PAIR * runs + i) * steps + t) * GRADS)
                        for v in range(0, across, PAIR):
                            right = shift(pairs, v * 2 * (front + plane)
                                          + (front + i * image + t * DEPTH * apart) * TILE)
                            c = shift(sums, (f // PAIR * (across // PAIR) + v // PAIR) * (taps * PAIR * PAIR))
                            for s in range(taps):
                                multiply_grads(min(chunk, steps - t), left, shift(right, tap_at[s]), low, pitch,
                                               shift(c, s * PAIR * PAIR), add)
        for f in range(min(wide, filters - first_filter) if summed else 0):
            db[(split * groups + group) * filters + first_filter + f] = total(shift(totals, f * TILE))
        _write(sums, a, shift(out, (split * groups + group) * group_stride), first_filter, first_channel, wide, across,
               shift(tap_at, taps), like)
    release()


KERNELS = {"add_halves": RangeKernel(_add_halves, FLOAT32)}
