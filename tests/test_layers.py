"""Layers against ``torch.nn``, and what only layers have: parameters, containers, repeated use."""

import copy
import inspect
import pickle
import threading
from collections import OrderedDict

import numpy as np
import pytest
import torch

from fastconv import layers, models
from fastconv.layers import Conv2d, Flatten, Layer, Linear, MaxPool2d, MSELoss, Parameter, ReLU, Sequential

torch.set_num_threads(1)

TYPES = (np.float32, np.float64)
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}

# (class, positional arguments, keywords, input shape)
CASES = [
    ("Conv1d", (3, 4, 3), {}, (2, 3, 9)),
    ("Conv1d", (4, 6, 4), {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}, (2, 4, 11)),
    ("Conv1d", (3, 4, (3,)), {"padding": "same", "bias": False}, (3, 9)),
    ("Conv2d", (3, 4, 3), {}, (2, 3, 7, 8)),
    ("Conv2d", (3, 4, 3, 2, 1), {}, (2, 3, 7, 8)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2), "groups": 2}, (2, 4, 7, 9)),
    ("Conv2d", (6, 6, 3), {"padding": "same", "groups": 6}, (1, 6, 6, 6)),
    ("Conv2d", (3, 2, (4, 2)), {"padding": "valid", "bias": False}, (3, 5, 6)),
    ("Conv3d", (2, 3, (3, 2, 3)), {}, (2, 2, 4, 5, 6)),
    ("Conv3d", (4, 4, 2), {"stride": (1, 2, 3), "padding": 1, "groups": 2}, (1, 4, 5, 4, 6)),
    ("ConvTranspose1d", (3, 4, 3), {"stride": 2}, (2, 3, 5)),
    ("ConvTranspose2d", (4, 6, 3, 2, 1, 1), {}, (2, 4, 5, 4)),
    ("ConvTranspose2d", (4, 6, (3, 2), 2), {"output_padding": (1, 0), "groups": 2, "dilation": 2, "bias": False},
     (4, 5, 4)),
    ("ConvTranspose3d", (2, 3, 2), {"padding": 1}, (1, 2, 3, 4, 3)),
    ("MaxPool1d", (2,), {}, (2, 3, 9)),
    ("MaxPool1d", (3, 2, 1), {"dilation": 2, "ceil_mode": True}, (3, 9)),
    ("MaxPool2d", (2,), {}, (2, 3, 7, 8)),
    ("MaxPool2d", ((3, 2), (2, 1), (1, 0), 2, False, True), {}, (2, 3, 9, 8)),
    ("MaxPool3d", (2,), {"stride": (1, 2, 2), "padding": 1}, (2, 3, 4, 5, 6)),
    ("AvgPool1d", (3, 2, 1), {"ceil_mode": True, "count_include_pad": False}, (2, 3, 8)),
    ("AvgPool2d", (2,), {}, (2, 3, 7, 8)),
    ("AvgPool2d", ((3, 2), 2, 1), {"ceil_mode": True, "divisor_override": 5}, (3, 8, 7)),
    ("AvgPool3d", (2, 1), {}, (2, 3, 4, 5, 6)),
    ("Linear", (5, 4), {}, (3, 5)),
    ("Linear", (5, 4, False), {}, (5,)),
    ("Linear", (5, 4), {}, (2, 3, 5)),
    ("ReLU", (), {}, (3, 4, 5)),
    ("Softmax", (1,), {}, (3, 4, 5)),
    ("Softmax", (), {"dim": -1}, (3, 4)),
    ("LogSoftmax", (0,), {}, (3, 4)),
    ("LeakyReLU", (), {}, (3, 4, 5)),
    ("LeakyReLU", (0.3, True), {}, (3, 4)),
    ("PReLU", (), {}, (3, 4, 5)),
    ("PReLU", (4, 0.5), {}, (3, 4, 5)),
    ("Sigmoid", (), {}, (3, 4, 5)),
    ("Tanh", (), {}, (3, 4, 5)),
    ("Dropout", (0.0, True), {}, (3, 4, 5)),
    ("Dropout", (), {"p": 0.0}, ()),
    ("Identity", (7,), {"any": 1}, (3, 4, 5)),
    ("Unflatten", (1, (2, -1)), {}, (3, 4, 5)),
    ("Unflatten", (-1, [5, 1]), {}, (3, 4, 5)),
    ("ReLU", (True,), {}, (3, 4, 5)),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4, 1e-3, None), {}, (5, 4, 6)),
    ("BatchNorm2d", (4,), {"momentum": 0.3}, (3, 4, 6, 5)),
    ("BatchNorm2d", (4,), {"affine": False}, (3, 4, 6, 5)),
    ("BatchNorm2d", (4,), {"bias": False, "track_running_stats": False}, (3, 4, 3, 2)),
    ("BatchNorm3d", (2,), {}, (3, 2, 3, 2, 4)),
    ("Flatten", (0,), {}, ()),
    ("Conv1d", (3, 4, 3), {"padding": 2, "padding_mode": "circular", "stride": 2}, (2, 3, 9)),
    ("Conv2d", (4, 2, (3, 2)), {"padding": (2, 1), "padding_mode": "reflect", "groups": 2}, (2, 4, 5, 6)),
    ("Conv2d", (3, 4, (4, 3)), {"padding": "same", "padding_mode": "replicate", "dilation": (1, 2)}, (2, 3, 5, 6)),
    ("Conv2d", (3, 4, 3), {"padding": "valid", "padding_mode": "circular"}, (3, 5, 6)),
    ("Conv3d", (2, 3, 3), {"padding": (1, 0, 2), "padding_mode": "replicate", "bias": False}, (1, 2, 3, 4, 5)),
    ("ConstantPad1d", (2, 3.5), {}, (2, 3, 4)),
    ("ConstantPad2d", ((1, -1, 0, 2), 2), {}, (2, 3, 4, 5)),
    ("ConstantPad3d", (1, 0.5), {}, (2, 3, 2, 3)),
    ("ZeroPad1d", (1,), {}, (2, 3, 4)),
    ("ZeroPad2d", ((1, 2, 3, 0),), {}, (2, 3, 4, 5)),
    ("ZeroPad3d", (1,), {}, (2, 2, 3, 2, 3)),
    ("ReflectionPad1d", (3,), {}, (2, 3, 4)),
    ("ReflectionPad2d", ((1, 2, 3, -1),), {}, (3, 4, 5)),
    ("ReflectionPad3d", (1,), {}, (1, 2, 3, 2, 3)),
    ("ReplicationPad1d", ((0, 3),), {}, (2, 4)),
    ("ReplicationPad2d", (2,), {}, (2, 3, 4, 5)),
    ("ReplicationPad3d", ((1, 0, 2, 1, 0, 3),), {}, (1, 2, 3, 2, 3)),
    ("CircularPad1d", (3,), {}, (2, 3, 4)),
    ("CircularPad2d", ((1, 2, 0, 4),), {}, (2, 3, 4, 5)),
    ("CircularPad3d", (1,), {}, (1, 2, 3, 2, 3)),
    ("Upsample", ((7, 3),), {}, (2, 3, 4, 5)),
    ("Upsample", (), {"scale_factor": 2, "mode": "linear"}, (2, 3, 4)),
    ("Upsample", (None, (1.5, 2.0), "bicubic", True), {}, (2, 3, 4, 5)),
    ("Upsample", (), {"scale_factor": 1.7, "mode": "trilinear", "recompute_scale_factor": True}, (1, 2, 3, 2, 3)),
    ("UpsamplingNearest2d", (), {"scale_factor": 3}, (2, 3, 4, 5)),
    ("UpsamplingBilinear2d", (9,), {}, (2, 3, 4, 5)),
    ("Unfold", (3,), {"padding": 1}, (2, 3, 5, 6)),
    ("Unfold", ((2, 3), (1, 2), 0, (2, 1)), {}, (3, 5, 6)),
    ("Fold", ((5, 6), (2, 3)), {"stride": 2, "padding": (1, 0)}, (2, 12, 6)),
    ("Fold", (4, 2), {}, (8, 9)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 2)),
    ("PixelUnshuffle", (3,), {}, (2, 2, 6, 3)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveAvgPool2d", ((None, 3),), {}, (2, 3, 4, 5)),
    ("AdaptiveAvgPool3d", (2,), {}, (2, 3, 4, 5)),
    ("AdaptiveMaxPool1d", (3,), {}, (3, 7)),
    ("AdaptiveMaxPool2d", (2,), {}, (2, 3, 4, 5)),
    ("AdaptiveMaxPool3d", ((2, 3, None),), {}, (1, 2, 4, 5, 2)),
    ("Flatten", (), {}, (2, 3, 4, 5)),
    ("Flatten", (0, -2), {}, (2, 3, 4, 5)),
]


