"""Layers, losses and the training loop with parameters in device memory."""

import copy

import numpy as np
import pytest
from device_arrays import Array, to_device
from numba import cuda

from fastconv import devices, layers
from fastconv.inspection import check_gradients, summary
from fastconv.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    CrossEntropyLoss,
    Flatten,
    Linear,
    MaxPool2d,
    MSELoss,
    Parameter,
    ReLU,
    Sequential,
)
from fastconv.training import SGD, Adam, RMSprop, Solver, accuracy, confusion_matrix, data, top_k_accuracy

RNG = np.random.default_rng(0)


def network(generator=0):
    options = {"dtype": np.float64, "generator": np.random.default_rng(generator)}
    return Sequential(Conv2d(1, 3, 3, **options), ReLU(), MaxPool2d(2), Flatten(), Linear(12, 4, **options))


IMAGES = RNG.standard_normal((10, 1, 6, 6))
LABELS = RNG.integers(0, 4, 10)

# (layer, the shape of its input)
LAYERS = {
    "Conv1d": (lambda: Conv1d(2, 3, 3, generator=0), (2, 2, 7)),
    "Conv2d": (lambda: Conv2d(2, 4, 3, padding="same", groups=2, generator=0), (2, 2, 5, 4)),
    "Conv2d with a frozen weight": (lambda: frozen(Conv2d(2, 4, 3, generator=0)), (2, 2, 5, 4)),
    "Conv3d": (lambda: layers.Conv3d(1, 2, 2, generator=0), (1, 1, 3, 3, 3)),
    "ConvTranspose2d": (lambda: ConvTranspose2d(2, 3, 3, stride=2, generator=0), (2, 2, 3, 3)),
    "Linear": (lambda: Linear(5, 3, generator=0), (2, 4, 5)),
    "MaxPool2d": (lambda: MaxPool2d(3, stride=2, padding=1), (2, 2, 7, 6)),
    "AvgPool2d": (lambda: layers.AvgPool2d(2, ceil_mode=True), (2, 2, 5, 5)),
    "ReLU": (ReLU, (3, 4)),
    "Softmax": (lambda: layers.Softmax(1), (3, 4)),
    "LogSoftmax": (lambda: layers.LogSoftmax(1), (3, 4)),
    "Flatten": (Flatten, (2, 3, 4)),
    "Unflatten": (lambda: layers.Unflatten(1, (2, 3)), (2, 6)),
    "Identity": (layers.Identity, (2, 3)),
    "LeakyReLU": (lambda: layers.LeakyReLU(0.1), (3, 4)),
    "PReLU": (lambda: layers.PReLU(3), (2, 3, 4)),
    "Sigmoid": (layers.Sigmoid, (3, 4)),
    "Tanh": (layers.Tanh, (3, 4)),
    "Dropout": (lambda: layers.Dropout(generator=0), (5, 6)),
    "BatchNorm2d": (lambda: layers.BatchNorm2d(3), (2, 3, 4, 5)),
    "BatchNorm2d that evaluates": (lambda: layers.BatchNorm2d(3).eval(), (2, 3, 4, 5)),
    "Conv2d with a reflected border": (lambda: Conv2d(2, 2, 3, padding=1, padding_mode="reflect", generator=0),
                                       (2, 2, 5, 4)),
    "AdaptiveAvgPool2d": (lambda: layers.AdaptiveAvgPool2d((2, 3)), (2, 2, 5, 4)),
    "AdaptiveAvgPool2d of equal windows": (lambda: layers.AdaptiveAvgPool2d(2), (2, 2, 6, 4)),
    "AdaptiveMaxPool2d": (lambda: layers.AdaptiveMaxPool2d((2, 3)), (2, 2, 5, 4)),
    "AdaptiveMaxPool3d of equal windows": (lambda: layers.AdaptiveMaxPool3d(2), (1, 2, 2, 4, 6)),
    "CircularPad2d": (lambda: layers.CircularPad2d(1), (2, 2, 3, 4)),
    "ConstantPad2d": (lambda: layers.ConstantPad2d(1, 3.5), (2, 2, 3, 4)),
    "ReflectionPad2d": (lambda: layers.ReflectionPad2d(1), (2, 2, 3, 4)),
    "ReplicationPad2d": (lambda: layers.ReplicationPad2d(1), (2, 2, 3, 4)),
    "ZeroPad2d": (lambda: layers.ZeroPad2d((1, 0, 2, -1)), (2, 2, 3, 4)),
    "Downsample2d": (lambda: layers.Downsample2d(2), (2, 2, 3, 4)),
    "Upsample2d": (lambda: layers.Upsample2d(2), (2, 2, 3, 4)),
    "Upsample": (lambda: layers.Upsample(scale_factor=1.5, mode="bilinear"), (2, 2, 4, 6)),
    "UpsamplingBilinear2d": (lambda: layers.UpsamplingBilinear2d(scale_factor=2), (2, 2, 3, 4)),
    "UpsamplingNearest2d": (lambda: layers.UpsamplingNearest2d(scale_factor=2), (2, 2, 3, 4)),
    "Unfold": (lambda: layers.Unfold(2, padding=1), (2, 2, 3, 4)),
    "Fold": (lambda: layers.Fold((3, 4), 2), (2, 8, 6)),
    "PixelShuffle": (lambda: layers.PixelShuffle(2), (2, 4, 3, 2)),
    "PixelUnshuffle": (lambda: layers.PixelUnshuffle(2), (2, 2, 4, 2)),
    "Residual": (lambda: layers.Residual(layers.Linear(4, 4, generator=0)), (3, 4)),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Linear(4, 2, generator=0)), (2, 3, 4)),
    "Sequential": (lambda: network().to(np.float32), (2, 1, 6, 6)),
}


