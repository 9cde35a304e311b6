"""Convolution kernels for groups of few channels. `fastconv.backends.plan_rows` says when, and in what strips.

A work item is an image, a group and a strip of positions. The items are dealt to as many chunks as there are threads,
since a chunk needs a scratch of its own; what an item computes does not depend on its chunk.
"""

import numpy as np

from fastconv.backends.numba.conv import add_up
from fastconv.backends.numba.dot import dots, line, split, weave, window
from fastconv.backends.numba.isa import TILE_VECTORS
from fastconv.backends.numba.jit import address, helper, ints, pointer, range_kernel, run, shift, stack, workspace
from fastconv.backends.numba.tile import lanes
from fastconv.backends.threads import get_num_threads

# Vectors of a row of `line`'s tile; an instruction set with fewer compiles the wider tiles as narrower ones.
VECTORS = min(4, TILE_VECTORS)
VECTORS_2, VECTORS_3 = min(2, VECTORS), min(3, VECTORS)
# Rows and columns of the tiles of `dots`: as many sums as the registers hold beside the operands.
DOTS = ((1, 3), (1, 9), (2, 9), (4, 6)) if VECTORS == 4 else ((1, 3), (1, 9), (2, 4))
(ROWS_C, COLUMNS_C), (ROWS_D, COLUMNS_D) = DOTS[2], DOTS[-1]


@helper
def _fill(source, size, before, origin, extent, step, parts, pitch, filled, channels, target):
    """Copy the zero-padded lines of a strip into the scratch, each cut into `parts` by position modulo `step`.

    `size`, `before`, `origin` and `extent` hold a value an axis: depth, height, width. The strip is `extent` slices
    and lines from `origin` of the padded planes on.
    """
    depth, height, width = size[0], size[1], size[2]
    left = before[2]
    row = parts * pitch
    to = 0
    for c in range(channels):
        for i in range(extent[0]):
            d = origin[0] + i - before[0]
            for j in range(extent[1]):
                h = origin[1] + j - before[1]
                inside = 0 <= d < depth and 0 <= h < height
                here = width if inside else 0
                start = shift(source, ((c * depth + d) * height + h) * width if inside else 0)
                target_row = shift(target, to)
                if step == 1 or parts == 1:
                    if step == 1:
                        window(start, here, -left, target_row, filled)
                    else:
                        for q in range(filled):
                            place = q * step - left
                            target_row[q] = start[place] if 0 <= place < here else 0
                elif step == 2:
                    split(start, here, -left, target_row, pitch, filled)
                else:
                    for part in range(parts):
                        for q in range(filled):
                            place = q * step + part - left
                            target_row[part * pitch + q] = start[place] if 0 <= place < here else 0
                to += row


@helper
def _line(together, columns, steps, a, row_a, col_a, b, row_b, col_b, start, c, row_c, width, like):
    """`together` rows of `width` results, in tiles of vectors of which the last one overlaps the one before."""
    size = lanes(like)
    if steps == 0:
        for i in range(together):
            for j in range(width):
                c[row_c[i] + j] = start[i]
        return
    vectors = (width + size - 1) // size
    tiles = (vectors + VECTORS - 1) // VECTORS
    written = min(width, size)
    first = 0
    for left in range(tiles, 0, -1):
        here = (vectors - first + left - 1) // left
        q = first * size
        last = (here - 1) * size if left > 1 else max(0, width - size) - q
        first += here
        source, target = shift(b, q), shift(c, q)
        if columns == 1:
            if here == 1:
                # Eight rows only where a row is one vector: elsewhere there are four.
                if together == 8:
                    line(8, 1, 1, steps, a, row_a, col_a, source, row_b, col_b, start, target, row_c, last, written)
                else:
                    line(4, 1, 1, steps, a, row_a, col_a, source, row_b, col_b, start, target, row_c, last, written)
            elif here == 2:
                line(4, VECTORS_2, 1, steps, a, row_a, col_a, source, row_b, col_b, start, target, row_c, last,
                     written)
            elif here == 3:
                line(4, VECTORS_3, 1, steps, a, row_a, col_a, source, row_b, col_b, start, target, row_c, last,
                     written)
            else:
                line(4, VECTORS, 1, steps, a, row_a, col_a, source, row_b, col_b, start, target, row_c, last, written)
        elif together == 2:
            _columns(2, here, steps, a, row_a, col_a, source, row_b, col_b, start, target, row_c, last, written)
        elif together == 3:
            _columns(3, here, steps, a, row_a, col_a, source, row_b, col_b, start, target, row_c, last, written)
        else:
            _columns(4, here, steps, a, row_a, col_a, source, row_b, col_b, start, target, row_c, last, written)
