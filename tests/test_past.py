"""Results that are stored past the caches: the same bits as in them, however aligned, and nothing beside them."""

import numpy as np
import pytest

from fastconv import backends, geometry

# (function of the geometry, x, w, stride, padding): one for each kernel that stores so, with planes and rows whose size
# a vector divides, and others.
CASES = [
    ("conv2d", (2, 40, 24, 32), (70, 40, 1, 1), 1, 0),      # whole planes
    ("conv2d", (2, 40, 23, 25), (70, 40, 1, 1), 1, 0),
    ("conv2d", (2, 24, 16, 32), (40, 24, 3, 3), 2, 1),      # blocks of positions, turned
    ("conv2d", (2, 24, 17, 31), (40, 24, 3, 3), 2, 1),
    ("conv2d", (2, 34, 16, 32), (40, 34, 3, 3), 1, 1),      # Winograd's tiles
    ("conv2d", (2, 34, 18, 30), (40, 34, 3, 3), 1, 1),
    ("conv2d", (2, 3, 20, 64), (24, 3, 7, 7), 1, 3),        # rows
    ("conv2d", (2, 3, 20, 61), (24, 3, 7, 7), 1, 3),
    ("conv2d", (2, 3, 20, 64), (24, 3, 3, 3), 1, 1),        # rows whose operands stay in registers
    ("conv2d", (2, 3, 20, 61), (24, 3, 3, 3), 1, 1),
]


@pytest.mark.parametrize("backend", ["numba", "cython"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [0, 4], ids=["aligned", "not aligned"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_past_the_caches(case, shift, dtype, backend, stored_past):
    op, x_shape, w_shape, stride, padding = case
    g = geometry.conv(op, x_shape, w_shape, stride, padding, 1, 1)
    rng = np.random.default_rng(0)
    x, w, bias = (rng.standard_normal(shape).astype(dtype) for shape in (g.x_shape, g.w_shape, (g.k,)))
    size = np.prod(g.y_shape)
    module = backends.get(backend)
    found = []
    for yes in (False, True):
        stored_past(yes)
        # A result that begins at a cache line, or a little behind one, and has guards on both sides.
        space = np.full(size + 64, 7, dtype)
        first = -space.ctypes.data % 64 // space.itemsize + 16 + shift
        y = space[first:first + size].reshape(g.y_shape)
        y[...] = np.nan
        module.conv_forward(x, w, bias, y, g)
        assert (space[:first] == 7).all()
        assert (space[first + size:] == 7).all()
        found.append(y.copy())
    assert np.array_equal(*found)
