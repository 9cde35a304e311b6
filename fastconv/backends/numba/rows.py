"""Convolution kernels for groups of few channels. `fastconv.backends.plan_rows` says when, and in what strips.

A work item is an image, a group and a strip of positions. The items are dealt to as many chunks as there are threads,
since a chunk needs a scratch of its own; what an item computes does not depend on its chunk.
"""

from fastconv.backends.numba.copies import split, weave, window
from fastconv.backends.numba.dot import VECTORS, dots, line, total
from fastconv.backends.numba.fan import fan_factors, fan_row
from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.isa import PAST_BY_TURNS
from fastconv.backends.numba.jit import helper, ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.lines import clear, copy, copy_ahead
from fastconv.backends.numba.slide import slide, slide_dots
from fastconv.backends.numba.stream import drain
from fastconv.backends.numba.tile import lanes


@helper
def _fill(source, size, before, origin, extent, step, parts, pitch, filled, channels, target):
    """Copy the lines of a strip into the scratch, each cut into `parts` by position modulo `step`.

    `size`, `before`, `origin` and `extent` hold a value an axis: depth, height, width. The strip is `extent` slices
    and lines from `origin` of the zero-padded planes on. Zeros to the left and right of lines are there already, unless
    there are more than two parts.
    """
    depth, height, width = size[0], size[1], size[2]
    left = before[2]
    row = parts * pitch
    # The source of the next item lies behind this one, unless there are strips.
    ahead = channels * depth * height * width
    even, odd = left % 2 * pitch + left // 2, (left + 1) % 2 * pitch + (left + 1) // 2
    for c in range(channels):
        for i in range(extent[0]):
            d = origin[0] + i - before[0]
            for j in range(extent[1]):
                h = origin[1] + j - before[1]
                start = shift(source, ((c * depth + d) * height + h) * width)
                if not (0 <= d < depth and 0 <= h < height):
                    clear(target, row)
                elif step == 1:
                    copy_ahead(start, shift(target, left), min(width, filled - left), ahead)
                elif step == 2 and parts == 2:
                    split(start, shift(target, even), shift(target, odd), min(width, 2 * filled - left), ahead)
                else:
                    for part in range(parts):
                        for q in range(filled):
                            place = q * step + part - left
                            target[part * pitch + q] = start[place] if 0 <= place < width else 0
                target = shift(target, row)


@helper
def _fill_joined(source, size, before, origin, extent, shifts, copies, width, channels, target):
    """Copy the zero-padded lines of a strip into the scratch, once for each of `shifts`, from that column on.

    `width` elements of a line: what is written beyond the last one lies where the next one goes.
    """
    depth, height = size[0], size[1]
    ahead = channels * depth * height * size[2]
    for c in range(channels):
        for s in range(copies):
            first = shifts[s] - before[2]
            inside = first >= 0 and first + width <= size[2] and width >= lanes(source)
            for i in range(extent[0]):
                d = origin[0] + i - before[0]
                for j in range(extent[1]):
                    h = origin[1] + j - before[1]
                    here = 0 <= d < depth and 0 <= h < height
                    start = shift(source, ((c * depth + d) * height + h) * size[2] if here else 0)
                    if here and inside:
                        copy(shift(start, first), target, width)
                    else:
                        window(start, size[2] if here else 0, first, target, width, ahead)
                    target = shift(target, width)


