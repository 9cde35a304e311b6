"""The weight gradient by Winograd, F(R x R, M x M): the tile of dy takes the part of the kernel, B is the same."""

from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.jit import ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.straight import multiply_straight
from fastconv.backends.numba.tile import lanes, transpose
from fastconv.backends.numba.winograd_taps import STAGE, gather_taps, vanishes
from fastconv.backends.numba.winograd_tiles import spread, spread_volume

# Rows of the products at a time: whole tiles of 6 and of 8, since a tile adds to all of its rows, and those beyond
# would be the first of the next.
TOGETHER = 480
TABLE = TOGETHER + 16


@range_kernel
def multiply_weight(begin, end, a, like):
    """The weight gradient. A work item is a piece of the blocks of tiles and a run of panels of a group."""
    modes = flush()
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
    restore(modes)
