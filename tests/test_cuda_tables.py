"""The arithmetic of the CUDA kernels' tables and blocks, and of their launches: plain integers, without CUDA."""

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.cases import CONV_CORNERS, SUITE, by_name
from fastconv import geometry
from fastconv.backends.cuda import blocks, launch, tables


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1))
@example(2**31 - 1, 2**31 - 1)
@example(2**31 - 1, 1)
@example(2**31 - 2, 2**31 - 1)
@example(2**31 - 1, 2**30 + 1)
def test_reciprocal(value, divisor):
    magic, shift = tables.reciprocal(divisor)
    assert magic < 2**32 and shift < 64
    assert value * magic < 2**63
    assert value * magic >> shift == value // divisor


def read(found, phase, pixel):
    """{source offset: weight's place} of the taps that a pixel of a phase meets, and where it is written."""
    line = found.phases[phase]
    parts = np.unravel_index(pixel, (int(line[tables.PIXELS] // line[tables.PLANE]),
                                     int(line[tables.PLANE] // line[tables.ROW]), int(line[tables.ROW])))
    at = [int(i * line[tables.STEP + a] + line[tables.START + a]) for a, i in enumerate(parts)]
    size = [int(line[tables.SIZE + a]) for a in range(3)]
    place = (at[0] * size[1] + at[1]) * size[2] + at[2]
    first, count = int(line[tables.FIRST]), int(line[tables.COUNT])
    met = {}
    for q in range(first, first + count):
        offset, *by = found.taps[q]
        if all(0 <= a + b < s for a, b, s in zip(at, by, size, strict=True)):
            met[place + int(offset)] = int(found.weights[q])
    target = int(line[tables.TARGET] + sum(i * line[tables.TARGET_STEP + a] for a, i in enumerate(parts)))
    return met, target


SMALL = [case for case in CONV_CORNERS if case.geometry().multiply_adds < 20_000 and max(case.input) < 60]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_both_directions_join_the_same_elements(case):
    """An output of the forward pass meets an input with a weight just when the gradient of that input meets it too."""
    g = case.geometry()
    joined = []
    for make in (tables.forward, tables.backward_input):
        found = make(g, (4, 8, 3))
        pairs, written = set(), []
        for phase, line in enumerate(found.phases):
            for pixel in range(int(line[tables.PIXELS])):
                met, target = read(found, phase, pixel)
                written.append(target)
                for source, weight in met.items():
                    pairs.add((source, target, weight))
        assert sorted(written) == list(range(prod(g.output if make is tables.forward else g.input)))
        joined.append(pairs)
    outputs, inputs, taps = prod(g.output), prod(g.input), prod(g.kernel)
    channels = g.c // g.groups
    # Forward, for output channel 0: an input channel is part of the source; backward, for input channel 0, an output
    # channel is. What they have in common are the taps of the first of each.
    forward = {(source, target, weight) for source, target, weight in joined[0] if source < inputs}
    backward = {(target, source, weight) for source, target, weight in joined[1] if source < outputs}
    assert forward == backward
    assert all(weight < taps for _, _, weight in forward)
    assert len(joined[0]) == channels * len(forward)


@pytest.mark.parametrize("case", [case for case in CONV_CORNERS if case.groups == case.geometry().c][:6], ids=str)
def test_strips_ascend(case):
    g = case.geometry()
    if blocks.strips(g):
        found = tables.in_strips(tables.forward(g, (1, 1, 1)), 4, 8)
        line = found.phases[0]
        count = int(line[tables.COUNT])
        assert (np.diff(found.taps[:count, 0]) > 0).all()
        assert line[tables.COLUMNS] == g.output[1]
        assert line[tables.TOTAL] == g.n * g.output[0] * -(-g.output[1] // 4) * g.output[2]


@pytest.mark.parametrize("case", [*SUITE, *CONV_CORNERS], ids=str)
def test_axes_that_may_reach_padding(case):
    g = case.geometry()
    found = tables.forward(g, (1, 1, 1))
    reaches = [-before < 0 or (o - 1) * s - before + (k - 1) * d >= i for (before, _), o, s, k, d, i in
               zip(g.padding, g.output, g.stride, g.kernel, g.dilation, g.input, strict=True)]
    assert found.axes == max([1, *(3 - axis for axis in range(3) if reaches[axis])])


def test_offsets_beyond_31_bits():
    """No array is made: the tables of a geometry whose images have more than 2**31 elements hold 64-bit offsets."""
    case = by_name("resnet_56")
    narrow = tables.forward(case.geometry(), (64, 128, 8))
    assert not narrow.wide and narrow.taps.dtype == np.int32
    large = case.__class__("large", (1, 64, 8192, 8192), (64, 64, 3, 3), padding=1)
    wide = tables.forward(large.geometry(), (64, 128, 8))
    assert wide.wide and wide.taps.dtype == np.int64
    assert wide.taps[:, 0].max() == 63 * 8192**2 + 2 * 8192 + 2
    many = tables.forward(case.with_batch(2**31 // 3136 + 1).geometry(), (64, 128, 8))
    assert many.wide


# Blocks

@pytest.mark.parametrize("size", [2, 4, 8])
def test_every_tile_fits_its_kernel(size):
    """What the kernels take for granted of a tile: whole rows for its threads, and no more than 48 KiB shared."""
    kept = max(size, 4)
    for _, tile in (*blocks.GATHER[size], *(blocks.TENSOR if size < 8 else ())):
        by_tensor = tile in [tile for _, tile in blocks.TENSOR]
        bm, bn, bk, tm, tn = tile
        threads = blocks.threads(tile, by_tensor)
        assert threads % 32 == 0 and threads <= 256 and threads % bn == 0 and bk % (threads // bn) == 0
        assert bm % tm == bn % tn == 0 and (bk % 8 == tm % 16 == tn % 8 == 0 if by_tensor else tm % 4 == tn % 4 == 0)
        assert 2 * bk * (bm + bn + 16 * by_tensor) * kept <= 48 * 1024
    for *_, tile in (*blocks.WEIGHT[size], *(blocks.WEIGHT_TENSOR if size < 8 else ())):
        by_tensor = tile in [tile for *_, tile in blocks.WEIGHT_TENSOR]
        bm, bn, bk, _, _ = tile
        lines = blocks.threads(tile, by_tensor) // bk
        assert bm % lines == bn % lines == 0
        assert 2 * bk * (bm + bn + 16) * kept <= 48 * 1024


def test_the_weight_gradient_s_ranges_cover_all_pixels():
    for case, wanted in product(SUITE, (1, 7, 10**9)):
        g = case.geometry()
        found = tables.backward_weight(g, (64, 128, 8), wanted)
        line = found.phases[0]
        total, splits, each = (int(line[name]) for name in (tables.TOTAL, tables.SPLITS, tables.SPLIT_PIXELS))
        assert total == g.n * prod(g.output)
        assert each % 8 == 0 and (splits - 1) * each < total <= splits * each
        assert splits <= max(1, wanted)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("far", [2**8, 2**12, 2**20, 2**27, 2**28, 2**40, 2**50])
def test_offsets_and_coordinates_fit(far, axis):
    """Taps far beyond the map, as padding and dilation allow: their offsets are exact, and `nowhere` stays outside."""
    sizes = [(2, 4, 4), (4, 2, 4), (4, 4, 2)][axis]
    one = [(1, far)[a == axis] for a in range(3)]
    g = geometry.conv("conv3d", (1, 6, *sizes), (5, 6, *[(1, 2)[a == axis] for a in range(3)]),
                      [max(1, n // 2) for n in one], [n if n > 1 else 0 for n in one], one, 1)
    for make in (tables.forward, tables.backward_input):
        found = make(g, (4, 8, 4))
        line = found.phases[0]
        kind = np.iinfo(found.taps.dtype)
        nowhere = tables.NOWHERE_WIDE if found.wide else tables.NOWHERE
        reach = 0
        for a, size in enumerate(line[tables.SIZE:tables.SIZE + 3]):
            count = (g.output if make is tables.forward else g.input)[a]
            first, last = int(line[tables.START + a]), int(line[tables.START + a] + line[tables.STEP + a] * (count - 1))
            shifts = [int(t) for t in found.taps[found.weights >= 0, 1 + a]]
            reach = max(reach, *map(abs, (first, last, *shifts)))
            for place in (first, last, nowhere):
                for by in (*shifts, nowhere):
                    assert kind.min <= place + by <= kind.max
                    assert nowhere not in (place, by) or not 0 <= place + by < size
        assert reach < 2**28 or found.wide
        offsets = {sum(int(by) * size for by, size in zip(line, (sizes_after(g, make)), strict=True))
                   for line in found.taps[found.weights >= 0, 1:]}
        plane = prod(g.input if make is tables.forward else g.output)
        assert {int(tap) for tap in found.taps[found.weights >= 0, 0]} == {
            c * plane + offset for offset in offsets for c in range(6 if make is tables.forward else 5)}


def sizes_after(g, make):
    """How many elements lead from one depth, height and width to the next."""
    _, h, w = g.input if make is tables.forward else g.output
    return h * w, w, 1


# Launches

def test_more_blocks_than_one_launch_takes(monkeypatch):
    launched = []
    monkeypatch.setattr(launch, "start", lambda kernel, count, threads, arguments: launched.append((count, arguments)))
    launch.launch("kernel", 2 * launch.LIMIT + 5, 128, "x")
    assert launched == [(launch.LIMIT, ("x", 0)), (launch.LIMIT, ("x", launch.LIMIT)), (5, ("x", 2 * launch.LIMIT))]
    launched.clear()
    launch.launch_over("kernel", 2**40, 128, "x")
    assert launched == [(launch.LIMIT, ("x",))]