def frozen(layer):
    layer.weight.requires_grad = False
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_on_the_device_what_it_does_on_the_host(name, kernels, library):
    make, shape = LAYERS[name]
    x = RNG.standard_normal(shape).astype(np.float32)
    on_host, on_device = make(), make().to("cuda")
    assert library == []
    y, expected = on_device(to_device(x)), on_host(x)
    assert type(y) is Array
    np.testing.assert_allclose(y.get(), expected, rtol=1e-5, atol=1e-6)
    dy = RNG.standard_normal(expected.shape).astype(np.float32)
    dx = on_device.backward(to_device(dy))
    np.testing.assert_allclose(dx.get(), on_host.backward(dy), rtol=1e-5, atol=1e-5)
    for (key, found), (_, parameter) in zip(on_device.named_parameters(), on_host.named_parameters(), strict=True):
        assert type(found.data) is Array, key
        if parameter.requires_grad:
            assert type(found.grad) is Array, key
            np.testing.assert_allclose(found.grad.get(), parameter.grad, rtol=1e-5, atol=1e-5)
    assert library == []


@pytest.mark.parametrize("options", [
    {}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"nonlinearity": "relu", "bias": False}])
def test_rnn(options, kernels, library):
    x, dy = RNG.standard_normal((2, 3, 4)), RNG.standard_normal((2, 3, 5 * (1 + options.get("bidirectional", False))))
    on_host, on_device = (layers.RNN(4, 5, dtype=np.float64, generator=0, **options) for _ in range(2))
    on_device.to("cuda")
    for found, expected in zip(on_device(to_device(x)), on_host(x), strict=True):
        np.testing.assert_allclose(found.get(), expected, atol=1e-12)
    np.testing.assert_allclose(on_device.backward(to_device(dy)).get(), on_host.backward(dy), atol=1e-12)
    for (name, found), (_, p) in zip(on_device.named_parameters(), on_host.named_parameters(), strict=True):
        np.testing.assert_allclose(found.grad.get(), p.grad, atol=1e-12, err_msg=name)
    assert library == []


