"""Winograd's transform where the suite's shapes do not take it: volumes, whose slices are the transform's images."""

import numpy as np
import pytest
import torch

import fastconv
from fastconv import functional, geometry, grad
from fastconv.backends import plan_apart, plan_winograd, plan_winograd_weight

# x's shape, w's shape, stride, padding and dilation along the depth, groups, padding of the rows and columns; which of
# forward, input gradient and weight gradient take the transform.
VOLUMES = {
    "padded": ((2, 20, 5, 12, 13), (36, 20, 3, 3, 3), 1, 1, 1, 1, 1, (True, True, True)),
    "dilated": ((1, 32, 6, 16, 16), (32, 32, 2, 3, 3), 1, 0, 2, 1, 1, (True, True, True)),
    "strided": ((2, 32, 9, 14, 14), (48, 32, 3, 3, 3), 2, 2, 1, 1, 0, (True, False, True)),
    "deep_groups": ((2, 64, 4, 7, 7), (64, 32, 5, 3, 3), 1, 2, 1, 2, 1, (True, True, True)),
    "padded_beyond_taps": ((2, 32, 2, 16, 16), (32, 32, 2, 3, 3), 1, 3, 1, 1, 1, (True, True, True)),
    "weights_transformed_in_parts": ((1, 512, 3, 6, 6), (512, 512, 3, 3, 3), 1, 1, 1, 1, 1, (True, True, True)),
    # With any vector: tiles of 256 channels, whose slices are therefore further apart.
    "slices_further_apart": ((1, 128, 2, 12, 12), (32, 128, 2, 3, 3), 1, 1, 1, 1, 1, (True, True, True)),
    "slices_alone": ((2, 36, 3, 13, 13), (52, 36, 1, 3, 3), 1, 0, 1, 1, 0, (True, True, True)),
}
# Of these and of the planes, those whose input gradient has the tiles of dy.
ADJOINT = {"slices_alone", "2_taps_valid", "5_taps_valid", "strided_4_taps", "strided_5_taps", "stride_3", "valid",
           "padded_across", "padded_5_taps", "valid_groups", "padded_far", "padded_far_5_taps",
           "valid_weights_in_parts", "valid_dilated", "valid_strided", "valid_strided_rest", "valid_strided_groups",
           "valid_strided_down", "valid_stride_3", "strided_9_taps_whole"}


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.parametrize("engine", ["numba", "cython"])
def test_volumes(engine, name):
    x_shape, w_shape, stride, front, step, groups, around, takes = VOLUMES[name]
    options = {"stride": (stride, 1, 1), "padding": (front, around, around), "dilation": (step, 1, 1),
               "groups": groups}
    g = geometry.conv("conv3d", x_shape, w_shape, *options.values())
    planners = (plan_winograd.forward, plan_winograd.backward_input, plan_winograd_weight.backward_weight)
    forms = [planner(g, 64) for planner in planners]
    assert tuple(form is not None for form in forms) == takes
    assert forms[1] is None or forms[1].adjoint == (name in ADJOINT)
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


