"""Convolution kernels: pad the planes, pack the panels, multiply. `fastconv.backends.plan` says what is multiplied."""

from fastconv.backends.numba.copies import weave
from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.isa import PAST_BY_TURNS, TILE_ROWS, TILE_VECTORS, VECTOR_BYTES
from fastconv.backends.numba.jit import helper, ints, pointer, prefetch, range_kernel, shift, stack
from fastconv.backends.numba.lines import clear, copy
from fastconv.backends.numba.stream import drain
from fastconv.backends.numba.tile import ask_for_lines, lanes, tile, transpose
from fastconv.backends.plan import ROWS, STEPS

# Rows of a tile of one, two, three and four vectors. An instruction set without the wider tiles never asks for them;
# they are compiled as small ones there.
ROWS_1, ROWS_2, ROWS_3, ROWS_4 = (TILE_ROWS.get(vectors, 1) for vectors in (1, 2, 3, 4))
LESS_4, LEAST_4 = (4, 2) if ROWS_4 == 6 else (ROWS_4, ROWS_4)
WIDEST_ROWS = TILE_ROWS[TILE_VECTORS]
VECTORS_3, VECTORS_4 = (min(vectors, max(TILE_ROWS)) for vectors in (3, 4))
# Stack space of a block: its rows of the widest tile, and what the last tile and transpose reach beyond.
OFFSETS = ROWS + 16
BLOCK = OFFSETS * 64
# Rows that a tile asks for in advance: 5.7 ms in place of 12.9 on Zen 3 for 24 to 56 channels of 16 x 4096 and 8 taps
# of stride 4. With AVX-512 it has not been timed.
AHEAD = 12
ALONG = 256  # steps of a column that are packed before the next columns


@range_kernel
def pad(begin, end, a, like):
    """Copy planes into larger ones with zeros around; a work item is a plane."""
    source, target = pointer(a[0], like), pointer(a[1], like)
    depth, height, width = a[3], a[4], a[5]
    front, top, left = a[6], a[7], a[8]
    padded_depth, padded_height, padded_width = a[9], a[10], a[11]
    rows, columns = min(height, padded_height - top), min(width, padded_width - left)
    for plane in range(begin, end):
        for i in range(padded_depth):
            d = i - front
            out = shift(target, (plane * padded_depth + i) * padded_height * padded_width)
            if d < 0 or d >= depth or rows <= 0 or columns <= 0:
                clear(out, padded_height * padded_width)
                continue
            # Not loops: LLVM makes calls of the C library of them, which take as long as a row of 56.
            clear(out, top * padded_width + left)
            inner, line = shift(source, (plane * depth + d) * height * width), shift(out, top * padded_width + left)
            for r in range(rows):
                copy(shift(inner, r * width), shift(line, r * padded_width), columns)
                if r + 1 < rows:
                    clear(shift(line, r * padded_width + columns), padded_width - columns)
            done = (top + rows - 1) * padded_width + left + columns
            clear(shift(out, done), padded_height * padded_width - done)