def test_embedding(library):
    rows, dy = np.array([[0, 2, 2], [1, 0, 2]]), RNG.standard_normal((2, 3, 4))
    on_host, on_device = (layers.Embedding(3, 4, max_norm=0.5, scale_grad_by_freq=True, dtype=np.float64, generator=0)
                          for _ in range(2))
    on_device.to("cuda")
    np.testing.assert_allclose(on_device(to_device(rows)).get(), on_host(rows))
    for layer, grads in ((on_host, dy), (on_device, to_device(dy))):
        layer.backward_parameters(grads)
        layer.backward_inputs(grads)
    np.testing.assert_allclose(on_device.weight.grad.get(), on_host.weight.grad)
    assert library == []


def test_running_statistics_move_along(library, tmp_path):
    layer, expected = (layers.BatchNorm1d(3, dtype=np.float64) for _ in range(2))
    x = RNG.standard_normal((4, 3))
    layer.to("cuda")(to_device(x))
    expected(x)
    assert type(layer.num_batches_tracked) is Array and layer.num_batches_tracked.dtype == np.int64
    layer.to(np.float32)
    assert layer.running_mean.dtype == np.float32 and layer.num_batches_tracked.dtype == np.int64
    layer.save(tmp_path / "state.npz")
    loaded = layers.BatchNorm1d(3).to("cuda")
    loaded.load(tmp_path / "state.npz")
    for name, buffer in expected.named_buffers():
        np.testing.assert_allclose(getattr(loaded, name).get(), buffer, rtol=1e-6)
        np.testing.assert_allclose(layer.to("cpu").state_dict()[name], buffer, rtol=1e-6)


def test_unpooling(kernels, library):
    x, y = RNG.standard_normal((2, 3, 4, 6)), RNG.standard_normal((2, 3, 4, 6))
    pool, unpool = MaxPool2d(2, return_indices=True), layers.MaxUnpool2d(2)
    pooled, indices = pool(x)
    expected = unpool(pooled, indices)
    gradient = unpool.backward(y)
    found = unpool(*pool(to_device(x)))
    np.testing.assert_array_equal(found.get(), expected)
    np.testing.assert_array_equal(unpool.backward(to_device(y)).get(), gradient)
    with pytest.raises(ValueError, match="max_unpool2d: indices must be at least 0 and below 24, the size"):
        unpool(to_device(pooled), to_device(indices + 24))
    with pytest.raises(TypeError, match="max_unpool2d: indices lies in host memory but input in cuda:0"):
        unpool(to_device(pooled), indices)
    assert library == []


SEEN = {"RNN", "Embedding", "MaxUnpoold", "ModuleDict", "ModuleList"}


def test_every_layer_is_here():
    families = SEEN | {name.translate(str.maketrans("", "", "123")) for name in LAYERS}
    for name in layers.__all__:
        value = getattr(layers, name)
        if isinstance(value, type) and issubclass(value, layers.Layer) and not name.endswith(("Loss", "Layer")):
            assert name.translate(str.maketrans("", "", "123")) in families, name


@pytest.mark.parametrize("loss, target", [
    (CrossEntropyLoss(), LABELS[:3]), (CrossEntropyLoss(ignore_index=0, label_smoothing=0.1), LABELS[:3]),
    (CrossEntropyLoss(np.arange(1.0, 5), reduction="sum"), LABELS[:3]),
    (CrossEntropyLoss(), np.full((3, 4), 0.25)), (MSELoss(), np.zeros((3, 4))),
    (MSELoss(reduction="none"), np.zeros((3, 4))),
])
def test_losses(loss, target, library):
    scores = RNG.standard_normal((3, 4))
    expected, gradient = loss(scores, target), loss.backward(np.ones((3, 4)) if loss.reduction == "none" else 1.0)
    on_device = copy.deepcopy(loss).to("cuda")
    found = on_device(to_device(scores), to_device(target))
    assert type(found) is Array
    np.testing.assert_allclose(found.get(), expected)
    dy = to_device(np.ones((3, 4))) if loss.reduction == "none" else 1.0
    np.testing.assert_allclose(on_device.backward(dy).get(), gradient)


