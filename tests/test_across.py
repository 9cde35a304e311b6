"""Depthwise convolutions with a plane in each lane of a vector, of the Numba engine."""

from math import prod

import numpy as np
import pytest
from references import assert_close, assert_same_bits, call, sum_bound

import fastconv
from fastconv import geometry
from fastconv.backends import loops, numba, plan_across
from fastconv.backends.numba.isa import VECTOR_BYTES

LANES = VECTOR_BYTES // 4


def depthwise(n, c, size, kernel, stride=1, padding=0, dilation=1):
    nd = len(size)
    return geometry.conv(f"conv{nd}d", (n, c, *size), (c, 1, *kernel), stride, padding, dilation, c)


# Planes of as many images and channels as there are lanes, of more, and of no whole blocks; rows shorter than a vector
# and longer; kernels with runs of all lengths; strides with phases that meet no tap, and elements
# that no tap meets; padding beyond the kernel and more
# on one side; windows that leave out the last elements; one to three dimensions.
CASES = {
    "lanes": depthwise(1, LANES, (6, 6), (3, 3), padding=1),
    "one_more": depthwise(1, LANES + 1, (5, 9), (3, 3), padding=1),
    "two_images": depthwise(2, LANES, (7, 7), (3, 3), padding=1),
    "across_images": depthwise(3, LANES - 1, (4, 5), (3, 3), padding=1),
    "few_channels": depthwise(2 * LANES, 3, (5, 4), (2, 3)),
    "wide": depthwise(1, LANES, (3, 41), (3, 3), padding=1),
    "one_pixel": depthwise(2, LANES, (1, 1), (1, 1)),
    "tiny": depthwise(2, LANES + 2, (2, 3), (3, 3), padding=1),
    "five": depthwise(1, 2 * LANES, (9, 11), (5, 5), padding=2),
    "seven": depthwise(1, LANES, (8, 15), (7, 7), padding=3),
    "even": depthwise(1, LANES, (6, 10), (4, 2), padding="same"),
    "strided": depthwise(2, LANES, (11, 12), (3, 3), 2, 1),
    "strided_five": depthwise(1, LANES + 3, (14, 14), (5, 5), 2, 2),
    "gaps": depthwise(1, LANES, (13, 11), (2, 2), 3),
    "left_out": depthwise(1, LANES, (10, 12), (3, 3), (2, 3)),
    "gaps_in_padding": depthwise(2, LANES, (13, 11), (2, 2), 3, 1),
    "wide_gaps_in_padding": depthwise(2, LANES + 1, (20, 21), (3, 3), 5, 1),
    "single_taps": depthwise(2, LANES, (9, 10), (1, 1), 2),
    "gaps_in_volume": depthwise(2, LANES, (5, 6, 7), (2, 2, 2), 3, 1),
    "single_taps_of_volume": depthwise(1, LANES, (5, 6, 7), (1, 1, 1), 2),
    "dilated": depthwise(2, LANES, (9, 17), (3, 3), 1, 2, 2),
    "padded": depthwise(1, LANES, (3, 4), (3, 3), 1, 5),
    "line": depthwise(2, LANES, (50,), (9,), 1, 4),
    "strided_line": depthwise(3, LANES, (61,), (8,), 4),
    "volume": depthwise(1, LANES, (4, 5, 6), (3, 3, 3), 1, 1),
    "strided_volume": depthwise(2, LANES, (5, 6, 7), (2, 3, 3), 2, 1),
}


@pytest.fixture(params=["whole", "strips", "some_rows"])
def strips(request, monkeypatch):
    """Maps in one piece, in as many strips as they have rows of results, and in strips of some of these."""
    caches = plan_across.forward, plan_across.backward_input, plan_across.backward_weight, numba._contract._programs
    if request.param != "whole":
        monkeypatch.setattr(plan_across, "SCRATCH", {"strips": 1, "some_rows": 80 * LANES}[request.param])
    for cache in caches:
        cache.cache_clear()
    yield request.param
    for cache in caches:
        cache.cache_clear()


def arrays(g, dtype):
    rng = np.random.default_rng(prod(g.x_shape))
    return [rng.standard_normal(shape).astype(dtype) for shape in (g.x_shape, g.w_shape, g.bias_shape, g.y_shape)]


