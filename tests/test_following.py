"""Gradients of maxima by windows of 2 x 2 of even maps, which are done one after the other as if they were one."""

import numpy as np
import pytest
from maxima import added_up, pooled

import fastconv
from fastconv import grad

SHAPES = [(1, 40, 6, 6), (3, 50, 2, 2), (2, 64, 10, 10), (1, 37, 14, 4), (1, 5, 6, 6), (1, 33, 2, 34), (4, 16, 24, 24)]


@pytest.fixture(autouse=True)
def _near(stored_past):
    stored_past(False)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_element_is_that_of_its_window(shape, dtype, threads):
    fastconv.set_num_threads(threads)
    indices, dy = pooled(shape, dtype)
    assert np.array_equal(grad.max_pool2d_input(shape, indices, dy), added_up(shape, indices, dy))


@pytest.mark.parametrize("plane", [0, 1, 20, 51, 63])
def test_indices_of_other_windows_are_taken(plane):
    """Those of one map, among the first ones, the last ones or between: all are then added to one by one."""
    fastconv.set_num_threads(1)
    shape = (1, 64, 6, 6)
    indices, dy = pooled(shape)
    indices[0, plane, 1, 0] = 35
    found = grad.max_pool2d_input(shape, indices, dy)
    # Of small maps in another order.
    np.testing.assert_allclose(found, added_up(shape, indices, dy), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("index", [36, -1, 1 << 32, (1 << 32) + 14, -(1 << 40)])
@pytest.mark.parametrize("plane", [0, 30, 63])
def test_indices_outside_of_the_map_are_refused(plane, index):
    """Also those whose lowest bits are an index of the window."""
    shape = (1, 64, 6, 6)
    indices, dy = pooled(shape)
    indices[0, plane, 1, 1] = index
    with pytest.raises(ValueError, match="indices"):
        grad.max_pool2d_input(shape, indices, dy)
