"""Input gradients of stride 2 across, whose two phases the Numba engine weaves, unless they are cut into pieces."""

import numpy as np
import pytest
from references import assert_close, call, sum_bound

from fastconv import geometry
from fastconv.backends import loops, numba, plan

# Cut, an axis may be two pieces of one phase, or of each phase a piece that is not all of it.
CASES = {
    "whole": geometry.conv("conv2d", (2, 4, 9, 12), (6, 4, 3, 4), 2, 1),
    "odd": geometry.conv("conv2d", (2, 4, 9, 11), (6, 4, 3, 3), 2, 1),
    "pieces_of_one": geometry.conv("conv2d", (3, 8, 7, 6), (4, 4, 1, 3), (3, 2), (4, 1), (1, 3), 2),
    "cut_short": geometry.conv("conv2d", (4, 4, 13, 12), (6, 4, 1, 2), (3, 2), (3, 1), (3, 3)),
    "volume": geometry.conv("conv3d", (1, 2, 9, 9, 5), (7, 2, 1, 1, 4), (3, 1, 2), (3, 2, 4), (1, 2, 3)),
}
WHOLE = ("whole", "odd")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_input_gradient(name, dtype):
    g = CASES[name]
    rng = np.random.default_rng(7)
    dy, w = (rng.standard_normal(shape).astype(dtype) for shape in (g.y_shape, g.w_shape))
    (dx,) = call(numba.conv_backward_input, [dy, w], [(g.x_shape, dtype)], g)
    exact = [(g.x_shape, np.float64)]
    (expected,) = call(loops.conv_backward_input, [dy.astype(np.float64), w.astype(np.float64)], exact, g)
    (magnitude,) = call(loops.conv_backward_input, [np.abs(a).astype(np.float64) for a in (dy, w)], exact, g)
    terms = g.k // g.groups * np.prod(g.kernel)
    assert_close(dx, expected, sum_bound(magnitude, terms, dtype), name)


@pytest.mark.parametrize("name", CASES)
def test_only_whole_phases_are_woven(name):
    _, products, _ = plan.backward_input.__wrapped__(CASES[name], 16, True)
    assert any(isinstance(product, plan.Pair) for product in products) == (name in WHOLE)
