"""1 x 1 convolutions of stride 1, whose output planes are sums of input planes: vectors along the plane.

With vectors of output channels the results have to be transposed on the way out, which costs as much again as the
product where there are few input channels.
"""

from math import prod

from fastconv.backends import plan, plan_rows
from fastconv.backends.engine import past
from fastconv.backends.numba.conv import BLOCK, OFFSETS, multiply_block, pack_columns
from fastconv.backends.numba.dot import total
from fastconv.backends.numba.isa import NAME, TILE_VECTORS, VECTOR_BYTES
from fastconv.backends.numba.jit import helper, ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.lines import add_vectors, copy
from fastconv.backends.numba.stream import drain, stream
from fastconv.backends.numba.tile import ask_for_lines, lanes, transpose
from fastconv.backends.numba.vector import number
from fastconv.backends.plan import ROWS, STEPS

# Vectors of a block of columns: a tile's, or where registers are few tiles side by side, which share the rows' lines.
VECTORS = 256 // VECTOR_BYTES
PANEL = STEPS * 64
TOGETHER = 24  # rows that are stored at a time, whole tiles of 6 and of 8: stores go on while the next ones are summed
LINE = 16  # elements of a cache line
# Elements of a plane from which on this form serves. On Zen 3, whose second-level cache holds 512 KiB, the other one,
# with vectors of output channels, takes 58 ms in place of 14 for 1024 to 256 channels of 8 x 14 x 14; but 18.7 in place
# of 20.4 back from 2048 to 512 of 8 x 7 x 7.
LEAST = 512 if NAME == "avx512" else 128


@helper
def _list(row, first, count, pitch):
    """Offsets of `count` rows from row `first` on, and of what the last tile has beyond them."""
    for i in range(count + 16):
        row[i] = (first + min(i, count - 1)) * pitch