def twins(name, arguments, keywords, dtype):
    """A layer, and torch's in float64 with the same parameters."""
    options = {"dtype": dtype} if name.startswith(("BatchNorm", "Conv", "Linear", "PReLU")) else {}
    options |= {"generator": 0} if name.startswith(("Conv", "Linear")) else {}
    layer = getattr(layers, name)(*arguments, **keywords, **options)
    theirs = getattr(torch.nn, name)(*arguments, **keywords).double()
    theirs.load_state_dict({key: torch.from_numpy(value.astype(np.float64))
                            for key, value in layer.state_dict().items()})
    return layer, theirs


def random(shape, dtype, seed=1):
    # Multiples of 1 / 64 that all differ: no ties, exact in both types.
    count = int(np.prod(shape))
    return ((np.random.default_rng(seed).permutation(count) - count / 2) / 64).astype(dtype).reshape(shape)


def assert_close(found, expected, dtype):
    expected = np.asarray(expected.detach() if isinstance(expected, torch.Tensor) else expected)
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * max(1, np.abs(expected).max()))


def torch_gradients(theirs, x, dy):
    """Output, input gradient and the parameters' gradients by torch, all in float64."""
    x = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    y = theirs(x.clone())  # some layers of torch's write to it
    y.backward(torch.from_numpy(dy.astype(np.float64)))
    return y, x.grad, {key: parameter.grad for key, parameter in theirs.named_parameters()}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name, arguments, keywords, shape", CASES)
class TestAgainstTorch:
    def test_forward_and_backward(self, name, arguments, keywords, shape, dtype):
        layer, theirs = twins(name, arguments, keywords, dtype)
        x = random(shape, dtype)
        before = x.copy()
        y = layer(x)
        dy = random(y.shape, dtype, 2)
        dx = layer.backward(dy)
        expected_y, expected_dx, expected = torch_gradients(theirs, x, dy)
        assert_close(y, expected_y, dtype)
        assert_close(dx, expected_dx, dtype)
        found = {key: parameter.grad for key, parameter in layer.named_parameters()}
        assert found.keys() == expected.keys()
        for key, gradient in expected.items():
            assert_close(found[key], gradient, dtype)
        assert np.array_equal(x, before)

    def test_backward_can_be_repeated_and_halved(self, name, arguments, keywords, shape, dtype):
        layer, _ = twins(name, arguments, keywords, dtype)
        y = layer(random(shape, dtype))
        first, second = random(y.shape, dtype, 2), random(y.shape, dtype, 3)
        dx = layer.backward(second)
        gradients = [parameter.grad for parameter in layer.parameters()]
        layer.backward(first)
        assert np.array_equal(layer.backward(second), dx)
        assert all(map(np.array_equal, [parameter.grad for parameter in layer.parameters()], gradients))
        layer.zero_grad()
        assert np.array_equal(layer.backward_inputs(second), dx)
        assert all(parameter.grad is None for parameter in layer.parameters())
        assert layer.backward_parameters(second) is None
        assert all(map(np.array_equal, [parameter.grad for parameter in layer.parameters()], gradients))

    def test_bad_gradient(self, name, arguments, keywords, shape, dtype):
        layer, _ = twins(name, arguments, keywords, dtype)
        y = layer(random(shape, dtype))
        with pytest.raises(ValueError, match="grad_output must have"):
            layer.backward(np.zeros((*y.shape, 2), dtype))
        with pytest.raises(TypeError, match="grad_output must be"):
            layer.backward(y.tolist())


@pytest.mark.parametrize("name", [name for name in layers.__all__ if hasattr(torch.nn, name)
                                  and name not in ("Parameter", "RNN", "Sequential")])
