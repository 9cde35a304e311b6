"""Convolutions of few channels a group: wide maps, odd paddings and cut outputs, where rows have several vectors."""

from math import prod

import numpy as np
import pytest
from references import assert_close, call, conv_of_geometry, sum_bound

import fastconv
from fastconv import backends
from fastconv.backends import loops, plan_rows
from fastconv.geometry import Geometry


def flat(c, k, size, kernel, stride=1, padding=((0, 0), (0, 0)), dilation=1, groups=1, cut=0, n=2):
    """A two-dimensional Geometry; `cut` rows and columns of outputs are left out."""
    output = [(i + sum(p) - dilation * (f - 1) - 1) // stride + 1 - cut
              for i, f, p in zip(size, kernel, padding, strict=True)]
    return Geometry(n, c, k, (1, *size), (1, *kernel), (1, *output), (1, stride, stride), ((0, 0), *padding),
                    (1, dilation, dilation), groups)


# Those that have this form and run here; test_backends.py says whether one may be missing.
BACKENDS = [name for name in ("numba", "cython") if backends.available()[name] is None]
EVEN = ((1, 1), (1, 1))
# Rows that do not fill their vectors, for which they may be joined.
JOINED = {
    "joined": flat(1, 16, (28, 28), (3, 3)),
    "joined_in_uneven_strips": flat(1, 16, (52, 28), (3, 3), n=1),
    "joined_padded": flat(2, 32, (15, 37), (3, 3), 1, EVEN),
    "joined_uneven_padding": flat(1, 24, (11, 35), (3, 5), 1, ((0, 2), (3, 1))),
    "joined_dilated": flat(1, 32, (20, 30), (3, 3), 1, ((2, 2), (2, 2)), 2),
    "joined_groups": flat(4, 32, (14, 25), (3, 3), groups=4),
    "joined_narrow": flat(1, 32, (20, 12), (3, 3), n=3),
    "joined_cut": flat(2, 16, (30, 30), (5, 5), cut=2),
    "joined_in_depth": Geometry(2, 1, 16, (4, 20, 24), (2, 3, 3), (4, 18, 22), padding=((1, 0), (0, 0), (0, 0))),
    "joined_few_columns": flat(3, 3, (9, 21), (3, 3)),
}
CASES = {
    **JOINED,
    **{f"depthwise_{k}x{k}_stride{s}_width{w}": flat(3, 3, (9, w), (k, k), s, ((k // 2, k // 2),) * 2, groups=3)
       for k in (3, 5, 7) for s in (1, 2) for w in (7, 10, 14, 16, 17, 28, 33, 70, 143)},
    "depthwise_far_padding": flat(3, 3, (6, 31), (3, 3), 1, ((2, 2), (2, 2)), groups=3),
    "depthwise_uneven_padding": flat(3, 3, (6, 40), (3, 3), 1, ((0, 2), (2, 0)), groups=3),
    "depthwise_cut": flat(3, 3, (9, 40), (3, 3), 2, EVEN, groups=3, cut=1),
    "depthwise_one_row": flat(3, 3, (1, 40), (3, 3), 1, EVEN, groups=3),
    "depthwise_dilated": flat(3, 3, (12, 40), (3, 3), 1, ((2, 2), (2, 2)), 2, groups=3),
    "depthwise_many": flat(3, 3, (8, 20), (3, 3), 1, EVEN, groups=3, n=33),
    "multiplier": flat(3, 6, (8, 37), (3, 3), 2, EVEN, groups=3),
    "groups_of_five": flat(10, 10, (9, 35), (3, 3), 1, EVEN, groups=2),
    "groups_stride_3": flat(6, 6, (13, 70), (5, 5), 3, ((2, 1), (0, 3)), groups=2),
    "first_layer": flat(3, 32, (40, 50), (7, 7), 2, ((3, 3), (3, 3))),
    "one_map": flat(1, 2, (70, 90), (3, 3), n=1),
    "stride_beyond_kernel": flat(4, 4, (11, 60), (2, 2), 3, groups=2),
    "depthwise_padded_in_depth": Geometry(2, 3, 3, (2, 6, 40), (1, 3, 3), (4, 6, 40), padding=((1, 1), *EVEN),
                                          groups=3),
    "depthwise_cut_in_depth": Geometry(2, 3, 3, (4, 6, 40), (1, 3, 3), (2, 6, 40), (2, 1, 1), ((0, 0), *EVEN),
                                       groups=3),
    "point": flat(2, 3, (40, 40), (1, 1), 2),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_rows(name, dtype, backend):
    check(CASES[name], name, dtype, backend)


def check(g, name, dtype, backend):
    """Hold the three passes of a backend against plain loops."""
    rng = np.random.default_rng(len(name))
    shapes = g.x_shape, g.w_shape, (g.k,), g.y_shape
    x, w, bias, dy = (rng.standard_normal(shape, np.float32).astype(dtype) for shape in shapes)
    calls = [("conv_forward", [x, w, bias], [g.y_shape], g.c // g.groups * prod(g.kernel) + 1),
             ("conv_backward_input", [dy, w], [g.x_shape], g.k // g.groups * prod(g.kernel)),
             ("conv_backward_weight", [x, dy], [g.w_shape, (g.k,)], g.n * prod(g.output))]
    for oracle, arrays, results, terms in calls:
        results = [(shape, dtype) for shape in results]
        exact = [(shape, np.float64) for shape, _ in results]
        expected = call(getattr(loops, oracle), [a.astype(np.float64) for a in arrays], exact, g)
        magnitudes = call(getattr(loops, oracle), [np.abs(a).astype(np.float64) for a in arrays], exact, g)
        found = call(getattr(backends.get(backend), oracle), arrays, results, g)
        for a, e, magnitude in zip(found, expected, magnitudes, strict=True):
            assert_close(a, e, sum_bound(magnitude, terms, dtype), f"{name}: {oracle}")


@pytest.fixture
def joining(monkeypatch):
    """Rows are joined wherever they can be: a copy costs less than nothing."""
    caches = [plan_rows.forward, plan_rows.backward_input, plan_rows.backward_weight,
              *(backends.get(name)._contract._programs for name in BACKENDS)]
    monkeypatch.setattr(plan_rows, "_each", lambda axes, lanes: -100.0)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", JOINED)
def test_joined_rows(name, dtype, backend, joining, no_lowered, steps):
    ran = steps(backends.get(backend))
    check(JOINED[name], name, dtype, backend)
    # The place of the shifts in a table, or 0, comes last but for `past` of `multiply_rows`.
    last = {"multiply_rows": -2, "add_rows": -1}
    assert any(np.frombuffer(args, np.int64)[last[kernel]] > 0 for kernel, _, args in ran if kernel in last)


# Of each result one with sums of some thousand products, and the kernel that has to compute it.
LONG = {
    "y": (flat(256, 2, (8, 40), (3, 3), 1, EVEN, n=1), "multiply_rows"),
    "dx": (flat(2, 256, (8, 40), (3, 3), 1, EVEN, n=1), "multiply_rows"),
    "dw": (flat(2, 3, (1, 60000), (1, 3), n=1), "add_rows"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LONG)
def test_long_sums_are_sums_of_sums(name, backend, steps):
    """They err by some 3e-7 of the largest result at 'highest', as torch's do; one running sum errs by 1.2e-6 and more.

    `sum_bound` would not tell: it is what the worst of all numbers could do.
    """
    fastconv.set_float32_precision("highest")
    g, kernel = LONG[name]
    rng = np.random.default_rng(3)
    shapes = g.x_shape, g.w_shape, (g.k,), g.y_shape
    x, w, bias, dy = (rng.standard_normal(shape, np.float32) for shape in shapes)
    expected = dict(zip(("y", "dx", "dw", "db"), conv_of_geometry(g, x, w, bias, dy), strict=True))
    module = backends.get(backend)
    ran = steps(module)
    found = {key: np.empty(array.shape, np.float32) for key, array in expected.items()}
    if name == "y":
        module.conv_forward(x, w, bias, found["y"], g)
    elif name == "dx":
        module.conv_backward_input(dy, w, found["dx"], g)
    else:
        module.conv_backward_weight(x, dy, found["dw"], found["db"], g)
    assert [step for step, *_ in ran] == [kernel]
    assert np.abs(found[name] - expected[name]).max() < 5e-7 * np.abs(expected[name]).max()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("g", [flat(2, 2, (6, 20), (3, 3), groups=2), JOINED["joined"]], ids=["rows", "joined"])
def test_infinity_stays_with_its_taps(g, backend):
    """The weight gradient multiplies no element of x by the zeros of an unused lane."""
    x, dy = np.ones(g.x_shape, np.float32), np.ones(g.y_shape, np.float32)
    x[:, :, :, 0, 0] = np.inf
    kernel = backends.get(backend).conv_backward_weight
    dw, _ = call(kernel, [x, dy], [(g.w_shape, np.float32), ((g.k,), np.float32)], g)
    assert np.isinf(dw[:, 0, 0, 0, 0]).all()
    assert np.isfinite(dw.reshape(g.k, 9)[:, 1:]).all()