@helper
def offset(address, elements, like):
    """The pointer to element `elements` of the array at `address`; null stays null."""
    return pointer(address + elements * (VECTOR_BYTES // lanes(like)) if address != 0 else 0, like)


@range_kernel
def pack(begin, end, a, like):
    """Pack panels; a work item is one panel. Given `sums`, also add up each column: the bias gradient's parts."""
    source, panels, sums = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    columns, outer, inner = a[4], a[5], a[6]
    group_stride, outer_stride, column_stride, width = a[7], a[8], a[9], a[10]
    blocks = (columns + width - 1) // width
    for item in range(begin, end):
        group, block = item // blocks, item % blocks
        first = block * width
        here = min(columns - first, width)
        panel = shift(panels, item * outer * inner * width)
        pack_columns(shift(source, group * group_stride + first * column_stride), here, outer, inner, outer_stride,
                     column_stride, panel, width, like)
        if a[2] != 0:
            _sum_columns(panel, outer * inner, width, here, shift(sums, group * columns + first), like)


@helper
def pack_columns(source, columns, outer, inner, outer_stride, column_stride, panel, width, like):
    """``panel[o * inner + t][j] = source[o * outer_stride + j * column_stride + t]`` for j < `columns`, then zeros."""
    size, nothing = lanes(like), pointer(0, like)
    if inner == 1:
        for o in range(outer):
            for j in range(columns):
                panel[o * width + j] = source[o * outer_stride + j * column_stride]
            for j in range(columns, width):
                panel[o * width + j] = 0
        return
    for o in range(outer):
        # 16 columns at a time, some way along, as the hardware foresees few at once: 0.27 ms in place of 0.57 for
        # 256 x 256 x 3 x 3 weights.
        for from_ in range(0, inner, ALONG):
            for j in range(0, columns, size):
                for t in range(from_, min(from_ + ALONG, inner), size):
                    ask_for_lines(shift(source, o * outer_stride + (j + size) * column_stride + t), column_stride, 0, 2)
                    transpose(shift(source, o * outer_stride + j * column_stride + t), column_stride,
                              min(size, columns - j), min(size, inner - t), shift(panel, (o * inner + t) * width + j),
                              width, size, nothing, False)


@helper
def _sum_columns(panel, steps, width, columns, sums, like):
    """Sums of the columns, in pieces of 64 steps: one running sum of float32 would lose digits as it grows."""
    total, piece = stack(64, like), stack(64, like)
    for j in range(width):
        total[j] = 0
    for t in range(0, steps, 64):
        for j in range(width):
            piece[j] = 0
        for i in range(t, min(t + 64, steps)):
            for j in range(width):
                piece[j] += panel[i * width + j]
        for j in range(width):
            total[j] += piece[j]
    for j in range(columns):
        sums[j] = total[j]


@helper
def multiply_block(rows, columns, k, a, row, col_a, b, col_b, c, ldc, add, like):
    """Tiles over `rows` of c and a tile's `columns` at most; each asks for lines of the rows `AHEAD` of its own.

    Up to a whole tile is read and written beyond, as row, b and c allow.
    """
    size = lanes(like)
    vectors = (columns + size - 1) // size
    if vectors == 4:
        # Where half a tile of 6 rows or more would be empty, a smaller one: 3 to 10 % less for 32, 45 and 64 rows.
        for i in range(0, rows, ROWS_4):
            ahead = shift(a, row[i + AHEAD])
            if rows - i > LESS_4:
                tile(ROWS_4, VECTORS_4, k, a, shift(row, i), col_a, b, col_b, shift(c, i * ldc), ldc, add, ahead)
            elif rows - i > LEAST_4:
                tile(LESS_4, VECTORS_4, k, a, shift(row, i), col_a, b, col_b, shift(c, i * ldc), ldc, add, ahead)
            else:
                tile(LEAST_4, VECTORS_4, k, a, shift(row, i), col_a, b, col_b, shift(c, i * ldc), ldc, add, ahead)
    elif vectors == 3:
        for i in range(0, rows, ROWS_3):
            tile(ROWS_3, VECTORS_3, k, a, shift(row, i), col_a, b, col_b, shift(c, i * ldc), ldc, add,
                 shift(a, row[i + AHEAD]))
    elif vectors == 2:
        for i in range(0, rows, ROWS_2):
            tile(ROWS_2, 2, k, a, shift(row, i), col_a, b, col_b, shift(c, i * ldc), ldc, add, shift(a, row[i + AHEAD]))
    else:
        for i in range(0, rows, ROWS_1):
            tile(ROWS_1, 1, k, a, shift(row, i), col_a, b, col_b, shift(c, i * ldc), ldc, add, shift(a, row[i + AHEAD]))


@helper
def locate(product, item, row, place):
    """The (group, block of columns, images, rows an image, part) of a work item, and where its rows begin and go to.

    `product` is `plan.Product.args`. A block of rows is part of one image, or several whole images where they are
    small; there are none where the last images are missing. All columns of a block of rows come one after the other,
    while the cache holds the rows: on Zen 3 65 ms in place of 75 for 512 channels of 2 x 3199, 3 taps and a stride of
    2, 74 in place of 105 for 128 of 8 x 56 x 56, 3 x 3 taps and a stride of 2 in float64.
    """
    images = product[0]
    depth, height, width = product[2], product[3], product[4]
    image_stride, group_stride = product[5], product[6]
    stride_o, stride_p, stride_q = product[7], product[8], product[9]
    columns, panel_width = product[11], product[13]
    out_image, out_o, out_p, out_q = product[14], product[16], product[17], product[18]
    blocks, block_rows, together = product[20], product[21], product[22]
    panel_blocks = (columns + panel_width - 1) // panel_width
    image_blocks = (images + together - 1) // together
    length = depth * height * width
    block, rest = item % panel_blocks, item // panel_blocks
    part, rest = rest % blocks, rest // blocks
    image, group = rest % image_blocks * together, rest // image_blocks
    first = part * block_rows
    here = max(0, min(length - first, block_rows))
    count = min(images - image, together)
    i = 0
    for n in range(image, image + count):
        o, left = first // (height * width), first % (height * width)
        p, q = left // width, left % width
        stop = i + here
        while i < stop:
            from_ = n * image_stride + group * group_stride + o * stride_o + p * stride_p + q * stride_q
            to = n * out_image + o * out_o + p * out_p + q * out_q
            some = min(width - q, stop - i)
            for j in range(some):
                row[i + j] = from_ + j * stride_q
                place[i + j] = to + j * out_q
            i += some
            q = 0
            p += 1
            if p == height:
                p = 0
                o += 1
    for j in range(i, i + 16):
        row[j] = row[max(i - 1, 0)]
    return group, block, count, here, part


@helper
def sum_up(steps, chunk, rows, wide, source, row, col_a, panel, col_b, c, panel_width, like):
    """The whole sums of a block, some steps at a time."""
    for t in range(0, steps, chunk):
        multiply_block(rows, wide, min(chunk, steps - t), source, row, shift(col_a, t), panel, shift(col_b, t), c,
                       panel_width, t > 0, like)


# Numbers of a product in `plan.Batch.table`.
ENTRY = 27


@range_kernel
def multiply(begin, end, a, like):
    """Rows that are positions. A work item is a group, a block of columns and a block of rows of a product."""
    modes = flush()
    table, count = ints(a[4]), a[5]
    for i in range(count):
        entry = shift(table, i * ENTRY)
        first, last = entry[0], table[(i + 1) * ENTRY] if i + 1 < count else end
        _multiply(max(begin, first) - first, min(end, last) - first, a, entry, like)
    drain(a[6] != 0)
    restore(modes)


@helper
def _multiply(begin, end, a, entry, like):
    """The work items `begin` to `end`, if there are any, of one product."""
    source, panels, out = pointer(a[0], like), pointer(a[1], like), pointer(a[3], like)
    past = PAST_BY_TURNS and a[6] != 0
    col_a, col_b = ints(entry[1]), ints(entry[2])
    product = shift(entry, 3)
    height, width = product[3], product[4]
    steps, columns, panel_steps, panel_width = product[10], product[11], product[12], product[13]
    out_column, out_o, out_p, out_q, out_offset = product[15], product[16], product[17], product[18], product[19]
    chunk = product[23]
    panel_blocks = (columns + panel_width - 1) // panel_width
    dense = out_q == 1 and out_p == width and out_o == height * width
    size = lanes(like)
    c, turned = stack(BLOCK, like), stack(256, like)
    row, place = stack(OFFSETS, col_a), stack(OFFSETS, col_a)
    for item in range(begin, end):
        group, block, count, here, part = locate(product, item, row, place)
        rows = count * here
        if rows <= 0:
            continue
        column = block * panel_width
        wide = min(columns - column, panel_width)
        panel = shift(panels, (group * panel_blocks + block) * panel_steps * panel_width)
        target = shift(out, (group * columns + column) * out_column + out_offset)
        if not past:
            for j in range(wide):
                for i in range(0, rows, size):
                    prefetch(shift(target, place[i] + j * out_column))
        sum_up(steps, chunk, rows, wide, source, row, col_a, panel, col_b, c, panel_width, like)

        added = offset(a[2], group * columns + column, like)
        if out_column == 1:
            for i in range(rows):
                for j in range(wide):
                    target[place[i] + j] = c[i * panel_width + j]
                if a[2] != 0:
                    for j in range(wide):
                        target[place[i] + j] += added[j]
        elif dense:
            for n in range(count):
                for j in range(0, wide, size):
                    for i in range(0, here, size):
                        transpose(shift(c, (n * here + i) * panel_width + j), panel_width, size, min(size, wide - j),
                                  shift(target, place[n * here + i] + j * out_column), out_column,
                                  min(size, here - i), offset(a[2], group * columns + column + j, like), past)
        elif out_q == 1 and 2 * width >= size:
            # A row of positions after the other, in whole vectors, of which the last one overlaps.
            q, i = part * product[21] % width, 0
            while i < rows:
                length = min(width - q, rows - i)
                for next_ in range(0, length, size):
                    s = min(next_, max(0, length - size))
                    for j in range(0, wide, size):
                        transpose(shift(c, (i + s) * panel_width + j), panel_width, size, min(size, wide - j),
                                  shift(target, place[i + s] + j * out_column), out_column, min(size, length - s),
                                  offset(a[2], group * columns + column + j, like), False)
                i += length
                q = 0
        else:
            # Through a turned block: reading c down its columns instead costs twice the time of these stores.
            for i in range(0, rows, size):
                for j in range(0, wide, size):
                    # Only so many columns have a bias to read.
                    transpose(shift(c, i * panel_width + j), panel_width, size, min(size, wide - j), turned, size, size,
                              offset(a[2], group * columns + column + j, like), False)
                    some = min(size, rows - i)
                    for k in range(min(size, wide - j)):
                        line = shift(target, (j + k) * out_column)
                        for r in range(some):
                            line[place[i + r]] = turned[k * size + r]


@range_kernel
def multiply_pair(begin, end, a, like):
    """Two products whose results take turns along the rows: the phases of a stride of 2, woven on their way out.

    One by one their elements are stored in 7 cycles each, as every line of the cache is written twice.
    """
    modes = flush()
    source, panels, out = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like)
    even_a, even_b, odd_a, odd_b = ints(a[3]), ints(a[4]), ints(a[5]), ints(a[6])
    odd_steps, out_width = a[7], a[8]
    product = shift(a, 9)
    width = product[4]
    steps, columns, panel_steps, panel_width = product[10], product[11], product[12], product[13]
    out_column, out_offset, block_rows, chunk = product[15], product[19], product[21], product[23]
    panel_blocks = (columns + panel_width - 1) // panel_width
    size = lanes(like)
    even, odd = stack(BLOCK, like), stack(BLOCK, like)
    even_lines, odd_lines = stack(256, like), stack(256, like)
    row, place = stack(OFFSETS, even_a), stack(OFFSETS, even_a)
    nothing = pointer(0, like)
    for item in range(begin, end):
        group, block, count, here, part = locate(product, item, row, place)
        rows = count * here
        if rows <= 0:
            continue
        column = block * panel_width
        wide = min(columns - column, panel_width)
        panel = shift(panels, (group * panel_blocks + block) * panel_steps * panel_width)
        target = shift(out, (group * columns + column) * out_column + out_offset)
        sum_up(steps, chunk, rows, wide, source, row, even_a, panel, even_b, even, panel_width, like)
        sum_up(odd_steps, chunk, rows, wide, source, row, odd_a, panel, odd_b, odd, panel_width, like)
        q = part * block_rows % width
        i = 0
        while i < rows:
            # The rest of a row of positions: whole vectors, of which the last one overlaps.
            length = min(width - q, rows - i)
            for next_ in range(0, length, size):
                s = min(next_, max(0, length - size))
                some = min(2 * min(size, length - s), out_width - 2 * (q + s))
                for j in range(0, wide, size):
                    at = (i + s) * panel_width + j
                    transpose(shift(even, at), panel_width, size, size, even_lines, size, size, nothing, False)
                    transpose(shift(odd, at), panel_width, size, size, odd_lines, size, size, nothing, False)
                    for k in range(min(size, wide - j)):
                        weave(shift(even_lines, k * size), shift(odd_lines, k * size),
                              shift(target, place[i + s] + (j + k) * out_column), some)
            i += length
            q = 0
    restore(modes)


@range_kernel
def multiply_weight(begin, end, a, like):
    """Rows that are taps. A work item is a piece of the reduction, a group, a block of columns and a block of rows."""
    modes = flush()
    source, panels, out, taps = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), ints(a[3])
    images, groups = a[4], a[5]
    depth, height, width = a[6], a[7], a[8]
    image_stride, group_stride = a[9], a[10]
    stride_o, stride_p, stride_q = a[11], a[12], a[13]
    all_rows, columns, panel_blocks, panel_width, splits = a[14], a[15], a[16], a[17], a[18]
    row_blocks, chunk, block_rows, turned = a[19], a[20], a[21], a[22] != 0
    length = depth * height * width
    steps = images * length
    size = lanes(like)
    c = stack(BLOCK, like)
    row, col_a, col_b = stack(OFFSETS, taps), stack(STEPS, taps), stack(STEPS, taps)
    for item in range(begin, end):
        # In the order of `locate`: 61 ms in place of 69 for 512 channels of 2 x 3199, 3 taps and a stride of 2.
        block, rest = item % panel_blocks, item // panel_blocks
        part, rest = rest % row_blocks, rest // row_blocks
        group, split = rest % groups, rest // groups
        first = part * block_rows
        rows = min(all_rows - first, block_rows)
        for i in range(rows):
            row[i] = taps[first + i] + group * group_stride
        for i in range(rows, rows + 16):
            row[i] = row[rows - 1]
        column = block * panel_width
        wide = min(columns - column, panel_width)

        start, stop = split * steps // splits, (split + 1) * steps // splits
        for t in range(start, stop, chunk):
            here = min(chunk, stop - t)
            n, left = t // length, t % length
            o, left = left // (height * width), left % (height * width)
            p, q = left // width, left % width
            for i in range(here):
                col_a[i] = n * image_stride + o * stride_o + p * stride_p + q * stride_q
                col_b[i] = (((n * groups + group) * panel_blocks + block) * length
                            + (o * height + p) * width + q) * panel_width
                q += 1
                if q == width:
                    q = 0
                    p += 1
                    if p == height:
                        p = 0
                        o += 1
                        if o == depth:
                            o = 0
                            n += 1
            multiply_block(rows, wide, here, source, row, col_a, panels, col_b, c, panel_width, t > start, like)

        if turned:
            for i in range(rows):
                target = shift(out, (split * all_rows + first + i) * columns + column)
                for j in range(wide):
                    target[j] = c[i * panel_width + j]
            continue
        target = shift(out, ((split * groups + group) * columns + column) * all_rows + first)
        nothing = pointer(0, like)
        for i in range(0, rows, size):
            for j in range(0, wide, size):
                transpose(shift(c, i * panel_width + j), panel_width, size, min(size, wide - j),
                          shift(target, j * all_rows + i), all_rows, min(size, rows - i), nothing, False)
    restore(modes)
