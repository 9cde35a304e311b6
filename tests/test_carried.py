"""Gradients of large maxima by windows of 2 x 2 whose maps share cache lines, and go past the caches together."""

from math import prod

import numpy as np
import pytest
from maxima import added_up, pooled

import fastconv
from fastconv import backends, geometry, grad

# Maps of as many elements as go past the caches on a small machine: even and odd ones, some of one row of windows.
SHAPES = [(3200, 26, 26), (12400, 13, 13), (4400, 23, 21), (40000, 2, 27), (2300, 30, 31), (60000, 6, 6)]


@pytest.fixture(autouse=True)
def _past(stored_past):
    stored_past(True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0, 1, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_element_is_written_once(shape, shift, dtype):
    """However the result begins within a line, and nothing beside it is."""
    fastconv.set_num_threads(1)
    shape = (1, *shape)
    indices, dy = pooled(shape, dtype)
    g = geometry.pool("max_pool2d", shape, 2)
    space = np.full(prod(shape) + 64, 7, dtype)
    first = -space.ctypes.data % 64 // space.itemsize + 16 + shift
    dx = space[first:first + prod(shape)].reshape(g.x_shape)
    dx[...] = np.nan
    backends.get("numba").max_pool_backward(dy, indices, dx, g)
    assert np.array_equal(dx.reshape(shape), added_up(shape, indices, dy))
    assert (space[:first] == 7).all()
    assert (space[first + dx.size:] == 7).all()


@pytest.mark.parametrize("plane", [0, 1, 7000, 12398, 12399])
def test_indices_of_other_windows_are_taken(plane):
    """From the map on whose indices are not those of windows of 2 x 2, its successors are added to one by one."""
    fastconv.set_num_threads(1)
    shape = (1, 12400, 13, 13)
    indices, dy = pooled(shape)
    indices[0, plane, 5, 0] = 168
    assert np.array_equal(grad.max_pool2d_input(shape, indices, dy), added_up(shape, indices, dy))


@pytest.mark.parametrize("outside", [-1, 169, 1 << 40])
@pytest.mark.parametrize("plane", [0, 12399])
def test_indices_outside_are_found(plane, outside):
    fastconv.set_num_threads(1)
    shape = (1, 12400, 13, 13)
    indices, dy = pooled(shape)
    indices[0, plane, -1, -1] = outside
    with pytest.raises(ValueError, match="indices"):
        grad.max_pool2d_input(shape, indices, dy)
