"""Layers with state (batch normalisation, embedding, recurrent ones), and containers, against ``torch.nn``."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch_twins import TYPES, random, tensor

from fastconv import layers
from fastconv.inspection import check_gradients
from fastconv.layers import (
    RNN,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Embedding,
    Layer,
    Linear,
    ModuleDict,
    ModuleList,
    ReLU,
    Residual,
    Sequential,
    Tanh,
    TimeDistributed,
    Unflatten,
)

torch.set_num_threads(1)


def near(found, expected, dtype):
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert found.dtype == dtype and found.shape == expected.shape
    limit = {np.float32: 3e-5, np.float64: 1e-11}[dtype] * max(1, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit)


def load(theirs, ours):
    theirs.double().load_state_dict({name: torch.from_numpy(np.array(array, np.float64))
                                     for name, array in ours.state_dict().items()})
    return theirs


class TestBatchNorm:
    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("arguments", [{}, {"momentum": None}, {"momentum": 0.5, "affine": False},
                                           {"track_running_stats": False}, {"eps": 0.1, "bias": False}])
    def test_training_then_evaluation(self, arguments, dtype):
        ours = BatchNorm2d(3, **arguments, dtype=dtype)
        theirs = load(torch.nn.BatchNorm2d(3, **arguments), ours)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for seed in range(3):
            x = random(seed, (4, 3, 5, 6), dtype) * 2 + 1
            near(ours(x), theirs(tensor(x)), dtype)
        for name, value in theirs.state_dict().items():
            if name == "num_batches_tracked":
                assert ours.num_batches_tracked == value == 3
            else:
                near(ours.state_dict()[name], value, dtype)
        ours.eval()
        theirs.eval()
        x, dy = random(5, (2, 3, 5, 6), dtype), random(6, (2, 3, 5, 6), dtype)
        tx = tensor(x, True)
        expected = theirs(tx)
        near(ours(x), expected, dtype)
        expected.backward(tensor(dy))
        near(ours.backward(dy), tx.grad, dtype)
        for name, parameter in theirs.named_parameters():
            near(dict(ours.named_parameters())[name].grad, parameter.grad, dtype)
        assert ours.num_batches_tracked is None or ours.num_batches_tracked == 3

    def test_statistics_are_buffers(self):
        model = Sequential(Conv2d(1, 3, 3), BatchNorm2d(3))
        assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
        assert [name for name, _ in model.named_buffers()] == [
            "1.running_mean", "1.running_var", "1.num_batches_tracked"]
        assert list(model.state_dict())[4:] == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
        model(np.ones((2, 1, 5, 5), np.float32))
        other = Sequential(Conv2d(1, 3, 3), BatchNorm2d(3))
        mean = other[1].running_mean
        other.load_state_dict(model.state_dict())
        assert other[1].running_mean is mean and np.array_equal(mean, model[1].running_mean)
        assert other[1].num_batches_tracked == 1
        state = model.state_dict() | {"1.running_var": np.ones(4)}
        del state["1.num_batches_tracked"]
        with pytest.raises(ValueError, match=r"missing '1\.num_batches_tracked'; '1\.running_var' has shape \(4,\)"):
            other.load_state_dict(state)
        other.to(np.float64)
        assert other[1].running_var.dtype == np.float64 and other[1].num_batches_tracked.dtype == np.int64
        other(np.ones((2, 1, 5, 5)))
        copied = pickle.loads(pickle.dumps(copy.deepcopy(other)))
        assert copied[1].num_batches_tracked == 2
        other[1].reset_running_stats()
        assert other[1].num_batches_tracked == 0 and copied[1].num_batches_tracked == 2
        assert not other[1].running_mean.any() and other[1].running_var.all()

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("layer, shape", [(BatchNorm2d(3), (2, 3, 5, 4)), (BatchNorm1d(3), (6, 3))])
    def test_finite_differences(self, layer, shape, training):
        report = check_gradients(layer.train(training), random(7, shape, np.float64))
        assert report, report

    def test_used_twice(self):
        norm = BatchNorm1d(3, dtype=np.float64)
        model = Sequential(norm, ReLU(), norm)
        theirs = torch.nn.BatchNorm1d(3).double()
        network = torch.nn.Sequential(theirs, torch.nn.ReLU(), theirs)
        x = random(1, (5, 3), np.float64)
        tx = tensor(x, True)
        expected = network(tx)
        near(model(x), expected, np.float64)
        expected.backward(tensor(x))
        near(model.backward(x), tx.grad, np.float64)
        near(norm.weight.grad, theirs.weight.grad, np.float64)
        near(norm.running_mean, theirs.running_mean, np.float64)


def test_buffers_of_ones_own():
    class Count(Layer):
        def __init__(self):
            self.register_buffer("calls", np.zeros((), np.int64))
            self.register_buffer("unused", None)
            self.register_buffer("scratch", np.zeros(2), persistent=False)

        def forward(self, x):
            self.calls[...] += 1
            return x

    layer = Count()
    layer(1)
    assert layer.state_dict() == {"calls": 1} and len(list(layer.buffers())) == 2
    assert layer.to(np.float32).scratch.dtype == np.float32
    for arguments, error, message in ((("calls.a", None), ValueError, "without dots"),
                                      (("forward", None), ValueError, "has an attribute 'forward' already"),
                                      (("a", [1]), TypeError, "must be an array or None, got list")):
        with pytest.raises(error, match=message):
            layer.register_buffer(*arguments)


class TestDropout:
    def test_modes(self):
        layer = Dropout(0.4, generator=0)
        x = np.ones((50, 60), np.float32)
        y = layer(x)
        assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.6)}
        np.testing.assert_array_equal(layer.backward(x), y)
        assert not np.array_equal(layer(x), y)
        np.testing.assert_array_equal(Dropout(0.4, generator=0)(x), y)
        layer.eval()
        np.testing.assert_array_equal(layer(x), x)
        np.testing.assert_array_equal(layer.backward(x), x)

    def test_used_twice_remembers_both_masks(self):
        layer = Dropout(0.5, generator=0)
        model = Sequential(layer, layer)
        x = np.ones((40, 50))
        y = model(x)
        np.testing.assert_array_equal(model.backward(x), y)


class TestEmbedding:
    @pytest.mark.parametrize("arguments", [{}, {"padding_idx": -2}, {"max_norm": 1.0, "norm_type": 1},
                                           {"padding_idx": 0, "scale_grad_by_freq": True}])
    @pytest.mark.parametrize("dtype", TYPES)
    def test_against_torch(self, arguments, dtype):
        ours = Embedding(7, 4, **arguments, dtype=dtype, generator=0)
        theirs = load(torch.nn.Embedding(7, 4, **arguments), ours)
        assert repr(ours) == repr(theirs)
        rows = np.array([[3, 5, 3], [0, 0, 5]])
        dy = random(1, (2, 3, 4), dtype)
        expected = theirs(torch.from_numpy(rows))
        near(ours(rows), expected, dtype)
        near(ours.weight.data, theirs.weight, dtype)
        expected.backward(tensor(dy))
        assert ours.backward(dy) is None
        near(ours.weight.grad, theirs.weight.grad, dtype)
        with pytest.raises(ValueError, match="grad_output must have shape"):
            ours.backward(dy[0])

    def test_initial_values(self):
        weight = Embedding(500, 40, padding_idx=3, generator=0).weight.data
        assert abs(weight.mean()) < 0.02 and abs(weight.std() - 1) < 0.02 and not weight[3].any()

    def test_from_pretrained(self):
        table = random(1, (5, 3), np.float64)
        layer = Embedding.from_pretrained(table, padding_idx=1)
        assert layer.weight.data is table and not layer.weight.requires_grad and layer.padding_idx == 1
        layer(np.array([2]))
        layer.backward(np.ones((1, 3)))
        assert layer.weight.grad is None
        assert Embedding.from_pretrained(table, False).weight.requires_grad
        assert repr(layer) == repr(torch.nn.Embedding.from_pretrained(torch.from_numpy(table), padding_idx=1))

    def test_finite_differences(self):
        assert check_gradients(Sequential(Embedding(5, 3, generator=0), Linear(3, 2, generator=0)),
                               np.array([[1, 2, 2], [0, 1, 1]]))


RNNS = [{}, {"nonlinearity": "relu"}, {"batch_first": True}, {"bias": False}, {"num_layers": 2},
        {"bidirectional": True}, {"num_layers": 3, "bidirectional": True, "batch_first": True, "nonlinearity": "relu"}]


class TestRNN:
    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("batched", [True, False])
    @pytest.mark.parametrize("given", [True, False])
    @pytest.mark.parametrize("arguments", RNNS)
    def test_against_torch(self, arguments, given, batched, dtype):
        ours = RNN(3, 4, **arguments, dtype=dtype, generator=0)
        theirs = load(torch.nn.RNN(3, 4, **arguments), ours)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        x = random(1, ((2, 5, 3) if arguments.get("batch_first") else (5, 2, 3)) if batched else (5, 3), dtype)
        count = ours.num_layers * (2 if ours.bidirectional else 1)
        h = random(2, (count, 2, 4) if batched else (count, 4), dtype)
        tx, th = tensor(x, True), tensor(h, True)
        expected = theirs(tx, th) if given else theirs(tx)
        found = ours(x, h) if given else ours(x)
        for a, b in zip(found, expected, strict=True):
            near(a, b, dtype)
        dy, dh = random(3, found[0].shape, dtype), random(4, found[1].shape, dtype)
        for grads in (dy, (dy, dh), (None, dh), (dy, None)):
            pair = grads if isinstance(grads, tuple) else (grads, None)
            used = [(a, b) for a, b in zip(expected, pair, strict=True) if b is not None]
            leaves = [tx, *([th] if given else []), *theirs.parameters()]
            wanted = torch.autograd.grad([a for a, _ in used], leaves, [tensor(b) for _, b in used], retain_graph=True)
            result = ours.backward(grads)
            result = result if given else (result,)
            for a, b in zip([*result, *(p.grad for p in ours.parameters())], wanted, strict=True):
                near(a, b, dtype)

    def test_initial_values(self):
        layer = RNN(3, 100, 2, generator=0)
        for parameter in layer.parameters():
            assert 0.08 < np.abs(parameter.data).max() <= 0.1

    def test_dropout_between_layers(self):
        layer = RNN(3, 40, 2, dropout=0.5, generator=0, dtype=np.float64)
        x = random(1, (5, 2, 3), np.float64)
        assert not np.array_equal(layer(x)[0], layer(x)[0])
        # With the same random numbers at every call it has a gradient.
        state = layer.generator.bit_generator.state

        def value(x):
            layer.generator.bit_generator.state = state
            return np.sum(layer(x)[0] ** 2)

        value(x)
        layer.generator.bit_generator.state = state
        dx = layer.backward(2 * layer(x)[0])
        step = np.zeros_like(x)
        step[1, 1, 2] = 1e-6
        np.testing.assert_allclose(dx[1, 1, 2], (value(x + step) - value(x - step)) / 2e-6, rtol=1e-5)
        assert np.array_equal(layer.eval()(x)[0], layer(x)[0])
        with pytest.warns(UserWarning, match="num_layers is 1"):
            RNN(3, 4, dropout=0.5)

    def test_finite_differences(self):
        report = check_gradients(RNN(3, 4, 2, bidirectional=True, generator=0),
                                 [random(1, (5, 2, 3), np.float64), random(2, (4, 2, 4), np.float64)])
        assert report and {"input", "hx", "weight_hh_l1_reverse"} < set(report.errors), report

    def test_frozen_parameters(self):
        layer = RNN(3, 4, generator=0)
        layer.weight_ih_l0.requires_grad = False
        layer.backward(layer(np.ones((2, 1, 3), np.float32))[0])
        assert layer.weight_ih_l0.grad is None
        assert np.array_equal(layer.bias_ih_l0.grad, layer.bias_hh_l0.grad)


class TestContainers:
    def test_sequential_as_torchs(self):
        def build(nn):
            model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
            model.insert(1, nn.Tanh())
            model.extend([nn.Linear(3, 3), nn.Flatten()])
            model.append(nn.Sigmoid())
            del model[1]
            model.pop(-2)
            model[0] = nn.Linear(2, 3, bias=False)
            model += nn.Sequential(nn.Softmax(1))
            return model + nn.Sequential(nn.ReLU()) * 2
        ours, theirs = build(layers), build(torch.nn)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert repr(ours[1:3]) == repr(theirs[1:3])
        del ours[:2]
        del theirs[:2]
        assert repr(ours) == repr(theirs)

    def test_a_list(self):
        def build(nn):
            return nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Linear(2, 3), nn.Sequential(nn.ReLU()),
                                  nn.Sequential(nn.ReLU())])
        ours, theirs = build(layers), build(torch.nn)
        assert repr(ours) == repr(theirs) and repr(ModuleList()) == "ModuleList()"
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert isinstance(ours[1:], ModuleList) and len(ours[1:]) == 4
        ours.insert(1, Tanh())
        theirs.insert(1, torch.nn.Tanh())
        assert repr(ours) == repr(theirs) and isinstance(ours.pop(1), Tanh)
        assert len(ours + [ReLU()]) == 6
        with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
            ours(1)

    def test_a_dict(self):
        def build(nn):
            model = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.ReLU()})
            model["c"] = nn.Linear(3, 4)
            model.update({"d": nn.Tanh()})
            del model["b"]
            return model
        ours, theirs = build(layers), build(torch.nn)
        assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
        assert list(ours) == list(ours.keys()) == ["a", "c", "d"] and "a" in ours and ours.a is ours["a"]
        assert [name for name, _ in ours.items()] == ["a", "c", "d"] and len(list(ours.values())) == 3
        assert isinstance(ours.pop("d"), Tanh) and len(ours) == 2
        assert len(ModuleDict(ours)) == 2
        ours.clear()
        assert not len(ours)

    def test_a_list_within_a_layer(self):
        class Deep(Layer):
            def __init__(self):
                self.steps = ModuleList(Linear(3, 3, generator=i, dtype=np.float64) for i in range(3))

            def forward(self, x):
                for step in self.steps:
                    x = step(x)
                return x

            def backward(self, grads):
                for step in reversed(list(self.steps)):
                    grads = step.backward(grads)
                return grads

        assert list(Deep().state_dict())[:2] == ["steps.0.weight", "steps.0.bias"]
        assert check_gradients(Deep(), random(1, (2, 3), np.float64))

    @pytest.mark.parametrize("projected", [False, True])
    def test_residual(self, projected):
        channels = 4 if projected else 3
        model = Residual(Sequential(Conv2d(3, channels, 3, padding=1, generator=0), Tanh()),
                         Conv2d(3, channels, 1, generator=1) if projected else None)
        x = random(1, (2, 3, 5, 4), np.float64)
        report = check_gradients(model, x)
        assert report, report
        model.to(np.float64)
        y = model(x)
        body, skipped = model.body(x), model.shortcut(x) if projected else x
        np.testing.assert_array_equal(y, body + skipped)
        y = model(x)
        dx = model.backward(y)
        gradients = [p.grad for p in model.parameters()]
        model.zero_grad()
        np.testing.assert_array_equal(model.backward_inputs(y), dx)
        model.backward_parameters(y)
        assert all(map(np.array_equal, gradients, [p.grad for p in model.parameters()]))
        assert next(iter(model.state_dict())) == "body.0.weight"

    def test_residual_of_nothing_doubles(self):
        x = np.ones(3)
        model = Residual(layers.Identity())
        assert model(x).tolist() == [2, 2, 2] and model.backward(x).tolist() == [2, 2, 2]
        assert x.tolist() == [1, 1, 1]

    def test_residual_shapes(self):
        model = Residual(Linear(3, 2))
        with pytest.raises(ValueError, match=r"output has shape \(1, 2\), but the input has \(1, 3\)"):
            model(np.ones((1, 3), np.float32))
        with pytest.raises(TypeError, match="body must be a Layer, got None"):
            Residual(None)

    def test_time_distributed(self):
        inner = Sequential(Conv2d(1, 2, 3, generator=0), layers.Flatten(), Linear(8, 3, generator=0))
        model = TimeDistributed(inner)
        x = random(1, (2, 5, 1, 4, 4), np.float64)
        assert check_gradients(model, x)
        model.to(np.float64)
        y = model(x)
        assert y.shape == (2, 5, 3)
        for t in range(5):
            np.testing.assert_allclose(y[:, t], inner(x[:, t]), rtol=1e-13)
        assert TimeDistributed(Linear(3, 4))(np.zeros((0, 5, 3), np.float32)).shape == (0, 5, 4)
        model(x)
        with pytest.raises(ValueError, match="grad_output must have shape"):
            model.backward(y[0])

    def test_captioning_model(self):
        """Words to vectors, to states, to scores of the next word, as a course on networks has it."""
        words = np.array([[1, 4, 2, 0], [3, 3, 5, 1]])
        embed, rnn, scores = (Embedding(6, 3, generator=0, dtype=np.float64),
                              RNN(3, 4, batch_first=True, generator=1, dtype=np.float64),
                              TimeDistributed(Linear(4, 6, generator=2, dtype=np.float64)))
        loss = layers.CrossEntropyLoss(ignore_index=0)

        def run():
            y = scores(rnn(embed(words[:, :-1]))[0])
            return loss(y.swapaxes(1, 2), words[:, 1:])

        value = run()
        embed.backward(rnn.backward(scores.backward(loss.backward().swapaxes(1, 2))))
        grad = embed.weight.grad[3, 1]
        embed.weight.data[3, 1] += 1e-6
        np.testing.assert_allclose((run() - value) / 1e-6, grad, rtol=1e-4)


class TestLosses:
    def test_arguments_by_position_are_torchs(self):
        x, labels = random(1, (5, 3), np.float64), np.array([0, 2, 1, 1, 2])
        weight = np.array([1.0, 2.0, 0.5])
        for arguments in ((None, None, 1, None, "sum", 0.1), (weight, None, -100, None, "none")):
            ours = layers.CrossEntropyLoss(*arguments)
            theirs = torch.nn.CrossEntropyLoss(*(tensor(a) if a is weight else a for a in arguments))
            near(ours(x, labels), theirs(tensor(x), torch.from_numpy(labels)), np.float64)
            assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
        near(layers.MSELoss(None, None, "sum")(x, x * 2), np.sum(x * x), np.float64)

    @pytest.mark.parametrize("old", [(False, None), (None, False), (True, True)])
    def test_old_names_warn(self, old):
        with pytest.warns(UserWarning, match="deprecated"):
            ours = layers.MSELoss(*old)
        with pytest.warns(UserWarning, match="deprecated"):
            theirs = torch.nn.MSELoss(*old)
        assert ours.reduction == theirs.reduction
        with pytest.warns(UserWarning, match="deprecated"):
            assert layers.CrossEntropyLoss(None, old[0], -100, old[1]).reduction == theirs.reduction


BAD = [
    (lambda: BatchNorm2d(0), ValueError, "^BatchNorm2d: num_features must be at least 1, got 0"),
    (lambda: BatchNorm2d(3, eps=-1), ValueError, "^BatchNorm2d: eps must be at least 0, got -1"),
    (lambda: BatchNorm2d(3, momentum="a"), TypeError, "^BatchNorm2d: momentum must be a number, got 'a'"),
    (lambda: BatchNorm2d(3, dtype=int), TypeError, "^BatchNorm2d: dtype must be float32 or float64"),
    (lambda: BatchNorm2d(3)(np.ones((2, 3), np.float32)), ValueError, r"^BatchNorm2d: input must have 4 .*2, 3"),
    (lambda: BatchNorm1d(3)(np.ones(3, np.float32)), ValueError, r"^BatchNorm1d: input must have 2 or 3 .* \(3,\)"),
    (lambda: BatchNorm1d(3)(np.ones((2, 4), np.float32)), ValueError, r"3 channels along axis 1, got shape \(2, 4\)"),
    (lambda: BatchNorm1d(3)(np.ones((1, 3), np.float32)), ValueError, "^BatchNorm1d: input must have more than 1"),
    (lambda: BatchNorm1d(3)([[1.0]]), TypeError, "^BatchNorm1d: input must be a NumPy array, got list"),
    (lambda: BatchNorm1d(3, eps=0)(np.ones((2, 3), np.float32)), ValueError, "eps must be positive in training"),
    (lambda: Dropout(1.5), ValueError, "^Dropout: p must be from 0 to 1, got 1.5"),
    (lambda: Dropout("1"), TypeError, "^Dropout: p must be a number, got '1'"),
    (lambda: Dropout(generator="x"), TypeError, "^Dropout: generator must be"),
    (lambda: Embedding(-1, 2), ValueError, "^Embedding: num_embeddings must be at least 0, got -1"),
    (lambda: Embedding(3, 2.0), TypeError, "^Embedding: embedding_dim must be an int"),
    (lambda: Embedding(3, 2, 3), ValueError, "^Embedding: padding_idx must be from -3 to 2, got 3"),
    (lambda: Embedding(3, 2, 1.0), TypeError, "^Embedding: padding_idx must be an int, got 1.0"),
    (lambda: Embedding(3, 2, sparse=True), ValueError, "^Embedding: sparse must be False, got True"),
    (lambda: Embedding(3, 2, max_norm="1"), TypeError, "^Embedding: max_norm must be a number"),
    (lambda: Embedding(3, 2)(np.array([3])), ValueError, "^embedding: input must hold numbers of rows from 0 to 2"),
    (lambda: Embedding.from_pretrained([[1.0]]), TypeError, "embeddings must be an array of .* got list"),
    (lambda: Embedding.from_pretrained(np.ones(3)), ValueError, r"must have 2 dimensions, got shape \(3,\)"),
    (lambda: layers.PReLU(0), ValueError, "^PReLU: num_parameters must be at least 1, got 0"),
    (lambda: layers.PReLU(init="a"), TypeError, "^PReLU: init must be a number, got 'a'"),
    (lambda: layers.LeakyReLU("a"), TypeError, "^LeakyReLU: negative_slope must be a number, got 'a'"),
    (lambda: layers.PReLU(2)(np.ones((2, 3), np.float32)), ValueError, r"^prelu: weight must have .* or \(3,\)"),
    (lambda: Unflatten(1, 5), TypeError, "^Unflatten: unflattened_size must be a tuple of ints, got 5"),
    (lambda: Unflatten(1, (2, 3.0)), TypeError, "^Unflatten: unflattened_size must be a tuple of ints"),
    (lambda: Unflatten(1, (-1, -1)), ValueError, "of which one may be -1"),
    (lambda: Unflatten(1, ()), ValueError, r"must hold sizes, .* got \(\)"),
    (lambda: Unflatten(1, (2, 4))(np.ones((2, 6))), ValueError, "must multiply up to 6"),
    (lambda: Unflatten(1, (4, -1))(np.ones((2, 6))), ValueError, "must multiply up to 6"),
    (lambda: Unflatten(2, (2, 3))(np.ones((2, 6))), ValueError, "^Unflatten: dim must be from -2 to 1"),
    (lambda: RNN(0, 2), ValueError, "^RNN: input_size must be at least 1, got 0"),
    (lambda: RNN(2, 2, 0), ValueError, "^RNN: num_layers must be at least 1"),
    (lambda: RNN(2, 2, nonlinearity="sin"), ValueError, "^RNN: nonlinearity must be 'tanh' or 'relu', got 'sin'"),
    (lambda: RNN(2, 2, dropout=2), ValueError, "^RNN: dropout must be from 0 to 1, got 2"),
    (lambda: RNN(2, 2, bias=1), TypeError, "^RNN: bias must be a bool, got 1"),
    (lambda: RNN(2, 2)(np.ones((3, 1, 3), np.float32)), ValueError, "^RNN: input must have 2 features"),
    (lambda: RNN(2, 2)(np.ones((3, 1, 1, 2), np.float32)), ValueError, "^RNN: input must have 3 dimensions"),
    (lambda: RNN(2, 2)(np.ones((0, 1, 2), np.float32)), ValueError, "^RNN: input must have at least 1 step"),
    (lambda: RNN(2, 2)(np.ones((3, 1, 2))), TypeError, "^RNN: input is float64 but weight is float32"),
    (lambda: RNN(2, 2)(np.ones((3, 1, 2), np.float32), np.ones((1, 2, 2), np.float32)), ValueError,
     r"^RNN: hx must have shape \(1, 1, 2\), got \(1, 2, 2\)"),
    (lambda: ModuleList(3), TypeError, "^ModuleList.extend: layers must be iterable, got int"),
    (lambda: ModuleList([1]), TypeError, "^ModuleList: '0' must be a Layer, got 1"),
    (lambda: ModuleDict({"a": 1}), TypeError, "^ModuleDict: 'a' must be a Layer, got 1"),
    (lambda: ModuleDict({"a.b": ReLU()}), ValueError, "a layer's name must be a string without dots"),
    (lambda: Sequential(ReLU()).insert(3, ReLU()), IndexError, "index 3 is out of range for 1 layers"),
    (lambda: Sequential(ReLU()).insert(0, 3), TypeError, "'0' must be a Layer, got 3"),
    (lambda: Sequential(ReLU()) * 0, ValueError, "the factor must be at least 1, got 0"),
    (lambda: TimeDistributed(3), TypeError, "^TimeDistributed: layer must be a Layer, got 3"),
    (lambda: TimeDistributed(ReLU())(np.ones(3)), ValueError, r"at least 2 dimensions, \(N, T, ...\), got \(3,\)"),
    (lambda: Residual(ReLU(), 3), TypeError, "^Residual: shortcut must be a Layer, got 3"),
    (lambda: layers.MSELoss(reduction=None), ValueError, "^MSELoss: reduction must be one of"),
]


@pytest.mark.parametrize("call, error, message", BAD)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
