"""Short sums on lowered positions, which the Numba engine has code for whatever the instruction set."""

import numpy as np
import pytest
from references import assert_close, assert_same_bits, call, conv_of_geometry, sum_bound

from fastconv import backends
from fastconv.backends import numba, plan_lowered, threads
from fastconv.backends.numba import isa, lowered
from fastconv.geometry import Geometry

SINGLE = (1, 1, 1)


def conv(n, c, k, size, kernel, stride=SINGLE, padding=((0, 0),) * 3, dilation=SINGLE, groups=1):
    output = tuple((i + sum(p) - d * (r - 1) - 1) // s + 1
                   for i, p, d, r, s in zip(size, padding, dilation, kernel, stride, strict=True))
    return Geometry(n, c, k, size, kernel, output, stride, padding, dilation, groups)


AROUND = ((0, 0), (1, 1), (1, 1))
CASES = {
    "first_layer": conv(2, 3, 16, (1, 14, 19), (1, 3, 3), padding=AROUND),
    "rows_of_whole_vectors": conv(1, 2, 12, (1, 12, 16), (1, 3, 3), padding=AROUND),
    "overlapping_channels": conv(1, 2, 13, (1, 12, 17), (1, 3, 3)),
    "four_channels": conv(3, 5, 4, (1, 12, 14), (1, 2, 2)),
    "five_channels": conv(1, 4, 5, (1, 13, 14), (1, 2, 3)),
    "stride_2": conv(2, 3, 8, (1, 29, 41), (1, 3, 3), (1, 2, 2), AROUND),
    "stride_2_to_the_last_element": conv(1, 1, 8, (1, 26, 42), (1, 2, 2), (1, 2, 2)),
    "stride_3": conv(1, 2, 9, (1, 40, 40), (1, 3, 4), (1, 3, 3)),
    "stride_4": conv(1, 3, 8, (1, 60, 90), (1, 4, 4), (1, 4, 4)),
    "stride_along_one_axis": conv(1, 2, 9, (1, 17, 32), (1, 3, 3), (1, 1, 2)),
    "dilation": conv(1, 3, 8, (1, 20, 21), (1, 3, 3), padding=((0, 0), (2, 2), (2, 2)), dilation=(1, 2, 2)),
    "uneven_padding": conv(1, 3, 8, (1, 15, 15), (1, 4, 2), padding=((0, 0), (1, 2), (0, 3))),
    "groups": conv(2, 6, 24, (1, 13, 13), (1, 3, 3), padding=AROUND, groups=2),
    "narrow": conv(1, 3, 8, (1, 50, 5), (1, 3, 3), padding=AROUND),
    "narrower_than_half_a_vector": conv(1, 3, 8, (1, 80, 2), (1, 3, 1)),
    "line": conv(2, 1, 32, (1, 1, 800), (1, 1, 10), (1, 1, 5)),
    "volume": conv(1, 2, 8, (5, 9, 10), (2, 3, 3), padding=((1, 0), (1, 1), (1, 1))),
    "pointwise": conv(2, 24, 30, (1, 12, 13), SINGLE),
    "pointwise_groups": conv(2, 48, 60, (1, 12, 13), SINGLE, groups=2),
    "pointwise_volume": conv(1, 16, 8, (3, 7, 8), SINGLE),
    "most_terms": conv(1, 128, 8, (1, 12, 12), SINGLE),
    "many_tiles": conv(1, 1, 8, (1, 60, 70), (1, 2, 2)),
}


@pytest.fixture(params=lowered.TILES or ((6, 2), (4, 3)), ids=lambda tile: f"{tile[0]}x{tile[1]}")
def always(request, monkeypatch):
    """Take this form, with one kind of tile, wherever it can be taken."""
    def forget():
        for planner in (plan_lowered.forward, plan_lowered.backward_input, numba._contract._programs):
            planner.cache_clear()

    monkeypatch.setattr(lowered, "TILES", (request.param,))
    monkeypatch.setattr(plan_lowered, "_pays", lambda *args: True)
    monkeypatch.setattr(numba._Lowered, "_others", lambda *args: False)
    forget()
    yield request.param
    forget()


def fits(terms, tile, dtype):
    """Whether the lowered positions of a tile do, whose vectors are as long as the instruction set's."""
    return plan_lowered.up(terms, 2) * tile[1] * (isa.VECTOR_BYTES // np.dtype(dtype).itemsize) <= plan_lowered.LOWERED


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("past", [False, True], ids=["near", "past"])
@pytest.mark.parametrize("name", CASES)
def test_products(name, dtype, past, always, no_halves, stored_past, steps):
    g = CASES[name]
    rng = np.random.default_rng(len(name))
    x, w, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in (g.x_shape, g.w_shape, (g.k,), g.y_shape))
    module = backends.get("numba")
    stored_past(past)
    ran = steps(module)
    y, dx, *_ = conv_of_geometry(g, x, w, bias, dy)
    y_size, dx_size, *_ = conv_of_geometry(g, *map(np.abs, (x, w, bias, dy)))
    terms = np.prod(g.kernel)
    [found] = call(module.conv_forward, [x, w, bias], [(g.y_shape, dtype)], g)
    assert_close(found, y, sum_bound(y_size, terms * g.c // g.groups + 1, dtype), f"{name}: y")
    took = "multiply_lowered" in {kernel for kernel, *_ in ran}
    assert took == (g.k // g.groups >= always[0] and fits(terms * g.c // g.groups, always, dtype))
    [bare] = call(lambda x, w, y, g: module.conv_forward(x, w, None, y, g), [x, w], [(g.y_shape, dtype)], g)
    assert_close(bare + bias.reshape(-1, 1, 1, 1), y, 2 * sum_bound(y_size, terms * g.c // g.groups + 1, dtype), name)
    ran.clear()
    [found] = call(module.conv_backward_input, [dy, w], [(g.x_shape, dtype)], g)
    assert_close(found, dx, sum_bound(dx_size, terms * g.k // g.groups, dtype), f"{name}: dx")
    terms *= g.k // g.groups
    if g.stride == SINGLE and g.c // g.groups >= always[0] and terms <= plan_lowered.RUN and fits(terms, always, dtype):
        assert "multiply_lowered" in {kernel for kernel, *_ in ran}


@pytest.mark.parametrize("name", ["first_layer", "groups", "stride_2", "pointwise"])
def test_the_same_bits_on_any_number_of_threads(name, always):
    g = CASES[name]
    rng = np.random.default_rng(1)
    x, w, bias = (rng.standard_normal(shape).astype("float32") for shape in (g.x_shape, g.w_shape, (g.k,)))
    found = []
    for count in (1, 2, 3):
        threads._threads = count
        found += call(backends.get("numba").conv_forward, [x, w, bias], [(g.y_shape, "float32")], g)
    for other in found[1:]:
        assert_same_bits(other, found[0], name)


def test_an_infinity_stays_with_the_results_that_meet_it(always):
    """Of an odd number of terms one more is 0: it meets no element of the input."""
    g = CASES["first_layer"]
    x = np.zeros(g.x_shape, "float32")
    x[0, :, 0, 5, 7] = np.inf
    w = np.ones(g.w_shape, "float32")
    [y] = call(lambda x, w, y, g: backends.get("numba").conv_forward(x, w, None, y, g), [x, w],
               [(g.y_shape, "float32")], g)
    met = np.zeros(g.y_shape, bool)
    met[0, :, 0, 4:7, 6:9] = True
    np.testing.assert_array_equal(np.isinf(y), met)
    np.testing.assert_array_equal(y[~met], 0)
