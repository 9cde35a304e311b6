"""Windows of planes carried to Winograd's points, tile by tile, and what comes back from them to planes."""

from fastconv.backends.numba.conv import offset
from fastconv.backends.numba.jit import helper, pointer, shift
from fastconv.backends.numba.lines import copy
from fastconv.backends.numba.tile import ask_for_lines, lanes, transpose
from fastconv.backends.numba.transforms import INPUT, SCATTER, gather_tile, spread_tile, transform


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
            ask_for_lines(shift(source, from_ + size * plane), plane, 0, 2)
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
                        ask_for_lines(shift(there, 2 * size), plane, 1, 1)
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
