"""What a kernel must know of a geometry, as small tables of integers: plain NumPy, computed once a geometry.

A convolution's input gradient with stride s falls apart into s (an axis) *phases*: the elements at every s-th place are
a convolution of dy of stride 1 with every s-th tap. The forward pass is a single phase. A phase knows how many pixels
it has, where they read (`START` + `STEP` * pixel) and where they write (`TARGET` + ...); its taps say by how much a tap
moves that place. So one kernel serves both directions, and divides by nothing but the sizes below, when it starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

# The fields of a phase, each an int64; three of a kind are for depth, height and width, or are a size and its
# `reciprocal`. Those of the second line say how the work is divided among blocks, the same in every phase.
_fields = iter(range(100))


def _take(count=1):
    first, *_ = [next(_fields) for _ in range(count)]
    return first


TOTAL, FIRST, COUNT, ROWS, ROWS_PADDED, PACKED_GROUP = (_take() for _ in range(6))
PHASES, BLOCKS_PIXELS, BLOCKS_ROWS, BLOCKS_COLUMNS, SPLITS, SPLIT_PIXELS = (_take() for _ in range(6))
PIXELS, PLANE, ROW = (_take(3) for _ in range(3))
STEP, START, SIZE, TARGET_STEP = (_take(3) for _ in range(4))
TARGET, TARGET_CHANNEL, TARGET_IMAGE, SOURCE_IMAGE, SOURCE_GROUP, COLUMNS = (_take() for _ in range(6))
KERNEL, DILATION, WINDOW_STEP, BEFORE, AFTER, WINDOW_SIZE = (_take(3) for _ in range(6))
DIVISOR, COUNTED, FIELDS = (_take() for _ in range(3))

COMPUTED = {2: np.float32, 4: np.float32, 8: np.float64}  # what elements of so many bytes are computed in
# A coordinate that no offset brings back inside, of 32 bits and, where coordinates reach beyond FAR, of 64.
NOWHERE, NOWHERE_WIDE = -(2**29), -(2**62)
FAR = 2**28
INT32 = 2**31 - 1


@dataclass(frozen=True)
class Gather:
    """The tables of one direction of a convolution.

    Attributes
    ----------
    phases : ndarray of int64, (phases, FIELDS)
    taps : ndarray of int32 or int64, (rows of packed weights, 4)
        How far a tap moves the place of a pixel: in elements, and in depth, height and width.
    weights : ndarray of int64, (rows of packed weights,)
        Where the weight of a tap stands in a group's weights for row m = 0; -1 where there is none.
    weight_row, weight_group : int
        Elements from one m, from one group to the next.
    axes : int
        How many of the last axes may reach into padding; at least 1.
    wide : bool
        Whether some offset exceeds 32 bits.
    dense : bool
        Whether pixels next to each other are neighbors of the target.
    """

    phases: np.ndarray
    taps: np.ndarray
    weights: np.ndarray
    weight_row: int
    weight_group: int
    axes: int
    wide: bool
    dense: bool


@dataclass(frozen=True)
class Phase:
    """Along one axis: `count` pixels that read from ``start + step i`` and write to ``target + target_step i``."""

    count: int
    start: int
    step: int
    target: int
    target_step: int
    taps: tuple  # (tap, how far it moves the place)


def forward_phases(g, axis):
    """The one phase of the forward pass."""
    taps = tuple((tap, tap * g.dilation[axis]) for tap in range(g.kernel[axis]))
    return [Phase(g.output[axis], -g.padding[axis][0], g.stride[axis], 0, 1, taps)]


def backward_phases(g, axis):
    """The phases of the input's gradient.

    Input i is seen by output o through tap r where ``o stride = i + padding - r dilation``: by the taps for which the
    right side is a multiple of the stride, as it is for every ``stride``-th i or for none.
    """
    stride, before, dilation = g.stride[axis], g.padding[axis][0], g.dilation[axis]
    phases = []
    for first in range(min(stride, g.input[axis])):
        taps = tuple((tap, (first + before - tap * dilation) // stride) for tap in range(g.kernel[axis])
                     if (first + before - tap * dilation) % stride == 0)
        phases.append(Phase(-(-(g.input[axis] - first) // stride), 0, 1, first, stride, taps))
    return phases


def forward(g, blocks):
    """The tables of `conv_forward`; `blocks` is (rows, pixels, taps) of a block."""
    taps = math.prod(g.kernel)
    return _gather(g, g.n, g.groups, [forward_phases(g, axis) for axis in range(3)], g.input, g.output,
                   channels=g.c // g.groups, rows=g.k // g.groups, blocks=blocks,
                   weight_channel=taps, weight_row=g.c // g.groups * taps, weight_group=g.k // g.groups * g.c //
                   g.groups * taps)


def backward_input(g, blocks):
    """The tables of `conv_backward_input`."""
    taps = math.prod(g.kernel)
    return _gather(g, g.n, g.groups, [backward_phases(g, axis) for axis in range(3)], g.output, g.input,
                   channels=g.k // g.groups, rows=g.c // g.groups, blocks=blocks,
                   weight_channel=g.c // g.groups * taps, weight_row=taps, weight_group=g.k // g.groups * g.c //
                   g.groups * taps)


def col2im(g, blocks):
    """The tables of `col2im`: the input's gradient of a depthwise convolution, each of whose taps has its own plane."""
    return _gather(g, g.n, g.c, [backward_phases(g, axis) for axis in range(3)], g.output, g.input,
                   channels=1, rows=1, blocks=blocks, weight_channel=0, weight_row=0, weight_group=0, planes=True)


