"""Depthwise convolutions with a plane in each lane: `fastconv.backends.plan_across` says how, and in what strips."""

from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.isa import INTEL, NAME
from fastconv.backends.numba.jit import helper, ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.lines import clear, copy
from fastconv.backends.numba.planes import MOST, TOGETHER, plane_dots, plane_sums, plane_total, turn, turn_to
from fastconv.backends.numba.tile import ask_for_lines, lanes
from fastconv.backends.plan_across import RUNS
from fastconv.backends.plan_rows import RUN

NEAR, SOON = NAME == "avx512" and not INTEL, 4  # whether `_ask` asks for what lies near, how many blocks later
ENTRY = len(RUNS) + 1  # numbers of a triple of phases


@helper
def _ask(source, plane, k, count, following, ahead, like):
    """Ask for lines of LANES planes that are turned later than block k of the `count` elements at `source`.

    The hardware foresees nothing of so many short streams: 1.3 ms in place of 1.8 on Zen 1 for 8 x 512 planes of
    14 x 14, from which the next ones are `ahead`. On Zen 4 and 5 it is the lines of four blocks later, be they at
    `following`; those far away take more time than they save: on Zen 5 63 cycles a block of 28 x 28 planes in place of
    49, and 0.103 ms in place of 0.097 for 8 x 960 planes of 7 x 7 and 3 x 3 taps. On Intel it is the other way round,
    0.25 ms in place of 0.30 for the latter.
    """
    near = k + SOON * lanes(like)
    if not NEAR:
        ask_for_lines(shift(source, k + ahead), plane, 0, 2)
    elif near < count:
        ask_for_lines(shift(source, near), plane, 0, 1)
    else:
        ask_for_lines(shift(following, near - count), plane, 0, 1)


@helper
def _fill(source, plane, size, before, origin, slices, lines, kept, slice_, row, whole, places, target, ahead, next_,
          like):
    """Turn a strip of LANES planes into the scratch, from `origin`, a slice and a line of the padded planes, on.

    What lies outside of a line is 0 there already, and lines outside of a plane that is `whole` in the strip. The first
    lines, `kept` of each slice, are the last ones of the strip before, which are there still. The planes of the next
    strip begin `next_` elements behind these: 0 if they are the same.
    """
    lane = lanes(like)
    depth, height, width = size[0], size[1], size[2]
    for i in range(slices if kept > 0 else 0):
        # Whole vectors, which may overlap their new places.
        copy(shift(target, i * slice_ + (lines - kept) * row), shift(target, i * slice_), kept * row)
    target, lines = shift(target, kept * row), lines - kept
    top = origin[1] + kept - before[1]
    begun, ended = max(0, top), min(height, top + lines)
    count = (ended - begun) * width
    for i in range(slices):
        d = origin[0] + i - before[0]
        into = shift(target, i * slice_)
        if not 0 <= d < depth or count <= 0:
            if not whole:
                clear(into, lines * row)
            continue
        if not whole:
            clear(into, (begun - top) * row)
            clear(shift(into, (ended - top) * row), (top + lines - ended) * row)
        into, start = shift(into, (begun - top) * row), shift(source, (d * height + begun) * width)
        if count < lane:
            for k in range(count):
                for j in range(lane):
                    into[places[k] + j] = start[j * plane + k]
            continue
        # The next slice, or the next strip of the same planes, goes on where this one ends.
        following = shift(start, count) if next_ == 0 or i < slices - 1 else shift(source, next_)
        for block in range(0, count, lane):
            k = min(block, count - lane)
            _ask(start, plane, k, count, following, ahead, like)
            turn_to(shift(start, k), plane, into, shift(places, k))


@helper
def _turned_in(source, count, plane, target, ahead, like):
    """Turn `count` positions of LANES planes to a vector each."""
    lane = lanes(like)
    if count < lane:
        for k in range(count):
            for j in range(lane):
                target[k * lane + j] = source[j * plane + k]
        return
    for next_ in range(0, count, lane):
        k = min(next_, count - lane)
        _ask(source, plane, k, count, shift(source, ahead), ahead, like)
        turn(shift(source, k), plane, shift(target, k * lane), lane)


@helper
def _turned(source, count, target, plane, ahead, like):
    """Turn `count` positions of LANES planes, a vector each, back to the planes."""
    lane = lanes(like)
    if count < lane:
        for k in range(count):
            for j in range(lane):
                target[j * plane + k] = source[k * lane + j]
        return
    for next_ in range(0, count, lane):
        k = min(next_, count - lane)
        if not NEAR:
            ask_for_lines(shift(target, k + ahead), plane, 1, 1)
        turn(shift(source, k * lane), lane, shift(target, k), plane)


@helper
def _line(runs, weights, offsets, start, x, x_row, y, y_row, y_step, rows, count, like):
    """`rows` rows of `count` sums, in blocks of two sizes that differ by 1."""
    left = (count + MOST - 1) // MOST
    while left > 0:
        wide = (count + left - 1) // left
        blocks = count - left * (wide - 1)
        plane_sums(wide, runs, weights, offsets, start, x, x_row, y, y_row, y_step, rows, blocks)
        x, y = shift(x, blocks * wide * lanes(like)), shift(y, blocks * wide * y_step)
        count -= blocks * wide
        left -= blocks