# x's shape, w's shape, stride, padding, dilation, groups; whether it is taken apart into phases first.
PLANES = {
    "more_channels_than_a_table": ((4, 530, 16, 16), (32, 530, 3, 3), 1, 1, 1, 1, False),
    "2_taps": ((2, 48, 23, 20), (40, 48, 2, 2), 1, 1, 1, 1, False),
    "2_taps_valid": ((3, 48, 21, 26), (48, 48, 2, 2), 1, 0, 1, 1, False),
    "4_taps": ((2, 48, 23, 20), (40, 48, 4, 4), 1, 2, 1, 1, False),
    "5_taps": ((2, 64, 19, 17), (64, 32, 5, 5), 1, 2, 1, 2, False),
    "5_taps_valid": ((8, 16, 12, 12), (32, 16, 5, 5), 1, 0, 1, 1, False),
    "5_taps_dilated": ((2, 32, 40, 41), (32, 32, 5, 5), 1, 4, 2, 1, True),
    "strided_rest": ((4, 64, 40, 43), (128, 64, 4, 4), 2, 0, 1, 1, True),
    "strided_4_taps": ((4, 64, 60, 61), (96, 64, 4, 4), 2, 1, 1, 1, True),
    "strided_5_taps": ((8, 128, 48, 49), (128, 64, 5, 5), 2, 2, 1, 2, True),
    "strided_7_taps": ((2, 32, 40, 41), (64, 32, 7, 7), 2, 3, 1, 1, True),
    "strided_8_taps": ((2, 32, 40, 41), (64, 32, 8, 8), 2, 5, 1, 1, True),
    "strided_9_taps": ((4, 160, 36, 36), (64, 160, 9, 9), 2, 4, 1, 1, True),
    "strided_9_taps_whole": ((4, 160, 32, 32), (64, 160, 9, 9), 2, 4, 1, 1, True),
    "stride_3": ((2, 64, 72, 71), (64, 64, 8, 8), 3, 3, 1, 1, True),
    # All phases share a panel, of which the columns of the last one end within a vector.
    "strided_down": ((2, 24, 48, 41), (64, 24, 6, 3), (2, 1), (2, 1), 1, 1, True),
    "valid": ((64, 32, 13, 13), (64, 32, 3, 3), 1, 0, 1, 1, False),
    # Five images in blocks of three.
    "padded_across": ((5, 36, 13, 14), (52, 36, 3, 3), 1, (0, 1), 1, 1, False),
    "padded_5_taps": ((3, 36, 13, 13), (36, 36, 5, 5), 1, 1, 1, 1, False),
    "valid_groups": ((4, 108, 13, 13), (156, 36, 3, 3), 1, 0, 1, 3, False),
    # Rows of tiles that make nothing inside dx.
    "padded_far": ((2, 36, 12, 6), (52, 36, 3, 3), 1, (5, 0), 1, 1, False),
    "padded_far_5_taps": ((4, 36, 11, 11), (52, 36, 5, 5), 1, (4, 0), 1, 1, False),
    "valid_weights_in_parts": ((2, 520, 9, 9), (520, 520, 3, 3), 1, 0, 1, 1, False),
    "valid_dilated": ((3, 36, 26, 27), (40, 36, 3, 3), 1, 0, 2, 1, True),
    "valid_strided": ((4, 64, 28, 27), (96, 64, 6, 6), 2, 0, 1, 1, True),
    "valid_strided_rest": ((2, 74, 26, 25), (74, 74, 5, 5), 2, 1, 1, 1, True),
    "valid_strided_groups": ((3, 80, 25, 26), (120, 40, 5, 6), 2, (0, 1), 1, 2, True),
    "valid_strided_down": ((2, 24, 41, 30), (64, 24, 6, 3), (2, 1), (2, 1), 1, 1, True),
    "valid_stride_3": ((4, 32, 38, 37), (64, 32, 8, 8), 3, 0, 1, 1, True),
}


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("engine", ["numba", "cython"])
def test_planes(engine, name):
    x_shape, w_shape, *options, is_apart = PLANES[name]
    g = geometry.conv("conv2d", x_shape, w_shape, *options)
    planners = (plan_winograd.forward, plan_winograd.backward_input, plan_winograd_weight.backward_weight)
    apart = plan_apart.apart(g)
    assert (apart is not None) == is_apart
    forms = [planner(apart.inner, 64, taps=apart.taps) if is_apart else planner(g, 64) for planner in planners]
    assert None not in forms
    assert forms[1].adjoint == (name in ADJOINT)
    rng = np.random.default_rng(7)
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in (x_shape, w_shape, w_shape[:1]))
    leaves = [torch.from_numpy(a).double().requires_grad_() for a in (x, w, b)]
    expected = torch.nn.functional.conv2d(*leaves, *options)
    dy = rng.standard_normal(expected.shape, np.float32)
    expected.backward(torch.from_numpy(dy).double())
    with fastconv.use_backend(engine):
        found = (functional.conv2d(x, w, b, *options), grad.conv2d_input(x.shape, w, dy, *options),
                 *grad.conv2d_parameters(x, w.shape, dy, *options))
    for result, of_torch in zip(found, (expected, *(leaf.grad for leaf in leaves)), strict=True):
        of_torch = of_torch.detach().numpy()
        assert np.abs(result - of_torch).max() <= 1e-5 * np.abs(of_torch).max()
