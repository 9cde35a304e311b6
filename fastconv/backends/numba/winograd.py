"""Winograd F(M x M, R x R) with M + R = 7: for 3 x 3 kernels, 36 multiplications for 16 outputs in place of 144.

A 6 x 6 tile of the input, the kernel, and the tile of M x M outputs are each carried to 36 points, where convolution
is multiplication, so that the sum over channels becomes 36 products of matrices (`tile` again)::

    y = A^T [ sum over c of (G w G^T) * (B^T x B) ] A

All transforms work on vectors of channels, so planes are first turned, in registers, from (channel, position) to
(position, channel): see `winograd_tiles`.

A strided kernel's taps fall into phases, each with input rows and columns of its own: the sum over channels becomes one
over the channels of all phases. A phase whose kernel lacks the last row or column of taps has zeros at some points.

The input gradient is the same with the kernel flipped and dy in the place of x. Where dy has fewer tiles than x, as
without padding, it is the adjoint instead, tile for tile: dy is carried to the points, and what comes back from them to
the 6 x 6 positions of each tile of x is added up.
"""

from fastconv.backends.numba.conv import multiply_block, pack_columns
from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.isa import PAST_BY_TURNS, UNROLLED
from fastconv.backends.numba.jit import ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.straight import multiply_straight
from fastconv.backends.numba.stream import drain
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.winograd_taps import STAGE, spread_taps, vanishes
from fastconv.backends.numba.winograd_tiles import gather, overlap, spread, spread_volume
from fastconv.backends.plan_winograd import BESIDE

LINE = 16  # elements of a cache line


@range_kernel
def multiply(begin, end, a, like):
    """A work item is a block of tiles (part of an image, or several whole images) and a run of panels of a group.

    `fused`: `panels` is the kernel itself, and each part of it is packed and transformed just before its use.
    """
    modes = flush()
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
    restore(modes)