def test_constructor_arguments_are_torchs(name):
    """In order, with their defaults; where an array lies and of which type it is are keywords here."""
    ours, theirs = (list(inspect.signature(getattr(module, name)).parameters.values()) for module in (layers, torch.nn))
    assert [(p.name, p.default) for p in ours if p.kind != p.KEYWORD_ONLY] == [
        (p.name, p.default) for p in theirs if p.name not in ("device", "dtype")
        and not (p.name == "bias" and name.startswith("BatchNorm"))]


@pytest.mark.parametrize("name, arguments, keywords, shape", CASES)
def test_repr_is_torchs(name, arguments, keywords, shape):
    layer, theirs = twins(name, arguments, keywords, np.float32)
    assert repr(layer) == repr(theirs)


def test_repr_of_nested_containers_is_torchs():
    def build(nn):
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.Linear(2, 3)))
    assert repr(build(layers)) == repr(build(torch.nn))


@pytest.mark.parametrize("name, arguments, keywords, shape", [case for case in CASES if case[0] in (
    "BatchNorm2d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "Linear") and case[2] != {"affine": False}])
@pytest.mark.parametrize("trained", ("weight", "bias", None))
def test_frozen_parameters(name, arguments, keywords, shape, trained):
    layer, _ = twins(name, arguments, keywords, np.float64)
    x = random(shape, np.float64)
    dy = random(layer(x).shape, np.float64, 2)
    dx = layer.backward(dy)
    gradients = {key: parameter.grad for key, parameter in layer.named_parameters()}
    layer.zero_grad()
    for key, parameter in layer.named_parameters():
        parameter.requires_grad = key == trained
    assert np.array_equal(layer.backward(dy), dx)
    for key, parameter in layer.named_parameters():
        if key == trained:
            np.testing.assert_allclose(parameter.grad, gradients[key], rtol=1e-12, atol=1e-12)
        else:
            assert parameter.grad is None


@pytest.mark.parametrize("kind, arguments", [("Conv2d", (2, 3, 3)), ("Linear", (6, 3))])
def test_bias_alone_still_checks_the_gradient(kind, arguments):
    layer = getattr(layers, kind)(*arguments)
    layer.weight.requires_grad = False
    y = layer(np.zeros((2, 6) if kind == "Linear" else (2, 2, 5, 6), np.float32))
    with pytest.raises(ValueError, match="must have shape"):
        layer.backward_parameters(y[1:])
    with pytest.raises(TypeError, match="float64"):
        layer.backward_parameters(y.astype(np.float64))


class TestLosses:
    OPTIONS = [{}, {"reduction": "sum"}, {"reduction": "none"}, {"label_smoothing": 0.1},
               {"ignore_index": 2, "weight": np.array([0.5, 2.0, 1.0, 3.0])}]

    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("options", OPTIONS)
    def test_cross_entropy(self, options, dtype):
        scores, target = random((6, 4), dtype), np.array([0, 3, 2, 1, 1, 0])
        ours = dict(options)
        theirs = dict(options)
        if "weight" in options:
            ours["weight"] = options["weight"].astype(dtype)
            theirs["weight"] = torch.from_numpy(options["weight"])
        loss = layers.CrossEntropyLoss(**ours)
        x = torch.from_numpy(scores.astype(np.float64)).requires_grad_()
        expected = torch.nn.CrossEntropyLoss(**theirs)(x, torch.from_numpy(target))
        value = loss(scores, target)
        assert_close(value, expected, dtype)
        scale = np.full(value.shape, 0.5, dtype)
        expected.backward(torch.full(expected.shape, 0.5, dtype=torch.float64))
        assert_close(loss.backward(scale), x.grad, dtype)
        if not value.ndim:
            assert_close(loss.backward(), 2 * x.grad, dtype)
            assert_close(loss.backward(np.array(0.5, dtype)), x.grad, dtype)

    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("reduction", ("mean", "sum", "none"))
    def test_mse(self, reduction, dtype):
        y, t = random((3, 4), dtype), random((3, 4), dtype, 5)
        loss = MSELoss(reduction=reduction)
        x = torch.from_numpy(y.astype(np.float64)).requires_grad_()
        expected = torch.nn.MSELoss(reduction=reduction)(x, torch.from_numpy(t.astype(np.float64)))
        assert_close(loss(y, t), expected, dtype)
        expected.sum().backward()
        assert_close(loss.backward(np.ones(expected.shape, dtype)), x.grad, dtype)

    def test_the_weight_follows_to(self):
        loss = layers.CrossEntropyLoss(np.ones(3, np.float32)).to(np.float64)
        assert loss(np.zeros((1, 3)), np.array([1])).dtype == np.float64

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="reduction must be one of"):
            layers.CrossEntropyLoss(reduction="average")
        with pytest.raises(ValueError, match="reduction must be one of"):
            MSELoss(reduction=None)
        with pytest.raises(TypeError, match="weight must be an array"):
            layers.CrossEntropyLoss([1.0, 2.0])


class TestParameter:
    def test_acts_as_an_array(self):
        p = Parameter(np.array([[1.0, 2.0], [3.0, 4.0]]))
        assert (p.shape, p.dtype, p.ndim, p.size, len(p)) == ((2, 2), np.float64, 2, 4, 2)
        assert np.asarray(p) is p.data or np.shares_memory(np.asarray(p), p.data)
        assert np.array(p, np.float32).dtype == np.float32
        assert not np.shares_memory(np.array(p), p.data)
        assert (p + 1).tolist() == (1 + p).tolist() == [[2, 3], [4, 5]]
        assert (p @ p.T).tolist() == [[5, 11], [11, 25]]
        assert type(p @ p) is type(np.exp(p)) is type(p * p) is type(-p) is np.ndarray
        assert np.sum(p) == 10 and np.add.reduce(p).tolist() == [4, 6]
        assert p[1, 0] == 3
        p[1] = 0
        assert p.data.tolist() == [[1, 2], [0, 0]]

    def test_in_place_arithmetic_keeps_the_parameter(self):
        layer = Linear(2, 2, generator=0)
        parameter, data = layer.weight, layer.weight.data
        expected = data * 2 + 1
        layer.weight *= 2
        layer.weight += 1
        assert layer.weight is parameter and parameter.data is data
        assert np.array_equal(data, expected)

    def test_assigning_data(self):
        p = Parameter(np.zeros((2, 3), np.float32))
        new = np.ones((2, 3), np.float32)
        p.data = new
        assert p.data is new
        with pytest.raises(TypeError, match="expected float32, got float64"):
            p.data = np.ones((2, 3))
        with pytest.raises(ValueError, match=r"expected shape \(2, 3\), got \(3, 2\)"):
            p.data = new.T
        with pytest.raises(TypeError, match="expected an array, got list"):
            p.data = [[1]]
        with pytest.raises(ValueError, match=r"Parameter.grad: expected shape \(2, 3\), got \(3,\)"):
            p.grad = np.ones(3, np.float32)
        p.grad = new
        p.grad = None
        assert p.grad is None

    def test_a_scalar(self):
        p = Parameter(np.array(2.0))
        p.grad = np.float64(3.0)
        assert p.grad.shape == ()

    @pytest.mark.parametrize("data", ([1, 2], np.ones(2, np.float16), np.ones(2, complex), np.array([None])))
    def test_other_types_are_refused(self, data):
        with pytest.raises(TypeError, match="must be float32 or float64"):
            Parameter(data)

    def test_can_be_a_key(self):
        p, q = Parameter(np.zeros(2)), Parameter(np.zeros(2))
        assert {p: 1, q: 2}[p] == 1
        assert (p == q).all()

    def test_repr(self):
        assert repr(Parameter(np.zeros(1), requires_grad=False)) == "Parameter(array([0.]), requires_grad=False)"

    def test_an_array_must_not_replace_it(self):
        layer = Linear(2, 3)
        with pytest.raises(TypeError, match=r"assign an array to its \.data"):
            layer.weight = np.zeros((3, 2), np.float32)
        layer.bias = None
        assert [name for name, _ in layer.named_parameters()] == ["weight"]


class TestLayer:
    def test_backward_before_forward(self):
        for method in ("backward", "backward_inputs", "backward_parameters"):
            with pytest.raises(RuntimeError, match=rf"ReLU\.{method}: call forward first"):
                getattr(ReLU(), method)(np.zeros(3))
            with pytest.raises(RuntimeError, match=rf"Sequential\.{method}: call forward first"):
                getattr(Sequential(ReLU()), method)(np.zeros(3))
        with pytest.raises(RuntimeError, match=r"MSELoss\.backward: call forward first"):
            MSELoss().backward()

    def test_backward_after_a_failed_forward(self):
        layer = Linear(2, 2)
        layer(np.zeros((1, 2), np.float32))
        with pytest.raises(ValueError):
            layer(np.zeros((1, 3), np.float32))
        with pytest.raises(RuntimeError, match="call forward first"):
            layer.backward(np.zeros((1, 2), np.float32))
        layer(np.zeros((1, 2), np.float32))
        layer.backward(np.zeros((1, 2), np.float32))

    def test_weights_changed_in_place_take_effect(self):
        for layer, shape in ((Conv2d(2, 3, 3, generator=0), (1, 2, 4, 5)), (Linear(4, 3, generator=0), (2, 4))):
            x = random(shape, np.float32)
            y = layer(x)
            layer.weight.data *= 2
            layer.bias.data *= 2
            dx = layer.backward(np.ones_like(y))
            np.testing.assert_allclose(layer(x), 2 * y, rtol=1e-6, atol=1e-6)
            layer.weight.data /= 2
            np.testing.assert_allclose(dx, 2 * layer.backward_inputs(np.ones_like(y)), rtol=1e-6, atol=1e-6)

    def test_inputs_are_kept_not_copied(self):
        layer = Linear(4, 3)
        x = np.zeros((2, 4), np.float32)
        layer(x)
        assert layer._input is x

    def test_types(self):
        layer = Sequential(Conv2d(1, 2, 3, generator=0), Flatten(), Linear(8, 2, generator=0))
        assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float32)}
        with pytest.raises(TypeError, match="float64"):
            layer(np.zeros((1, 1, 4, 4)))
        assert layer.to(np.float64) is layer
        assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float64)}
        with pytest.raises(RuntimeError, match="call forward first"):
            layer.backward(np.zeros((1, 2)))
        y = layer(np.zeros((1, 1, 4, 4)))
        layer.backward(y)
        layer.to("float32")
        assert all(p.grad.dtype == np.float32 for p in layer.parameters())
        for wrong in (np.int64, np.float16, None, "gpu"):
            with pytest.raises(TypeError, match="dtype must be float32 or float64"):
                layer.to(wrong)

    def test_initial_values(self):
        layer = Conv2d(8, 64, 5, groups=2, generator=np.random.default_rng(3))
        bound = 1 / np.sqrt(8 / 2 * 25)
        for values in (layer.weight.data, layer.bias.data):
            assert -bound <= values.min() < -0.9 * bound and 0.9 * bound < values.max() <= bound
        assert abs(layer.weight.data.mean()) < 0.02 * bound
        np.testing.assert_allclose(layer.weight.data.std(), bound / np.sqrt(3), rtol=0.02)
        transposed = layers.ConvTranspose2d(8, 4, 3)
        assert np.abs(transposed.weight.data).max() <= 1 / np.sqrt(4 * 9)
        a, b, c = (Linear(3, 2, generator=seed).weight.data for seed in (1, 1, 2))
        assert np.array_equal(a, b) and not np.array_equal(a, c)
        shared = np.random.default_rng(1)
        assert not np.array_equal(Linear(3, 2, generator=shared).weight, Linear(3, 2, generator=shared).weight)

    def test_modes(self):
        model = Sequential(ReLU(), Sequential(ReLU()))
        assert model.eval() is model
        assert not any(layer.training for layer in model.modules())
        assert model.train() is model
        assert all(layer.training for layer in model.modules())

    def test_freezing(self):
        model = Sequential(Linear(2, 2), Linear(2, 1))
        assert model[0].requires_grad_(False) is model[0]
        assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
        assert model.trainable() and not model[0].trainable()

    def test_zero_grad(self):
        layer = Linear(2, 2)
        layer.backward(layer(np.ones((1, 2), np.float32)))
        layer.zero_grad()
        assert layer.weight.grad is None and layer.bias.grad is None

    def test_max_pool_can_return_indices(self):
        layer = MaxPool2d(2, return_indices=True)
        x = random((1, 2, 4, 4), np.float32)
        y, indices = layer(x)
        assert indices.dtype == np.int64
        assert np.array_equal(y.ravel(), x.reshape(2, 16)[np.repeat([0, 1], 4), indices.ravel()])
        assert layer.backward(y).shape == x.shape

    def test_flatten_makes_a_view(self):
        x = np.zeros((2, 3, 4), np.float32)
        layer = Flatten()
        y = layer(x)
        assert np.shares_memory(x, y)
        assert layer.backward(y).shape == x.shape

    def test_softmax_without_an_axis_warns_as_torch_does(self):
        layer = layers.Softmax()
        x = random((3, 4), np.float64)
        with pytest.warns(UserWarning, match="dim"):
            y = layer(x)
        assert np.array_equal(y, layers.Softmax(1)(x))
        assert layer.backward(y).shape == y.shape

    def test_empty_batch(self):
        model = models.digits_cnn(generator=0)
        y = model(np.zeros((0, 1, 28, 28), np.float32))
        assert y.shape == (0, 10)
        assert model.backward(y).shape == (0, 1, 28, 28)
        assert not any(p.grad.any() for p in model.parameters())

    def test_copies_and_pickles_are_independent(self):
        model = Sequential(Conv2d(1, 2, 3, generator=0), Flatten(), Linear(8, 2, generator=0))
        x = random((1, 1, 4, 4), np.float32)
        y = model(x)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert np.array_equal(other(x), y)
            other[0].weight.data[...] = 0
            assert not np.array_equal(other(x), y)
        assert np.array_equal(model(x), y)

    def test_forward_from_several_threads(self):
        model = models.digits_cnn(generator=0)
        inputs = [random((2, 1, 28, 28), np.float32, seed) for seed in range(4)]
        expected = [model(x) for x in inputs]
        found = [None] * 4

        def work(i):
            for _ in range(5):
                found[i] = model(inputs[i])
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(map(np.array_equal, found, expected))


