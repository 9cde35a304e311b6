"""Convolution, transposed convolution, linear, and the signal names, against torch and against the definition."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch.nn.functional as T
from torch_twins import CONV_TRANSPOSES, CONVS, TYPES, assert_near, function, ident, random, tensor, torch_arguments

import fastconv.functional as F
import fastconv.grad as G
from fastconv.inspection import check_gradients


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("case", CONVS, ids=ident)
def test_conv(case, with_bias, dtype):
    nd, x_shape, w_shape, arguments = case
    x, w = random(1, x_shape, dtype), random(2, w_shape, dtype)
    b = random(3, w_shape[0], dtype) if with_bias else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths", UserWarning)
        expected = getattr(T, f"conv{nd}d")(tensor(x), tensor(w), None if b is None else tensor(b),
                                            **torch_arguments(arguments))
    assert_near(function("conv", nd)(x, w, b, **arguments), expected, dtype)


def test_conv_takes_torch_order():
    x, w, b = random(1, (2, 4, 9, 8), np.float64), random(2, (6, 2, 3, 3), np.float64), random(3, 6, np.float64)
    positional = F.conv2d(x, w, b, 2, 1, 2, 2)
    assert_near(positional, T.conv2d(tensor(x), tensor(w), tensor(b), 2, 1, 2, 2), np.float64)
    named = F.conv2d(input=x, weight=w, bias=b, stride=2, padding=1, dilation=2, groups=2)
    np.testing.assert_array_equal(positional, named)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("case", CONV_TRANSPOSES, ids=ident)
def test_conv_transpose(case, with_bias, dtype):
    nd, x_shape, w_shape, arguments = case
    x, w = random(1, x_shape, dtype), random(2, w_shape, dtype)
    b = random(3, w_shape[1] * arguments.get("groups", 1), dtype) if with_bias else None
    expected = getattr(T, f"conv_transpose{nd}d")(tensor(x), tensor(w), None if b is None else tensor(b), **arguments)
    assert_near(function("conv_transpose", nd)(x, w, b, **arguments), expected, dtype)


def test_conv_transpose_takes_torch_order():
    x, w, b = random(1, (2, 4, 5, 4), np.float64), random(2, (4, 3, 3, 3), np.float64), random(3, 6, np.float64)
    expected = T.conv_transpose2d(tensor(x), tensor(w), tensor(b), 2, 1, 1, 2, 3)
    assert_near(F.conv_transpose2d(x, w, b, 2, 1, 1, 2, 3), expected, np.float64)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("x_shape, w_shape, with_bias", [
    ((4, 5), (3, 5), True), ((4, 5), (3, 5), False), ((5,), (3, 5), True), ((2, 3, 4, 5), (6, 5), True),
    ((1, 1), (1, 1), True), ((0, 5), (3, 5), True), ((2, 0, 5), (3, 5), False), ((2, 0), (3, 0), True),
    ((2, 0), (3, 0), False), ((2, 5), (0, 5), True), ((5,), (5,), False), ((4, 5), (5,), False),
])
def test_linear(x_shape, w_shape, with_bias, dtype):
    x, w = random(1, x_shape, dtype), random(2, w_shape, dtype)
    b = random(3, w_shape[:-1], dtype) if with_bias else None
    expected = T.linear(tensor(x), tensor(w), None if b is None else tensor(b))
    assert_near(F.linear(x, w, b), expected, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("x_shape, b_shape", [
    ((2, 3, 4), ()), ((2, 3, 4), (1,)), ((2, 3, 4), (1, 5)), ((2, 3, 4), (3, 5)), ((2, 3, 4), (2, 3, 1)),
    ((2, 3, 4), (2, 3, 5)), ((3, 4), (3, 1)), ((3, 4), (1, 1)), ((4,), (1, 5)), ((4,), (1,)), ((0, 4), (1, 5))])
def test_linear_with_a_bias_that_broadcasts(x_shape, b_shape, dtype):
    x, w, b = random(1, x_shape, dtype), random(2, (5, 4), dtype), np.asarray(random(3, b_shape, dtype))
    assert_near(F.linear(x, w, b), T.linear(tensor(x), tensor(w), tensor(b)), dtype)


def test_linear_with_a_single_output_takes_a_bias():
    x, w = random(1, (4, 5), np.float64), random(2, 5, np.float64)
    assert_near(F.linear(x, w, np.array(2.0)), x @ w + 2, np.float64)


def test_an_empty_batch_of_a_convolution_is_empty():
    w = random(2, (4, 3, 3, 3), np.float32)
    assert_near(F.conv2d(np.zeros((0, 3, 7, 8), np.float32), w, padding=1), np.zeros((0, 4, 7, 8)), np.float32)
    w = random(2, (3, 4, 3, 3), np.float32)
    assert_near(F.conv_transpose2d(np.zeros((0, 3, 5, 5), np.float32), w), np.zeros((0, 4, 7, 7)), np.float32)


SIGNALS = {1: [((9,), (3,)), ((9,), (4,)), ((6,), (1,)), ((4,), (4,))],
           2: [((6, 7), (3, 3)), ((6, 7), (2, 4)), ((5, 6), (4, 3)), ((5, 5), (5, 1))],
           3: [((4, 5, 6), (3, 2, 3)), ((4, 4, 4), (2, 4, 1))]}


def full(x, kernel):
    """The full convolution by its definition: every element of `x` spreads the kernel."""
    result = np.zeros([i + f - 1 for i, f in zip(x.shape, kernel.shape, strict=True)])
    for place in itertools.product(*map(range, x.shape)):
        result[tuple(slice(i, i + f) for i, f in zip(place, kernel.shape, strict=True))] += x[place] * kernel
    return result


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("nd, x_shape, k_shape", [(nd, *shapes) for nd in SIGNALS for shapes in SIGNALS[nd]])
def test_signal(nd, x_shape, k_shape, name, mode, dtype):
    x, k = random(1, x_shape, dtype), random(2, k_shape, dtype)
    expected = full(x.astype(float), np.flip(k.astype(float)) if name == "correlate" else k.astype(float))
    if mode == "valid":
        expected = expected[tuple(slice(f - 1, i) for i, f in zip(x_shape, k_shape, strict=True))]
    if mode == "same":
        late = name == "correlate" and nd == 2
        starts = [f // 2 if late else (f - 1) // 2 for f in k_shape]
        expected = expected[tuple(slice(s, s + i) for s, i in zip(starts, x_shape, strict=True))]
    assert_near(getattr(F, f"{name}{nd}d")(x, k, mode), expected, dtype)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("nd, x_shape, k_shape", [(nd, *shapes) for nd in SIGNALS for shapes in SIGNALS[nd]])
def test_gradients_of_a_signal(nd, x_shape, k_shape, name, mode):
    """The product is linear in each argument: its gradients are the transposed maps, column by column."""
    function, x, k = getattr(F, f"{name}{nd}d"), random(1, x_shape, np.float64), random(2, k_shape, np.float64)
    dy = random(3, function(x, k, mode).shape, np.float64)

    def units(shape):
        return np.eye(math.prod(shape)).reshape(-1, *shape)

    expected = [np.sum(function(unit, k, mode) * dy) for unit in units(x_shape)]
    assert_near(getattr(G, f"{name}{nd}d_input")(x_shape, k, dy, mode), np.reshape(expected, x_shape), np.float64)
    expected = [np.sum(function(x, unit, mode) * dy) for unit in units(k_shape)]
    assert_near(getattr(G, f"{name}{nd}d_kernel")(x, k_shape, dy, mode), np.reshape(expected, k_shape), np.float64)
    assert check_gradients(function, (x, k), mode=mode)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_signal_of_one_axis_is_that_of_numpy(mode):
    for n in (1, 2, 3, 4, 7):
        x, k = random(1, 7, np.float64), random(n, n, np.float64)
        assert_near(F.convolve1d(x, k, mode), np.convolve(x, k, mode), np.float64)
        assert_near(F.correlate1d(x, k, mode), np.correlate(x, k, mode), np.float64)


def test_a_kernel_larger_than_the_signal():
    x, k = random(1, (2, 3), np.float64), random(2, (4, 5), np.float64)
    assert_near(F.convolve2d(x, k), full(x, k), np.float64)
    assert_near(F.convolve2d(x, k, "same"), full(x, k)[1:3, 2:5], np.float64)


def test_default_mode_is_full():
    x, k = random(1, (5, 6), np.float64), random(2, (3, 2), np.float64)
    np.testing.assert_array_equal(F.correlate2d(x, k), F.correlate2d(x, k, mode="full"))