def passes(module, g, x, w, bias, dy):
    dtype = x.dtype
    return (*call(module.conv_forward, [x, w, bias], [(g.y_shape, dtype)], g),
            *call(module.conv_backward_input, [dy, w], [(g.x_shape, dtype)], g),
            *call(module.conv_backward_weight, [x, dy], [(g.w_shape, dtype), (g.bias_shape, dtype)], g))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_across(name, dtype, strips, steps, monkeypatch):
    g = CASES[name]
    # With masks in registers some kernels slide down planes where they lie.
    monkeypatch.setattr(type(numba._contract), "_slides", staticmethod(lambda product, form, turning: False))
    ran = steps(numba)
    x, w, bias, dy = arrays(g, dtype)
    found = passes(numba, g, x, w, bias, dy)
    kernels = {kernel for kernel, *_ in ran}
    assert "multiply_across" in kernels
    assert ("add_across" in kernels) == (g.c >= VECTOR_BYTES // x.itemsize)
    expected = passes(loops, g, *(a.astype(np.float64) for a in (x, w, bias, dy)))
    magnitudes = passes(loops, g, *(np.abs(a).astype(np.float64) for a in (x, w, bias, dy)))
    terms = prod(g.kernel) + 1, prod(g.kernel), g.n * prod(g.output), g.n * prod(g.output)
    for what, a, e, magnitude, count in zip(("y", "dx", "dw", "db"), found, expected, magnitudes, terms, strict=True):
        assert_close(a, e, sum_bound(magnitude, count, dtype), f"{name}: {what}")
    y = np.full(g.y_shape, np.nan, dtype)
    numba.conv_forward(x, w, None, y, g)
    unbiased = expected[0] - bias.reshape(-1, 1, 1, 1)
    assert_close(y, unbiased, sum_bound(magnitudes[0], terms[0], dtype), f"{name}: no bias")
    dw = np.full(g.w_shape, np.nan, dtype)
    numba.conv_backward_weight(x, dy, dw, None, g)
    assert np.array_equal(dw, found[2])


@pytest.mark.parametrize("shape", [(2, 5 * LANES + 1, 40, 40), (9, LANES, 33, 20)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(shape):
    g = depthwise(shape[0], shape[1], shape[2:], (3, 3), 1, 1)
    given = arrays(g, "float32")
    results = []
    for count in (1, 2):
        fastconv.set_num_threads(min(count, fastconv.backends.threads.cores()))
        results.append(passes(numba, g, *given))
    for one, two in zip(*results, strict=True):
        assert_same_bits(one, two, shape)


def test_what_one_plane_holds_stays_in_it():
    """A NaN of another plane, or beyond the map, is not multiplied by zero."""
    g = depthwise(1, 2 * LANES, (6, 7), (3, 3), 1, 1)
    x, w, bias, dy = arrays(g, "float32")
    x[0, 3], dy[0, 3] = np.nan, np.inf
    y, dx, dw, db = passes(numba, g, x, w, bias, dy)
    others = np.arange(g.c) != 3
    assert np.isfinite(y[0, others]).all() and np.isnan(y[0, 3]).all()
    assert np.isfinite(dx[0, others]).all() and np.isfinite(dw[others]).all() and np.isfinite(db[others]).all()


@pytest.mark.parametrize("shape", [(1, LANES - 1, 8, 8), (1, LANES, 3, 20000)], ids=["few", "long"])
def test_the_others_are_left_to_other_forms(shape):
    g = depthwise(shape[0], shape[1], shape[2:], (3, 3), 1, 1)
    form = plan_across.forward(g, LANES)
    assert form is None


@pytest.mark.parametrize("scratch", [1, 300, plan_across.SCRATCH])
def test_plans_stay_within_their_scratch(scratch, monkeypatch):
    """Where elements are turned to is in their own line, and no tap is looked for beyond the scratch."""
    monkeypatch.setattr(plan_across, "SCRATCH", scratch)
    rng, found = np.random.default_rng(5), 0
    for _ in range(400):
        nd = int(rng.integers(1, 4))
        size, kernel, stride, padding, dilation = (tuple(map(int, rng.integers(low, high, nd))) for low, high in (
            (1, 14), (1, 5), (1, 6), (0, 5), (1, 4)))
        if any(i + 2 * p < d * (k - 1) + 1 for i, k, p, d in zip(size, kernel, padding, dilation, strict=True)):
            continue
        g = depthwise(2, LANES + int(rng.integers(0, 3)), size, kernel, stride, padding, dilation)
        for planner, source, axes in ((plan_across.forward, g.input, plan_across.forward_axes(g)),
                                      (plan_across.backward_input, g.output, plan_across.backward_axes(g))):
            form = planner.__wrapped__(g, LANES)
            depth, rows, across, down, slices, lines, slice_, row = form.args[-8:]
            assert form.args[2] == slices * slice_ == slices * lines * row
            places = form.places.array.reshape(-1, source[2])
            assert len(places) == min(lines, source[1])
            assert (places // row == np.arange(len(places))[:, None]).all()
            assert (places % LANES == 0).all()
            last = ((depth - 1) * axes[0].stride * slice_ + (rows - 1) * axes[1].stride * row
                    + (axes[2].count - 1) * LANES)
            assert 0 <= min(form.col_b.array, default=0) <= max(form.col_b.array, default=0) + last < form.args[2]
            assert across * depth >= axes[0].count and down * rows >= axes[1].count
            found += 1
    assert found > 200