class TestSequential:
    def test_names_are_torchs(self):
        model = Sequential(Linear(2, 3), ReLU(), Sequential(Linear(3, 4), Linear(4, 1, bias=False)))
        theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.Linear(4, 1, bias=False)))
        assert list(model.state_dict()) == list(theirs.state_dict())
        assert [name for name, _ in model.named_parameters()] == [name for name, _ in theirs.named_parameters()]
        assert [name for name, _ in model.named_modules()] == [name for name, _ in theirs.named_modules()]

    @pytest.mark.parametrize("build", (
        lambda a, b: Sequential(OrderedDict(first=a, second=b)), lambda a, b: Sequential({"first": a, "second": b}),
        lambda a, b: Sequential(first=a, second=b)))
    def test_given_names(self, build):
        a, b = Linear(2, 3), ReLU()
        model = build(a, b)
        assert model.first is a and model.second is b and list(model) == [a, b]
        assert list(model.state_dict()) == ["first.weight", "first.bias"]
        with pytest.raises(AttributeError, match="no attribute 'third'"):
            _ = model.third
        model.first = c = Linear(2, 5)
        assert model[0] is c and len(model) == 2

    def test_is_a_sequence(self):
        a, b, c = Linear(2, 3), ReLU(), Linear(3, 1)
        model = Sequential(a, b)
        assert model.append(c) is model
        assert len(model) == 3 and model[0] is a and model[-1] is c and list(model) == [a, b, c]
        assert list(model[1:]) == [b, c] and isinstance(model[:-1], Sequential)
        assert list(model[1:].state_dict()) == ["2.weight", "2.bias"]
        model[1] = d = Linear(3, 3)
        assert model[1] is d
        with pytest.raises(IndexError, match="index 3 is out of range for 3 layers"):
            _ = model[3]

    def test_bad_layers(self):
        with pytest.raises(TypeError, match="'1' must be a Layer"):
            Sequential(ReLU(), np.tanh)
        with pytest.raises(TypeError, match="must be a Layer"):
            Sequential([ReLU()])
        for name in ("a.b", "", 3):
            with pytest.raises(ValueError, match="string without dots"):
                Sequential({name: ReLU()})
        with pytest.raises(ValueError, match="'1' already"):
            Sequential({"1": ReLU()}).append(ReLU())

    def test_empty(self):
        model = Sequential()
        x = np.ones(3)
        assert model(x) is x and model.backward(x) is x
        model.backward_parameters(x)
        assert repr(model) == "Sequential()"

    def test_a_network_against_torch(self):
        model = models.digits_cnn(dtype=np.float64, generator=0)
        nn = torch.nn
        theirs = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10)).double()
        loaded = model.load_state_dict(theirs.state_dict())
        assert loaded == ([], [])
        x, target = np.random.default_rng(0).random((3, 1, 28, 28)), np.array([3, 1, 4])
        loss = layers.CrossEntropyLoss()
        value = loss(model(x), target)
        dx = model.backward(loss.backward())
        tx = torch.from_numpy(x).requires_grad_()
        expected = nn.CrossEntropyLoss()(theirs(tx), torch.from_numpy(target))
        expected.backward()
        assert_close(value, expected, np.float64)
        assert_close(dx, tx.grad, np.float64)
        for (name, parameter), (key, wanted) in zip(model.named_parameters(), theirs.named_parameters(), strict=True):
            assert name == key
            assert_close(parameter.grad, wanted.grad, np.float64)

    def test_parameters_alone_skip_the_first_input_gradient(self):
        model = Sequential(ReLU(), Linear(3, 3, generator=0), ReLU(), Linear(3, 2, generator=1))
        y = model(random((4, 3), np.float32))
        model.backward(y)
        gradients = [p.grad for p in model.parameters()]
        model.zero_grad()

        def refuse(grads):
            raise AssertionError("this input gradient is for nobody")
        model[0].backward_inputs = model[1].backward_inputs = refuse
        model.backward_parameters(y)
        assert all(map(np.array_equal, [p.grad for p in model.parameters()], gradients))
        model[1].requires_grad_(False)
        model[3].backward_inputs = refuse
        model.backward_parameters(y)
        model.requires_grad_(False)
        model[3].backward_parameters = refuse
        model.backward_parameters(y)

    def test_inputs_alone_leave_gradients(self):
        model = Sequential(Linear(3, 3, generator=0), ReLU(), Linear(3, 2, generator=1))
        y = model(random((4, 3), np.float32))
        dx = model.backward(y)
        model.zero_grad()
        assert np.array_equal(model.backward_inputs(y), dx)
        assert all(p.grad is None for p in model.parameters())


