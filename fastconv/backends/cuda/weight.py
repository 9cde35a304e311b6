"""The gradient of a convolution's weights, and of its bias.

    dw[m, column] = the sum over all pixels of dy[m, pixel] * x[pixel + column's tap]

for each group: the same places and taps as of the forward pass, but the sum runs over the pixels. These are divided
among blocks; each writes its sums to a workspace, and `add_up` adds them in a fixed order, so that the same call gives
the same bits every time.
"""

from functools import cache

from fastconv.backends.cuda import jit
from fastconv.backends.cuda.jit import cuda
from fastconv.backends.cuda.tables import (
    BLOCKS_COLUMNS,
    BLOCKS_ROWS,
    COLUMNS,
    PIXELS,
    PLANE,
    ROW,
    ROWS,
    SIZE,
    SOURCE_GROUP,
    SOURCE_IMAGE,
    SPLIT_PIXELS,
    SPLITS,
    START,
    STEP,
    TARGET_CHANNEL,
    TARGET_IMAGE,
    TOTAL,
)
from fastconv.backends.cuda.words import (
    entry,
    field,
    inside,
    late,
    least,
    load,
    load_if,
    multiply,
    multiply_tensor,
    put,
    registers,
    shared,
    shift,
    split,
    store,
    take,
    take4,
    tf32,
    whole,
)