@range_kernel
def multiply_planes(begin, end, a, like):
    """``out[n, i, p] = bias[i] + sum over t of w[i, t] * x[n, t, p]``; a work item is a block of columns p of a group.

    The columns are copied first: at a power of two apart, their rows would share a few sets of the cache. Tiles side by
    side would read them from a page each, again and again: 12.8 ms in place of 14.1 for 64 to 256 channels of
    8 x 56 x 56 on Zen 3.
    """
    x, w, bias, out = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like)
    groups, steps, rows, plane = a[4], a[5], a[6], a[7]
    group_stride, piece_stride, row_stride, piece, past = a[8], a[9], a[10], a[11], a[12] != 0
    size = lanes(like)
    width = VECTORS * size
    blocks = (plane + width - 1) // width
    b, c = stack(PANEL, like), stack(BLOCK, like)
    row, col_a, col_b = stack(OFFSETS, ints(0)), stack(STEPS, ints(0)), stack(STEPS, ints(0))
    later, lines = stack(OFFSETS, ints(0)), stack(STEPS, ints(0))
    direct = plane % width == 0 and VECTORS == TILE_VECTORS
    for t in range(STEPS):
        col_a[t], col_b[t], lines[t] = t, t * (plane if direct else width), t * plane
    for item in range(begin, end):
        first, rest = item % blocks * width, item // blocks
        group = rest % groups
        wide = min(width, plane - first)
        source = shift(x, rest * steps * plane + first)
        # The columns of the item after the next: those of the next itself come too late, 10.4 ms in place of 8.4 for
        # 256 to 64 channels of 8 x 56 x 56. Behind an image's last ones are those of the next image.
        following = shift(source, 2 * width if first + 2 * width < plane else 2 * width + (steps - 1) * plane)
        for done in range(0, rows, ROWS):
            here = min(ROWS, rows - done)
            _list(row, done, here, row_stride)
            for i in range(here):
                later[i] = min((done + i) // 6 * LINE, width - LINE)
            for start in range(0, steps, piece):
                some = min(piece, steps - start)
                if direct:
                    b = shift(source, start * plane)
                elif done == 0 or steps > piece:
                    for t in range(some):
                        copy(shift(source, (start + t) * plane), shift(b, t * width), wide)
                        for j in range(wide, (wide + size - 1) // size * size):
                            b[t * width + j] = 0
                for i in range(0, here, TOGETHER):
                    block = shift(c, i * width)
                    multiply_block(min(TOGETHER, here - i), wide, some,
                                   shift(w, group * group_stride + start // piece * piece_stride), shift(row, i), col_a,
                                   b, col_b, block, width, start > 0, shift(following, start * plane), shift(later, i),
                                   lines, like)
                    if start + some < steps:
                        continue
                    for k in range(i, min(i + TOGETHER, here)):
                        line = shift(out, (rest * rows + done + k) * plane + first)
                        more = bias[group * rows + done + k] if a[2] != 0 else number(-0.0, like)
                        if past and wide % size == 0:
                            stream(line, shift(c, k * width), more, wide // size)
                        else:
                            for j in range(wide):
                                line[j] = c[k * width + j] + more
    drain(past)


@range_kernel
def add_planes(begin, end, a, like):
    """``out[i, j] = sum over n, p of rows[n, i, p] * columns[n, j, p]``: the weight gradient of x and dy, or dy and x.

    Columns are turned, rows read where they lie. A work item is a part of the sum, and a block of columns of a group.
    The sums of dy are taken while it is near. 64 to 256 channels of 8 x 56 x 56 take 8.4 ms in place of 9.3, on two
    threads 4.3 in place of 5.3, with a copy of all columns, the product, and the sums one after the other.
    """
    x, dy, out, db, space = (pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like),
                             pointer(a[4], like))
    images, groups, rows, columns, plane = a[5], a[6], a[7], a[8], a[9]
    splits, piece, pieces, space_size, parts, count, turned = a[10], a[11], a[12], a[13], a[14], a[15], a[16] != 0
    size = lanes(like)
    width = VECTORS * size
    blocks = (columns + width - 1) // width
    panel = stack(PANEL, like)
    row, col_a, col_b = stack(OFFSETS, ints(0)), stack(STEPS, ints(0)), stack(STEPS, ints(0))
    # The part of the work that begins here tells which of the `parts` workspaces is this thread's.
    c = shift(space, (begin * parts + count - 1) // count * space_size)
    totals = shift(c, space_size - max(rows, width) * size)
    for t in range(STEPS):
        col_a[t], col_b[t] = t, t * width
    nothing = pointer(0, like)
    for item in range(begin, end):
        first, rest = item % blocks * width, item // blocks
        group, split = rest % groups, rest // groups
        wide = min(width, columns - first)
        summed = 0  # rows of dy
        if a[3] != 0 and (not turned or first == 0):
            summed = rows if turned else wide
        for j in range(summed * size):
            totals[j] = 0
        begun = split * images * pieces // splits
        for unit in range(begun, (split + 1) * images * pieces // splits):
            image, start = unit // pieces * groups + group, unit % pieces * piece
            some = min(piece, plane - start)
            of_rows, of_columns = shift(x, image * rows * plane + start), shift(dy, image * columns * plane + start)
            if turned:
                of_rows, of_columns = shift(dy, image * rows * plane + start), shift(x, image * columns * plane + start)
            of_columns = shift(of_columns, first * plane)
            grads = of_rows if turned else of_columns
            for i in range(summed):
                add_vectors(shift(grads, i * plane), some, shift(totals, i * size))
                ask_for_lines(shift(grads, i * plane + some), size, 0)
            pack_columns(of_columns, wide, 1, some, 0, plane, panel, width, like)
            for done in range(0, rows, ROWS):
                here = min(ROWS, rows - done)
                _list(row, done, here, plane)
                multiply_block(here, wide, some, of_rows, row, col_a, panel, col_b, shift(c, done * width), width,
                               unit > begun, of_rows, row, col_a, like)
        part = split * groups + group
        for i in range(summed):
            db[part * (rows if turned else columns) + (0 if turned else first) + i] = total(shift(totals, i * size))
        if turned:
            for i in range(rows):
                line = shift(out, (part * rows + i) * columns + first)
                for j in range(wide):
                    line[j] = c[i * width + j]
            continue
        for i in range(0, rows, size):
            for j in range(0, wide, size):
                transpose(shift(c, i * width + j), width, size, min(size, wide - j),
                          shift(out, (part * columns + first + j) * rows + i), rows, min(size, rows - i), nothing,
                          False)


def serves(g, out):
    """Whether `g` is such a convolution, on planes so large that moving them outweighs the product.

    64 to 256 channels of 8 x 56 x 56 take 8.9 ms on Zen 4 in place of 14.3 with vectors along the rows, and 8.4 back
    in place of 10.6; 8 to 64 channels 0.7 in place of 1.1, but 8 to 16 channels 0.13 in place of 0.10.
    """
    least = 3 if out.size > plan_rows.NEAR else 32
    return plan.pointwise(g) and prod(g.input) >= LEAST and min(g.c, g.k) >= least * g.groups


def forward(p, g, x, w, bias, y):
    """Add the step to a Program."""
    steps, rows = g.c // g.groups, g.k // g.groups
    piece = plan.piece(steps)
    _multiply(p, g, x, w, bias, y, steps, rows, rows * steps, piece, steps, piece)


def backward_input(p, g, dy, w, dx):
    """Add the steps to a Program.

    The weights are turned first, in pieces of the sum: where they lie, those of following steps may share a set of the
    cache. 14 ms in place of 19 for 1024 to 256 channels of 8 x 14 x 14 on Zen 3.
    """
    steps, rows = g.k // g.groups, g.c // g.groups
    piece = -(-plan.piece(steps) // LINE) * LINE
    panels = plan.Panels(g.groups, steps, 1, rows, rows * steps, 0, rows, piece)
    turned = p.space(panels.elements)
    p.do("pack", panels.groups * panels.blocks, (w, turned, None), panels.args, panels.elements)
    _multiply(p, g, dy, turned, None, dx, steps, rows, panels.blocks * rows * piece, rows * piece, piece, piece)


def serves_weight(g):
    """The same of the weight gradient: it is 2 times slower for 8 to 64 channels, 1.1 times faster for 16 to 64."""
    return plan.pointwise(g) and prod(g.input) >= LEAST and min(g.c, g.k) >= 16 * g.groups


def backward_weight(p, g, x, dy, dw, db):
    """Add the step to a Program; `db` may be None. Returns the (parts, their number, sum) that are to be added up."""
    channels, filters, plane = g.c // g.groups, g.k // g.groups, prod(g.input)
    turned = channels < filters
    rows, columns = max(channels, filters), min(channels, filters)
    lanes_ = VECTOR_BYTES // p.dtype.itemsize
    width, pieces = VECTORS * lanes_, -(-plane // STEPS)
    piece = -(-plane // (pieces * lanes_)) * lanes_
    pieces = -(-plane // piece)
    single = g.groups * -(-columns // width)
    splits = max(1, min(-(-plan.ITEMS // single), g.n * pieces // 4))
    count = single * splits
    parts = min(p.most, count)
    size = (rows + 16) * width + max(rows, width) * lanes_
    space = p.space(parts * size)
    out, sums = (part if part is None or splits == 1 else p.space(splits * part.size) for part in (dw, db))
    p.do("add_planes", count, (x, dy, out, sums, space),
         (g.n, g.groups, rows, columns, plane, splits, piece, pieces, size, parts, count, turned),
         g.multiply_adds // 50, parts)
    return [(part, splits, whole) for part, whole in ((out, dw), (sums, db)) if part is not whole]


def _multiply(p, g, source, w, bias, out, steps, rows, group_stride, piece_stride, row_stride, piece):
    plane, width = prod(g.input), VECTORS * VECTOR_BYTES // p.dtype.itemsize
    p.do("multiply_planes", g.n * g.groups * -(-plane // width), (source, w, bias, out),
         (g.groups, steps, rows, plane, group_stride, piece_stride, row_stride, piece, past(p, out)),
         g.multiply_adds // 50)