class TestStateDict:
    def model(self, dtype=np.float32, seed=0):
        generator = np.random.default_rng(seed)
        return Sequential(Conv2d(1, 2, 3, dtype=dtype, generator=generator), Flatten(),
                          Linear(8, 3, dtype=dtype, generator=generator))

    def test_round_trip(self):
        a, b = self.model(), self.model(seed=1)
        b.load_state_dict(a.state_dict())
        for (name, p), (_, q) in zip(a.named_parameters(), b.named_parameters(), strict=True):
            assert np.array_equal(p, q) and not np.shares_memory(p.data, q.data), name

    def test_arrays_are_the_layers_own(self):
        model = self.model()
        assert model.state_dict()["0.weight"] is model[0].weight.data

    def test_loading_converts_and_writes_in_place(self):
        model, source = self.model(), self.model(np.float64, 1)
        before = [p.data for p in model.parameters()]
        model.load_state_dict(source.state_dict())
        assert all(p.data is array and array.dtype == np.float32
                   for p, array in zip(model.parameters(), before, strict=True))
        assert np.array_equal(model[0].weight, source[0].weight.data.astype(np.float32))

    def test_takes_torchs_tensors(self):
        theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 3))
        model = self.model()
        model.load_state_dict(theirs.state_dict())
        assert np.array_equal(model[2].weight, theirs[2].weight.detach())

    def test_all_mismatches_are_named_and_nothing_is_loaded(self):
        model = self.model()
        before = {name: array.copy() for name, array in model.state_dict().items()}
        state = {name: array + 1 for name, array in before.items()}
        state["3.weight"] = state.pop("0.bias")
        state["2.weight"] = state["2.weight"].T
        with pytest.raises(ValueError) as error:
            model.load_state_dict(state)
        for part in ("Sequential", "missing '0.bias'", "unexpected '3.weight'",
                     "'2.weight' has shape (8, 3) instead of (3, 8)"):
            assert part in str(error.value)
        assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())
        with pytest.raises(ValueError, match="instead of"):
            model.load_state_dict(state, strict=False)
        state["2.weight"] = state["2.weight"].T
        assert model.load_state_dict(state, strict=False) == (["0.bias"], ["3.weight"])
        assert np.array_equal(model[0].weight, before["0.weight"] + 1)
        assert np.array_equal(model[0].bias, before["0.bias"])

    def test_takes_an_archive_but_no_list(self, tmp_path):
        model = self.model()
        np.savez(tmp_path / "model.npz", **self.model(seed=1).state_dict())
        with np.load(tmp_path / "model.npz") as file:
            model.load_state_dict(file)
        assert np.array_equal(model[0].weight, self.model(seed=1)[0].weight)
        with pytest.raises(TypeError, match="state_dict must map names to arrays, got list"):
            model.load_state_dict(list(model.parameters()))

    @pytest.mark.parametrize("wrong", (np.zeros(2, complex), np.array(["a", "b"]), np.array([None, None]), None))
    def test_other_types(self, wrong):
        model = self.model()
        before = model[0].weight.data.copy()
        with pytest.raises(TypeError, match=r"'0\.bias' must hold real numbers"):
            model.load_state_dict({**self.model(seed=1).state_dict(), "0.bias": wrong})
        assert np.array_equal(model[0].weight, before)