def test_gradients_of_a_layer_on_a_device(library, kernels):
    assert check_gradients(network().to("cuda").to(np.float16), IMAGES[:2])


def test_summary_of_a_network_on_a_device(library):
    model = network()
    expected = str(summary(model, (1, 6, 6)))
    assert str(summary(model.to("cuda"), (1, 6, 6))) == expected


# Moving

def test_to_and_back(library):
    model = network()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    model[0].weight.grad = np.ones(model[0].weight.shape)
    assert model.to("cuda:0") is model
    assert {type(p.data) for p in model.parameters()} == {Array}
    assert type(model[0].weight.grad) is Array
    data_before = [p.data for p in model.parameters()]
    model.to("cuda")
    assert all(p.data is array for p, array in zip(model.parameters(), data_before, strict=True))
    model.to(np.float32)
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    model.to(np.float64).to("cpu")
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, before[name], rtol=1e-7)
    assert type(model[0].weight.grad) is np.ndarray


def test_float16_stays_on_the_device(library, kernels):
    layer = Conv2d(1, 2, 2, generator=0)
    with pytest.raises(TypeError, match=r"^Conv2d.to: dtype must be float32 or float64, got <class 'numpy.float16'>"):
        layer.to(np.float16)
    layer.to("cuda").to(np.float16)
    assert layer(to_device(np.ones((1, 1, 3, 3), np.float16))).dtype == np.float16
    with pytest.raises(TypeError, match=r"^Conv2d.to: weight is float16, which only devices compute with; call"):
        layer.to("cpu")
    assert type(layer.to(np.float32).to("cpu").weight.data) is np.ndarray


@pytest.mark.parametrize("name", ["cuda:1", "cuda:12", "cuda:", "cuda:-1", "cudax"])
def test_devices_that_there_are_not(name, library):
    layer = Linear(2, 2, generator=0)
    with pytest.raises(ValueError, match=r"^Linear.to: device must be "):
        layer.to(name)
    assert type(layer.weight.data) is np.ndarray


def test_no_memory_leaves_the_layer_as_it_was(library, monkeypatch):
    moved = []

    def from_host(x, number):
        if moved:
            raise MemoryError
        moved.append(x)
        return to_device(x, number)

    monkeypatch.setattr(devices, "from_host", from_host)
    layer = Linear(2, 2, generator=0)
    with pytest.raises(MemoryError):
        layer.to("cuda")
    assert type(layer.weight.data) is type(layer.bias.data) is np.ndarray


def test_the_last_forward_is_forgotten(library, kernels):
    layer = Linear(2, 2, generator=0)
    y = layer(np.ones((1, 2), np.float32))
    layer.to("cuda")
    with pytest.raises(RuntimeError, match="call forward first"):
        layer.backward(y)


def test_a_layer_refuses_input_that_lies_elsewhere(library):
    layer = Conv2d(1, 1, 1, generator=0)
    x = np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(TypeError, match="conv2d: weight lies in host memory but input in cuda:0; move one of them"):
        layer(to_device(x))
    with pytest.raises(TypeError, match="conv2d: weight lies in cuda:0 but input in host memory; move one of them"):
        layer.to("cuda")(x)


def test_without_a_library_parameters_are_numbas(kernels):
    layer, on_host = (Conv2d(1, 2, 3, generator=0) for _ in range(2))
    layer.to("cuda")
    assert not isinstance(layer.weight.data, (Array, np.ndarray))
    x = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)
    y, expected = layer(cuda.to_device(x)), on_host(x)
    np.testing.assert_allclose(y.copy_to_host(), expected, rtol=1e-6)
    layer.backward_parameters(y)
    on_host.backward_parameters(expected)
    np.testing.assert_allclose(layer.weight.grad.copy_to_host(), on_host.weight.grad, rtol=1e-5)
    layer.load_state_dict({"weight": np.zeros((2, 1, 3, 3)), "bias": np.ones(2)})
    assert layer(cuda.to_device(x)).copy_to_host().tolist() == np.ones((1, 2, 3, 3)).tolist()
    layer.to(np.float64).to("cpu")
    assert layer.bias.data.tolist() == [1, 1] and layer.weight.dtype == np.float64


