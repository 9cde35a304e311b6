"""Convolution of each channel on its own: bound by memory, so that what counts is bytes and instructions.

A thread computes a strip of PY outputs below each other. The threads of a warp stand side by side, so that every load
and store is of neighbors; an element is loaded once for all outputs of the strip that need it: 18 loads for four
outputs of a 3 x 3 kernel, where `gather.direct` takes 36, with a comparison for each axis and load.
"""

from functools import cache

from fastconv.backends.cuda import jit
from fastconv.backends.cuda.jit import cuda
from fastconv.backends.cuda.tables import (
    BLOCKS_PIXELS,
    COLUMNS,
    COUNT,
    PACKED_GROUP,
    SIZE,
    SOURCE_GROUP,
    SOURCE_IMAGE,
    START,
    STEP,
    TARGET_CHANNEL,
    TARGET_STEP,
    TOTAL,
)
from fastconv.backends.cuda.words import (
    entry,
    field,
    given,
    inside,
    load,
    registers,
    shift,
    slide,
    split,
    store,
    take,
    target_of,
    whole,
)


@cache
def strips(r, s, step, py, threads, size, wide):
    """The kernel for kernels of ``r x s`` (times any depth) without dilation.

    Parameters
    ----------
    step : int
        The stride along the height.
    py : int
        Outputs of a thread.
    threads, size, wide : int
        As of `fastconv.backends.cuda.gather.direct`.
    """
    R, S, STRIDE, PY, THREADS, BYTES, WIDE = r, s, step, py, threads, size, wide
    KEPT = max(BYTES, 4)
    TAPS = R * S

    def kernel(source, packed, bias, target, phase, taps, first_block):
        block = first_block + cuda.blockIdx.x
        group = block // field(phase, BLOCKS_PIXELS)
        strip = whole((block - group * field(phase, BLOCKS_PIXELS)) * THREADS + cuda.threadIdx.x, WIDE)
        if strip < field(phase, TOTAL):
            depth, height = whole(field(phase, SIZE), WIDE), whole(field(phase, SIZE + 1), WIDE)
            width = whole(field(phase, SIZE + 2), WIDE)
            n, d, h, w = split(phase, strip, WIDE)
            first_row = whole(h * PY, WIDE)
            w = whole(w * field(phase, STEP + 2) + field(phase, START + 2), WIDE)
            h = whole(h * field(phase, STEP + 1) + field(phase, START + 1), WIDE)
            d = whole(d * field(phase, STEP) + field(phase, START), WIDE)
            place = shift(source, n * field(phase, SOURCE_IMAGE) + group * field(phase, SOURCE_GROUP)
                          + (d * field(phase, SIZE + 1) + h) * field(phase, SIZE + 2) + w, BYTES)
            weights = shift(packed, group * field(phase, PACKED_GROUP), KEPT)
            sums = registers(PY, KEPT)
            for t in range(0, whole(field(phase, COUNT), WIDE), TAPS):
                offset, dd, dh, dw = entry(taps, whole(t, WIDE), WIDE)
                if inside(whole(d + dd, WIDE), depth):
                    slide(sums, place, offset, whole(h + dh, WIDE), height, whole(w + dw, WIDE), width,
                          shift(weights, t, KEPT), R, S, STRIDE, PY, BYTES)
            base = target_of(shift(target, group * field(phase, TARGET_CHANNEL), BYTES), phase, strip, BYTES, WIDE)
            rows, row = whole(field(phase, COLUMNS), WIDE), whole(field(phase, TARGET_STEP + 1) // PY, WIDE)
            for p in range(PY):
                if first_row + p < rows:
                    value = take(sums, p)
                    if given(bias):
                        value = value + load(bias, group, BYTES)
                    store(base, whole(p * row, WIDE), value, BYTES)
    return jit.kernel(kernel)
