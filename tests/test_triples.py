"""Gradients of large maxima by windows of 3 x 3 and a stride of 2: the same bits as adding up one by one."""

import numpy as np
import pytest

import fastconv
from fastconv import functional, grad

# Maps of as many elements as take the gradient past the caches; even and odd sizes, of whole vectors of windows and of
# less than one, and as narrow as there is code for.
SHAPES = [(172, 112, 112), (190, 111, 113), (2060, 31, 33), (2060, 33, 31), (2200, 32, 32), (11000, 64, 3),
          (4400, 5, 100), (130, 128, 126)]


@pytest.fixture(autouse=True)
def _past(stored_past):
    stored_past(True)


def added_up(shape, indices, dy):
    """The gradient of (1, planes, H, W), value after value."""
    result = np.zeros((shape[1], shape[2] * shape[3]), dy.dtype)
    places = indices.reshape(shape[1], -1) + np.arange(shape[1])[:, None] * result.shape[1]
    np.add.at(result.reshape(-1), places.reshape(-1), dy.reshape(-1))
    return result.reshape(shape)


@pytest.fixture(params=SHAPES, ids=str)
def pooled(request):
    """(x's shape, indices, dy); many maxima are shared by windows, and some gradients are -0.0, infinite or NaN."""
    fastconv.set_num_threads(1)
    shape = (1, *request.param)
    rng = np.random.default_rng(sum(shape))
    _, indices = functional.max_pool2d(rng.integers(-3, 4, shape).astype(np.float32), 3, 2, 1, return_indices=True)
    dy = rng.standard_normal(indices.shape, np.float32)
    for value in (-0.0, np.inf, -np.inf, np.nan):
        dy.reshape(-1)[rng.integers(0, dy.size, 50)] = value
    return shape, indices, dy


def test_bits_are_those_of_adding_one_by_one(pooled):
    shape, indices, dy = pooled
    found = grad.max_pool2d_input(shape, indices, dy)
    with np.errstate(invalid="ignore"):
        expected = added_up(shape, indices, dy)
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found) & (found == 0), np.signbit(expected) & (expected == 0))


def test_any_index_of_the_map_is_taken(pooled):
    """Those of other windows, next to theirs and far away; some lie in a row of their window, but beside it."""
    shape, indices, dy = pooled
    _, planes, height, width = shape
    dy = np.nan_to_num(dy, posinf=1, neginf=2)
    lines, outputs = indices.shape[2:]
    # The left end of a row, its right end, the last row, and the middle.
    for line, output, place in ((2, 0, 4 * width - 1), (1, outputs - 1, 2 * width), (lines - 1, 0, 0),
                                (0, outputs // 2, width * height - 1), (1, 1, 7)):
        others = indices.copy()
        others[0, planes // 2, min(line, lines - 1), output] = place
        assert np.array_equal(grad.max_pool2d_input(shape, others, dy), added_up(shape, others, dy)), (line, output)


# The fourth one lies in the last window, below the map.
@pytest.mark.parametrize("outside", [-1, -31, 33 * 31, 33 * 31 + 30, 1 << 32, (1 << 32) + 33 * 31 - 1, -(1 << 40)])
def test_indices_outside_are_found(outside):
    fastconv.set_num_threads(1)
    shape = (1, 2060, 33, 31)
    _, indices = functional.max_pool2d(np.zeros(shape, np.float32), 3, 2, 1, return_indices=True)
    indices[0, -1, -1, -1] = outside
    with pytest.raises(ValueError, match="indices"):
        grad.max_pool2d_input(shape, indices, np.ones(indices.shape, np.float32))