@helper
def _line(together, columns, steps, run, totals, a, row_a, col_a, b, row_b, col_b, start, c, row_c, width, past,
          like):
    """`together` rows of `width` results, in tiles of vectors of which the last one overlaps the one before."""
    if steps == 0:
        for i in range(together):
            for j in range(width):
                c[row_c[i] + j] = start[i]
        return
    size, at = lanes(like), stack(VECTORS, row_a)
    vectors = (width + size - 1) // size
    written = min(width, size)
    first = 0
    for tiles in range((vectors + VECTORS - 1) // VECTORS, 0, -1):
        here = (vectors - first + tiles - 1) // tiles
        for j in range(here):
            at[j] = min((first + j) * size, max(0, width - size))
        first += here
        if columns == 1:
            line(1, together, here, steps, run, totals, a, row_a, col_a, b, row_b, col_b, at, start, c, row_c, at,
                 written, past)
        else:
            line(0, together, here, steps, run, totals, a, row_a, col_a, b, row_b, col_b, at, start, c, row_c, at,
                 written, past)


@helper
def _short_lines(tall, down_b, down_c, together, steps, run, totals, a, row_a, col_a, b, row_b, col_b, start, c, row_c,
                 width, past, like):
    """`tall` rows of results of few vectors, of `together` columns: as many as there is room for share the weights."""
    if steps == 0:
        for p in range(tall):
            for i in range(together):
                for j in range(width):
                    c[row_c[i] + p * down_c + j] = start[i]
        return
    size, at_b, at_c = lanes(like), stack(VECTORS, row_a), stack(VECTORS, row_a)
    vectors = (width + size - 1) // size
    most = VECTORS // vectors
    first = 0
    for tiles in range((tall + most - 1) // most, 0, -1):
        here = (tall - first + tiles - 1) // tiles
        for p in range(here):
            for j in range(vectors):
                q = min(j * size, max(0, width - size))
                at_b[p * vectors + j] = (first + p) * down_b + q
                at_c[p * vectors + j] = (first + p) * down_c + q
        first += here
        line(0, together, here * vectors, steps, run, totals, a, row_a, col_a, b, row_b, col_b, at_b, start, c, row_c,
             at_c, min(width, size), past)


@helper
def _slide(kernel, a, col_a, b, height, width, row, zeros, start, c, out_width, rows, like):
    """`rows` rows of results of a kernel without gaps, from row `row` on, in stripes whose last vectors overlap.

    `kernel` holds the taps down and across, the stride, the most vectors, and the zeros above and to the left.
    """
    size = lanes(like)
    stride, most, top, left = kernel[2], kernel[3], kernel[4], kernel[5]
    if out_width + (kernel[1] - 1) // stride <= size:
        slide(kernel[0], kernel[1], stride, 0, a, col_a, b, height, width, top - row * stride, left, zeros, start, c,
              out_width, rows, 0, out_width)
        return
    vectors = (out_width + size - 1) // size
    first = 0
    for tiles in range((vectors + most - 1) // most, 0, -1):
        here = (vectors - first + tiles - 1) // tiles
        q = first * size
        last = (here - 1) * size if tiles > 1 else max(0, out_width - size) - q
        first += here
        slide(kernel[0], kernel[1], stride, here, a, col_a, b, height, width, top - row * stride, left - q * stride,
              zeros, start, shift(c, q), out_width, rows, last, min(out_width, size))


@helper
def _weave(parts, pitch, step, target, width):
    """Join the rows that hold the results of each position modulo `step`."""
    if step == 2:
        weave(parts, shift(parts, pitch), target, width)
    else:
        for part in range(min(step, width)):
            for j in range((width - part + step - 1) // step):
                target[part + j * step] = parts[part * pitch + j]


@range_kernel
def multiply_rows(begin, end, a, like):
    """The forward pass, or the input gradient. A work item is a chunk: see the module."""
    modes = flush()
    source, w, bias, out, space = (pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like),
                                   pointer(a[4], like))
    col_a, col_b, phases = ints(a[5]), ints(a[6]), ints(a[7])
    chunks, items, space_size, scratch_size, line_size = a[8], a[9], a[10], a[11], a[12]
    groups, channels, columns, column_stride, group_stride, together = a[13], a[14], a[15], a[16], a[17], a[18]
    size, before = shift(a, 19), shift(a, 22)
    stride_d, stride_h, stride_w = a[25], a[26], a[27]
    step_d, step_h, step_w = a[28], a[29], a[30]
    phases_d, phases_h, phases_w = a[31], a[32], a[33]
    height, width = a[35], a[36]
    plane = a[34] * height * width
    copied, depth, rows, across, down = a[37] != 0, a[38], a[39], a[40], a[41]
    slices, lines, parts, pitch, filled = a[42], a[43], a[44], a[45], a[46]
    slice_stride, row_stride = a[48], a[49]
    sliding, fanned, most, run, joined = a[50] != 0, a[56], a[57], a[58], a[60]
    past = PAST_BY_TURNS and a[61] != 0
    short = columns > 1 and joined == 0 and phases_w == 1 and 2 * width <= VECTORS * lanes(like)
    starts = shift(phases, 2 * (phases_d + phases_h + phases_w))
    at_h, at_w = shift(phases, 2 * phases_d), shift(phases, 2 * (phases_d + phases_h))
    row_a, row_b, row_c, row_y = stack(8, phases), stack(8, phases), stack(8, phases), stack(8, phases)
    origin, extent = stack(3, phases), stack(3, phases)
    start = stack(8, like)
    for i in range(8):
        row_a[i] = row_b[i] = 0
    for chunk in range(begin, end):
        scratch = shift(space, chunk * space_size)
        buffer, totals = shift(scratch, scratch_size), shift(scratch, a[59])
        packed = -1
        if joined == 0:
            clear(scratch, scratch_size)
        for item in range(chunk * items // chunks, (chunk + 1) * items // chunks):
            strip, rest = item % (across * down), item // (across * down)
            group = rest % groups
            first_d, first_h = strip // down * depth, strip % down * rows
            base = shift(source, rest * channels * size[0] * size[1] * size[2])
            origin[0] = origin[1] = 0
            if copied:
                origin[0], origin[1], extent[0], extent[1] = first_d * stride_d, first_h * stride_h, slices, lines
                if joined != 0:
                    _fill_joined(base, size, before, origin, extent, shift(phases, joined), parts, pitch, channels,
                                 scratch)
                else:
                    _fill(base, size, before, origin, extent, stride_w, parts, pitch, filled, channels, scratch)
                base = scratch
            if fanned != 0 and group != packed:
                packed = group
                fan_factors(fanned, starts[1], columns, shift(w, group * group_stride), column_stride, col_a,
                            shift(bias, group * columns), a[2] != 0, buffer)
            for phase_d in range(phases_d):
                for i in range(first_d, min(first_d + depth, phases[2 * phase_d + 1])):
                    source_d = (i * stride_d - origin[0]) * slice_stride
                    out_d = (phases[2 * phase_d] + i * step_d) * height
                    for phase_h in range(phases_h):
                        stop = min(first_h + rows, at_h[2 * phase_h + 1])
                        # Rows that are one.
                        high = stop - first_h if joined != 0 else 1
                        if sliding:
                            start[0] = 0
                            if a[2] != 0:
                                start[0] = bias[group]
                            _slide(shift(a, 50), shift(w, group * group_stride), col_a, shift(base, source_d),
                                   size[1], size[2], first_h, shift(scratch, lanes(like)), start[0],
                                   shift(out, rest * plane + (out_d + first_h) * width), width, stop - first_h,
                                   like)
                            continue
                        if fanned != 0:
                            for p in range(first_h, stop, high):
                                fan_row(fanned, most, starts[1], columns, buffer,
                                        shift(base, source_d + (p * stride_h - origin[1]) * row_stride), col_b,
                                        shift(out, rest * columns * plane + (out_d + p) * width), plane, high * width,
                                        past)
                            continue
                        # One plane of results after the other: lines that are written in many planes by turns are
                        # fetched from memory first, without the hardware's foresight.
                        tall = max(1, stop - first_h) if short else high  # of a phase a strip may have none
                        for m in range(0, columns, together):
                            for block in range(first_h, stop, together if columns == 1 else tall):
                                for j in range(together):
                                    column = min(m + j, columns - 1)
                                    p = min(block + j, stop - 1) if columns == 1 else block
                                    row_a[j] = column * column_stride
                                    row_b[j] = source_d + (p * stride_h - origin[1]) * row_stride
                                    row_y[j] = ((rest * columns + column) * plane
                                                + (out_d + at_h[2 * phase_h] + p * step_h) * width)
                                    start[j] = 0
                                    if a[2] != 0:
                                        start[j] = bias[group * columns + column]
                                    row_c[j] = row_y[j] if phases_w == 1 else j * phases_w * line_size
                                for phase_w in range(phases_w):
                                    which = (phase_d * phases_h + phase_h) * phases_w + phase_w
                                    begun = starts[which]
                                    if short:
                                        _short_lines(tall, stride_h * row_stride, step_h * width, together,
                                                     starts[which + 1] - begun, run, totals,
                                                     shift(w, group * group_stride), row_a, shift(col_a, begun), base,
                                                     row_b, shift(col_b, begun), start, out, row_c, width, past,
                                                     like)
                                        continue
                                    _line(together, columns, starts[which + 1] - begun, run, totals,
                                          shift(w, group * group_stride), row_a, shift(col_a, begun), base, row_b,
                                          shift(col_b, begun), start,
                                          out if phases_w == 1 else shift(buffer, phase_w * line_size), row_c,
                                          high * at_w[2 * phase_w + 1], past and phases_w == 1, like)
                                if phases_w > 1:
                                    for j in range(together):
                                        _weave(shift(buffer, row_c[j]), line_size, step_w, shift(out, row_y[j]), width)
    drain(past)
    restore(modes)


@range_kernel
def add_rows(begin, end, a, like):
    """The weight gradient. A work item is a chunk of groups and pieces of the reduction."""
    modes = flush()
    x, dy, dw, db, space, taps = (pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like),
                                  pointer(a[4], like), ints(a[5]))
    chunks, items, space_size, scratch_size, ones_size = a[6], a[7], a[8], a[9], a[10]
    groups, channels, filters, steps, mr, nr, images, splits = a[11], a[12], a[13], a[14], a[15], a[16], a[17], a[18]
    size, before = shift(a, 19), shift(a, 22)
    stride_d, stride_h, stride_w = a[25], a[26], a[27]
    out_depth, height, width = a[28], a[29], a[30]
    copied, depth, rows, across, down = a[31] != 0, a[32], a[33], a[34], a[35]
    slices, lines, parts, pitch, filled = a[36], a[37], a[38], a[39], a[40]
    slice_stride, row_stride = a[42], a[43]
    together = a[44]
    sliding, down_taps, across_taps, top, left, run = a[45] != 0, a[45], a[46], a[49], a[50], a[51]
    joined = a[52]
    plane = out_depth * height * width
    lane = lanes(like)
    all_filters = (filters + mr - 1) // mr * mr
    all_steps = (steps + nr - 1) // nr * nr
    sums_size = all_filters * (all_steps + 1) * lane
    # Positions of a running sum, `run` vectors: so many rows of so many columns.
    wide = lane if sliding else min(rows * width if joined != 0 else width, run * lane)
    high = run // ((wide + lane - 1) // lane)
    row, one = stack(8, taps), stack(1, taps)
    origin, extent = stack(3, taps), stack(3, taps)
    one[0] = 0
    for chunk in range(begin, end):
        scratch = shift(space, chunk * space_size)
        ones = shift(scratch, scratch_size)
        space_sums = shift(ones, ones_size)
        for j in range(ones_size):
            ones[j] = 1
        if joined == 0:
            clear(scratch, scratch_size)
        item, last = chunk * items // chunks, (chunk + 1) * items // chunks
        while item < last:
            # Some groups at a time, so that x and dy are read in the order in which they lie in memory.
            first_group, part = item % groups, item // groups
            count = min(together, last - item, groups - first_group)
            item += count
            for j in range(count * sums_size):
                space_sums[j] = 0
            units = images * across * down
            for unit in range(part * units // splits, (part + 1) * units // splits):
                strip, image = unit % (across * down), unit // (across * down)
                first_d, first_h = strip // down * depth, strip % down * rows
                here, length = min(rows, height - first_h), width
                if joined != 0:  # rows that are one
                    here, length = 1, here * width
                for j in range(count):
                    plane_group = image * groups + first_group + j
                    sums = shift(space_sums, j * sums_size)
                    base = shift(x, plane_group * channels * size[0] * size[1] * size[2])
                    origin[0] = origin[1] = 0
                    if copied:
                        origin[0], origin[1] = first_d * stride_d, first_h * stride_h
                        extent[0], extent[1] = slices, lines
                        if joined != 0:
                            _fill_joined(base, size, before, origin, extent, shift(taps, joined), parts, pitch,
                                         channels, scratch)
                        else:
                            _fill(base, size, before, origin, extent, stride_w, parts, pitch, filled, channels, scratch)
                        base = scratch
                    for i in range(first_d, min(first_d + depth, out_depth)):
                        place = plane_group * filters * plane + (i * height + first_h) * width
                        source = shift(base, (i * stride_d - origin[0]) * slice_stride)
                        for p in range(0, here, high):
                            for q in range(0, length, wide):
                                grads = shift(dy, place + p * width + q)
                                tall, some = min(here - p, high), min(length - q, wide)
                                if sliding:
                                    slide_dots(down_taps, across_taps, source, size[1], size[2], top - first_h - p,
                                               left - q, shift(scratch, lane), grads, width, tall, some, sums)
                                else:
                                    at = ((first_h + p) * stride_h - origin[1]) * row_stride + q
                                    _dots(shift(source, at), stride_h * row_stride, grads, width, plane, tall, some,
                                          filters, all_steps, taps, ones, one, row, mr, nr, sums, like)
            for j in range(count):
                group = part * groups + first_group + j
                sums = shift(space_sums, j * sums_size)
                for m in range(filters):
                    for t in range(steps):
                        dw[(group * filters + m) * steps + t] = total(shift(sums, (m * all_steps + t) * lane))
                    if a[3] != 0:
                        # A kernel that slides has one filter: either way this is the vector behind those of the taps.
                        behind = steps if sliding else all_filters * all_steps + m
                        db[group * filters + m] = total(shift(sums, behind * lane))
    restore(modes)


@helper
def _dots(source, pitch, dy, pitch_dy, plane, rows, width, filters, steps, taps, ones, one, row, mr, nr, sums, like):
    """Add to the sums of a group those of `rows` rows, and behind them the sums of dy."""
    lane = lanes(like)
    all_filters = (filters + mr - 1) // mr * mr
    for m in range(0, all_filters, mr):
        for j in range(mr):
            row[j] = min(m + j, filters - 1) * plane
        for t in range(0, steps, nr):
            dots(mr, nr, rows, width, dy, row, pitch_dy, mr * plane, source, shift(taps, t), pitch,
                 shift(sums, (m * steps + t) * lane), steps)
        for j in range(mr):
            dots(1, 1, rows, width, dy, shift(row, j), pitch_dy, 0, ones, one, 0,
                 shift(sums, (all_filters * steps + m + j) * lane), 1)
