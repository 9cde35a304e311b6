"""The weight gradient on halves, as `fastconv.backends.plan_halves_weight` lays them out, by the matrix unit."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba import isa
from fastconv.backends.numba.dot import total
from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.halves import fill, halve, pairs_of
from fastconv.backends.numba.jit import FLOAT32, RangeKernel, ask_for, helper, ints, pointer, shift, stack
from fastconv.backends.numba.tile import flipped_block, transpose
from fastconv.backends.numba.words import INT, LANE, Loop, Vectors, choose
from fastconv.backends.plan_halves import DEPTH, PAIR, TILE
from fastconv.backends.plan_halves_weight import GRADS, MOST_PIECES

if isa.AMX:
    from fastconv.backends.numba.amx import configure, multiply_grads, release
else:
    from fastconv.backends.numba.amx_emulated import configure, multiply_grads, release

LINE = 240      # columns of a line
LINES = TILE * LINE
AHEAD = 4       # filters of dy that what is asked for lies ahead


@intrinsic
def halve_line(typingctx, pieces, steps, source, table, limit, ahead, target, total):
    """Convert one filter of dy, 32 positions a step: pairs of the halves of positions i, i + 16.

    Parameters
    ----------
    pieces : int64
        Of a vector of 16 positions, MOST_PIECES at most.
    steps : int64
    source : pointer
        What the places of `table` are counted from.
    table : pointer to int64
        (place, mask of lanes) of each piece of each vector.
    limit : int64
        Positions from here on are zeros.
    ahead : int64
        Elements from what is read to what is asked for in advance.
    target : pointer
        The high halves of the first step; the low ones are 256 elements on, and those of the next step GRADS.
    total : pointer
        16 sums, to which all positions are added.
    """

    def generate(context, builder, signature, args):
        pieces, steps, source, table, limit, ahead, target, total = args
        v = Vectors(context, builder, signature.args[2].dtype)
        flags = ir.IntType(v.lanes)
        mask = ir.VectorType(ir.IntType(1), v.lanes)
        pointer = v.type.as_pointer()
        expand = v.intrinsic(f"llvm.masked.expandload.{v.suffix}", v.type, [pointer, mask, v.type])

        def variant(count):
            loop = Loop(builder, "steps", steps, 1, [v.load(total), v.zero, limit])
            *sums, left = loop.values
            halves = []
            for half in range(2):
                # As many lanes as positions are left.
                rest = builder.sub(left, INT(TILE * half))
                for bound, beyond in ((0, "<"), (TILE, ">")):
                    rest = builder.select(builder.icmp_signed(beyond, rest, INT(bound)), INT(bound), rest)
                inside = builder.sub(builder.shl(INT(1), rest), INT(1))
                value = None
                for i in range(count):
                    entry = builder.mul(builder.add(builder.mul(loop.index, INT(2)), INT(half)), INT(count))
                    entry = v.at(table, builder.mul(builder.add(entry, INT(i)), INT(2)))
                    place = v.at(source, builder.load(entry))
                    lanes = builder.and_(builder.load(v.at(entry, 1)), inside)
                    lanes = builder.bitcast(builder.trunc(lanes, flags), mask)
                    if i == 0:
                        ask_for(builder, v.at(place, ahead))
                    piece = builder.call(expand, [builder.bitcast(place, pointer), lanes, v.zero])
                    value = piece if value is None else builder.select(lanes, piece, value)
                halves.append(value)
            place = v.at(target, builder.mul(loop.index, INT(GRADS)))
            for i, pairs in enumerate(pairs_of(v, *halves)):
                v.store(pairs, v.at(place, i * TILE * TILE))
            sums = loop.close([*(builder.fadd(total, half) for total, half in zip(sums, halves, strict=True)),
                               builder.sub(left, INT(DEPTH))])
            v.store(builder.fadd(*sums[:2]), total)

        choose(builder, (pieces,), [(count,) for count in range(1, MOST_PIECES + 1)], variant)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, source, table, integer, integer, target, total), generate


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
def _spread_pairs(source, first_image, images, group, row, column, first, wide, a, pairs, like):
    """Pairs of `wide` channels from `first` on of some images, for the positions of a block from `row`, `column` on."""
    groups, channels, height, width = a[6], a[7], a[9], a[10]
    out_slices, slices, slice_step, slice_apart, ahead, row_phases = a[51], a[52], a[53], a[54], a[55], a[56]
    stride_h, across, top, left, phases, apart = a[13], a[14] // a[18], a[15], a[16] - column * a[14], a[17], a[18]
    fold, step, rows, pitch, image, plane = a[19], a[20], a[23], a[25], a[26], a[28]
    front = TILE * apart
    lines, low, back, area = stack(LINES, like), TILE * (front + plane), TILE * front, slices * height * width
    size = a[5] // out_slices * groups * channels * area
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
            at, volume, o = n * image, (first_image + n) // out_slices, (first_image + n) % out_slices
            for i in range(phases):
                d = o * slice_step + i // row_phases * slice_apart - ahead
                base = (volume * groups + group) * channels * area + d * height * width
                for r in range(rows):
                    h = (row + r) * stride_h + i % row_phases - top
                    if d < 0 or d >= slices or h < 0 or h >= height:
                        _clear(high, low, back, at, at + pitch)
                    elif fold == 1 and across == 1 and used == TILE:
                        _clear(high, low, back, at, at + begin)
                        for j in range(begin, end, TILE):
                            start = base + c * area + h * width + j - left
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
                                     shift(source, base + v // fold * area + h * width),
                                     j * across - left + v % fold * step, across, width, some)
                            for k in range(0, some, TILE):
                                to = shift(high, (at + j + k) * TILE)
                                halve_pairs(shift(lines, k), LINE, back, to, shift(to, low))
                    at += pitch
        _clear(high, low, back, images * image, plane)


@helper
def _spread_grads(source, used, steps, pieces, table, limit, area, grads, totals, like):
    """Gradients of 32 filters, `used` of which there are, for some steps; those of each are added to its total."""
    for f in range(min(used, PAIR)):
        halve_line(pieces, steps, shift(source, f * area), table, limit, AHEAD * area,
                   shift(grads, f // TILE * (GRADS // 2) + f % TILE * TILE), shift(totals, f * TILE))
    for f in range(max(0, used), PAIR):
        for t in range(steps):
            target = shift(grads, t * GRADS + f // TILE * (GRADS // 2) + f % TILE * TILE)
            for j in range(TILE):
                target[j] = 0
                target[TILE * TILE + j] = 0


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
    modes = flush()
    x, dy, out, db = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[5], like)
    tap_at, biased = ints(a[4]), a[5] != 0
    space, a = pointer(a[3], like), shift(a, 1)
    images, groups, filters, rows, dy_width, apart = a[5], a[6], a[8], a[11], a[12], a[18]
    block_rows, together, image, steps, plane, taps, chunk = a[21], a[22], a[26], a[27], a[28], a[29], a[30]
    wide, across, filter_ranges, channel_ranges, splits, blocks = a[31], a[32], a[33], a[34], a[35], a[36]
    parts, count, pieces, group_stride = a[37], a[38], a[43], a[44]
    pairs = shift(space, (begin * parts + count - 1) // count * a[42])
    grads, sums, totals = shift(pairs, a[39]), shift(pairs, a[40]), shift(pairs, a[41])
    row_blocks, column_blocks = (rows + block_rows - 1) // block_rows, (dy_width + a[50] - 1) // a[50]
    front, joined, slices = TILE * apart, a[48] != 0, a[51]
    low, pitch, area = TILE * (front + plane), TILE * apart, slices * rows * dy_width
    configure()
    for item in range(begin, end):
        split, rest = item % splits, item // splits
        first_filter, rest = rest % filter_ranges * wide, rest // filter_ranges
        first_channel, group = rest % channel_ranges * across, rest // channel_ranges
        begun, summed = split * blocks // splits, biased and first_channel == 0
        for j in range(wide * TILE):
            totals[j] = 0
        for block in range(begun, (split + 1) * blocks // splits):
            last, rest = block % column_blocks, block // column_blocks
            row, n = rest % row_blocks * block_rows, rest // row_blocks * together
            here, some, column = min(together, images - n), min(block_rows, rows - row), last * a[50]
            _spread_pairs(x, n, here, group, row, column, first_channel, across, a, pairs, like)
            table = shift(tap_at, 2 * taps + (4 * steps * pieces if last == column_blocks - 1 else 0))
            limit = here * a[49] if joined else some * a[24]
            for i in range(1 if joined else here):
                volume, o = (n + i) // slices, (n + i) % slices
                from_ = shift(dy, ((volume * groups + group) * filters + first_filter) * area + (o * rows + row)
                              * dy_width + column)
                for t in range(0, steps, chunk):
                    add, now = block > begun or i > 0 or t > 0, min(chunk, steps - t)
                    for f in range(0, wide, PAIR):
                        _spread_grads(shift(from_, f * area), filters - first_filter - f, now, pieces,
                                      shift(table, t * 4 * pieces), limit - t * DEPTH, area, grads,
                                      shift(totals, f * TILE), like)
                        for v in range(0, across, PAIR):
                            right = shift(pairs, v * 2 * (front + plane)
                                          + (front + i * image + t * DEPTH * apart) * TILE)
                            c = shift(sums, (f // PAIR * (across // PAIR) + v // PAIR) * (taps * PAIR * PAIR))
                            for s in range(taps):
                                multiply_grads(now, grads, shift(right, tap_at[s]), low, pitch,
                                               shift(c, s * PAIR * PAIR), add)
        for f in range(min(wide, filters - first_filter) if summed else 0):
            db[(split * groups + group) * filters + first_filter + f] = total(shift(totals, f * TILE))
        _write(sums, a, shift(out, (split * groups + group) * group_stride), first_filter, first_channel, wide, across,
               shift(tap_at, taps), like)
    release()
    restore(modes)


KERNELS = {"add_halves": RangeKernel(_add_halves, FLOAT32)}
