"""Winograd's transform where the suite's shapes do not take it: volumes, whose slices are the transform's images."""

import numpy as np
import pytest
import torch

import fastconv
from fastconv import functional, geometry, grad
from fastconv.backends import plan_winograd

# x's shape, w's shape, stride, padding and dilation along the depth, groups, padding of the rows and columns; which of
# forward, input gradient and weight gradient take the transform.
VOLUMES = {
    "padded": ((2, 20, 5, 12, 13), (36, 20, 3, 3, 3), 1, 1, 1, 1, 1, (True, True, True)),
    "dilated": ((1, 32, 6, 16, 16), (32, 32, 2, 3, 3), 1, 0, 2, 1, 1, (True, True, True)),
    "strided": ((2, 32, 9, 14, 14), (48, 32, 3, 3, 3), 2, 2, 1, 1, 0, (True, False, True)),
    "deep_groups": ((2, 64, 4, 7, 7), (64, 32, 5, 3, 3), 1, 2, 1, 2, 1, (True, True, True)),
    "padded_beyond_taps": ((2, 32, 2, 16, 16), (32, 32, 2, 3, 3), 1, 3, 1, 1, 1, (True, True, True)),
    "weights_transformed_in_parts": ((1, 512, 3, 6, 6), (512, 512, 3, 3, 3), 1, 1, 1, 1, 1, (True, True, True)),
}


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.parametrize("engine", ["numba", "cython"])
def test_volumes(engine, name):
    x_shape, w_shape, stride, front, step, groups, around, takes = VOLUMES[name]
    options = {"stride": (stride, 1, 1), "padding": (front, around, around), "dilation": (step, 1, 1),
               "groups": groups}
    g = geometry.conv("conv3d", x_shape, w_shape, *options.values())
    planners = (plan_winograd.forward, plan_winograd.backward_input, plan_winograd.backward_weight)
    assert tuple(planner(g, 64) is not None for planner in planners) == takes
    rng = np.random.default_rng(7)
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in (x_shape, w_shape, w_shape[:1]))
    leaves = [torch.from_numpy(a).double().requires_grad_() for a in (x, w, b)]
    expected = torch.nn.functional.conv3d(*leaves, **options)
    dy = rng.standard_normal(expected.shape, np.float32)
    expected.backward(torch.from_numpy(dy).double())
    with fastconv.use_backend(engine):
        found = (functional.conv3d(x, w, b, **options), grad.conv3d_input(x.shape, w, dy, **options),
                 *grad.conv3d_parameters(x, w.shape, dy, **options))
    for result, of_torch in zip(found, (expected, *(leaf.grad for leaf in leaves)), strict=True):
        of_torch = of_torch.detach().numpy()
        assert np.abs(result - of_torch).max() <= 1e-5 * np.abs(of_torch).max()