class Scale(Layer):
    """``x * factor``, with halves."""

    def __init__(self, factor):
        self.factor = Parameter(np.array(factor))

    def forward(self, x):
        self.x = x
        return x * self.factor

    def backward_inputs(self, grads):
        return grads * self.factor

    def backward_parameters(self, grads):
        self.factor.grad = np.sum(grads * self.x)


class WholeScale(Layer):
    """The same with ``backward`` alone."""

    def __init__(self, factor):
        self.factor = Parameter(np.array(factor))

    def forward(self, x):
        self.x = x
        return x * self.factor

    def backward(self, grad_output):
        self.factor.grad = np.sum(grad_output * self.x)
        return grad_output * self.factor


class Both(Scale):
    """The same with ``backward`` and its halves."""

    def backward(self, grad_output):
        self.backward_parameters(grad_output)
        return self.backward_inputs(grad_output)


class Square(Layer):
    """No parameters, no halves but one."""

    def forward(self, x):
        self.x = x
        return x * x

    def backward_inputs(self, grads):
        return 2 * self.x * grads


SCALES = (Scale, WholeScale, Both)


@pytest.mark.parametrize("kind", SCALES)
class TestReuse:
    """f(x) = x * a and its square in chains; by hand, d(a^n x) / da = n a^(n-1) x."""

    def test_a_users_layer(self, kind):
        layer = kind(3.0)
        model = Sequential(layer)
        x, dy = np.array([1.0, 2.0]), np.array([10.0, 1.0])
        assert model(x).tolist() == [3, 6]
        assert model.backward(dy).tolist() == [30, 3] and layer.factor.grad == 12
        layer.factor.grad = None
        assert model.backward_inputs(dy).tolist() == [30, 3] and layer.factor.grad is None
        model.backward_parameters(dy)
        assert layer.factor.grad == 12

    def test_a_layer_three_times(self, kind):
        layer = kind(3.0)
        model = Sequential(layer, layer, layer)
        x = np.array([2.0])
        assert model(x) == 54
        for _ in range(2):
            assert model.backward(np.ones(1)) == 27
            assert layer.factor.grad == 3 * 9 * 2
        layer.factor.grad = None
        model.backward_parameters(np.ones(1))
        assert layer.factor.grad == 54
        assert model.backward_inputs(np.ones(1)) == 27 and layer.factor.grad == 54
        # Alone, the layer remembers its last call.
        assert layer.backward(np.ones(1)) == 3 and layer.factor.grad == 18

    def test_activations_and_layers_between(self, kind):
        layer, square = kind(3.0), Square()
        model = Sequential(layer, square, Sequential(layer, square))
        x = np.array([2.0])
        assert model(x) == (3 * (3 * 2) ** 2) ** 2
        # ((a (a x)^2)^2 = a^6 x^4
        assert model.backward(np.ones(1)) == 4 * 3.0**6 * 2**3
        assert layer.factor.grad == 6 * 3.0**5 * 2**4

    def test_a_container_twice(self, kind):
        inner = Sequential(kind(3.0), Square())
        model = Sequential(inner, inner)
        assert model(np.array([2.0])) == (3 * (3 * 2) ** 2) ** 2
        assert model.backward(np.ones(1)) == 4 * 3.0**6 * 2**3
        assert inner[0].factor.grad == 6 * 3.0**5 * 2**4

    def test_a_shared_parameter(self, kind):
        a, b = kind(3.0), kind(5.0)
        b.factor = a.factor
        model = Sequential(a, Square(), b)
        assert len(list(model.parameters())) == 1
        assert list(model.state_dict()) == ["0.factor", "2.factor"]
        assert model(np.array([2.0])) == 3 * 36
        for _ in range(2):
            model.backward(np.ones(1))
            assert a.factor.grad == 3 * 9 * 4

    def test_within_a_users_composite(self, kind):
        class Twice(Layer):
            def __init__(self):
                self.scale = kind(3.0)

            def forward(self, x):
                self.middle = self.scale(x)
                return self.scale(self.middle ** 2)

            def backward(self, grad_output):
                grads = self.scale.backward(grad_output)
                return self.scale.backward(grads * 2 * self.middle)

        model = Twice()
        assert model(np.array([2.0])) == 3 * 36
        assert model.backward(np.ones(1)) == 3 * 9 * 2 * 2
        assert model.scale.factor.grad == 3 * 9 * 4
        model.scale.factor.grad = None
        assert model.backward_inputs(np.ones(1)) == 108 and model.scale.factor.grad is None
        model.backward_parameters(np.ones(1))
        assert model.scale.factor.grad == 108
        # x to a^3 x^2, applied twice, is x to a^9 x^4.
        outer = Sequential(model, model)
        assert outer(np.array([2.0])) == 3.0**9 * 2**4
        for _ in range(2):
            assert outer.backward(np.ones(1)) == 3.0**9 * 4 * 2**3
            assert model.scale.factor.grad == 9 * 3.0**8 * 2**4

    def test_two_branches_add_up(self, kind):
        class Fork(Layer):
            def __init__(self):
                self.scale = kind(3.0)

            def forward(self, x):
                y = self.scale(x)
                return y, y * 2

            def backward(self, grads):
                return self.scale.backward(grads[0]) + self.scale.backward(2 * grads[1])

        fork = Fork()
        fork(np.array([5.0]))
        assert fork.backward((np.array([1.0]), np.array([10.0]))) == 3 + 60
        assert fork.scale.factor.grad == 5 + 100

    def test_a_frozen_layer_twice(self, kind):
        layer = Linear(2, 2, dtype=np.float64, generator=0)
        layer.requires_grad_(False)
        model = Sequential(layer, kind(2.0), layer)
        y = model(np.ones((1, 2)))
        model.backward(y)
        assert layer.weight.grad is None and model[1].factor.grad is not None


