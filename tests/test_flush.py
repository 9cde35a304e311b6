"""Numbers too small for their exponent: convolutions may take them for zeros, and nothing else does."""

import numpy as np
import pytest

import fastconv
from fastconv import functional, grad
from fastconv.backends.numba import isa

TINY = np.float32(1e-40)
# x's shape, w's shape, groups: depthwise, few channels, many, and 1 x 1 kernels.
CASES = {"depthwise": ((2, 20, 20, 40), (20, 1, 3, 3), 20), "few_channels": ((2, 3, 20, 40), (8, 3, 3, 3), 1),
         "many_channels": ((2, 64, 20, 20), (64, 64, 3, 3), 1), "pointwise": ((2, 64, 20, 20), (64, 64, 1, 1), 1),
         "other_kernel": ((2, 36, 9, 10), (20, 36, 2, 3), 1)}


@pytest.mark.parametrize("level", ["highest", "high"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_only_inside_of_convolutions(name, threads, level):
    x_shape, w_shape, groups = CASES[name]
    fastconv.set_num_threads(threads)
    fastconv.set_float32_precision(level)
    x, w = np.full(x_shape, TINY), np.ones(w_shape, np.float32)
    y = functional.conv2d(x, w, groups=groups)
    dx = grad.conv2d_input(x_shape, w, np.full_like(y, TINY), groups=groups)
    dw, db = grad.conv2d_parameters(x, w_shape, np.ones_like(y), groups=groups)
    for result in (y, dx, dw, db):
        assert np.isfinite(result).all()
    if not isa.FLUSHES:
        assert (y > 0).all()
    # Other threads' work, and NumPy's, is as exact as before.
    kept = np.full((64, 64, 32, 32), TINY)
    assert np.array_equal(functional.relu(kept), kept)
    assert np.array_equal(functional.max_pool2d(kept, 2), kept[..., ::2, ::2])
    assert kept[0, 0, 0, 0] * np.float32(1) == TINY
