"""Pooling, unfold and fold, against torch."""

import numpy as np
import pytest
import torch.nn.functional as T
from torch_twins import AVG_POOLS, MAX_POOLS, TYPES, UNFOLDS, assert_near, function, ident, random, tensor

import fastconv
import fastconv.functional as F
from fastconv import grad


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", MAX_POOLS, ids=ident)
def test_max_pool(case, dtype):
    nd, shape, arguments = case
    # Few different values, so that there are ties.
    x = np.round(random(1, shape, dtype))
    expected, places = getattr(T, f"max_pool{nd}d")(tensor(x), **arguments, return_indices=True)
    alone = function("max_pool", nd)(x, **arguments)
    assert_near(alone, expected, dtype)
    for values, indices in (function("max_pool", nd)(x, **arguments, return_indices=True),
                            getattr(F, f"max_pool{nd}d_with_indices")(x, **arguments)):
        np.testing.assert_array_equal(values, alone)
        assert indices.dtype == np.int64
        assert indices.flags.c_contiguous and indices.flags.owndata
        np.testing.assert_array_equal(indices, places.numpy())


def test_max_pool_takes_torch_order():
    x = random(1, (2, 3, 9, 9), np.float64)
    values, indices = F.max_pool2d(x, 2, 3, 1, 2, True, True)
    expected, places = T.max_pool2d(tensor(x), 2, 3, 1, 2, True, True)
    assert_near(values, expected, np.float64)
    np.testing.assert_array_equal(indices, places.numpy())


def test_max_pool_of_nan_and_infinities():
    x = np.full((1, 1, 4, 6), -np.inf, np.float32)
    x[0, 0, 1, 3] = np.nan
    x[0, 0, 3, 4:] = np.inf
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(values, [[[[-np.inf, np.nan, -np.inf], [-np.inf, -np.inf, np.inf]]]])
    np.testing.assert_array_equal(indices, [[[[0, 9, 4], [12, 14, 22]]]])
    padded, indices = F.max_pool2d(x[:, :, :2, :2], 2, 2, 1, return_indices=True)
    np.testing.assert_array_equal(padded, np.full((1, 1, 2, 2), -np.inf))
    np.testing.assert_array_equal(indices, [[[[0, 1], [2, 3]]]])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", AVG_POOLS, ids=ident)
def test_avg_pool(case, dtype):
    nd, shape, arguments = case
    x = random(1, shape, dtype)
    assert_near(function("avg_pool", nd)(x, **arguments), getattr(T, f"avg_pool{nd}d")(tensor(x), **arguments), dtype)


def test_avg_pool_takes_torch_order():
    x = random(1, (2, 3, 9, 9), np.float64)
    assert_near(F.avg_pool2d(x, 3, 2, 1, True, False, 7), T.avg_pool2d(tensor(x), 3, 2, 1, True, False, 7), np.float64)
    assert_near(F.avg_pool1d(x[0], 3, 2, 1, True, False), T.avg_pool1d(tensor(x[0]), 3, 2, 1, True, False), np.float64)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", UNFOLDS, ids=ident)
def test_unfold_and_fold(case, dtype):
    shape, arguments = case
    x = random(1, shape, dtype)
    expected = T.unfold(tensor(x), **arguments)
    cols = F.unfold(x, **arguments)
    assert_near(cols, expected, dtype)
    assert_near(F.fold(cols, shape[-2:], **arguments), T.fold(tensor(cols), shape[-2:], **arguments), dtype)


def test_unfold_and_fold_take_torch_order():
    x = random(1, (2, 3, 9, 8), np.float64)
    cols = F.unfold(x, (3, 2), 2, 1, (2, 1))
    assert_near(cols, T.unfold(tensor(x), (3, 2), 2, 1, (2, 1)), np.float64)
    assert_near(F.fold(cols, [9, 8], (3, 2), 2, 1, (2, 1)), T.fold(tensor(cols), [9, 8], (3, 2), 2, 1, (2, 1)),
                np.float64)


def test_fold_takes_one_number_for_a_square():
    cols = random(1, (2, 8, 9), np.float64)
    assert_near(F.fold(cols, 4, 2), T.fold(tensor(cols), (4, 4), 2), np.float64)


def test_empty_batches():
    x = np.zeros((0, 3, 6, 6), np.float32)
    assert_near(F.avg_pool2d(x, 2), np.zeros((0, 3, 3, 3)), np.float32)
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    assert_near(values, np.zeros((0, 3, 3, 3)), np.float32)
    assert indices.shape == (0, 3, 3, 3)
    assert_near(F.unfold(x, 2), np.zeros((0, 12, 25)), np.float32)
    assert_near(F.fold(np.zeros((0, 12, 25), np.float32), 6, 2), np.zeros((0, 3, 6, 6)), np.float32)


@pytest.mark.parametrize("beyond", [lambda i, size: -1, lambda i, size: size, lambda i, size: i + (1 << 32),
                                    lambda i, size: i - (1 << 63)], ids=["negative", "first", "high bits", "lowest"])
@pytest.mark.parametrize("size", [(5, 37), (6, 8)])
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("engine", ["numba", "cython"])
def test_one_index_outside_its_map_is_refused(engine, kernel, size, beyond):
    """Wherever it stands: in a row's vectors, in its rest, or in a row that no vector reaches."""
    x = np.random.default_rng(5).standard_normal((2, 2, *size), np.float32)
    with fastconv.use_backend(engine):
        y, indices = F.max_pool2d(x, kernel, return_indices=True)
        dy = np.ones_like(y)
        for place in range(indices.size):
            wrong = indices.copy()
            value = wrong.flat[place] = beyond(int(wrong.flat[place]), x[0, 0].size)
            with pytest.raises(ValueError, match=f"got {value}$"):
                grad.max_pool2d_input(x.shape, wrong, dy)
        assert grad.max_pool2d_input(x.shape, indices, dy).sum() == dy.size
