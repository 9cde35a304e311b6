"""Pooling, and the columns of im2col: kernels in which a thread owns an element of the result and gathers for it."""

from functools import cache

from fastconv.backends.cuda import jit
from fastconv.backends.cuda.jit import cuda
from fastconv.backends.cuda.tables import (
    BEFORE,
    BLOCKS_PIXELS,
    COLUMNS,
    COUNT,
    COUNTED,
    DILATION,
    DIVISOR,
    FIELDS,
    FIRST,
    KERNEL,
    PHASES,
    PIXELS,
    SIZE,
    SOURCE_IMAGE,
    START,
    STEP,
    TOTAL,
    WINDOW_STEP,
)
from fastconv.backends.cuda.words import (
    entry,
    field,
    floating,
    given,
    inside,
    integer,
    keep,
    least,
    load,
    load_again,
    load_if,
    most,
    put,
    reach,
    registers,
    shift,
    split,
    store,
    take,
    target_of,
    whole,
)

SLOTS = 4  # claims that a block of threads has room for, by a thread


@cache
def im2col(rows, threads, size, axes, wide):
    """The kernel that writes `rows` rows of the columns: a thread one column of them."""
    LINES, THREADS, BYTES, AXES, WIDE = rows, threads, size, axes, wide

    def kernel(x, cols, phase, taps, first_block):
        block = first_block + cuda.blockIdx.x
        rest = block // field(phase, BLOCKS_PIXELS)
        pixel = whole((block - rest * field(phase, BLOCKS_PIXELS)) * THREADS + cuda.threadIdx.x, WIDE)
        first = whole(rest * LINES, WIDE)
        if pixel < field(phase, TOTAL):
            depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
            width = whole(field(phase, SIZE + 2), WIDE)
            pixels, columns = field(phase, PIXELS), field(phase, COLUMNS)
            n, d, h, w = split(phase, pixel, WIDE)
            at = shift(cols, (n * columns + first) * pixels + (pixel - n * pixels), BYTES)
            w = whole(w * field(phase, STEP + 2) + field(phase, START + 2), WIDE)
            h = whole(h * field(phase, STEP + 1) + field(phase, START + 1), WIDE)
            d = whole(d * field(phase, STEP) + field(phase, START), WIDE)
            place = shift(x, n * field(phase, SOURCE_IMAGE)
                          + (d * field(phase, SIZE + 1) + h) * field(phase, SIZE + 2) + w, BYTES)
            for i in range(least(LINES, columns - first)):
                offset, dd, dh, dw = entry(taps, whole(first + i, WIDE), WIDE)
                wanted = inside(whole(w + dw, WIDE), width)
                if AXES > 1:
                    wanted = wanted & inside(whole(h + dh, WIDE), height)
                if AXES > 2:
                    wanted = wanted & inside(whole(d + dd, WIDE), depth)
                store(at, i * pixels, load_if(place, offset, wanted, BYTES), BYTES)
    return jit.kernel(kernel)


@cache
def max_forward(threads, size, wide, r=0, s=0):
    """The kernel of maximum pooling: values and, where wanted, indices, in one pass.

    `r` and `s` are the window's height and width, for which its loops are unrolled; 0 if those are in the table alone.
    """
    THREADS, BYTES, WIDE, R, S = threads, size, wide, r, s

    def kernel(x, y, indices, phase, first_block):
        pixel = whole((first_block + cuda.blockIdx.x) * THREADS + cuda.threadIdx.x, WIDE)
        if pixel < field(phase, TOTAL):
            depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
            width = whole(field(phase, SIZE + 2), WIDE)
            n, d, h, w = split(phase, pixel, WIDE)
            place = shift(x, n * field(phase, SOURCE_IMAGE), BYTES)
            w = whole(w * field(phase, STEP + 2) + field(phase, START + 2), WIDE)
            h = whole(h * field(phase, STEP + 1) + field(phase, START + 1), WIDE)
            d = whole(d * field(phase, STEP) + field(phase, START), WIDE)
            where = whole(-1, WIDE)
            largest = load(place, 0, BYTES)
            for t in range(field(phase, KERNEL)):
                at_d = whole(d + t * field(phase, DILATION), WIDE)
                if inside(at_d, depth):
                    for r in range(R if R else field(phase, KERNEL + 1)):
                        at_h = whole(h + r * field(phase, DILATION + 1), WIDE)
                        if inside(at_h, height):
                            for s in range(S if S else field(phase, KERNEL + 2)):
                                at_w = whole(w + s * field(phase, DILATION + 2), WIDE)
                                if inside(at_w, width):
                                    at = whole((at_d * height + at_h) * width + at_w, WIDE)
                                    value = load(place, at, BYTES)
                                    # Only a NaN differs from itself. Nothing exceeds it, so that only a later NaN
                                    # replaces it.
                                    if where < 0 or value > largest or value != value:
                                        largest, where = value, at
            store(y, pixel, largest, BYTES)
            if given(indices):
                keep(indices, pixel, where)
    return jit.kernel(kernel)


