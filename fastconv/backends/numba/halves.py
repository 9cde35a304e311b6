"""Convolution on halves, as `fastconv.backends.plan_halves` lays them out, by the matrix unit."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba import isa
from fastconv.backends.numba.conv import pack_columns
from fastconv.backends.numba.copies import weave
from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.jit import FLOAT32, RangeKernel, helper, ints, pointer, shift, stack
from fastconv.backends.numba.stream import drain
from fastconv.backends.numba.tile import flipped_block, transpose
from fastconv.backends.numba.vector import number
from fastconv.backends.numba.words import LANE, Vectors
from fastconv.backends.plan_halves import BESIDE, DEPTH, ENTRY, TILE

if isa.AMX:
    from fastconv.backends.numba.amx import configure, multiply_halves, release
else:
    from fastconv.backends.numba.amx_emulated import configure, multiply_halves, release

LINE = 240      # columns of a line
LINES = DEPTH * LINE
OUT_LINES = 2 * TILE * TILE
LARGEST = 3.3895313892515355e38     # of bfloat16


def halve(v, number):
    """Code of the high and the low half of a vector, as integers whose upper 16 bits they are.

    Halves are rounded to nearest. An infinity, and what would be rounded to one, is the largest number and the rest, so
    that no part of a product is inf - inf. What is not a number stays so in its low half.
    """
    builder, kind = v.builder, ir.VectorType(LANE, v.lanes)

    def every(value):
        return ir.Constant(kind, [value] * v.lanes)

    def numbers(value):
        return ir.Constant(v.type, [value] * v.lanes)

    def rounded(value):
        return builder.and_(builder.add(builder.bitcast(value, kind), every(0x8000)), every(0xFFFF0000))

    high = builder.bitcast(rounded(number), v.type)
    for bound, beyond in ((LARGEST, "<"), (-LARGEST, ">")):
        high = builder.select(builder.fcmp_ordered(beyond, high, numbers(bound)), high, numbers(bound))
    rest = builder.fsub(number, high)
    low = builder.select(builder.fcmp_unordered("uno", number, number), every(0x7FC00000), rounded(rest))
    return builder.bitcast(high, kind), low


def pairs_of(v, first, second):
    """Code of the pairs of two vectors' high halves, and of their low ones, each with `first` in the lower 16 bits."""
    half = ir.Constant(ir.VectorType(LANE, v.lanes), [16] * v.lanes)
    return [v.builder.bitcast(v.builder.or_(v.builder.lshr(one, half), other), v.type)
            for one, other in zip(halve(v, first), halve(v, second), strict=True)]


@intrinsic
def halve_block(typingctx, first, lds, second, ldt, high, low):
    """Halves of two times 16 lines of 16 elements, `lds` and `ldt` apart, turned.

    Of each element there is a row of pairs, of the same line of both.
    """

    def generate(context, builder, signature, args):
        first, lds, second, ldt, high, low = args
        v = Vectors(context, builder, signature.args[0].dtype)
        blocks = flipped_block(v, first, lds), flipped_block(v, second, ldt)
        for i, lines in enumerate(zip(*blocks, strict=True)):
            for pairs, target in zip(pairs_of(v, *lines), (high, low), strict=True):
                v.store(pairs, v.at(target, TILE * i))
        return context.get_dummy_value()

    return types.void(first, types.int64, second, types.int64, high, low), generate


@intrinsic
def halve_pair(typingctx, first, second, high, low):
    """Pairs of the halves of 16 elements and of 16 others."""

    def generate(context, builder, signature, args):
        v = Vectors(context, builder, signature.args[0].dtype)
        for pairs, target in zip(pairs_of(v, v.load(args[0]), v.load(args[1])), args[2:], strict=True):
            v.store(pairs, target)
        return context.get_dummy_value()

    return types.void(first, second, high, low), generate


