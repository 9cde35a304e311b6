"""1 x 1 convolutions on large planes, which the Numba engine multiplies where they lie."""

from math import prod

import numpy as np
import pytest
from references import assert_close, call, conv_of_geometry, sum_bound

from fastconv import backends
from fastconv.backends import precision
from fastconv.backends.numba import pointwise as numba_pointwise
from fastconv.geometry import Geometry


def pointwise(n, c, k, size, groups=1):
    return Geometry(n, c, k, size, (1, 1, 1), size, groups=groups)


CASES = {
    "widening": pointwise(2, 40, 70, (1, 24, 32)),
    "narrowing": pointwise(2, 70, 40, (1, 24, 32)),
    "odd_plane": pointwise(1, 45, 33, (1, 23, 29)),
    "across_images": pointwise(3, 45, 33, (1, 23, 29)),
    "groups_across_images": pointwise(3, 130, 66, (1, 23, 29), groups=2),
    "several_pieces": pointwise(2, 600, 40, (1, 19, 27)),
    "all_rows_in_two_parts": pointwise(1, 32, 2100, (1, 16, 33)),
    "several_panels": pointwise(1, 150, 170, (1, 16, 33)),
    "several_blocks_of_rows": pointwise(1, 33, 400, (1, 20, 27)),
    "several_blocks_of_columns": pointwise(1, 230, 66, (1, 17, 31)),
    "groups": pointwise(2, 66, 80, (1, 19, 28), groups=2),
    "volume": pointwise(3, 34, 36, (3, 14, 15)),
    "one_image_of_few_pieces": pointwise(1, 32, 32, (1, 2, 256)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_pointwise(name, dtype, no_halves, no_lowered, steps):
    g = CASES[name]
    rng = np.random.default_rng(len(name))
    x, w, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in (g.x_shape, g.w_shape, (g.k,), g.y_shape))
    module = backends.get("numba")
    ran = steps(module)

    def expected(x, w, bias, dy):
        x, dy = (np.asarray(a, np.float64).reshape(g.n, g.groups, -1, prod(g.input)) for a in (x, dy))
        w = np.asarray(w, np.float64).reshape(g.groups, -1, g.c // g.groups)
        y = np.einsum("gkc,ngcp->ngkp", w, x).reshape(g.y_shape) + np.asarray(bias, np.float64).reshape(-1, 1, 1, 1)
        return (y, np.einsum("gkc,ngkp->ngcp", w, dy).reshape(g.x_shape),
                np.einsum("ngkp,ngcp->gkc", dy, x).reshape(g.w_shape), dy.sum(axis=(0, 3)).reshape(g.k))

    wanted = expected(x, w, bias, dy)
    magnitudes = expected(*map(np.abs, (x, w, bias, dy)))
    terms = g.c // g.groups + 1, g.k // g.groups, g.n * prod(g.input), g.n * prod(g.input)
    found = (*call(module.conv_forward, [x, w, bias], [(g.y_shape, dtype)], g),
             *call(module.conv_backward_input, [dy, w], [(g.x_shape, dtype)], g),
             *call(module.conv_backward_weight, [x, dy], [(g.w_shape, dtype), ((g.k,), dtype)], g))
    kernels = {kernel for kernel, *_ in ran}
    assert {"multiply_planes", "add_planes"} <= kernels <= {"multiply_planes", "add_planes", "add_up", "pack"}
    for what, a, e, magnitude, count in zip(("y", "dx", "dw", "db"), found, wanted, magnitudes, terms, strict=True):
        assert_close(a, e, sum_bound(magnitude, count, dtype), f"{name}: {what}")
    dw = np.full(g.w_shape, np.nan, dtype)
    module.conv_backward_weight(x, dy, dw, None, g)
    assert np.array_equal(dw, found[2])


STRIDED = {
    "plane": (Geometry(2, 40, 90, (1, 47, 64), (1, 1, 1), (1, 24, 32), (1, 2, 2)), 2),
    "groups": (Geometry(1, 66, 132, (1, 70, 85), (1, 1, 1), (1, 24, 29), (1, 3, 3), groups=2), 3),
    "volume": (Geometry(1, 33, 70, (5, 27, 30), (1, 1, 1), (3, 14, 15), (2, 2, 2)), 2),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", STRIDED)
def test_strides(name, dtype, no_halves, no_lowered, steps, monkeypatch):
    """What the stride leaves out is nothing to the results, and has no gradient."""
    g, stride = STRIDED[name]
    one = pointwise(g.n, g.c, g.k, g.output, g.groups)
    rng = np.random.default_rng(len(name))
    x, w, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in (g.x_shape, g.w_shape, (g.k,), g.y_shape))
    every = slice(None, None, stride)
    inside = (..., every if g.input[0] > 1 else slice(None), every, every)
    met = np.ascontiguousarray(x[inside])
    x[inside], aside = met, np.full(g.x_shape, True)
    aside[inside] = False
    x[aside] = np.nan
    module = backends.get("numba")

    def results(x, g):
        return (*call(module.conv_forward, [x, w, bias], [(g.y_shape, dtype)], g),
                *call(module.conv_backward_input, [dy, w], [(g.x_shape, dtype)], g),
                *call(module.conv_backward_weight, [x, dy], [(g.w_shape, dtype), ((g.k,), dtype)], g))

    monkeypatch.setattr(numba_pointwise, "COPIED", True)
    ran = steps(module)
    y, dx, dw, db = results(x, g)
    kernels = {kernel for kernel, *_ in ran}
    assert {"multiply_planes", "add_planes", "im2col", "col2im"} <= kernels
    wanted = results(met, one)
    for a, e in zip((y, dx[inside], dw, db), wanted, strict=True):
        assert np.array_equal(a, e.reshape(a.shape))
    assert not dx[aside].any()


# Few columns, whose weights are read where they lie: several pieces of the sum, a last one of its own size.
ALONE = {"kernel": Geometry(1, 130, 128, (1, 5, 7), (1, 3, 3), (1, 5, 7), padding=((0, 0), (1, 1), (1, 1))),
         "images": Geometry(2, 128, 140, (1, 5, 6), (1, 2, 2), (1, 4, 5)),
         "pointwise": pointwise(2, 700, 90, (1, 5, 7))}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALONE)
def test_few_columns(name, dtype, no_halves, no_lowered, steps, monkeypatch):
    g = ALONE[name]
    for limit, value in (("ALONE", 64), ("SHARED", 200), ("LEAST_OF_PRODUCT", 8)):
        monkeypatch.setattr(numba_pointwise, limit, value)
    precision._level = "highest"  # no transform
    rng = np.random.default_rng(len(name))
    x, w, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in (g.x_shape, g.w_shape, (g.k,), g.y_shape))
    module = backends.get("numba")
    ran = steps(module)
    y, *_ = conv_of_geometry(g, x, w, bias, dy)
    magnitude, *_ = conv_of_geometry(g, *map(np.abs, (x, w, bias, dy)))
    [found] = call(module.conv_forward, [x, w, bias], [(g.y_shape, dtype)], g)
    assert_close(found, y, sum_bound(magnitude, g.c * prod(g.kernel) + 1, dtype), name)
    assert [kernel for kernel, *_ in ran] == ["im2col", "multiply_planes"][prod(g.kernel) == 1:]