# Parameters

def test_parameter():
    p = Parameter(to_device(np.arange(6.0).reshape(2, 3)))
    assert (p.shape, p.dtype, p.ndim, p.size, len(p)) == ((2, 3), np.float64, 2, 6, 2)
    assert type(p.T) is Array and type(p[0]) is Array
    np.testing.assert_array_equal(np.asarray(p), np.arange(6.0).reshape(2, 3))
    p.grad = to_device(np.ones((2, 3)))
    for name in ("data", "grad"):
        for value, message in [(np.ones((2, 3)), r"expected an array on cuda:0, got ndarray"),
                               (to_device(np.ones((2, 3)), 1), r"expected an array on cuda:0, got Array on cuda:1"),
                               (to_device(np.ones((2, 3), np.float32)), r"expected float64, got float32")]:
            with pytest.raises(TypeError, match=f"^Parameter.{name}: {message}"):
                setattr(p, name, value)
        with pytest.raises(ValueError, match=r"expected shape \(2, 3\), got \(3, 2\)"):
            setattr(p, name, to_device(np.ones((3, 2))))
    with pytest.raises(TypeError, match=r"Parameter.data: expected an array, got Array on cuda:0"):
        Parameter(np.ones(2)).data = to_device(np.ones(2))
    with pytest.raises(TypeError, match="Parameter: data must be float32 or float64, got int64"):
        Parameter(to_device(np.ones(2, np.int64)))


def test_a_gradient_of_another_library_becomes_the_parameters():
    class Other(Array):
        pass

    p = Parameter(to_device(np.zeros(3)))
    p.grad = Other(np.arange(3.0))
    assert type(p.grad) is Array
    assert p.grad.get().tolist() == [0, 1, 2]


# State

def test_state_between_host_and_device(library):
    source, target = network(1), network(2).to("cuda")
    target.load_state_dict(source.state_dict())
    state = target.state_dict()
    assert {type(array) for array in state.values()} == {Array}
    for name, array in source.state_dict().items():
        np.testing.assert_array_equal(state[name].get(), array)
    library.clear()
    other = network(3).to("cuda")
    other.load_state_dict(state)
    assert library == []
    again = network(4)
    again.load_state_dict(state)
    np.testing.assert_array_equal(again[0].weight.data, source[0].weight.data)
    with pytest.raises(ValueError, match=r"'0.bias' has shape \(2,\) instead of \(3,\)"):
        other.load_state_dict({**state, "0.bias": to_device(np.ones(2))})


# Training

OPTIMIZERS = {
    "SGD": lambda p: SGD(p, lr=0.1),
    "momentum": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "RMSprop": lambda p: RMSprop(p, lr=0.01, momentum=0.5, centered=True), "Adam": lambda p: Adam(p, amsgrad=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, library):
    values, gradients = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 3, 4))
    on_host, on_device = Parameter(values.copy()), Parameter(to_device(values))
    steps = [OPTIMIZERS[name]([p]) for p in (on_host, on_device)]
    array = on_device.data
    for gradient in gradients:
        on_host.grad, on_device.grad = gradient, to_device(gradient)
        for optimizer in steps:
            optimizer.step()
        np.testing.assert_allclose(on_device.data.get(), on_host.data, rtol=1e-12)
    assert on_device.data is array
    assert library == []
    for state in (steps[0].state_dict(), steps[1].state_dict()):
        steps[1].load_state_dict(state)
        assert {type(v) for v in steps[1]._state[on_device].values()} <= {Array, int}


def test_an_optimizer_follows_its_parameters(library):
    layer, other = (Linear(3, 2, dtype=np.float64, generator=0) for _ in range(2))
    optimizer, expected = (SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (layer, other))
    for where in ("cpu", "cuda", "cpu"):
        layer.to(where)
        for m in (layer, other):
            for p in m.parameters():
                p.grad = devices.like(np.ones(p.shape), p.data)
        optimizer.step()
        expected.step()
    np.testing.assert_allclose(layer.weight.data, other.weight.data)