@helper
def _pack_tile(w, group, tile, block, a, places, turned, panel, like):
    """Halves of the weights of a tile of 16 filters, of all taps of a block of 32 channels, into those of its panel.

    `a` are `plan_halves.Halves.weight_args`.
    """
    filters, channels, taps, size = a[1], a[2], a[4], a[5]
    group_stride, filter_stride, channel_stride = a[6], a[7], a[8]
    here, some = min(TILE, filters - tile * TILE), min(DEPTH, channels - block * DEPTH)
    from_ = shift(w, group * group_stride + tile * TILE * filter_stride + block * DEPTH * channel_stride)
    if channel_stride == size:
        pack_columns(from_, here, 1, some * size, 0, filter_stride, turned, TILE, like)
    else:
        pack_columns(from_, here, some, size, channel_stride, filter_stride, turned, TILE, like)
    for j in range(some * size * TILE, (DEPTH * size + 1) * TILE):  # the last row is zeros
        turned[j] = 0
    for t in range(taps):
        entry = shift(places, t * (DEPTH + 2))
        place = shift(entry, 2)
        high = shift(panel, (entry[0] + block * entry[1]) * ENTRY + tile % BESIDE * (2 * TILE * TILE))
        for i in range(TILE):
            halve_pair(shift(turned, place[i] * TILE), shift(turned, place[TILE + i] * TILE), shift(high, i * TILE),
                       shift(high, TILE * TILE + i * TILE))


