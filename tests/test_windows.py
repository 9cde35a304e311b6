"""Pooling by windows side by side, by windows a few elements apart, and of entire planes, beside torch."""

import numpy as np
import pytest
import torch

from fastconv import functional, grad
from fastconv.backends import numba

# (kernel that runs, input, kernel, stride, padding): maps that are done in one go and in strips, narrower than a vector
# and wider, with windows that reach over every edge, and some that hold few elements of the map.
CASES = [
    ("separable", (2, 3, 7, 7), 3, 1, 1),
    ("separable", (1, 5, 13, 13), 5, 1, 2),
    ("separable", (1, 2, 300, 121), 3, 1, 1),
    ("separable", (1, 1, 130, 250), (9, 7), 1, (4, 3)),
    ("separable", (1, 3, 40, 16), (1, 4), 1, (0, 2)),
    ("separable", (1, 3, 33, 5), (7, 2), 1, (3, 1)),
    ("separable", (2, 4, 35), 6, 1, 3),
    ("striding", (2, 3, 9, 10), 3, 3, 1),
    ("striding", (1, 2, 210, 300), 4, 4, 0),
    ("striding", (1, 2, 90, 131), (5, 4), 2, 2),
    ("striding", (1, 3, 17, 40), (2, 5), (3, 4), (1, 2)),
    ("striding", (1, 2, 60, 130), (3, 7), (1, 3), (1, 3)),
    ("striding", (2, 5, 37), 5, 4, 2),
    ("entire", (3, 7, 7, 7), 7, 7, 0),
    ("entire", (2, 3, 1, 100), (1, 100), 1, 0),
    ("entire", (2, 5, 16), 16, 2, 0),
    ("entire", (1, 3, 2, 3, 5), (2, 3, 5), 1, 0),
    ("entire", (2, 33, 2, 1), (2, 1), 1, 0),
]
KINDS = ["numbers", "few values", "some NaN", "only NaN", "much of -inf", "only -inf"]
over_cases = pytest.mark.parametrize(("kernel", "shape", "window", "stride", "padding"), CASES, ids=str)
over_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def values(kind, shape, dtype):
    rng = np.random.default_rng(len(kind))
    x = rng.standard_normal(shape).astype(dtype)
    if kind == "few values":
        return np.round(x)
    share, value = {"some NaN": (0.1, np.nan), "only NaN": (1, np.nan), "much of -inf": (0.7, -np.inf),
                    "only -inf": (1, -np.inf)}.get(kind, (0, 0))
    x[rng.random(shape) < share] = value
    return x


@over_dtypes
@over_cases
@pytest.mark.parametrize("kind", KINDS)
def test_largest(kind, kernel, shape, window, stride, padding, dtype, steps):
    """The first of equal ones, the last NaN, and of nothing but the lowest number the first in the map: as torch."""
    ran, name = steps(numba), f"max_pool{len(shape) - 2}d"
    x = values(kind, shape, dtype)
    y, indices = getattr(functional, name)(x, window, stride, padding, return_indices=True)
    assert [step for step, *_ in ran] == [f"max_{kernel}"]
    wanted, places = getattr(torch.nn.functional, name)(torch.from_numpy(x), window, stride, padding,
                                                        return_indices=True)
    np.testing.assert_array_equal(y, wanted.numpy())
    np.testing.assert_array_equal(indices, places.numpy())
    np.testing.assert_array_equal(getattr(functional, name)(x, window, stride, padding), y)


@over_dtypes
@over_cases
@pytest.mark.parametrize(("counted", "divisor"), [(True, None), (False, None), (True, 3)])
def test_mean(counted, divisor, kernel, shape, window, stride, padding, dtype, steps):
    ran, name = steps(numba), f"avg_pool{len(shape) - 2}d"
    divisor = divisor if len(shape) > 3 else None  # torch has none of one dimension
    x = torch.from_numpy(values("numbers", shape, dtype)).double().requires_grad_()
    options = (False, counted, divisor) if len(shape) > 3 else (False, counted)
    wanted = getattr(torch.nn.functional, name)(x, window, stride, padding, *options)
    given = x.detach().numpy().astype(dtype)
    y = getattr(functional, name)(given, window, stride, padding, *options)
    assert [step for step, *_ in ran] == [f"avg_{kernel}"]
    dy = values("few values", y.shape, dtype)
    wanted.backward(torch.from_numpy(dy).double())
    dx = getattr(grad, f"{name}_input")(shape, dy, window, stride, padding, *options)
    for found, exact in ((y, wanted.detach()), (dx, x.grad)):
        exact = exact.numpy()
        # Sums of up to 63 elements, or windows, of which rounding takes a unit in the last place each at most.
        assert np.abs(found - exact).max() <= 64 * np.finfo(dtype).eps * np.abs(exact).max()
