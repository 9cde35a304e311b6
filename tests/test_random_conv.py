"""Random convolutions, odder than anybody would list: each pass of each engine against torch in float64."""

from math import prod

import numpy as np
import pytest
import torch
from torch.nn import functional as reference
from torch.nn import grad as reference_grad

import fastconv
from fastconv import functional, grad

# So many that an input gradient of stride 2 that was wrong for one geometry in 1600 is found.
SEEDS = 40
CASES = 50  # of a seed
MULTIPLY_ADDS = 3_000_000  # of a case at most
# Of the largest result: what `set_float32_precision` promises for 'high', and what sums of float64 stay far below. Or
# of 1, as the inputs are of that order, and so are products that cancel each other out in the only result.
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def numbers(rng, choices, count):
    """`count` of the choices, in half of the cases the same one for all axes."""
    found = rng.choice(choices, count)
    return tuple(map(int, found if rng.random() < 0.5 else [found[0]] * count))


def geometry(rng):
    """(x's shape, w's shape, stride, padding, dilation, groups) of one to three axes, half of them with groups.

    A quarter of them are depthwise, some with as many channels as a vector has lanes.
    """
    while True:
        nd = int(rng.choice([1, 2, 2, 2, 3]))
        size = tuple(int(rng.integers(1, (200, 40, 14)[nd - 1])) for _ in range(nd))
        kernel = numbers(rng, [1, 1, 2, 3, 3, 3, 4, 5, 7], nd)
        stride, dilation = numbers(rng, [1, 1, 1, 2, 2, 3, 4], nd), numbers(rng, [1, 1, 1, 2, 3], nd)
        padding = tuple(r // 2 for r in kernel) if rng.random() < 0.3 else numbers(rng, [0, 0, 1, 2, 3, 4], nd)
        kind = rng.random()
        if kind < 0.25:
            groups, channels, filters = int(rng.choice([1, 3, 8, 16, 20, 33, 40])), 1, int(rng.choice([1, 1, 1, 2]))
        elif kind < 0.5:
            groups, channels, filters = (int(rng.integers(1, most)) for most in (5, 10, 20))
        else:
            groups, channels, filters = 1, *(int(rng.integers(1, rng.choice([5, 20, 80]))) for _ in range(2))
        n = int(rng.integers(1, 6))
        fits = all(i + 2 * p >= d * (r - 1) + 1 for i, r, p, d in zip(size, kernel, padding, dilation, strict=True))
        if fits and n * groups * channels * filters * prod(kernel) * prod(size) <= MULTIPLY_ADDS:
            w_shape = (groups * filters, channels, *kernel)
            return (n, groups * channels, *size), w_shape, stride, padding, dilation, groups


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("backend", ["numba", "cython"])
def test_random_convolutions(backend, seed):
    rng = np.random.default_rng(seed)
    fastconv.set_float32_precision("highest" if seed % 4 == 3 else "high")
    for _ in range(CASES):
        x_shape, w_shape, *options = geometry(rng)
        name, dtype = f"conv{len(x_shape) - 2}d", np.float32 if rng.random() < 0.6 else np.float64
        x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1]))
        exact = [torch.from_numpy(array).double() for array in (x, w, b)]
        y = getattr(reference, name)(*exact, *options)
        dy = rng.standard_normal(y.shape).astype(dtype)
        exact_dy = torch.from_numpy(dy).double()
        expected = (y, getattr(reference_grad, f"{name}_input")(x_shape, exact[1], exact_dy, *options),
                    getattr(reference_grad, f"{name}_weight")(exact[0], w_shape, exact_dy, *options),
                    exact_dy.sum((0, *range(2, dy.ndim))))
        with fastconv.use_backend(backend):
            found = (getattr(functional, name)(x, w, b, *options),
                     getattr(grad, f"{name}_input")(x_shape, w, dy, *options),
                     *getattr(grad, f"{name}_parameters")(x, w_shape, dy, *options))
        for what, result, exactly in zip(("y", "dx", "dw", "db"), found, expected, strict=True):
            exactly = exactly.numpy()
            bound = TOLERANCE[dtype] * max(1, np.abs(exactly).max())
            assert np.abs(result - exactly).max() <= bound, (what, dtype, x_shape, w_shape, *options)