def _pack_halves(begin, end, a, like):
    """Halves of the weights: a work item is a tile of 16 filters, of all taps of a block of 32 channels."""
    modes = flush()
    w, packed, places, numbers = pointer(a[0], like), pointer(a[1], like), ints(a[3]), shift(a, 4)
    filters, blocks, taps, size, parts, count = a[5], a[7], a[8], a[9], a[13], a[14]
    tiles = (filters + TILE - 1) // TILE
    panels = (tiles + BESIDE - 1) // BESIDE
    turned = shift(pointer(a[2], like), (begin * parts + count - 1) // count * (DEPTH * size + 1) * TILE)
    for item in range(begin, end):
        block, rest = item % blocks, item // blocks
        tile, group = rest % tiles, rest // tiles
        panel = shift(packed, (group * panels + tile // BESIDE) * blocks * taps * ENTRY)
        _pack_tile(w, group, tile, block, numbers, places, turned, panel, like)
    restore(modes)


@helper
def fill(line, source, first, step, width, count):
    """``line[j] = source[first + step * j]`` for j < `count`, or 0 outside of 0 .. `width`."""
    skipped = min(count, max(0, (step - 1 - first) // step)) if first < 0 else 0
    stop = max(skipped, min(count, (width - first + step - 1) // step))
    for j in range(skipped):
        line[j] = 0
    if step == 1:
        for j in range(skipped, stop):
            line[j] = source[first + j]
    elif step == 2:
        for j in range(skipped, stop):
            line[j] = source[first + 2 * j]
    else:
        for j in range(skipped, stop):
            line[j] = source[first + step * j]
    for j in range(stop, count):
        line[j] = 0


@helper
def _clear(high, low, begin, end):
    """Zeros in place of the columns `begin` to `end`."""
    for j in range(begin * TILE, end * TILE):
        high[j] = 0
    for j in range(begin * TILE, end * TILE):
        high[low + j] = 0


@helper
def _spread(source, first_image, images, group, row, column, a, halves, like):
    """Halves of `images` images of a group, of the positions of a block from `row` and `column` on.

    Up to 15 columns more than there are of a row are written, before what follows.
    """
    groups, channels, height, width = a[7], a[8], a[10], a[11]
    out_slices, slices, slice_step, slice_apart, front, row_phases = a[44], a[45], a[46], a[47], a[48], a[49]
    stride_h, across, top, left, phases = a[14], a[15] // a[19], a[16], a[17] - column * a[15], a[18]
    fold, step, rows, pitch, image, plane, blocks = a[20], a[21], a[24], a[26], a[27], a[29], a[30]
    lines, low, area = stack(LINES, like), TILE * plane, slices * height * width
    size = a[6] // out_slices * groups * channels * area
    begin, end = min(max(0, left), pitch), max(0, min(pitch, width + left))
    for block in range(blocks):
        high = shift(halves, block * DEPTH * plane)
        first = block * DEPTH
        used = min(DEPTH, channels * fold - first)  # lines: the others are zeros
        for j in range(used * LINE, LINES):
            lines[j] = 0
        direct = fold == 1 and across == 1 and used >= TILE
        for n in range(images):
            at, volume, o = n * image, (first_image + n) // out_slices, (first_image + n) % out_slices
            for i in range(phases):
                d = o * slice_step + i // row_phases * slice_apart - front
                base = (volume * groups + group) * channels * area + d * height * width
                for r in range(rows):
                    h = (row + r) * stride_h + i % row_phases - top
                    if d < 0 or d >= slices or h < 0 or h >= height:
                        _clear(high, low, at, at + pitch)
                    elif direct:
                        _clear(high, low, at, at + begin)
                        for j in range(begin, end, TILE):
                            start = base + first * area + h * width + j - left
                            from_, to = shift(source, start), shift(high, (at + j) * TILE)
                            lies = start + (used - 1) * area + TILE <= size  # all that is read
                            for c in range(0 if not lies else used if used == DEPTH else TILE, used):
                                fill(shift(lines, c * LINE), shift(from_, c * area), 0, 1, end - j, TILE)
                            one, ld = (from_, area) if lies else (lines, LINE)
                            other, ldt = (shift(from_, TILE * area), area) if lies and used == DEPTH else (
                                shift(lines, TILE * LINE), LINE)
                            halve_block(one, ld, other, ldt, to, shift(to, low))
                        _clear(high, low, at + end, at + pitch)
                    else:
                        for j in range(0, pitch, LINE):
                            some = min(LINE, pitch - j)
                            for v in range(first, first + used):
                                fill(shift(lines, (v - first) * LINE),
                                     shift(source, base + v // fold * area + h * width),
                                     j * across - left + v % fold * step, across, width, some)
                            for k in range(0, some, TILE):
                                to = shift(high, (at + j + k) * TILE)
                                halve_block(shift(lines, k), LINE, shift(lines, TILE * LINE + k), LINE, to,
                                            shift(to, low))
                    at += pitch
        # The last row may share its zeros with one that is not there.
        _clear(high, low, images * image, plane)


@helper
def _multiply(count, images, tiles, steps, a, weights, halves, columns, sums):
    """The sums of a panel of `count` tiles of filters, for `tiles` tiles of positions of each image, two at a time."""
    apart, image, plane, most = a[19], a[27], a[29], a[42]
    low, pitch = TILE * plane, TILE * apart
    if steps == 0:
        for j in range(images * tiles * (TILE * TILE * BESIDE)):
            sums[j] = 0
    pieces = (steps + most - 1) // most
    chunk = (steps + pieces - 1) // max(1, pieces)
    for t in range(0, steps, chunk):
        some, part, offsets = min(chunk, steps - t), shift(weights, t * ENTRY), shift(columns, t)
        for i in range(0, images * tiles, 2):
            first = (i // tiles * image + i % tiles * TILE * apart) * TILE
            second = ((i + 1) // tiles * image + (i + 1) % tiles * TILE * apart) * TILE - first
            from_, c = shift(halves, first), shift(sums, i * (TILE * TILE * BESIDE))
            if i + 1 < images * tiles:
                if count == 2:
                    multiply_halves(2, 2, some, from_, second, low, pitch, offsets, part, c, t > 0)
                else:
                    multiply_halves(2, 1, some, from_, second, low, pitch, offsets, part, c, t > 0)
            elif count == 2:
                multiply_halves(1, 2, some, from_, second, low, pitch, offsets, part, c, t > 0)
            else:
                multiply_halves(1, 1, some, from_, second, low, pitch, offsets, part, c, t > 0)


@helper
def _store(sums, filters, count, to, filter_stride, bias, past, like):
    """``to[f * filter_stride + j] = sums[j, f] + bias[f]`` for f < `filters` and j < `count`."""
    for f in range(0, filters, TILE):
        for j in range(0, count, TILE):
            transpose(shift(sums, j * (TILE * BESIDE) + f), TILE * BESIDE, TILE, min(TILE, filters - f),
                      shift(to, f * filter_stride + j), filter_stride, min(TILE, count - j), shift(bias, f), past)


@helper
def _store_apart(sums, size, phases, filters, count, to, filter_stride, bias, lines, like):
    """``to[f * filter_stride + phases * j + i] = sums[i * size + j, f] + bias[f]``, below `count`."""
    for f in range(0, filters, TILE):
        for j in range(0, (count + phases - 1) // phases, TILE):
            target, here = shift(to, f * filter_stride + phases * j), min(phases * TILE, count - phases * j)
            for i in range(phases):
                line = shift(lines, i % 2 * (TILE * TILE))
                transpose(shift(sums, i * size + j * (TILE * BESIDE) + f), TILE * BESIDE, TILE, TILE, line, TILE, TILE,
                          shift(bias, f), False)
                for k in range(min(TILE, filters - f)):
                    row, place = shift(line, k * TILE), shift(target, k * filter_stride)
                    if phases > 2:
                        for q in range((here - i + phases - 1) // phases):
                            place[q * phases + i] = row[q]
                    elif i == 1:
                        weave(shift(lines, k * TILE), row, place, here)


def _multiply_halves(begin, end, a, like):
    """A work item is a part of the filters of a group, and a block of rows of an image or several whole images."""
    modes = flush()
    source, weights, bias, out = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like)
    columns = ints(a[5])
    images, groups, filters, rows, all_ = a[6], a[7], a[9], a[12], a[13]
    block_rows, together, pitch, plane, blocks, steps, size = a[22], a[23], a[25], a[29], a[30], a[31], a[32]
    runs, panels, parts, count, space = a[33], a[34], a[35], a[36], a[37]
    out_height, out_width, phases_h, phases_w, across, past = a[38], a[39], a[40], a[41], a[43], a[50] != 0
    # Weights that are used once are laid out when they are, near by.
    places, fused, numbers = shift(columns, a[51]), a[52] != 0, shift(a, 53)
    # The part of the work that begins here tells which of the `parts` workspaces is this thread's.
    halves = shift(pointer(a[4], like), (begin * parts + count - 1) // count * space)
    sums = shift(halves, blocks * DEPTH * plane)
    near = shift(halves, a[64])
    turned = shift(near, steps * ENTRY)
    lines, shifts = stack(OUT_LINES, like), stack(64, like)
    row_blocks, image_blocks = (rows + block_rows - 1) // block_rows, (images + together - 1) // together
    column_blocks = (all_ + across - 1) // across
    done, out_slices = -1, a[44]
    configure()
    for item in range(begin, end):
        run, block = item % runs, item // runs
        column, rest = block % column_blocks * across, block // column_blocks
        row, rest = rest % row_blocks * block_rows, rest // row_blocks
        image, group = rest % image_blocks * together, rest // image_blocks
        here, some = min(together, images - image), min(block_rows, rows - row)
        if block != done:
            _spread(source, image, here, group, row, column, a, halves, like)
            done = block
        tiles = (some * pitch + TILE - 1) // TILE
        for panel in range(panels * run // runs, panels * (run + 1) // runs):
            first = panel * TILE * BESIDE
            wide = min(TILE * BESIDE, filters - first)
            packed = near if fused else shift(weights, (group * panels + panel) * steps * ENTRY)
            if fused:
                for tile in range(panel * BESIDE, panel * BESIDE + (wide + TILE - 1) // TILE):
                    for part in range(blocks):
                        _pack_tile(weights, group, tile, part, numbers, places, turned, near, like)
            for f in range(TILE * BESIDE):
                shifts[f] = bias[group * filters + first + f] if a[2] != 0 and f < wide else number(-0.0, like)
            done_steps, area = 0, out_slices * out_height * out_width
            for i in range(phases_h):
                for j in range(phases_w):
                    some_steps = columns[i * phases_w + j]
                    _multiply((wide + TILE - 1) // TILE, here, tiles, some_steps, a,
                              shift(packed, done_steps * ENTRY), halves,
                              shift(columns, phases_h * phases_w + done_steps), shift(sums, j * size))
                    done_steps += some_steps
                for n in range(here):
                    from_ = shift(sums, n * tiles * (TILE * TILE * BESIDE))
                    to = shift(out, (((image + n) // out_slices * groups + group) * filters + first) * area
                               + (image + n) % out_slices * (out_height * out_width))
                    if pitch == out_width and column_blocks == 1 and phases_h == 1 and phases_w == 1:
                        _store(from_, wide, some * pitch, shift(to, row * out_width), area, shifts, past, like)
                        continue
                    for p in range(min(some, (out_height - i + phases_h - 1) // phases_h - row)):
                        line = shift(from_, p * pitch * (TILE * BESIDE))
                        target = shift(to, ((row + p) * phases_h + i) * out_width + column * phases_w)
                        length = min(across * phases_w, out_width - column * phases_w)
                        if phases_w == 1:
                            _store(line, wide, length, target, area, shifts, past, like)
                        else:
                            _store_apart(line, size, phases_w, wide, length, target, area, shifts, lines, like)
    release()
    drain(past)
    restore(modes)


KERNELS = {"pack_halves": RangeKernel(_pack_halves, FLOAT32), "multiply_halves": RangeKernel(_multiply_halves, FLOAT32)}
