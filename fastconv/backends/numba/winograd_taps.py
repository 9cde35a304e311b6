"""The taps of a kernel, phase by phase, carried to Winograd's points and back from them."""

from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.jit import helper, pointer, range_kernel, shift, stack
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.transforms import gather_tile, spread_tile

STAGE = 25 * 16  # elements of the taps of a kernel, a vector each


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
    modes = flush()
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
    restore(modes)
