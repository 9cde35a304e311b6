"""Convolution as one product of matrices that are never laid out: the kernels of both directions.

With the tables of `fastconv.backends.cuda.tables`, both the forward pass and the input's gradient are

    target[n, m, pixel] = bias[m] + the sum over q of packed[q, m] * source[n, pixel + tap q]

for each group and phase. A block of threads of `tile` computes BM x BN of it, channels by pixels; a thread TM x TN in
registers. What it needs of BK taps at a time lies in shared memory, twice, so that the next BK are fetched while these
are used::

             BN pixels                     A column of `right` is one pixel, and belongs to one thread for good: it
          +------------+                   finds the pixel's place once, and adds a tap's offset to read an element.
       BK |   right    |                   Rows of `left` are packed weights, copied 16 bytes at a time.
          +------------+
      BK
    +----+------------+
    |left| TM x TN to | BM channels
    +----+ each thread+

`direct` is for few channels, where nothing is worth sharing: a thread computes TM channels of PX pixels, and what its
neighbors read too comes from the cache.
"""

from functools import cache

from fastconv.backends.cuda import jit
from fastconv.backends.cuda.jit import cuda
from fastconv.backends.cuda.tables import (
    BLOCKS_PIXELS,
    BLOCKS_ROWS,
    COUNT,
    FIELDS,
    FIRST,
    NOWHERE,
    NOWHERE_WIDE,
    PACKED_GROUP,
    PHASES,
    ROWS,
    ROWS_PADDED,
    SIZE,
    SOURCE_GROUP,
    SOURCE_IMAGE,
    START,
    STEP,
    TARGET_CHANNEL,
    TOTAL,
)
from fastconv.backends.cuda.words import (
    divided,
    entry,
    field,
    given,
    inside,
    late,
    load,
    load4,
    load4_if,
    load_if,
    multiply,
    multiply_tensor,
    put,
    put4,
    registers,
    shared,
    shift,
    split,
    store,
    store2,
    store4,
    take,
    take4,
    target_of,
    tf32,
    whole,
)