def test_too_many_backward_calls_of_a_layer_used_twice():
    class Wrong(Layer):
        def __init__(self):
            self.scale = Scale(2.0)

        def forward(self, x):
            return self.scale(self.scale(x))

        def backward(self, grads):
            for _ in range(3):
                grads = self.scale.backward(grads)
            return grads

    model = Wrong()
    model(np.ones(1))
    with pytest.raises(RuntimeError, match="called 3 times in one backward pass, after 2 forward calls"):
        model.backward(np.ones(1))
    # An error leaves no pass open.
    model.scale(np.ones(1))
    assert model.scale.backward(np.ones(1)) == 2 and model.scale.factor.grad == 1


def test_a_tied_network_against_torch():
    shared = Conv2d(3, 3, 3, padding=1, dtype=np.float64, generator=0)
    model = Sequential(shared, ReLU(), shared, MaxPool2d(2), shared)
    theirs = torch.nn.Conv2d(3, 3, 3, padding=1).double()
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in shared.state_dict().items()})
    network = torch.nn.Sequential(theirs, torch.nn.ReLU(), theirs, torch.nn.MaxPool2d(2), theirs)
    x = random((2, 3, 6, 6), np.float64)
    dy = random(model(x).shape, np.float64, 2)
    dx = model.backward(dy)
    _, expected_dx, _ = torch_gradients(network, x, dy)
    assert_close(dx, expected_dx, np.float64)
    assert_close(shared.weight.grad, theirs.weight.grad, np.float64)
    assert_close(shared.bias.grad, theirs.bias.grad, np.float64)


def test_a_subclass_that_calls_its_parent():
    class Doubled(Scale):
        def forward(self, x):
            return 2 * super().forward(x)

        def backward_inputs(self, grads):
            return 2 * super().backward_inputs(grads)

        def backward_parameters(self, grads):
            super().backward_parameters(2 * grads)

    layer = Doubled(3.0)
    model = Sequential(layer, layer)
    assert model(np.array([2.0])) == 72
    assert model.backward(np.ones(1)) == 36
    assert layer.factor.grad == 2 * 2 * 2 * 3 * 2


def test_layers_that_define_too_little():
    class Nothing(Layer):
        pass

    class Forward(Layer):
        def forward(self, x):
            return x

    class NoParameters(Scale):
        backward_parameters = Layer.backward_parameters

    with pytest.raises(NotImplementedError, match="Nothing defines no forward"):
        Nothing()(1)
    layer = Forward()
    layer(np.ones(1))
    with pytest.raises(NotImplementedError, match="Forward defines neither backward nor backward_inputs"):
        layer.backward(np.ones(1))
    layer = NoParameters(1.0)
    layer(np.ones(1))
    with pytest.raises(NotImplementedError, match="NoParameters has parameters but"):
        layer.backward(np.ones(1))


