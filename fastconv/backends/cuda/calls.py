"""The contract's functions: each finds its plan, made once for a geometry, and launches its kernels."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from fastconv.backends.cuda import blocks, depthwise, gather, memory, pool, tables, weight
from fastconv.backends.cuda.launch import launch, launch_over
from fastconv.backends.cuda.memory import Table, address, aligned, device, workspace
from fastconv.backends.precision import get_float32_precision

PLANS = 512  # kept for each function: with their tables, some tens of kilobytes of device memory each


@dataclass(frozen=True)
class Plan:
    """A kernel, how many blocks of how many threads it takes, and its tables on a device."""

    kernel: object
    blocks: int
    threads: int
    phases: Table
    taps: Table
    device: int
    more: object = None


@dataclass(frozen=True)
class Packing:
    """How weights are packed for a kernel: `elements` of them, on the device's tables."""

    kernel: object
    elements: int
    places: Table
    numbers: Table


def conv_forward(x, w, bias, y, g):
    """y from x, w and bias, which may be None."""
    size, what = x.dtype.itemsize, "conv_forward"
    _gather(_conv(what, g, size, aligned(x) and aligned(y), tensor(size), device()), x, w, bias, y, what)


def conv_backward_input(dy, w, dx, g):
    """dx from dy and w."""
    size, what = dy.dtype.itemsize, "conv_backward_input"
    _gather(_conv(what, g, size, aligned(dy) and aligned(dx), tensor(size), device()), dy, w, None, dx, what)


def tensor(size):
    """Whether tensor cores may multiply elements of `size` bytes.

    They multiply in TF32, of 10 bits of mantissa, which holds every float16; float32 is rounded to it, where that is
    allowed.
    """
    allowed = size == 2 or (size == 4 and get_float32_precision() == "medium")
    return allowed and memory.capability() >= (8, 0)


def _gather(plan, source, w, bias, target, what):
    packing = plan.more
    with memory.lock:
        packed = workspace(packing.elements, tables.COMPUTED[source.dtype.itemsize], what, plan.device)
        launch_over(packing.kernel, packing.elements, blocks.THREADS, address(w), packed, packing.places.address,
                    packing.numbers.address)
        launch(plan.kernel, plan.blocks, plan.threads, address(source), packed, address(bias), address(target),
               plan.phases.address, plan.taps.address)