def in_strips(tables, py, threads):
    """Depthwise tables of one phase for `depthwise.strips`: its pixels are strips of `py` rows, its taps ascend."""
    line, order = tables.phases[0], np.argsort(tables.taps[:tables.phases[0, COUNT], 0], kind="stable")
    images, row, rows = line[TOTAL] // line[PIXELS], line[ROW], line[PLANE] // line[ROW]
    depths, of_strips = line[PIXELS] // line[PLANE], -(-rows // py)
    for name, number in ((PIXELS, depths * of_strips * row), (PLANE, of_strips * row)):
        line[name:name + 3] = number, *reciprocal(int(number))
    line[TOTAL], line[COLUMNS] = images * line[PIXELS], rows
    line[STEP + 1] *= py
    line[TARGET_STEP + 1] *= py
    line[BLOCKS_PIXELS] = -(-line[TOTAL] // threads)
    tables.taps[:len(order)], tables.weights[:len(order)] = tables.taps[order], tables.weights[order]
    return tables


def windows(g, blocks):
    """The forward tables of a pooling: one map after the other."""
    tables = _gather(g, g.n * g.c, 1, [forward_phases(g, axis) for axis in range(3)], g.input, g.output,
                     channels=1, rows=1, blocks=blocks, weight_channel=0, weight_row=0, weight_group=0)
    return _with_windows(tables, g)


def windows_backward(g, blocks):
    """The tables of the input's gradient of an average pooling."""
    tables = _gather(g, g.n * g.c, 1, [backward_phases(g, axis) for axis in range(3)], g.output, g.input,
                     channels=1, rows=1, blocks=blocks, weight_channel=0, weight_row=0, weight_group=0)
    return _with_windows(tables, g)


def im2col(g, blocks):
    """The tables of `im2col`: the forward pass of a convolution of one group, all of whose taps are rows."""
    taps = math.prod(g.kernel)
    tables = _gather(g, g.n, 1, [forward_phases(g, axis) for axis in range(3)], g.input, g.output,
                     channels=g.c, rows=1, blocks=blocks, weight_channel=taps, weight_row=0, weight_group=0)
    return _divided(tables, g.c * taps, columns_each=blocks[0])


def backward_weight(g, blocks, splits_wanted):
    """The tables of `conv_backward_weight`: those of the forward pass, whose taps are the columns of the product.

    `blocks` is (rows, columns, pixels) of a block. The pixels are divided into about `splits_wanted` ranges of whole
    steps, whose sums a second kernel adds up in order.
    """
    bm, bn, bk = blocks
    tables = forward(g, (bm, bk, bn))
    total = int(tables.phases[0, TOTAL])
    each = _up(-(-total // max(1, min(splits_wanted, -(-total // bk)))), bk)
    return _divided(tables, g.c // g.groups * math.prod(g.kernel), columns_each=bn, splits=-(-total // each), each=each)


def _divided(tables, columns, columns_each, splits=1, each=0):
    line = tables.phases[0]
    line[COLUMNS], line[BLOCKS_COLUMNS] = columns, -(-columns // columns_each)
    line[SPLITS], line[SPLIT_PIXELS] = splits, each
    return tables


def _with_windows(tables, g):
    lines = tables.phases
    for first, values in ((KERNEL, g.kernel), (DILATION, g.dilation), (WINDOW_STEP, g.stride), (WINDOW_SIZE, g.input),
                          (BEFORE, [pair[0] for pair in g.padding]), (AFTER, [pair[1] for pair in g.padding])):
        lines[:, first:first + 3] = values
    lines[:, COUNTED] = g.count_include_pad
    lines[:, DIVISOR] = g.divisor
    if not g.divisor and whole_windows(g):
        lines[:, DIVISOR] = math.prod(g.kernel)
    return tables


def whole_windows(g):
    """Whether every window of a pooling counts all of its elements."""
    return all((o - 1) * s + k <= i + before + after and (g.count_include_pad or before == after == 0)
               for o, s, k, i, (before, after) in zip(g.output, g.stride, g.kernel, g.input, g.padding, strict=True))


def side_by_side(g):
    """Whether the windows of a pooling lie side by side, from the first element on, and are whole."""
    return g.stride == g.kernel and not any(map(any, g.padding)) and whole_windows(g)


def _gather(g, n, groups, axes, source, target, channels, rows, blocks, weight_channel, weight_row, weight_group,
            planes=False):
    (bm, bn, bk), kernel = blocks, g.kernel
    source_map, target_map = math.prod(source), math.prod(target)
    maps = math.prod(kernel) if planes else channels
    combined = list(product(*axes))
    counts = [channels * math.prod(len(phase.taps) for phase in one) for one in combined]
    padded = [_up(count, bk) for count in counts]
    # A kernel fetches one step more than it multiplies: of taps that are nowhere, as those of the next phase could lie
    # outside along an axis that nobody checks.
    all_rows, rows_padded = sum(padded) + bk * len(padded), _up(rows, bm)
    pixels = [math.prod(phase.count for phase in one) for one in combined]
    blocks_pixels, blocks_rows = -(-n * max(pixels) // bn), -(-rows // bm)
    # Taps may reach as far as the padding: an offset leads through all of the padded map, and a weight gradient fetches
    # up to two steps (of `bn` pixels) beyond the last pixel.
    padded_size = [i + before + after for i, (before, after) in zip(g.input, g.padding, strict=True)]
    wide = max(n * max(pixels) + 2 * bn, maps * math.prod(padded_size), maps * source_map, rows * target_map,
               all_rows * rows_padded, rows * channels * math.prod(kernel)) > INT32 or max(padded_size) > FAR
    nowhere = NOWHERE_WIDE if wide else NOWHERE

    phases = np.zeros((len(combined), FIELDS), np.int64)
    taps = np.empty((all_rows, 4), np.int64 if wide else np.int32)
    taps[:] = 0, nowhere, nowhere, nowhere
    weights = np.full(all_rows, -1, np.int64)
    first = 0
    for line, one, count, count_padded, size in zip(phases, combined, counts, padded, pixels, strict=True):
        line[TOTAL], line[FIRST], line[COUNT] = n * size, first, count_padded
        line[ROWS], line[ROWS_PADDED], line[PACKED_GROUP] = rows, rows_padded, all_rows * rows_padded
        line[PHASES], line[BLOCKS_PIXELS], line[BLOCKS_ROWS] = len(combined), blocks_pixels, blocks_rows
        for name, number in ((PIXELS, size), (PLANE, one[1].count * one[2].count), (ROW, one[2].count)):
            line[name:name + 3] = number, *reciprocal(number)
        for axis, phase in enumerate(one):
            line[STEP + axis], line[START + axis], line[SIZE + axis] = phase.step, phase.start, source[axis]
            line[TARGET_STEP + axis] = phase.target_step * math.prod(target[axis + 1:])
        line[TARGET] = sum(phase.target * math.prod(target[axis + 1:]) for axis, phase in enumerate(one))
        line[TARGET_CHANNEL], line[TARGET_IMAGE] = target_map, groups * rows * target_map
        line[SOURCE_IMAGE], line[SOURCE_GROUP] = groups * maps * source_map, maps * source_map
        if count:
            c = np.arange(channels).reshape(-1, 1, 1, 1)
            t, r, s = (np.array(phase.taps).T.reshape(shape) for phase, shape in
                       zip(one, ((2, 1, -1, 1, 1), (2, 1, 1, -1, 1), (2, 1, 1, 1, -1)), strict=True))
            tap = (t[0] * kernel[1] + r[0]) * kernel[2] + s[0]
            offset = (((tap if planes else c) * source[0] + t[1]) * source[1] + r[1]) * source[2] + s[1]
            shape = (channels, *(len(phase.taps) for phase in one))
            lines = slice(first, first + count)
            for column, values in enumerate((offset, t[1], r[1], s[1])):
                taps[lines, column] = np.broadcast_to(values, shape).ravel()
            weights[lines] = np.broadcast_to(c * weight_channel + tap, shape).ravel()
        first += count_padded + bk
    reach = [any(_reaches(phase, source[axis]) for phase in axes[axis]) for axis in range(3)]
    checked = next((3 - axis for axis in range(2) if reach[axis]), 1)
    dense = len(combined) == 1 and all(phase.target_step == 1 for phase in combined[0])
    return Gather(phases, taps, weights, weight_row, weight_group, checked, wide, dense)


def _reaches(phase, size):
    """Whether some tap of some pixel lies outside of `size` elements."""
    shifts = [by for _, by in phase.taps]
    return bool(shifts) and not (phase.start + min(shifts) >= 0 and
                                 phase.start + phase.step * (phase.count - 1) + max(shifts) < size)


def reciprocal(divisor):
    """(magic, shift) with ``n // divisor == n * magic >> shift`` for 0 <= n < 2**31.

    With 2**(s - 1) < divisor <= 2**s, ``magic = ceil(2**(31 + s) / divisor)`` errs by e < divisor <= 2**s in
    ``magic * divisor = 2**(31 + s) + e``, which is what Granlund and Montgomery, Division by Invariant Integers using
    Multiplication, theorem 4.2, allows for 31 bits.
    """
    shift = 31 + (divisor - 1).bit_length()
    return -(-(1 << shift) // divisor), shift


def _up(value, step):
    return -(-value // step) * step