BAD = [
    (lambda: Conv2d(3, 4, 0), ValueError, "kernel_size must be at least 1, got 0"),
    (lambda: Conv2d(3, 4, (3, 3, 3)), ValueError, "kernel_size must be an int or a tuple of 2 ints"),
    (lambda: Conv2d(3, 4, 3.0), TypeError, "kernel_size must be an int"),
    (lambda: Conv2d(0, 4, 3), ValueError, "in_channels must be at least 1, got 0"),
    (lambda: Conv2d(3, -4, 3), ValueError, "out_channels must be at least 1, got -4"),
    (lambda: Conv2d(3, 4, 3, stride=0), ValueError, "stride must be at least 1, got 0"),
    (lambda: Conv2d(3, 4, 3, padding=-1), ValueError, "padding must be at least 0, got -1"),
    (lambda: Conv2d(3, 4, 3, padding="full"), ValueError, "'same' or 'valid', got 'full'"),
    (lambda: Conv2d(3, 4, 3, stride=2, padding="same"), ValueError, "padding='same' needs stride=1"),
    (lambda: Conv2d(3, 4, 3, dilation=0), ValueError, "dilation must be at least 1, got 0"),
    (lambda: Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible by groups=2, got 3"),
    (lambda: Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible by groups=2, got 3"),
    (lambda: Conv2d(3, 4, 3, padding_mode="constant"), ValueError, "padding_mode must be one of .*, got 'constant'"),
    (lambda: Conv2d(3, 4, 3, dtype=np.int32), TypeError, "dtype must be float32 or float64"),
    (lambda: Conv2d(3, 4, 3, generator="now"), TypeError, "generator must be"),
    (lambda: Conv2d(3, 4, 3, generator=-1), TypeError, "generator must be"),
    (lambda: layers.ConvTranspose2d(3, 4, 3, padding="same"), TypeError, "padding must be an int"),
    (lambda: layers.ConvTranspose2d(3, 4, 3, output_padding=-1), ValueError, "output_padding must be at least 0"),
    (lambda: layers.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), ValueError, "must be one of 'zeros', got"),
    (lambda: layers.ReflectionPad2d((1, 2)), ValueError, "padding must be an int or a tuple of 4 ints"),
    (lambda: layers.ZeroPad1d(0.5), TypeError, "padding must be an int or a tuple of 2 ints, got 0.5"),
    (lambda: layers.AdaptiveMaxPool2d((1, 2, 3)), ValueError, "output_size must be an int or a tuple of 2 ints"),
    (lambda: layers.AdaptiveAvgPool1d(None), TypeError, "output_size must be an int"),
    (lambda: layers.MaxUnpool2d(0), ValueError, "kernel_size must be at least 1, got 0"),
    (lambda: layers.Upsample1d(0), ValueError, "upsampling_factor must be at least 1, got 0"),
    (lambda: layers.Downsample2d(1.5), TypeError, "downsampling_factor must be an int"),
    (lambda: MaxPool2d(0), ValueError, "kernel_size must be at least 1, got 0"),
    (lambda: MaxPool2d(2, 0), ValueError, "stride must be at least 1, got 0"),
    (lambda: MaxPool2d(2, padding=2), ValueError, "padding must be at most half"),
    (lambda: MaxPool2d("2"), TypeError, "kernel_size must be an int"),
    (lambda: layers.AvgPool2d(2, divisor_override=0), ValueError, "divisor_override must be at least 1, got 0"),
    (lambda: Linear(0, 2), ValueError, "in_features must be at least 1, got 0"),
    (lambda: Linear(2, 2.5), TypeError, "out_features must be an int"),
    (lambda: Linear(2, 2, dtype="int8"), TypeError, "dtype must be float32 or float64"),
    (lambda: Flatten(2)(np.zeros((2, 3))), ValueError, "dim must be from -2 to 1"),
    (lambda: Flatten(1, 0)(np.zeros((2, 3))), ValueError, "start_dim=1 lies behind end_dim=0"),
    (lambda: Flatten()([[1.0]]), TypeError, "input must be a NumPy array, got list"),
    (lambda: layers.Softmax(5)(np.zeros((2, 3))), ValueError, "dim must be from -2 to 1"),
    (lambda: Conv2d(3, 4, 3)(np.zeros((1, 2, 5, 5), np.float32)), ValueError, "channels"),
    (lambda: Conv2d(3, 4, 3)([[1.0]]), TypeError, "input must be a NumPy array, got list"),
    (lambda: Linear(2, 2)(np.zeros(2)), TypeError, "float64"),
]


@pytest.mark.parametrize("call, kind, message", BAD)
def test_bad_arguments(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("name", [name for name in layers.__all__ if name not in ("Layer", "Parameter")])
def test_every_public_layer_is_documented(name):
    assert getattr(layers, name).__doc__


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pooling_and_relu_change_places(dtype):
    """A Sequential may do the cheaper one first: results and gradients are those of its layers one by one."""
    rng = np.random.default_rng(6)
    x = rng.integers(-2, 3, (2, 3, 9, 12)).astype(dtype)  # ties, also among what is below 0 and at 0
    x[0, 0, 0, 0] = x[1, 2, 4, 4] = np.nan
    model = Sequential(ReLU(), MaxPool2d(2), ReLU(), MaxPool2d(3, stride=1, padding=1))
    y = model(x)
    relu, pool, again, last = model
    expected = x
    for layer in (relu, pool, again, last):
        expected = layer(expected)
    assert np.array_equal(y, expected, equal_nan=True)
    dy = rng.standard_normal(y.shape).astype(dtype)
    grads = dy
    for layer in (last, again, pool, relu):
        grads = layer.backward(grads)
    model(x)
    assert np.array_equal(model.backward(dy), grads)


def test_layers_that_are_watched_or_derived_stay_in_place():
    seen = []

    class Loud(ReLU):
        def forward(self, x):
            seen.append(x.shape)
            return super().forward(x)

    x = np.ones((1, 1, 4, 4), np.float32)
    Sequential(Loud(), MaxPool2d(2))(x)
    model = Sequential(ReLU(), MaxPool2d(2))
    inner = model[0].forward
    model[0].forward = lambda x: seen.append(x.shape) or inner(x)
    model(x)
    assert seen == [x.shape] * 2