# Where a thread is: a strip along the height and along the depth, an image, a block of planes.
H, D, IMAGE, BLOCK = 0, 1, 2, 3


@helper
def _begin(at, item, down, across, images):
    """Work item `item`, from which on `_advance` counts."""
    at[H], item = item % down, item // down
    at[D], item = item % across, item // across
    at[IMAGE], at[BLOCK] = item % images, item // images


@helper
def _advance(at, later, down, across, images):
    """The work item after `at`, as `later`.

    Counted, not divided: with weights that are turned once for all images, 0.60 ms in place of 0.73 on Zen 1 for
    8 x 960 planes of 7 x 7.
    """
    for i in range(4):
        later[i] = at[i]
    later[H] += 1
    if later[H] == down:
        later[H] = 0
        later[D] += 1
        if later[D] == across:
            later[D] = 0
            later[IMAGE] += 1
            if later[IMAGE] == images:
                later[IMAGE] = 0
                later[BLOCK] += 1


@helper
def _load(first, channels, taps, all_taps, w, col_a, bias, biased, weights, start, like):
    """The weights and the biases of the planes from `first` on: a vector of each tap, and one."""
    lane, channel = lanes(like), first % channels
    for j in range(lane):
        start[j] = 0
        if biased:
            start[j] = bias[channel]
        for t in range(taps):
            weights[t * lane + j] = w[channel * all_taps + col_a[t]]
        channel = channel + 1 if channel + 1 < channels else 0


