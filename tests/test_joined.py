"""Pooling by windows of 2 x 2 side by side, whose rows of results the Numba engine joins to one."""

import numpy as np
import pytest
from references import FENCE, GUARD, assert_same_bits, call

from fastconv import geometry
from fastconv.backends import engine, loops, numba
from fastconv.backends.numba import jit, joined

DTYPES = ("float32", "float64")
# (planes, height, width): rows of one result to many, whole vectors and others; maps of which a row or a column meets
# no window; fewer results than a vector.
MAPS = [(1, 2, 2), (3, 2, 3), (40, 3, 2), (1, 5, 5), (67, 4, 4), (33, 5, 5), (20, 6, 6), (9, 7, 7), (5, 8, 8),
        (7, 10, 11), (5, 11, 10), (6, 13, 13), (4, 16, 16), (3, 26, 26), (3, 27, 27), (2, 26, 27), (2, 30, 30),
        (2, 31, 64), (1, 50, 50), (2, 2, 80), (3, 81, 3), (30, 4, 3)]
over_maps = pytest.mark.parametrize("shape", MAPS, ids=lambda shape: "x".join(map(str, shape)))
over_dtypes = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(params=["near", "asked", "past"])
def far(request, monkeypatch):
    """How results are stored, whatever their size; plans of other tests are not taken."""
    monkeypatch.setattr(engine, "PAST", 0 if request.param == "past" else 1 << 60)
    monkeypatch.setattr(joined, "FAR", 0 if request.param == "asked" else 1 << 60)
    numba._contract._programs.cache_clear()
    yield
    numba._contract._programs.cache_clear()


def windows(shape):
    g = geometry.pool("max_pool2d", (1, *shape), 2)
    assert joined.serves(g)
    return g


def values(kind, shape):
    rng = np.random.default_rng(3)
    if kind == "numbers":
        return rng.standard_normal(shape)
    if kind == "ties":
        return rng.choice([-1.0, -0.0, 0.0, 1.0], shape)
    if kind == "mixed":
        return rng.choice([np.nan, np.inf, -np.inf, 0.0, 1.0], shape)
    return np.full(shape, -np.inf)


@over_maps
@over_dtypes
@pytest.mark.parametrize("kind", ["numbers", "ties", "mixed", "-inf"])
def test_maximum(shape, dtype, kind, far):
    g = windows(shape)
    x = values(kind, g.x_shape).astype(dtype)
    results = [(g.y_shape, dtype), (g.y_shape, np.int64)]
    y, indices = call(loops.max_pool_forward, [x], results, g)
    found, found_indices = call(numba.max_pool_forward, [x], results, g)
    np.testing.assert_array_equal(found_indices, indices)
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(np.signbit(found[~np.isnan(y)]), np.signbit(y[~np.isnan(y)]))
    alone, _ = call(numba.max_pool_forward, [x], [results[0], None], g)
    assert_same_bits(alone, found, "y without indices")


# The mean of a map of one window is another kernel's.
@pytest.mark.parametrize("shape", [shape for shape in MAPS if max(shape[1:]) > 3], ids=over_maps.kwargs["ids"])
@over_dtypes
@pytest.mark.parametrize("kind", ["numbers", "ties"])
@pytest.mark.parametrize("divisor", [None, 3])
def test_average(shape, dtype, kind, divisor, far):
    """The bits of a sum in the order of the taps, divided once."""
    g = geometry.pool("avg_pool2d", (1, *shape), 2, divisor_override=divisor)
    x = values(kind, g.x_shape).astype(dtype)
    upper, lower = (x[..., row:2 * g.output[1]:2, :2 * g.output[2]] for row in (0, 1))
    total = np.zeros(g.y_shape, dtype)
    for tap in (upper[..., ::2], upper[..., 1::2], lower[..., ::2], lower[..., 1::2]):
        total += tap
    (y,) = call(numba.avg_pool_forward, [x], [(g.y_shape, dtype)], g)
    assert_same_bits(y, total / total.dtype.type(divisor or 4), "y")


def between(size, dtype, fence, shift):
    """(space, array of `size` in it): guard cells around, and `shift` elements behind the start of a cache line."""
    space = np.full(size + 2 * GUARD, fence, dtype)
    first = 16 + -space.ctypes.data % 64 // space.itemsize + shift
    return space, space[first:first + size]


@over_maps
@over_dtypes
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("shift", [0, 4, 7])
def test_some_planes(shape, dtype, first, shift, far, monkeypatch):
    """A thread writes the results of its planes and nothing else, however these are aligned."""
    planes = shape[0]
    g = windows((planes + 3, *shape[1:]))

    def some(kernel, count, args, dtype, work, most):
        jit._serial(numba._KERNELS[kernel].address(dtype), first, first + planes, id(args) + jit.BYTES)

    monkeypatch.setattr(numba._contract, "whole", lambda program: None)
    monkeypatch.setattr(numba._contract, "run", some)
    x = values("numbers", g.x_shape).astype(dtype)
    expected = call(loops.max_pool_forward, [x], [(g.y_shape, dtype), (g.y_shape, np.int64)], g)
    spaces = [between(a.size, a.dtype, FENCE, shift) for a in expected]
    numba.max_pool_forward(x, *(place.reshape(g.y_shape) for _, place in spaces), g)
    for (space, place), whole in zip(spaces, expected, strict=True):
        mine = place.reshape(g.y_shape)[:, first:first + planes]
        np.testing.assert_array_equal(mine, whole[:, first:first + planes])
        mine[...] = FENCE
        assert (space == FENCE).all()


@pytest.mark.parametrize("count", [2, 4, 8, 16])
@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (5, 4), (7, 7), (10, 11), (26, 26), (2, 90)])
def test_tables(shape, count):
    """All elements of half a vector's windows are met, by loads that lie within their rows."""
    height, width = shape
    pieces, places, most, period, span = joined.tables(height, width, count)
    out_w, outputs = width // 2, height // 2 * (width // 2)
    assert period % outputs == 0
    assert span == period // outputs * height * width
    entries = pieces.array.reshape(-1, 2 * most - 1)
    for first in range(0, 3 * period // count * count, count):
        for half in (first % period, first % period + count // 2):
            starts, ends = entries[half, ::2], [*entries[half, 1::2], count]
            found = [starts[np.searchsorted(ends, lane, "right")] + lane for lane in range(count)]
            plane, rest = np.divmod(np.arange(half, half + count // 2), outputs)
            row, column = np.divmod(rest, out_w)
            place = 2 * row * width + 2 * column
            expected = plane * height * width + place
            np.testing.assert_array_equal(found, np.stack((expected, expected + 1), 1).ravel())
            np.testing.assert_array_equal(places.array[half:half + count // 2], place)
            assert starts.min() >= expected[0]
            assert starts.max() + count - 1 == expected[-1] + 1