@lru_cache(maxsize=PLANS)
def _conv(what, g, size, is_aligned, by_tensor, number):
    forward = what == "conv_forward"
    rows, pixels = (g.k, prod(g.output)) if forward else (g.c, prod(g.input))
    rows, strides = rows // g.groups, 1 if forward else prod(map(min, g.stride, g.input))
    make = tables.forward if forward else tables.backward_input
    # A strided convolution's input gradient has phases, each with taps of its own.
    shape, strips = blocks.direct(rows), blocks.strips(g) if forward or g.stride == (1, 1, 1) else 0
    if strips:
        found = tables.in_strips(make(g, (1, 1, 1)), strips, blocks.THREADS)
        kernel = depthwise.strips(*g.kernel[1:], g.stride[1], strips, blocks.THREADS, size, int(found.wide))
        threads = blocks.THREADS
    elif shape:
        tm, px = shape
        found = make(g, (tm, blocks.THREADS * px, 1))
        kernel = gather.direct(tm, px, blocks.THREADS, size, found.axes, int(found.wide))
        threads = blocks.THREADS
    else:
        tile = blocks.gather_tile(rows, -(-g.n * pixels // strides), g.groups * strides, size, by_tensor)
        found = make(g, tile[:3])
        # Four pixels, from a multiple of four on, belong to one image and one channel.
        vector = is_aligned and found.dense and pixels % 4 == 0
        threads = blocks.threads(tile, by_tensor)
        flat = (vector and prod(g.kernel) == 1 and g.input == g.output and not any(map(any, g.padding))
                and blocks.by_fours(tile, threads))
        kernel = gather.tile(*tile, size, found.axes, int(found.wide), int(vector), int(by_tensor), int(flat))
    line = found.phases[0]
    count = int(line[tables.PHASES] * line[tables.BLOCKS_PIXELS] * line[tables.BLOCKS_ROWS]) * g.groups
    elements = g.groups * int(line[tables.PACKED_GROUP])
    numbers = [elements, line[tables.ROWS_PADDED], line[tables.ROWS], len(found.taps), found.weight_row,
               found.weight_group]
    rounded = int(by_tensor and size == 4 and not strips and not shape)
    packing = Packing(gather.pack(size, int(found.wide or elements > tables.INT32), rounded), elements,
                      Table(found.weights, what), Table(np.array(numbers, np.int64), what))
    return Plan(kernel, count, threads, Table(found.phases, what), Table(found.taps, what), number, packing)


def conv_backward_weight(x, dy, dw, db, g):
    """dw, and db if it is not None, from x and dy."""
    what, size = "conv_backward_weight", x.dtype.itemsize
    plan = _weight(g, size, tensor(size), device())
    splits, elements = plan.more
    with memory.lock:
        sums = address(dw) if splits == 1 else workspace(splits * elements, tables.COMPUTED[size], what,
                                                                plan.device)
        launch(plan.kernel, plan.blocks, plan.threads, address(x), address(dy), sums, plan.phases.address,
               plan.taps.address)
        if splits > 1:
            launch_over(weight.add_up(size), elements, blocks.THREADS, sums, address(dw), plan.phases.address)
        if db is not None:
            launch(weight.bias(blocks.BIAS_THREADS, size), g.k, blocks.BIAS_THREADS, address(dy), address(db),
                   plan.phases.address)


@lru_cache(maxsize=PLANS)
def _weight(g, size, by_tensor, number):
    rows, columns = g.k // g.groups, g.c // g.groups * prod(g.kernel)
    tile, pixels = blocks.weight_tile(rows, columns, size, by_tensor), g.n * prod(g.output)
    if tile is None:
        bm, bn = (1 if rows == 1 else 4), min(columns, blocks.DIRECT_WEIGHT)
        bk = threads = blocks.THREADS
    else:
        bm, bn, bk = tile[:3]
        threads = blocks.threads(tile, by_tensor)
    each = -(-rows // bm) * -(-columns // bn) * g.groups
    found = tables.backward_weight(g, (bm, bn, bk), blocks.splits(each, pixels, bk))
    splits = int(found.phases[0, tables.SPLITS])
    out = size if splits == 1 else max(size, 4)
    if tile is None:
        kernel = weight.direct(bm, bn, threads, size, found.axes, int(found.wide), out)
    else:
        kernel = weight.tile(*tile, size, found.axes, int(found.wide), out, int(by_tensor))
    what = "conv_backward_weight"
    return Plan(kernel, each * splits, threads, Table(found.phases, what), Table(found.taps, what), number,
                (splits, prod(g.w_shape)))


def im2col(x, cols, g):
    """cols from x."""
    plan = _im2col(g, x.dtype.itemsize, device())
    launch(plan.kernel, plan.blocks, plan.threads, address(x), address(cols), plan.phases.address, plan.taps.address)


@lru_cache(maxsize=PLANS)
def _im2col(g, size, number):
    found = tables.im2col(g, (blocks.IM2COL_ROWS, blocks.THREADS, 1))
    line = found.phases[0]
    kernel = pool.im2col(blocks.IM2COL_ROWS, blocks.THREADS, size, found.axes, int(found.wide))
    return Plan(kernel, int(line[tables.BLOCKS_PIXELS] * line[tables.BLOCKS_COLUMNS]), blocks.THREADS,
                Table(found.phases, "im2col"), Table(found.taps, "im2col"), number)


def col2im(cols, x, g):
    """x from cols."""
    plan = _col2im(g, x.dtype.itemsize, device())
    nothing = address(None)
    launch(plan.kernel, plan.blocks, plan.threads, address(cols), plan.more.address, nothing, address(x),
           plan.phases.address, plan.taps.address)


@lru_cache(maxsize=PLANS)
def _col2im(g, size, number):
    tm, px = blocks.DIRECT[0][1]
    found = tables.col2im(g, (tm, blocks.THREADS * px, 1))
    line = found.phases[0]
    kernel = gather.direct(tm, px, blocks.THREADS, size, found.axes, int(found.wide), weighted=0)
    return Plan(kernel, int(line[tables.PHASES] * line[tables.BLOCKS_PIXELS]) * g.c, blocks.THREADS,
                Table(found.phases, "col2im"), Table(found.taps, "col2im"), number,
                Table(np.zeros(4, tables.COMPUTED[size]), "col2im"))


def max_pool_forward(x, y, indices, g):
    """y, and indices if it is not None, from x."""
    plan = _pool("max_forward", g, x.dtype.itemsize, device())
    launch(plan.kernel, plan.blocks, plan.threads, address(x), address(y), address(indices), plan.phases.address)


def max_pool_backward(dy, indices, dx, g):
    """dx from dy and indices."""
    size = dy.dtype.itemsize
    numbers = _maps(prod(g.output), prod(g.input), device())
    launch(pool.max_backward(blocks.THREADS, size), g.n * g.c, blocks.THREADS, address(dy), address(indices),
           address(dx), numbers.address)


@lru_cache(maxsize=PLANS)
def _maps(outputs, inputs, _device):
    return Table(np.array([outputs, inputs], np.int64), "max_pool_backward")


def avg_pool_forward(x, y, g):
    """y from x."""
    plan = _pool("avg_forward", g, x.dtype.itemsize, device())
    launch(plan.kernel, plan.blocks, plan.threads, address(x), address(y), plan.phases.address)


def avg_pool_backward(dy, dx, g):
    """dx from dy."""
    if tables.side_by_side(g):
        plan = _pool("avg_spread", g, dy.dtype.itemsize, device())
        launch(plan.kernel, plan.blocks, plan.threads, address(dy), address(dx), plan.phases.address)
    else:
        plan = _pool("avg_backward", g, dy.dtype.itemsize, device())
        launch(plan.kernel, plan.blocks, plan.threads, address(dy), address(dx), plan.phases.address,
               plan.taps.address)


@lru_cache(maxsize=PLANS)
def _pool(what, g, size, number):
    make = tables.windows_backward if what == "avg_backward" else tables.windows
    found = make(g, (1, blocks.THREADS, 1))
    line, wide = found.phases[0], int(found.wide)
    if what == "avg_backward":
        kernel = pool.avg_backward(blocks.THREADS, size, found.axes, wide)
    elif what == "max_forward":
        unrolled = g.kernel[1:] if max(g.kernel[1:]) <= blocks.UNROLLED else ()
        kernel = pool.max_forward(blocks.THREADS, size, wide, *unrolled)
    else:
        kernel = getattr(pool, what)(blocks.THREADS, size, wide)
    return Plan(kernel, int(line[tables.PHASES] * line[tables.BLOCKS_PIXELS]), blocks.THREADS,
                Table(found.phases, what), Table(found.taps, what), number)