@cache
def tile(bm, bn, bk, tm, tn, size, axes, wide, out, tensor=0):
    """The kernel with blocks of bm x bn, steps of bk pixels and tm x tn a thread, or, of tensor cores, a warp.

    Parameters
    ----------
    size, axes, wide, tensor
        As of `fastconv.backends.cuda.gather.tile`.
    out : int
        Bytes of an element of the sums: those of a workspace where there are several to add up.
    """
    BM, BN, BK, TM, TN, BYTES, AXES, WIDE, OUT, TENSOR = bm, bn, bk, tm, tn, size, axes, wide, out, tensor
    KEPT = max(BYTES, 4)
    THREADS, ACROSS = BM // TM * (BN // TN) * (32 if TENSOR else 1), BN // TN
    # Four elements more a row, or the 16 pixels of a line would all go to the same two banks; `multiply_tensor` says
    # why eight.
    MORE = 8 if TENSOR else 4
    LEFT_ROW, RIGHT_ROW = BM + MORE, BN + MORE
    LEFT, RIGHT = BK * LEFT_ROW, BK * RIGHT_ROW
    LEFT_CELLS, RIGHT_CELLS = 2 * LEFT * KEPT // 16, 2 * RIGHT * KEPT // 16
    LINES = THREADS // BK
    OF_LEFT, OF_RIGHT = BM // LINES, BN // LINES
    SUMS = TM * TN // (32 if TENSOR else 1)
    NEXT_ROWS, NEXT_COLUMNS = BM // (TM // 4), BN // (TN // 4)
    SQUARES_DOWN, SQUARES_ACROSS = TM // 16, TN // 8

    def kernel(x, dy, sums_of, phase, taps, first_block):
        left = shared(cuda.shared.array(LEFT_CELLS, jit.COMPLEX), KEPT)
        right = shared(cuda.shared.array(RIGHT_CELLS, jit.COMPLEX), KEPT)
        thread = whole(cuda.threadIdx.x, 0)
        lane, line = whole(thread % BK, 0), whole(thread // BK, 0)
        if TENSOR:
            own, warp = whole(thread % 32, 0), whole(thread // 32, 0)
            tx, ty = whole(warp % ACROSS * TN, 0), whole(warp // ACROSS * TM, 0)
        else:
            tx, ty = whole(thread % ACROSS * 4, 0), whole(thread // ACROSS * 4, 0)
        # Blocks of the same pixels come together: what one reads, the others find in the cache.
        block = first_block + cuda.blockIdx.x
        rest = block // field(phase, BLOCKS_COLUMNS)
        first_column = whole((block - rest * field(phase, BLOCKS_COLUMNS)) * BN, WIDE)
        block, rest = rest, rest // field(phase, BLOCKS_ROWS)
        first_row = whole((block - rest * field(phase, BLOCKS_ROWS)) * BM, WIDE)
        group = rest // field(phase, SPLITS)
        part = rest - group * field(phase, SPLITS)
        begin = whole(part * field(phase, SPLIT_PIXELS), WIDE)
        end = whole(least(field(phase, TOTAL), part * field(phase, SPLIT_PIXELS) + field(phase, SPLIT_PIXELS)), WIDE)
        rows, channel = whole(field(phase, ROWS), WIDE), whole(field(phase, TARGET_CHANNEL), WIDE)
        depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
        width = whole(field(phase, SIZE + 2), WIDE)
        dy_group = shift(dy, (group * field(phase, ROWS) + first_row + line) * field(phase, TARGET_CHANNEL), BYTES)
        x_group = shift(x, group * field(phase, SOURCE_GROUP), BYTES)

        # All that a step asks of the phase, read once: what is read again costs a step 7 loads and as many products.
        plane, row = whole(field(phase, PLANE), WIDE), whole(field(phase, ROW), WIDE)
        dy_image, x_image = field(phase, TARGET_IMAGE), field(phase, SOURCE_IMAGE)
        step_d, step_h = whole(field(phase, STEP), WIDE), whole(field(phase, STEP + 1), WIDE)
        step_w = whole(field(phase, STEP + 2), WIDE)
        start_d, start_h = whole(field(phase, START), WIDE), whole(field(phase, START + 1), WIDE)
        start_w = whole(field(phase, START + 2), WIDE)

        sums = registers(SUMS, KEPT)
        next_left, next_right = registers(OF_LEFT, KEPT), registers(OF_RIGHT, KEPT)
        steps = whole((end - begin + BK - 1) // BK, WIDE)
        for step in range(-1, steps):
            pixel = whole(begin + (step + 1) * BK + lane, WIDE)
            n, d, h, w = split(phase, pixel, WIDE)
            there = pixel < end
            place = shift(dy_group, n * dy_image + whole(d * plane + h * row + w, WIDE), BYTES)
            for i in range(OF_LEFT):
                wanted = there & (first_row + line + i * LINES < rows)
                put(next_left, i, load_if(place, whole(i * LINES * channel, WIDE), wanted, BYTES))
            w = whole(w * step_w + start_w, WIDE)
            h = whole(h * step_h + start_h, WIDE)
            d = whole(d * step_d + start_d, WIDE)
            # In 32 bits where the padded map fits them: `tables` sees to that.
            place = shift(x_group, n * x_image + whole((d * height + h) * width + w, WIDE), BYTES)
            for i in range(OF_RIGHT):
                offset, dd, dh, dw = entry(taps, whole(first_column + line + i * LINES, WIDE), WIDE)
                wanted = there & inside(whole(w + dw, WIDE), width)
                if AXES > 1:
                    wanted = wanted & inside(whole(h + dh, WIDE), height)
                if AXES > 2:
                    wanted = wanted & inside(whole(d + dd, WIDE), depth)
                put(next_right, i, load_if(place, offset, wanted, BYTES))
            if step >= 0:
                half = whole(step & 1, 0)
                if TENSOR:
                    multiply_tensor(sums, left, whole(half * LEFT + ty, 0), LEFT_ROW, right,
                                    whole(half * RIGHT + tx, 0), RIGHT_ROW, own, BK, TM, TN)
                else:
                    multiply(sums, left, whole(half * LEFT + ty, 0), LEFT_ROW, right, whole(half * RIGHT + tx, 0),
                             RIGHT_ROW, BK, TM, TN)
            half = whole((step + 1) & 1, 0)
            for i in range(OF_LEFT):
                value = take(next_left, i)
                if TENSOR:
                    value = tf32(value)
                put(left, whole(half * LEFT + lane * LEFT_ROW + line + i * LINES, 0), value)
            for i in range(OF_RIGHT):
                value = take(next_right, i)
                if TENSOR:
                    value = tf32(value)
                put(right, whole(half * RIGHT + lane * RIGHT_ROW + line + i * LINES, 0), value)
            cuda.syncthreads()

        columns, groups_rows = late(phase, COLUMNS), late(phase, TARGET_IMAGE) // late(phase, TARGET_CHANNEL)
        base = shift(sums_of, (part * groups_rows + group * rows) * columns, OUT)
        if TENSOR:
            for i in range(2 * SQUARES_DOWN):
                m = whole(first_row + ty + i * 8 + own // 4, WIDE)
                if m < rows:
                    at = shift(base, m * columns, OUT)
                    for j in range(SQUARES_ACROSS):
                        column = whole(first_column + tx + j * 8 + own % 4 * 2, WIDE)
                        c = 4 * (i // 2 * SQUARES_ACROSS + j) + i % 2 * 2
                        if column < columns:
                            store(at, column, take(sums, c), OUT)
                        if column + 1 < columns:
                            store(at, column + 1, take(sums, c + 1), OUT)
        else:
            for i in range(TM):
                m = whole(first_row + i // 4 * NEXT_ROWS + ty + i % 4, WIDE)
                if m < rows:
                    at = shift(base, m * columns, OUT)
                    for j in range(0, TN, 4):
                        column = whole(first_column + j // 4 * NEXT_COLUMNS + tx, WIDE)
                        v0, v1, v2, v3 = take4(sums, i * TN + j)
                        if column < columns:
                            store(at, column, v0, OUT)
                        if column + 1 < columns:
                            store(at, column + 1, v1, OUT)
                        if column + 2 < columns:
                            store(at, column + 2, v2, OUT)
                        if column + 3 < columns:
                            store(at, column + 3, v3, OUT)
    return jit.kernel(kernel)


@cache
def direct(tm, tn, threads, size, axes, wide, out):
    """The kernel for few channels: each block sums tm x tn elements over its pixels, a thread every `threads`-th."""
    TM, TN, THREADS, BYTES, AXES, WIDE, OUT = tm, tn, threads, size, axes, wide, out
    KEPT = max(BYTES, 4)
    SUMS, PITCH = TM * TN, threads + 1
    CELLS = -(-SUMS * PITCH * KEPT // 16)
    OWN = -(-SUMS // THREADS)

    def kernel(x, dy, sums_of, phase, taps, first_block):
        all_sums = shared(cuda.shared.array(CELLS, jit.COMPLEX), KEPT)
        thread = whole(cuda.threadIdx.x, 0)
        block = first_block + cuda.blockIdx.x
        rest = block // field(phase, BLOCKS_COLUMNS)
        first_column = whole((block - rest * field(phase, BLOCKS_COLUMNS)) * TN, WIDE)
        block, rest = rest, rest // field(phase, BLOCKS_ROWS)
        first_row = whole((block - rest * field(phase, BLOCKS_ROWS)) * TM, WIDE)
        group = rest // field(phase, SPLITS)
        part = rest - group * field(phase, SPLITS)
        begin = whole(part * field(phase, SPLIT_PIXELS), WIDE)
        end = whole(least(field(phase, TOTAL), part * field(phase, SPLIT_PIXELS) + field(phase, SPLIT_PIXELS)), WIDE)
        rows, channel = whole(field(phase, ROWS), WIDE), whole(field(phase, TARGET_CHANNEL), WIDE)
        depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
        width = whole(field(phase, SIZE + 2), WIDE)
        dy_group = shift(dy, (group * field(phase, ROWS) + first_row) * field(phase, TARGET_CHANNEL), BYTES)
        x_group = shift(x, group * field(phase, SOURCE_GROUP), BYTES)
        sums, found = registers(SUMS, KEPT), registers(TN, KEPT)
        for pixel in range(begin + thread, end, THREADS):
            n, d, h, w = split(phase, whole(pixel, WIDE), WIDE)
            of_dy = shift(dy_group, n * field(phase, TARGET_IMAGE)
                          + (d * field(phase, PLANE) + h * field(phase, ROW) + w), BYTES)
            w = whole(w * field(phase, STEP + 2) + field(phase, START + 2), WIDE)
            h = whole(h * field(phase, STEP + 1) + field(phase, START + 1), WIDE)
            d = whole(d * field(phase, STEP) + field(phase, START), WIDE)
            place = shift(x_group, n * field(phase, SOURCE_IMAGE)
                          + (d * field(phase, SIZE + 1) + h) * field(phase, SIZE + 2) + w, BYTES)
            for j in range(TN):
                offset, dd, dh, dw = entry(taps, whole(first_column + j, WIDE), WIDE)
                wanted = inside(whole(w + dw, WIDE), width)
                if AXES > 1:
                    wanted = wanted & inside(whole(h + dh, WIDE), height)
                if AXES > 2:
                    wanted = wanted & inside(whole(d + dd, WIDE), depth)
                put(found, j, load_if(place, offset, wanted, BYTES))
            for i in range(TM):
                gradient = load_if(of_dy, whole(i * channel, WIDE), first_row + i < rows, BYTES)
                for j in range(TN):
                    put(sums, i * TN + j, take(sums, i * TN + j) + gradient * take(found, j))
        for i in range(SUMS):
            put(all_sums, whole(i * PITCH + thread, 0), take(sums, i))
        cuda.syncthreads()

        columns, groups_rows = late(phase, COLUMNS), late(phase, TARGET_IMAGE) // late(phase, TARGET_CHANNEL)
        base = shift(sums_of, (part * groups_rows + group * rows) * columns, OUT)
        for i in range(OWN):
            mine = whole(thread + i * THREADS, 0)
            m, column = whole(first_row + mine // TN, WIDE), whole(first_column + mine % TN, WIDE)
            if mine < SUMS and m < rows and column < columns:
                total = take(all_sums, whole(mine * PITCH, 0))
                for other in range(1, THREADS):
                    total += take(all_sums, whole(mine * PITCH + other, 0))
                store(base, m * columns + column, total, OUT)
    return jit.kernel(kernel)


@cache
def add_up(size):
    """The kernel that adds the sums of all splits in order: (splits, elements) of a workspace to `size` bytes each."""
    BYTES, KEPT = size, max(size, 4)

    def kernel(sums_of, dw, phase):
        elements = late(phase, TARGET_IMAGE) // late(phase, TARGET_CHANNEL) * late(phase, COLUMNS)
        splits = late(phase, SPLITS)
        first = cuda.blockIdx.x * whole(cuda.blockDim.x, 1) + cuda.threadIdx.x
        for element in range(first, elements, cuda.gridDim.x * whole(cuda.blockDim.x, 1)):
            total = load(sums_of, element, KEPT)
            for part in range(1, splits):
                total += load(sums_of, part * elements + element, KEPT)
            store(dw, element, total, BYTES)
    return jit.kernel(kernel)


@cache
def bias(threads, size):
    """The kernel of the bias's gradient: one block sums a channel of all images, each thread every `threads`-th."""
    THREADS, BYTES, KEPT = threads, size, max(size, 4)
    CELLS = -(-threads * KEPT // 16)

    def kernel(dy, db, phase, first_block):
        all_sums = shared(cuda.shared.array(CELLS, jit.COMPLEX), KEPT)
        thread = whole(cuda.threadIdx.x, 0)
        channel = first_block + cuda.blockIdx.x
        pixels = field(phase, PIXELS)
        images = field(phase, TOTAL) // pixels
        sums = registers(4, KEPT)
        # Four sums, so that four loads are under way.
        for image in range(images):
            place = shift(dy, image * field(phase, TARGET_IMAGE) + channel * pixels, BYTES)
            for first in range(thread, pixels, 4 * THREADS):
                for i in range(4):
                    put(sums, i, take(sums, i) + load_if(place, first + i * THREADS, first + i * THREADS < pixels,
                                                         BYTES))
        put(all_sums, thread, (take(sums, 0) + take(sums, 1)) + (take(sums, 2) + take(sums, 3)))
        cuda.syncthreads()
        half = THREADS // 2
        while half > 0:
            if thread < half:
                put(all_sums, thread, take(all_sums, thread) + take(all_sums, whole(thread + half, 0)))
            cuda.syncthreads()
            half //= 2
        if thread == 0:
            store(db, channel, take(all_sums, thread), BYTES)
    return jit.kernel(kernel)