@cache
def max_backward(threads, size):
    """The kernel of its gradient: a block empties a map and adds to it, in the order of the outputs.

    Outputs that share an input, as those of overlapping windows may, take turns: of all that wait, the first one claims
    a slot of shared memory (the smallest number wins, whoever comes first), adds its part and leaves. So the sums have
    one order, without an atomic addition; where windows do not overlap, nobody waits. Two inputs that share a slot
    wait needlessly, which changes no result.
    """
    THREADS, BYTES = threads, size
    CLAIMS = SLOTS * threads

    def kernel(dy, indices, dx, numbers, first_block):
        claims = cuda.shared.array(CLAIMS, jit.INT32)
        thread = whole(cuda.threadIdx.x, 0)
        outputs, inputs = field(numbers, 0), field(numbers, 1)
        number = first_block + cuda.blockIdx.x
        target = shift(dx, number * inputs, BYTES)
        source, chosen = shift(dy, number * outputs, BYTES), shift(indices, number * outputs, 8)
        for i in range(thread, inputs, THREADS):
            store(target, i, 0.0, BYTES)
        for i in range(thread, CLAIMS, THREADS):
            claims[i] = THREADS
        cuda.syncthreads()
        for first in range(0, outputs, THREADS):
            waits = first + thread < outputs
            at = integer(chosen, first + thread) if waits else whole(0, 1)
            # The host does not look at indices in device memory: one beyond the map is left out.
            waits = waits and at >= 0 and at < inputs
            slot = at % CLAIMS
            while cuda.syncthreads_count(whole(waits, 0)) > 0:
                if waits:
                    cuda.atomic.min(claims, slot, thread)
                cuda.syncthreads()
                won = waits and claims[slot] == thread
                if won:
                    store(target, at, load_again(target, at, BYTES) + load(source, first + thread, BYTES), BYTES)
                cuda.syncthreads()
                if won:
                    claims[slot] = THREADS
                    waits = False
    return jit.kernel(kernel)


@cache
def avg_forward(threads, size, wide):
    """The kernel of average pooling."""
    THREADS, BYTES, WIDE, KEPT = threads, size, wide, max(size, 4)

    def kernel(x, y, phase, first_block):
        pixel = whole((first_block + cuda.blockIdx.x) * THREADS + cuda.threadIdx.x, WIDE)
        if pixel < field(phase, TOTAL):
            n, d, h, w = split(phase, pixel, WIDE)
            place = shift(x, n * field(phase, SOURCE_IMAGE), BYTES)
            d = whole(d * field(phase, WINDOW_STEP) - field(phase, BEFORE), WIDE)
            h = whole(h * field(phase, WINDOW_STEP + 1) - field(phase, BEFORE + 1), WIDE)
            w = whole(w * field(phase, WINDOW_STEP + 2) - field(phase, BEFORE + 2), WIDE)
            height, width = whole(field(phase, SIZE + 1), WIDE), whole(field(phase, SIZE + 2), WIDE)
            total = registers(1, KEPT)
            for i in range(most(d, 0), least(d + field(phase, KERNEL), field(phase, SIZE))):
                for j in range(most(h, 0), least(h + field(phase, KERNEL + 1), height)):
                    row = whole((i * height + j) * width, WIDE)
                    for k in range(most(w, 0), least(w + field(phase, KERNEL + 2), width)):
                        put(total, 0, take(total, 0) + load(place, whole(row + k, WIDE), BYTES))
            count = field(phase, DIVISOR)
            if count == 0:
                counted = field(phase, COUNTED)
                count = (reach(d, phase, 0, counted) * reach(h, phase, 1, counted) * reach(w, phase, 2, counted))
            store(y, pixel, take(total, 0) / floating(count, KEPT), BYTES)
    return jit.kernel(kernel)