def solvers(folder, where, images, labels):
    model = network(0).to(where)
    solver = Solver(model, CrossEntropyLoss(), RMSprop(model.parameters(), lr=0.01), batch_size=4, generator=0)
    solver.fit(images, labels, 2, (images, labels), checkpoint=folder / f"{where}.npz")
    return solver


def test_a_training_on_the_device_is_that_on_the_host(kernels, library, tmp_path):
    host = solvers(tmp_path, "cpu", IMAGES, LABELS)
    device = solvers(tmp_path, "cuda", to_device(IMAGES), to_device(LABELS))
    for part in ("training", "validation"):
        for name, values in host.history[part].items():
            np.testing.assert_allclose(device.history[part][name], values, rtol=1e-9)
    scores = device.predict(to_device(IMAGES))
    assert type(scores) is Array
    np.testing.assert_allclose(scores.get(), host.predict(IMAGES), rtol=1e-9)
    assert host.restore_best() == device.restore_best()
    for name, array in host.model.state_dict().items():
        np.testing.assert_allclose(device.model.state_dict()[name].get(), array, rtol=1e-9)

    # Checkpoints do not say where they were written.
    for path in ("cpu.npz", "cuda.npz"):
        for where in ("cpu", "cuda"):
            model = network(5).to(where)
            again = Solver(model, CrossEntropyLoss(), RMSprop(model.parameters(), lr=0.01), batch_size=4)
            again.load(tmp_path / path)
            again.fit(IMAGES, LABELS, 1)
            host_again = again.history["training"]["loss"][-1]
            assert again.epoch == 3
        assert host_again == pytest.approx(again.history["training"]["loss"][-1])


def test_batches_are_moved_to_the_model(kernels, library, tmp_path):
    expected = solvers(tmp_path, "cpu", IMAGES, LABELS).history["training"]
    for where, images, labels in (("cuda", IMAGES, LABELS), ("cpu", to_device(IMAGES), to_device(LABELS))):
        found = solvers(tmp_path, where, images, labels).history["training"]
        np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-9)


def test_an_epoch_on_the_device_copies_nothing_to_the_host(kernels, library):
    model = network().to("cuda")
    solver = Solver(model, CrossEntropyLoss(), Adam(model.parameters()), batch_size=4, generator=0)
    library.clear()
    solver.fit(to_device(IMAGES), to_device(LABELS), 1, (to_device(IMAGES), to_device(LABELS)))
    solver.restore_best()
    assert library == []


def test_metrics():
    scores, target = RNG.standard_normal((20, 7)), RNG.integers(0, 7, 20)
    for metric in (accuracy, top_k_accuracy, confusion_matrix):
        np.testing.assert_array_equal(metric(to_device(scores), to_device(target)), metric(scores, target))
    assert np.isnan(accuracy(to_device(scores[:0]), to_device(target[:0])))
    with pytest.raises(ValueError, match="accuracy: scores must have shape"):
        accuracy(to_device(scores[0]), to_device(target))
    with pytest.raises(ValueError, match="accuracy: target must have shape"):
        accuracy(to_device(scores), to_device(target[:3]))
    with pytest.raises(TypeError, match="accuracy: target lies in host memory but scores in cuda:0"):
        accuracy(to_device(scores), target)


def test_batches_of_device_arrays():
    images, labels = to_device(IMAGES), to_device(LABELS)
    for rng in (None, 0):
        made = [np.random.default_rng(rng) if rng is not None else None for _ in range(2)]
        for (x, t), (x_host, t_host) in zip(data.batches(images, labels, batch_size=3, rng=made[0]),
                                            data.batches(IMAGES, LABELS, batch_size=3, rng=made[1]), strict=True):
            assert type(x) is Array
            np.testing.assert_array_equal(x.get(), x_host)
            np.testing.assert_array_equal(t.get(), t_host)