@range_kernel
def multiply_across(begin, end, a, like):
    """The forward pass, or the input gradient. A work item is a chunk of the plan's."""
    modes = flush()
    source, w, bias, out, space = (pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like),
                                   pointer(a[4], like))
    col_a, col_b, phases, places = ints(a[5]), ints(a[6]), ints(a[7]), ints(a[8])
    chunks, items, space_size, scratch_size = a[9], a[10], a[11], a[12]
    planes, images, channels, all_taps, taps = a[13], a[14], a[15], a[16], a[17]
    size, before = shift(a, 18), shift(a, 21)
    stride_d, stride_h = a[24], a[25]
    step_d, step_h, step_w = a[27], a[28], a[29]
    phases_d, phases_h, phases_w = a[30], a[31], a[32]
    out_depth, height, width = a[33], a[34], a[35]
    depth, rows, across, down, slices, lines, slice_, row = (a[36], a[37], a[38], a[39], a[40], a[41], a[42], a[43])
    lane = lanes(like)
    shared = max(0, lines - rows * stride_h)  # by a strip and the one below
    plane, out_plane = size[0] * size[1] * size[2], out_depth * height * width
    at_h, at_w = shift(phases, 2 * phases_d), shift(phases, 2 * (phases_d + phases_h))
    # Of each triple of phases: where its taps begin, and how many runs of each length they are.
    runs = shift(phases, 2 * (phases_d + phases_h + phases_w))
    origin, at, later = stack(2, phases), stack(4, phases), stack(4, phases)
    for chunk in range(begin, end):
        scratch = shift(space, chunk * space_size)
        weights = shift(scratch, scratch_size)
        start = shift(weights, taps * lane)
        results = shift(start, lane)
        clear(scratch, scratch_size)
        loaded, item = -1, chunk * items // chunks
        _begin(later, item, down, across, images)
        for done in range((chunk + 1) * items // chunks - item):
            for i in range(4):
                at[i] = later[i]
            _advance(at, later, down, across, images)
            # The last block overlaps the one before.
            first = min(at[IMAGE] * channels + at[BLOCK] * lane, planes - lane)
            next_ = min(later[IMAGE] * channels + later[BLOCK] * lane, planes - lane)
            if at[BLOCK] != loaded:
                loaded = at[BLOCK]
                _load(first, channels, taps, all_taps, w, col_a, bias, a[2] != 0, weights, start, like)
            first_d, first_h = at[D] * depth, at[H] * rows
            skip_d, skip_h = (later[D] - at[D]) * depth, (later[H] - at[H]) * rows
            ahead = (next_ - first) * plane + (skip_d * stride_d * size[1] + skip_h * stride_h) * size[2]
            out_ahead = (next_ - first) * out_plane + (skip_d * step_d * height + skip_h * step_h) * width
            origin[0], origin[1] = first_d * stride_d, first_h * stride_h
            _fill(shift(source, first * plane), plane, size, before, origin, slices, lines,
                  shared if done > 0 and at[H] > 0 else 0, slice_, row, across * down == 1, places, scratch, ahead,
                  (next_ - first) * plane, like)
            out_d, out_h = first_d * step_d, first_h * step_h
            slices_here, rows_here = min(depth * step_d, out_depth - out_d), min(rows * step_h, height - out_h)
            for phase_d in range(phases_d):
                for i in range(first_d, min(first_d + depth, phases[2 * phase_d + 1])):
                    o = phases[2 * phase_d] + i * step_d - out_d
                    x = shift(scratch, (i - first_d) * stride_d * slice_)
                    for phase_h in range(phases_h):
                        high = min(first_h + rows, at_h[2 * phase_h + 1]) - first_h
                        y = shift(results, (o * rows_here + at_h[2 * phase_h]) * width * lane)
                        for phase_w in range(phases_w):
                            entry = shift(runs, ((phase_d * phases_h + phase_h) * phases_w + phase_w) * ENTRY)
                            _line(shift(entry, 1), shift(weights, entry[0] * lane), shift(col_b, entry[0]), start, x,
                                  stride_h * row, shift(y, at_w[2 * phase_w] * lane), step_h * width * lane,
                                  step_w * lane, high, at_w[2 * phase_w + 1], like)
            target = shift(out, first * out_plane + (out_d * height + out_h) * width)
            for o in range(slices_here):
                _turned(shift(results, o * rows_here * width * lane), rows_here * width,
                        shift(target, o * height * width), out_plane, out_ahead, like)
    restore(modes)


@range_kernel
def add_across(begin, end, a, like):
    """The weight gradient. A work item is a chunk of pieces of the sum and blocks of channels."""
    modes = flush()
    x, dy, dw, db, space = (pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like),
                            pointer(a[4], like))
    taps, places = ints(a[5]), ints(a[6])
    order, runs = shift(taps, a[14]), shift(a, 36)
    chunks, items, space_size, scratch_size, grads_size = a[7], a[8], a[9], a[10], a[11]
    images, channels, count, splits = a[12], a[13], a[14], a[15]
    size, before = shift(a, 16), shift(a, 19)
    stride_d, stride_h = a[22], a[23]
    out_depth, height, width = a[25], a[26], a[27]
    depth, rows, across, down, slices, lines, slice_, row = (a[28], a[29], a[30], a[31], a[32], a[33], a[34], a[35])
    lane = lanes(like)
    shared = max(0, lines - rows * stride_h)  # by a strip and the one below
    plane, out_plane = size[0] * size[1] * size[2], out_depth * height * width
    all_blocks = (channels + lane - 1) // lane
    # Positions of a running sum: so many rows of so many columns.
    wide = min(width, RUN)
    high = RUN // wide
    origin, at, later = stack(2, taps), stack(4, taps), stack(4, taps)
    for chunk in range(begin, end):
        scratch = shift(space, chunk * space_size)
        grads = shift(scratch, scratch_size)
        sums = shift(grads, grads_size)
        clear(scratch, scratch_size)
        for item in range(chunk * items // chunks, (chunk + 1) * items // chunks):
            block, part = item % all_blocks, item // all_blocks
            first = min(block * lane, channels - lane)
            clear(sums, (count + 1) * lane)
            units = images * across * down
            unit = part * units // splits
            _begin(later, unit, down, across, images)
            for done in range((part + 1) * units // splits - unit):
                for i in range(4):
                    at[i] = later[i]
                # The next strip, or the same planes of the next image.
                _advance(at, later, down, across, images)
                first_d, first_h = at[D] * depth, at[H] * rows
                skip_d, skip_h = (later[D] - at[D]) * depth, (later[H] - at[H]) * rows
                planes = (later[IMAGE] - at[IMAGE]) * channels
                ahead = planes * plane + (skip_d * stride_d * size[1] + skip_h * stride_h) * size[2]
                grads_ahead = planes * out_plane + (skip_d * height + skip_h) * width
                origin[0], origin[1] = first_d * stride_d, first_h * stride_h
                place = at[IMAGE] * channels + first
                _fill(shift(x, place * plane), plane, size, before, origin, slices, lines,
                      shared if done > 0 and at[H] > 0 else 0, slice_, row, across * down == 1, places, scratch, ahead,
                      planes * plane, like)
                here = min(rows, height - first_h)
                for i in range(first_d, min(first_d + depth, out_depth)):
                    start = shift(dy, place * out_plane + (i * height + first_h) * width)
                    _turned_in(start, here * width, out_plane, grads, grads_ahead, like)
                    for p in range(0, here, high):
                        for q in range(0, width, wide):
                            tall, some = min(here - p, high), min(width - q, wide)
                            y = shift(grads, (p * width + q) * lane)
                            source = shift(scratch, (i - first_d) * stride_d * slice_ + p * stride_h * row + q * lane)
                            t = 0
                            for n in range(len(RUNS)):
                                left = runs[n]
                                while left > 0:
                                    some_runs = min(left, TOGETHER)
                                    plane_dots(RUNS[n], some_runs, source, shift(taps, t), stride_h * row, y,
                                               width * lane, tall, some, shift(sums, t * lane))
                                    left -= some_runs
                                    t += some_runs * RUNS[n]
                            for r in range(tall if a[3] != 0 else 0):
                                plane_total(shift(y, r * width * lane), some, shift(sums, count * lane))
            for j in range(lane):
                channel = part * channels + first + j
                for t in range(count):
                    dw[channel * count + order[t]] = sums[t * lane + j]
                if a[3] != 0:
                    db[channel] = sums[count * lane + j]
    restore(modes)