@cache
def avg_spread(threads, size, wide):
    """The kernel of its gradient where windows lie side by side, whole: an output writes to all of its window.

    The last one along an axis also empties what no window holds.
    """
    THREADS, BYTES, WIDE, KEPT = threads, size, wide, max(size, 4)

    def kernel(dy, dx, phase, first_block):
        pixel = whole((first_block + cuda.blockIdx.x) * THREADS + cuda.threadIdx.x, WIDE)
        if pixel < field(phase, TOTAL):
            n, d, h, w = split(phase, pixel, WIDE)
            part = load(dy, pixel, BYTES) / floating(field(phase, DIVISOR), KEPT)
            depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
            width = whole(field(phase, SIZE + 2), WIDE)
            step_d, step_h = whole(field(phase, STEP), WIDE), whole(field(phase, STEP + 1), WIDE)
            step_w = whole(field(phase, STEP + 2), WIDE)
            begin_d, begin_h, begin_w = whole(d * step_d, WIDE), whole(h * step_h, WIDE), whole(w * step_w, WIDE)
            of_d, of_h, of_w = begin_d + step_d, begin_h + step_h, begin_w + step_w
            place = shift(dx, n * field(phase, SOURCE_IMAGE), BYTES)
            for i in range(begin_d, depth if depth - of_d < step_d else of_d):
                for j in range(begin_h, height if height - of_h < step_h else of_h):
                    row = whole((i * height + j) * width, WIDE)
                    for k in range(begin_w, width if width - of_w < step_w else of_w):
                        if i < of_d and j < of_h and k < of_w:
                            store(place, whole(row + k, WIDE), part, BYTES)
                        else:
                            store(place, whole(row + k, WIDE), 0.0, BYTES)
    return jit.kernel(kernel)


@cache
def avg_backward(threads, size, axes, wide):
    """The kernel of its gradient: an input gathers from the windows that hold it, which its phase's taps tell."""
    THREADS, BYTES, AXES, WIDE, KEPT = threads, size, axes, wide, max(size, 4)
    TAP_BYTES = 8 if WIDE else 4

    def kernel(dy, dx, phases, taps, first_block):
        block = first_block + cuda.blockIdx.x
        rest = block // field(phases, PHASES)
        phase = shift(phases, (block - rest * field(phases, PHASES)) * FIELDS, 8)
        pixel = whole(rest * THREADS + cuda.threadIdx.x, WIDE)
        if pixel < field(phase, TOTAL):
            depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
            width = whole(field(phase, SIZE + 2), WIDE)
            n, d, h, w = split(phase, pixel, WIDE)
            place = shift(dy, n * field(phase, SOURCE_IMAGE), BYTES)
            tap = shift(taps, field(phase, FIRST) * 4, TAP_BYTES)
            total = registers(1, KEPT)
            for q in range(whole(field(phase, COUNT), WIDE)):
                offset, dd, dh, dw = entry(tap, whole(q, WIDE), WIDE)
                o, p, s = whole(d + dd, WIDE), whole(h + dh, WIDE), whole(w + dw, WIDE)
                wanted = inside(s, width)
                if AXES > 1:
                    wanted = wanted & inside(p, height)
                if AXES > 2:
                    wanted = wanted & inside(o, depth)
                if wanted:
                    count = field(phase, DIVISOR)
                    if count == 0:
                        counted = field(phase, COUNTED)
                        o = whole(o * field(phase, WINDOW_STEP) - field(phase, BEFORE), WIDE)
                        p = whole(p * field(phase, WINDOW_STEP + 1) - field(phase, BEFORE + 1), WIDE)
                        s = whole(s * field(phase, WINDOW_STEP + 2) - field(phase, BEFORE + 2), WIDE)
                        count = (reach(o, phase, 0, counted) * reach(p, phase, 1, counted)
                                 * reach(s, phase, 2, counted))
                    at = whole((d * height + h) * width + w + offset, WIDE)
                    put(total, 0, take(total, 0) + load(place, at, BYTES) / floating(count, KEPT))
            store(target_of(dx, phase, pixel, BYTES, WIDE), 0, take(total, 0), BYTES)
    return jit.kernel(kernel)
