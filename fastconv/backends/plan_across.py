"""Depthwise convolutions with a plane in each lane of a vector.

A group of one channel and one filter has nothing to multiply across channels. But planes that follow each other in
memory, of one image or of two, go through kernels of the same shape: turned, so that a vector holds one position of as
many planes as it has lanes, each tap is one multiply-add for all of them, whatever the width of a map, its padding, its
stride or its dilation. What is computed is what there is to compute; the price is to turn the source and the result.

A work item is a block of planes and a strip of positions. The source is turned into a scratch of its thread, between
zeros, where the columns that are equal modulo the stride lie next to each other; results are turned back from another.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod

import numpy as np

from fastconv.backends.plan import ITEMS, Table, strides_of, table
from fastconv.backends.plan_rows import RUN, backward_axes, forward_axes, shift_of, strips_of, up, work_of

# Elements of a thread's scratch for the turned source, where one row of results needs no more: what the first-level
# cache holds, as strips keep the lines that they share with the one before. With four times as much 5 x 5 taps of
# stride 2 take 0.23 ms in place of 0.21 on Zen 5 for 8 x 240 planes of 28 x 28, and with the vectors of AVX2 3 x 3 taps
# of stride 2 2.5 in place of 1.7 for 8 x 96 of 112 x 112.
SCRATCH = 6144
# And beyond which there is no such form: a row may be that long.
LARGEST = 131072
# Taps whose operands follow each other, at once.
RUNS = (3, 2, 1)
# Positions of a piece of the weight gradient's reduction, at least.
PIECE = 1024


@dataclass(frozen=True)
class Across:
    """The forward pass or the input gradient in this form."""

    items: int
    space: int          # elements of workspace that a thread needs
    work: int           # nanoseconds that it takes one thread, roughly
    col_a: Table        # offsets of the taps in w, phase after phase
    col_b: Table        # and in the scratch
    phases: Table       # (first, count) of each phase of each axis; of each triple its first tap and its runs
    places: Table       # of the elements of a slice, from its first line in a strip on, in the scratch
    args: tuple
    sums: float         # cycles that they take, a plane, as measured on Zen 5
    turned: float       # vectors to turn, a plane


@dataclass(frozen=True)
class AcrossWeight:
    """The weight gradient in this form."""

    items: int
    splits: int
    space: int
    work: int
    taps: Table         # their offsets in the scratch, run by run, and which taps they are
    places: Table
    args: tuple
    sums: float
    turned: float


def _serves(g, planes, lanes):
    return g.groups == g.c == g.k and planes >= lanes and prod(g.kernel) <= RUN


def _strips(axes, blocks, lanes):
    """The strips, whose strides count in positions, a vector each; None where a row is too long for a scratch.

    A line of the scratch ends with a place for the elements that no tap meets, between windows or beyond the last one.
    """
    strips = strips_of(axes, lanes, blocks, 1, True, scratch=SCRATCH)
    row = strips.strides[2] + 1
    strips = replace(strips, strides=(strips.slices * strips.lines * row, strips.lines * row, row))
    return None if strips.elements(lanes) > LARGEST else strips


def _places(axes, strips, lanes):
    """Where the elements of a slice go, from its first line in a strip on."""
    _, h, w = axes
    row, columns = strips.strides[2], np.arange(w.size) + w.before
    part, column = columns % w.stride, columns // w.stride
    met = (part < strips.parts) & (column < strips.filled)
    places = np.where(met, part * strips.pitch + column, row - 1)
    lines = np.arange(min(strips.lines, h.size))[:, None] * row
    return table(((lines + places) * lanes).ravel().tolist())


def _runs(found, lanes):
    """(taps run by run, the longest ones first; runs of each length of `RUNS`) of (offset, tap) by offset."""
    runs, at = {length: [] for length in RUNS}, 0
    while at < len(found):
        length = next(n for n in RUNS if [offset - found[at][0] for offset, _ in found[at:at + n]]
                      == [i * lanes for i in range(n)])
        runs[length].append(found[at:at + length])
        at += length
    return [tap for length in RUNS for run in runs[length] for tap in run], [len(runs[length]) for length in RUNS]


def _product(g, axes, size, lanes):
    d, h, w = axes
    # The planes of all images follow each other, but of whole blocks an image's stay together: those of the same
    # channels then take their turn, for which the weights are turned once.
    planes, images = g.n * g.c, g.n if g.c % lanes == 0 else 1
    blocks = images * -(-planes // images // lanes)
    if not _serves(g, planes, lanes):
        return None
    strips = _strips(axes, blocks, lanes)
    if strips is None:
        return None
    col_a, col_b, runs = [], [], []
    for phases in product(d.phases, h.phases, w.phases):
        found = sorted((shift_of([shift for _, shift in taps], axes, strips) * lanes,
                        sum(r * s for (r, _), s in zip(taps, strides_of(g.kernel), strict=True)))
                       for taps in product(*(taps for _, _, taps in phases)))
        ordered, counts = _runs(found, lanes)
        runs += [len(col_a), *counts]
        col_b += [offset for offset, _ in ordered]
        col_a += [tap for _, tap in ordered]
    phases = [value for axis in axes for first, count, _ in axis.phases for value in (first, count)] + runs
    scratch, taps = strips.elements(lanes), len(col_a)
    results = strips.depth * d.step * strips.rows * h.step * size[2] * lanes
    items = blocks * strips.count
    space = up(scratch + (taps + 1) * lanes + results, 16)
    args = (items, space, scratch, planes, images, g.c, prod(g.kernel), taps, *(axis.size for axis in axes),
            *(axis.before for axis in axes), *(axis.stride for axis in axes), *(axis.step for axis in axes),
            *(len(axis.phases) for axis in axes), *size, strips.depth, strips.rows, strips.across, strips.down,
            strips.slices, strips.lines, strips.strides[1] * lanes, strips.strides[2] * lanes)
    return Across(items, space, work_of(g), table(col_a), table(col_b), table(phases),
                  _places(axes, strips, lanes), args,
                  # By the mean length of the sums.
                  prod(size) * 0.7 * taps * (len(RUNS) + 1) / len(runs) / lanes,
                  (prod(axis.size for axis in axes) + prod(size)) / lanes)


@lru_cache(maxsize=512)
def forward(g, lanes):
    """The forward pass as `Across`, or None."""
    return _product(g, forward_axes(g), g.output, lanes)


@lru_cache(maxsize=512)
def backward_input(g, lanes):
    """The input gradient as `Across`, or None."""
    return _product(g, backward_axes(g), g.input, lanes)


@lru_cache(maxsize=512)
def backward_weight(g, lanes):
    """The weight gradient as `AcrossWeight`, or None."""
    axes = forward_axes(g)
    if not _serves(g, g.c, lanes):
        return None
    blocks = -(-g.c // lanes)
    strips = _strips(axes, g.n * blocks, lanes)
    if strips is None:
        return None
    taps = [shift_of([r * step for r, step in zip(tap, g.dilation, strict=True)], axes, strips) * lanes
            for tap in product(*map(range, g.kernel))]
    ordered, runs = _runs(sorted(zip(taps, range(len(taps)), strict=True)), lanes)
    units = g.n * strips.count
    splits = max(1, min(units, -(-ITEMS // blocks), g.n * prod(g.output) // PIECE))
    grads = strips.depth * strips.rows * g.output[2] * lanes
    scratch = strips.elements(lanes)
    space = up(scratch + grads + (len(taps) + 1) * lanes, 16)
    items = splits * blocks
    args = (items, space, scratch, grads, g.n, g.c, len(taps), splits, *(axis.size for axis in axes),
            *(axis.before for axis in axes), *(axis.stride for axis in axes), *g.output, strips.depth, strips.rows,
            strips.across, strips.down, strips.slices, strips.lines, strips.strides[1] * lanes,
            strips.strides[2] * lanes, *runs)
    taps = [value for one in zip(*ordered, strict=True) for value in one]
    return AcrossWeight(items, splits, space, work_of(g), table(taps), _places(axes, strips, lanes), args,
                        0.4 * prod(g.output) * prod(g.kernel) / lanes, (prod(g.input) + prod(g.output)) / lanes)