@cache
def tile(bm, bn, bk, tm, tn, size, axes, wide, vector, tensor=0, flat=0):
    """The kernel with blocks of bm x bn, steps of bk and tm x tn a thread, or, of tensor cores, a warp.

    Parameters
    ----------
    size : int
        Bytes of an element.
    axes : int
        How many of the last axes may reach into padding; at least 1.
    wide : int
        1 for 64-bit offsets.
    vector : int
        1 if four pixels, from a multiple of four on, are also four neighbors of the target.
    tensor : int
        1 to multiply by tensor cores, in TF32; its sums are float32 all the same.
    flat : int
        1 if a pixel of the target is that pixel of the source, as of a 1 x 1 kernel, and four of them can be read at
        once.
    """
    FLAT = flat
    BM, BN, BK, TM, TN, BYTES, AXES, WIDE, VECTOR, TENSOR = bm, bn, bk, tm, tn, size, axes, wide, vector, tensor
    KEPT = max(BYTES, 4)
    THREADS, ACROSS = BM // TM * (BN // TN) * (32 if TENSOR else 1), BN // TN
    # See `multiply_tensor` for the eight.
    LEFT_ROW, RIGHT_ROW = BM + 8 * TENSOR, BN + 8 * TENSOR
    LEFT, RIGHT = BK * LEFT_ROW, BK * RIGHT_ROW
    LEFT_CELLS, RIGHT_CELLS = 2 * LEFT * KEPT // 16, 2 * RIGHT * KEPT // 16
    QUADS, QUADS_ROW = BK * BM // 4, BM // 4  # fours of packed weights in a step, and in a row of them
    MINE = -(-QUADS // THREADS)
    AT_ONCE = 4 if FLAT else 1                # pixels that a thread fetches
    LINE = BN // AT_ONCE
    ROWS_AT_ONCE = THREADS // LINE            # of `right`
    EACH = BK // ROWS_AT_ONCE
    HELD_RIGHT = EACH * AT_ONCE
    SUMS, HELD = TM * TN // (32 if TENSOR else 1), MINE * 4
    NEXT_ROWS, NEXT_COLUMNS = BM // (TM // 4), BN // (TN // 4)
    SQUARES_DOWN, SQUARES_ACROSS = TM // 16, TN // 8
    TAP_BYTES, BEYOND = (8, NOWHERE_WIDE) if WIDE else (4, NOWHERE)

    def kernel(source, packed, bias, target, phases, taps, first_block):
        left = shared(cuda.shared.array(LEFT_CELLS, jit.COMPLEX), KEPT)
        right = shared(cuda.shared.array(RIGHT_CELLS, jit.COMPLEX), KEPT)
        thread = whole(cuda.threadIdx.x, 0)
        column, row = whole(thread % LINE * AT_ONCE, 0), whole(thread // LINE, 0)
        if TENSOR:
            lane, warp = whole(thread % 32, 0), whole(thread // 32, 0)
            tx, ty = whole(warp % ACROSS * TN, 0), whole(warp // ACROSS * TM, 0)
        else:
            tx, ty = whole(thread % ACROSS * 4, 0), whole(thread // ACROSS * 4, 0)
        block = first_block + cuda.blockIdx.x
        # Phases first, as they read the same elements and write to the same lines; then pixels, which share weights.
        rest = block // field(phases, PHASES)
        phase = shift(phases, (block - rest * field(phases, PHASES)) * FIELDS, 8)
        block, rest = rest, rest // field(phases, BLOCKS_PIXELS)
        first_pixel = whole((block - rest * field(phases, BLOCKS_PIXELS)) * BN, WIDE)
        first_row = whole(rest % field(phases, BLOCKS_ROWS) * BM, WIDE)
        group = rest // field(phases, BLOCKS_ROWS)
        total = whole(field(phase, TOTAL), WIDE)
        if first_pixel < total:
            n, d, h, w = split(phase, whole(first_pixel + column, WIDE), WIDE)
            w = whole(w * field(phase, STEP + 2) + field(phase, START + 2), WIDE)
            h = whole(h * field(phase, STEP + 1) + field(phase, START + 1), WIDE)
            d = whole(d * field(phase, STEP) + field(phase, START), WIDE)
            depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
            width = whole(field(phase, SIZE + 2), WIDE)
            place = shift(source, n * field(phase, SOURCE_IMAGE) + group * field(phase, SOURCE_GROUP)
                          + (d * field(phase, SIZE + 1) + h) * field(phase, SIZE + 2) + w, BYTES)
            if first_pixel + column >= total:
                w = whole(BEYOND, WIDE)
            rows_padded = whole(field(phase, ROWS_PADDED), WIDE)
            weights = shift(packed, group * field(phase, PACKED_GROUP)
                            + field(phase, FIRST) * field(phase, ROWS_PADDED) + first_row, KEPT)
            tap = shift(taps, field(phase, FIRST) * 4, TAP_BYTES)

            sums = registers(SUMS, KEPT)
            next_left, next_right = registers(HELD, KEPT), registers(HELD_RIGHT, KEPT)
            steps = whole(field(phase, COUNT) // BK, 0)
            # Step s fetches what step s + 1 multiplies. The last one fetches taps that are of no use, but are there.
            for step in range(-1, steps):
                q = whole((step + 1) * BK, WIDE)
                for i in range(MINE):
                    v = whole(thread + i * THREADS, 0)
                    if QUADS % THREADS == 0 or v < QUADS:
                        mine = shift(weights, whole(v // QUADS_ROW * rows_padded + v % QUADS_ROW * 4, WIDE), KEPT)
                        four = load4(mine, whole(q * rows_padded, WIDE), KEPT)
                        put4(next_left, 4 * i, four)
                for i in range(EACH):
                    offset, dd, dh, dw = entry(tap, whole(q + row + i * ROWS_AT_ONCE, WIDE), WIDE)
                    wanted = inside(whole(w + dw, WIDE), width)
                    if AXES > 1:
                        wanted = wanted & inside(whole(h + dh, WIDE), height)
                    if AXES > 2:
                        wanted = wanted & inside(whole(d + dd, WIDE), depth)
                    if FLAT:
                        put4(next_right, 4 * i, load4_if(place, offset, wanted, source, BYTES))
                    else:
                        put(next_right, i, load_if(place, offset, wanted, BYTES))
                if step >= 0:
                    half = whole(step & 1, 0)
                    if TENSOR:
                        multiply_tensor(sums, left, whole(half * LEFT + ty, 0), LEFT_ROW, right,
                                        whole(half * RIGHT + tx, 0), RIGHT_ROW, lane, BK, TM, TN)
                    else:
                        multiply(sums, left, whole(half * LEFT + ty, 0), BM, right, whole(half * RIGHT + tx, 0), BN,
                                 BK, TM, TN)
                half = whole((step + 1) & 1, 0)
                for i in range(MINE):
                    v = whole(thread + i * THREADS, 0)
                    if QUADS % THREADS == 0 or v < QUADS:
                        put4(left, whole(half * LEFT + v // QUADS_ROW * LEFT_ROW + v % QUADS_ROW * 4, 0),
                             take4(next_left, 4 * i))
                for i in range(EACH):
                    at = whole(half * RIGHT + (row + i * ROWS_AT_ONCE) * RIGHT_ROW + column, 0)
                    if FLAT:
                        x0, x1, x2, x3 = take4(next_right, 4 * i)
                        if TENSOR:
                            x0, x1, x2, x3 = tf32(x0), tf32(x1), tf32(x2), tf32(x3)
                        put4(right, at, (x0, x1, x2, x3))
                    else:
                        x = take(next_right, i)
                        if TENSOR:
                            x = tf32(x)
                        put(right, at, x)
                cuda.syncthreads()

            rows, channel = whole(late(phase, ROWS), WIDE), whole(late(phase, TARGET_CHANNEL), WIDE)
            base = shift(target, group * late(phase, ROWS) * late(phase, TARGET_CHANNEL), BYTES)
            if TENSOR:
                for j in range(SQUARES_ACROSS):
                    first = whole(first_pixel + tx + j * 8 + lane % 4 * 2, WIDE)
                    if first < total:
                        at0 = target_of(base, phase, first, BYTES, WIDE)
                        if not VECTOR:
                            at1 = target_of(base, phase, whole(first + 1, WIDE), BYTES, WIDE)
                        for i in range(2 * SQUARES_DOWN):
                            m = whole(first_row + ty + i * 8 + lane // 4, WIDE)
                            if m < rows:
                                c = 4 * (i // 2 * SQUARES_ACROSS + j) + i % 2 * 2
                                v0, v1 = take(sums, c), take(sums, c + 1)
                                if given(bias):
                                    b = load(bias, group * rows + m, BYTES)
                                    v0, v1 = v0 + b, v1 + b
                                m = whole(m * channel, WIDE)
                                if VECTOR:
                                    store2(at0, m, v0, v1, BYTES)
                                else:
                                    store(at0, m, v0, BYTES)
                                    if first + 1 < total:
                                        store(at1, m, v1, BYTES)
            else:
                for j in range(0, TN, 4):
                    first = whole(first_pixel + j // 4 * NEXT_COLUMNS + tx, WIDE)
                    if first < total:
                        at0 = target_of(base, phase, first, BYTES, WIDE)
                        if not VECTOR:
                            at1 = target_of(base, phase, whole(first + 1, WIDE), BYTES, WIDE)
                            at2 = target_of(base, phase, whole(first + 2, WIDE), BYTES, WIDE)
                            at3 = target_of(base, phase, whole(first + 3, WIDE), BYTES, WIDE)
                        for i in range(TM):
                            m = whole(first_row + i // 4 * NEXT_ROWS + ty + i % 4, WIDE)
                            if m < rows:
                                v0, v1, v2, v3 = take4(sums, i * TN + j)
                                if given(bias):
                                    b = load(bias, group * rows + m, BYTES)
                                    v0, v1, v2, v3 = v0 + b, v1 + b, v2 + b, v3 + b
                                m = whole(m * channel, WIDE)
                                if VECTOR:
                                    store4(at0, m, (v0, v1, v2, v3), BYTES)
                                else:
                                    store(at0, m, v0, BYTES)
                                    if first + 1 < total:
                                        store(at1, m, v1, BYTES)
                                    if first + 2 < total:
                                        store(at2, m, v2, BYTES)
                                    if first + 3 < total:
                                        store(at3, m, v3, BYTES)
    return jit.kernel(kernel)


@cache
def direct(tm, px, threads, size, axes, wide, weighted=1):
    """The kernel for few channels: `threads` of them, `tm` (1 or a multiple of 4) channels of `px` pixels each.

    Parameters
    ----------
    size, axes, wide
        As of `tile`.
    weighted : int
        0 if every weight is 1.
    """
    TM, PX, THREADS, BYTES, AXES, WIDE, WEIGHTED = tm, px, threads, size, axes, wide, weighted
    KEPT = max(BYTES, 4)
    SUMS, GROUPS = TM * PX, -(-TM // 4)
    TAP_BYTES, BEYOND = (8, NOWHERE_WIDE) if WIDE else (4, NOWHERE)
    KIND = jit.INT64 if WIDE else jit.INT32

    def kernel(source, packed, bias, target, phases, taps, first_block):
        thread = whole(cuda.threadIdx.x, 0)
        places = cuda.local.array(PX, jit.PLACE)
        ds = cuda.local.array(PX, KIND)
        hs = cuda.local.array(PX, KIND)
        ws = cuda.local.array(PX, KIND)
        ats = cuda.local.array(PX, jit.PLACE)
        block = first_block + cuda.blockIdx.x
        rest = block // field(phases, PHASES)
        phase = shift(phases, (block - rest * field(phases, PHASES)) * FIELDS, 8)
        block, rest = rest, rest // field(phases, BLOCKS_PIXELS)
        first_pixel = whole((block - rest * field(phases, BLOCKS_PIXELS)) * (THREADS * PX), WIDE)
        first_row = whole(rest % field(phases, BLOCKS_ROWS) * TM, WIDE)
        group = rest // field(phases, BLOCKS_ROWS)
        total = whole(field(phase, TOTAL), WIDE)
        if first_pixel + thread < total:
            depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
            width = whole(field(phase, SIZE + 2), WIDE)
            for p in range(PX):
                pixel = whole(first_pixel + thread + p * THREADS, WIDE)
                base = shift(target, group * late(phase, ROWS) * late(phase, TARGET_CHANNEL), BYTES)
                ats[p] = target_of(base, phase, pixel, BYTES, WIDE)
                n, d, h, w = split(phase, pixel, WIDE)
                w = whole(w * field(phase, STEP + 2) + field(phase, START + 2), WIDE)
                h = whole(h * field(phase, STEP + 1) + field(phase, START + 1), WIDE)
                d = whole(d * field(phase, STEP) + field(phase, START), WIDE)
                places[p] = shift(source, n * field(phase, SOURCE_IMAGE) + group * field(phase, SOURCE_GROUP)
                                  + (d * field(phase, SIZE + 1) + h) * field(phase, SIZE + 2) + w, BYTES)
                ds[p], hs[p] = d, h
                ws[p] = w if first_pixel + thread + p * THREADS < total else BEYOND
            rows_padded = whole(field(phase, ROWS_PADDED), WIDE)
            weights = shift(packed, group * field(phase, PACKED_GROUP)
                            + field(phase, FIRST) * field(phase, ROWS_PADDED) + first_row, KEPT)
            tap = shift(taps, field(phase, FIRST) * 4, TAP_BYTES)
            sums, found = registers(SUMS, KEPT), registers(PX, KEPT)
            for q in range(whole(field(phase, COUNT), WIDE)):
                offset, dd, dh, dw = entry(tap, whole(q, WIDE), WIDE)
                for p in range(PX):
                    wanted = inside(whole(ws[p] + dw, WIDE), width)
                    if AXES > 1:
                        wanted = wanted & inside(whole(hs[p] + dh, WIDE), height)
                    if AXES > 2:
                        wanted = wanted & inside(whole(ds[p] + dd, WIDE), depth)
                    put(found, p, load_if(places[p], offset, wanted, BYTES))
                if TM == 1:
                    if WEIGHTED:
                        weight = load(weights, whole(q * rows_padded, WIDE), KEPT)
                        for p in range(PX):
                            put(sums, p, take(sums, p) + weight * take(found, p))
                    else:
                        for p in range(PX):
                            put(sums, p, take(sums, p) + take(found, p))
                else:
                    for i in range(GROUPS):
                        w0, w1, w2, w3 = load4(weights, whole(q * rows_padded + i * 4, WIDE), KEPT)
                        for p in range(PX):
                            x = take(found, p)
                            at = p * TM + 4 * i
                            put(sums, at, take(sums, at) + w0 * x)
                            put(sums, at + 1, take(sums, at + 1) + w1 * x)
                            put(sums, at + 2, take(sums, at + 2) + w2 * x)
                            put(sums, at + 3, take(sums, at + 3) + w3 * x)
            rows, channel = whole(late(phase, ROWS), WIDE), whole(late(phase, TARGET_CHANNEL), WIDE)
            for i in range(TM):
                m = whole(first_row + i, WIDE)
                if m < rows:
                    for p in range(PX):
                        if first_pixel + thread + p * THREADS < total:
                            value = take(sums, p * TM + i)
                            if given(bias):
                                value = value + load(bias, group * rows + m, BYTES)
                            store(ats[p], whole(m * channel, WIDE), value, BYTES)
    return jit.kernel(kernel)


@cache
def pack(size, wide, tensor=0):
    """The kernel that lays weights out as the kernels above read them: packed[group, q, m], zero where there is none.

    It takes the weights, the packed ones, where the weight of each q stands for m = 0, and a few sizes. With `tensor`
    it rounds them for the tensor cores.
    """
    BYTES, KEPT, WIDE, TENSOR = size, max(size, 4), wide, tensor

    def kernel(weights, packed, places, numbers):
        elements, of_row, of_group = field(numbers, 0), field(numbers, 4), field(numbers, 5)
        rows_padded, lines = field(numbers, 1), field(numbers, 3)
        rows = field(numbers, 2)
        first = cuda.blockIdx.x * whole(cuda.blockDim.x, 1) + cuda.threadIdx.x
        for element in range(first, elements, cuda.gridDim.x * whole(cuda.blockDim.x, 1)):
            # Divisions of 32 bits take a fifth of the instructions.
            line = divided(element, rows_padded, WIDE)
            m = element - line * rows_padded
            group = divided(line, lines, WIDE)
            at = field(places, line - group * lines)
            wanted = (at >= 0) & (m < rows)
            weight = load_if(weights, group * of_group + at + m * of_row, wanted, BYTES)
            if TENSOR:
                weight = tf32(weight)
            store(packed, element, weight, KEPT)
    return jit.kernel(kernel)
