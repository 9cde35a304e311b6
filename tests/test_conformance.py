"""Every public function and layer beside torch: values, gradients, layouts, empty batches.

`bench.operations` holds the calls. ``make conformance`` runs this file with the plugin `conformance`, which writes what
passed into docs/CONFORMANCE.md.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import test_layers
import test_layers_more
import torch
from torch_twins import TYPES, assert_near, tensor

from bench.operations import OPERATIONS
from fastconv import functional as F
from fastconv import grad as G
from fastconv import layers
from fastconv.inspection import check_gradients

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "CONFORMANCE.md"
DIFFERENTIABLE = [name for name, operation in OPERATIONS.items() if operation.differentiable]
# Signals have neither batch nor channels, and no examples no mean and variance.
BATCHED = [name for name in OPERATIONS
           if not name.startswith(("correlate", "convolve")) and name != "batch_norm training"]
# A row of zeros takes part in the result, but by definition gets no gradient.
UNLIKE_DIFFERENCES = {"embedding with padding"}
# Layers that are compared with torch by a test of their own.
ELSEWHERE = {
    "CrossEntropyLoss": test_layers.TestLosses.test_cross_entropy,
    "Embedding": test_layers_more.TestEmbedding.test_against_torch,
    "MSELoss": test_layers.TestLosses.test_mse,
    "ModuleDict": test_layers_more.TestContainers.test_a_dict,
    "ModuleList": test_layers_more.TestContainers.test_a_list,
    "RNN": test_layers_more.TestRNN.test_against_torch,
    "Residual": test_layers_more.TestContainers.test_residual,
    "Sequential": test_layers.TestSequential.test_a_network_against_torch,
    "TimeDistributed": test_layers_more.TestContainers.test_time_distributed,
}
UNPOOLING = [f"MaxUnpool{nd}d" for nd in (1, 2, 3)]
BY_FACTOR = [f"{kind}{nd}d" for kind in ("Upsample", "Downsample") for nd in (1, 2, 3)]


class Noting:
    """A module that notes which of its functions are asked for."""

    def __init__(self, module):
        self.module, self.names = module, set()

    def __getattr__(self, name):
        self.names.add(name)
        return getattr(self.module, name)


def some_gradient(operation, y, dtype):
    rng = np.random.default_rng(1)
    return np.asarray(rng.standard_normal(np.shape(y)).astype(dtype))


def by_torch(operation, inputs, dy=None):
    """The result, and if `dy` is given the gradients, in float64."""
    tensors = {name: None if a is None else tensor(a, grad=name in operation.differentiable and dy is not None)
               for name, a in inputs.items()}
    y = operation.torch_forward(torch, tensors)
    if dy is None:
        return y
    return torch.autograd.grad(y, [tensors[name] for name in operation.differentiable], tensor(dy))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].exact])
def test_values(name, dtype, record_property):
    operation = OPERATIONS[name]
    inputs = operation.inputs(dtype)
    assert_near(np.asarray(operation.forward(F, inputs)), by_torch(operation, inputs), dtype)
    record_property("values", (operation.function, np.dtype(dtype).name))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if OPERATIONS[name].exact])
def test_gradients(name, dtype, record_property):
    operation = OPERATIONS[name]
    inputs = operation.inputs(dtype)
    noting = Noting(G)
    y = np.asarray(operation.forward(F, inputs))
    dy = some_gradient(operation, y, dtype)
    found = operation.backward(F, noting, inputs)(dy)
    for of_argument, expected in zip(found, by_torch(operation, inputs, dy), strict=True):
        assert_near(of_argument, expected, dtype)
    if f"{operation.function}_parameters" in noting.names and f"{operation.function}_weight" in G.__all__:
        x, weight, _ = inputs.values()
        alone = getattr(noting, f"{operation.function}_weight")(x, weight.shape, dy, **operation.options)
        assert alone.tobytes() == found[1].tobytes()
    if operation.function == "batch_norm":
        x, mean, var, w, _ = inputs.values()
        alone = (noting.batch_norm_input(x, dy, mean, var, w, **operation.options),
                 *noting.batch_norm_parameters(x, dy, mean, var, **operation.options))
        for of_argument, expected in zip(alone, found, strict=True):
            assert_near(of_argument, expected, dtype)
    record_property("gradient", (operation.function, np.dtype(dtype).name, sorted(noting.names)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", [name for name in OPERATIONS if not OPERATIONS[name].exact])
def test_what_is_random(name, dtype, record_property):
    """What stays is scaled as torch scales it, and half of it stays, as it does there."""
    operation = OPERATIONS[name]
    inputs = operation.inputs(dtype, large=True)
    inputs = {name: array[:1] for name, array in inputs.items()}  # 200,000 elements
    (x,) = inputs.values()
    y = operation.forward(F, inputs)
    stays = np.where(x == 0, operation.forward(F, {"input": np.ones_like(x)}) != 0, y != 0)
    np.testing.assert_array_equal(y, np.where(stays, 2 * x, 0))
    torch.manual_seed(0)
    torchs = operation.torch_forward(torch, {"input": torch.from_numpy(x)})
    shares = [np.mean(stays), float((torchs != 0).double().mean())]
    assert all(abs(share - 0.5) < 0.005 for share in shares)
    dy = some_gradient(operation, y, dtype)
    (dx,) = operation.backward(F, G, inputs)(dy)
    np.testing.assert_array_equal(dx, np.where(stays, 2 * dy, 0))
    for check in ("values", "gradient"):
        record_property(check, (operation.function, np.dtype(dtype).name, ["dropout_input"])[:3 - (check == "values")])


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name not in UNLIKE_DIFFERENCES])
def test_finite_differences(name, record_property):
    operation = OPERATIONS[name]
    inputs = operation.inputs(np.float64)
    names = list(inputs)

    def gradient(dy, *arrays, **_):
        found = operation.backward(F, G, dict(zip(names, arrays, strict=True)))(np.asarray(dy))
        found = dict(zip(operation.differentiable, found, strict=True))
        return tuple(found.get(name) for name in names)

    def function(*arrays):
        return operation.forward(F, dict(zip(names, arrays, strict=True)))

    report = check_gradients(function, list(inputs.values()), gradient=gradient, samples=40)
    assert report and report.worst < 1e-6, str(report)
    arguments = [name for name in names if name in operation.differentiable]
    errors = dict(zip(arguments, report.errors.values(), strict=True))
    record_property("differences", (operation.function, operation.name, errors))


def spread(a):
    """Every other element of a larger array, along every axis, backwards, and read-only."""
    wide = np.zeros([2 * n for n in a.shape], a.dtype)
    made = wide[(..., *(slice(None, None, -2),) * a.ndim)]
    made[...] = a
    made.flags.writeable = False
    return made


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_layouts(name, dtype, record_property):
    """Strided, reversed and read-only arguments: the same bits, and nothing is written to."""
    operation = OPERATIONS[name]
    inputs = operation.inputs(dtype)
    odd = {key: None if a is None else spread(a) for key, a in inputs.items()}
    expected = np.asarray(operation.forward(F, inputs))
    found = np.asarray(operation.forward(F, odd))
    assert found.dtype == dtype and found.tobytes() == expected.tobytes()
    for key, a in inputs.items():
        if a is not None:
            np.testing.assert_array_equal(odd[key], a)
    if operation.differentiable:
        dy = some_gradient(operation, expected, dtype)
        pairs = zip(operation.backward(F, G, inputs)(dy), operation.backward(F, G, odd)(spread(dy)), strict=True)
        assert all(a.tobytes() == b.tobytes() for a, b in pairs)
    record_property("layouts", (operation.function, np.dtype(dtype).name))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", BATCHED)
def test_empty_batches(name, dtype, record_property):
    operation = OPERATIONS[name]
    inputs = operation.inputs(dtype, empty=True)
    y = operation.forward(F, inputs)
    shape = operation.forward(F, operation.inputs(dtype)).shape
    assert y.dtype == dtype and y.shape == ((0, *shape[1:]) if shape else ())
    if not shape:
        np.testing.assert_array_equal(y, by_torch(operation, inputs))  # the mean of nothing
    dy = some_gradient(operation, y, dtype)
    for argument, found in zip(operation.differentiable, operation.backward(F, G, inputs)(dy), strict=True):
        assert found.shape == inputs[argument].shape and not found.any()
    record_property("empty", (operation.function, np.dtype(dtype).name))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", UNPOOLING)
def test_unpooling_layers(name, dtype, record_property):
    operation = OPERATIONS[name.replace("MaxUnpool", "max_unpool")]
    inputs = operation.inputs(dtype)
    layer, theirs = getattr(layers, name)(2), getattr(torch.nn, name)(2)
    y = layer(*inputs.values())
    tensors = [tensor(a, grad=key == "input") for key, a in inputs.items()]
    expected = theirs(*tensors)
    assert_near(y, expected, dtype)
    dy = some_gradient(operation, y, dtype)
    found = layer.backward(dy)
    assert_near(found[0] if isinstance(found, tuple) else found,
                torch.autograd.grad(expected, tensors[0], tensor(dy))[0], dtype)
    assert repr(layer) == repr(theirs)
    record_property("layer", (name, np.dtype(dtype).name))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", BY_FACTOR)
def test_layers_by_a_factor(name, dtype, record_property):
    """torch has no class for them; slices of tensors are what they do."""
    operation = OPERATIONS[name.replace("Upsample", "zero_insert").replace("Downsample", "downsample")]
    inputs = operation.inputs(dtype)
    layer = getattr(layers, name)(2)
    y = layer(*inputs.values())
    assert_near(y, by_torch(operation, inputs), dtype)
    dy = some_gradient(operation, y, dtype)
    assert_near(layer.backward(dy), by_torch(operation, inputs, dy)[0], dtype)
    record_property("layer", (name, np.dtype(dtype).name))


def test_every_function_is_compared():
    assert {operation.function for operation in OPERATIONS.values()} == set(F.__all__)


def test_every_gradient_is_compared():
    noting = Noting(G)
    for name in DIFFERENTIABLE:
        operation = OPERATIONS[name]
        inputs = operation.inputs()
        operation.backward(F, noting, inputs)(np.ones(np.shape(operation.forward(F, inputs)), np.float32))
    # The gradient of a weight alone: `test_gradients` compares it with the first that `<operation>_parameters` returns.
    alone = {name for name in G.__all__ if name.endswith("_weight") and f"{name.removesuffix('_weight')}_parameters"
             in G.__all__}
    # These too, with what `batch_norm_backward` returns.
    alone |= {"batch_norm_input", "batch_norm_parameters"}
    assert noting.names | alone == set(G.__all__)


def compared_layers():
    """Those that a test holds against torch."""
    return {case[0] for case in test_layers.CASES} | {*ELSEWHERE, *UNPOOLING, *BY_FACTOR}


def test_every_layer_is_compared():
    assert compared_layers() == set(layers.__all__) - {"Layer", "Parameter"}


def test_the_document_lists_what_there_is():
    text = DOCUMENT.read_text(encoding="utf-8")
    functions, layers_part = text.split("## Functions")[1].split("## Layers")
    assert re.findall(r"^\| `(\w+)`", functions, re.MULTILINE) == sorted(F.__all__)
    named = re.findall(r"^\| `(\w+)`", layers_part.split("## ")[0], re.MULTILINE)
    assert named == sorted(set(layers.__all__) - {"Layer", "Parameter"})
