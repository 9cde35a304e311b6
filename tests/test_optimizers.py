"""Optimizers against ``torch.optim``, step by step, and metrics against their definitions."""

import copy
import json

import numpy as np
import pytest
import torch

import fastconv
from fastconv.layers import Linear, Parameter
from fastconv.training import SGD, Adam, RMSprop, accuracy, confusion_matrix, top_k_accuracy

STEPS = 15
SHAPES = ((3, 4, 2), (5,), ())

CASES = [
    (SGD, {}),
    (SGD, {"lr": 0.1, "weight_decay": 0.3}),
    (SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (RMSprop, {}),
    (RMSprop, {"lr": 1e-3, "alpha": 0.9, "eps": 1e-3}),
    (RMSprop, {"weight_decay": 0.1}),
    (RMSprop, {"momentum": 0.9}),
    (RMSprop, {"centered": True}),
    (RMSprop, {"centered": True, "momentum": 0.5, "weight_decay": 0.1, "alpha": 0.8}),
    (Adam, {}),
    (Adam, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}),
    (Adam, {"weight_decay": 0.1}),
    (Adam, {"amsgrad": True}),
    (Adam, {"amsgrad": True, "weight_decay": 0.1, "lr": 0.05}),
]


def parameters(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in SHAPES]


def gradients(dtype, seed=1):
    """The gradients of each step: of changing size, so that a running maximum differs from a running mean."""
    rng = np.random.default_rng(seed)
    return [[np.asarray(rng.standard_normal(shape) * 4.0**(3 - step % 5)).astype(dtype) for shape in SHAPES]
            for step in range(STEPS)]


def names(case):
    return f"{case[0].__name__}-{case[1]}"


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("kind, options", CASES, ids=map(names, CASES))
def test_every_step_is_torchs(kind, options, dtype):
    ours = parameters(dtype)
    theirs = [torch.nn.Parameter(torch.from_numpy(p.data.copy())) for p in ours]
    optimizer = kind(ours, **options)
    reference = getattr(torch.optim, kind.__name__)(theirs, **options)
    arrays = [p.data for p in ours]
    tolerance = 1e-12 if dtype == np.float64 else 2e-6
    for step, grads in enumerate(gradients(dtype)):
        for p, q, grad in zip(ours, theirs, grads, strict=True):
            p.grad, q.grad = grad.copy(), torch.from_numpy(grad.copy())
        optimizer.step()
        reference.step()
        for p, q, array, grad in zip(ours, theirs, arrays, grads, strict=True):
            expected = q.detach().numpy()
            assert p.data is array and p.dtype == dtype
            np.testing.assert_allclose(p.data, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()),
                                       err_msg=f"step {step}")
            assert np.array_equal(p.grad, grad), "a step must not change the gradient"


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("kind, options", CASES, ids=map(names, CASES))
def test_kernels_do_as_numpy_does(kind, options, dtype):
    """To the bit, in blocks and what is left over, within a larger array, and with gradients of other strides."""
    found = []
    for name in ("numba", "tensordot"):
        rng = np.random.default_rng(2)
        around = rng.standard_normal(5000).astype(dtype)
        made = [Parameter(around[start:end]) for start, end in ((5, 6), (10, 1034), (1100, 2125), (2200, 4800))]
        with fastconv.use_backend(name):
            optimizer = kind(made, **options)
            for step in range(4):
                for p in made:
                    grad = rng.standard_normal((p.data.size, 2)).astype(dtype) * dtype(10.0**(step - 2))
                    p.grad = grad[:, 0] if step % 2 else grad[:, 0].copy()
                optimizer.step()
        found.append(around.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", (SGD, RMSprop, Adam))
def test_defaults_are_torchs(kind):
    theirs = getattr(torch.optim, kind.__name__)([torch.nn.Parameter(torch.zeros(1))]).defaults
    group = kind(parameters(np.float32)).param_groups[0]
    assert {name: theirs[name] for name in group if name != "params"} == {
        name: value for name, value in group.items() if name != "params"}


@pytest.mark.parametrize("kind, options", CASES, ids=map(names, CASES))
def test_a_saved_state_continues_bit_for_bit(kind, options):
    ours, steps = parameters(np.float32), gradients(np.float32)

    def run(optimizer, parameters, grads):
        for step in grads:
            for p, grad in zip(parameters, step, strict=True):
                p.grad = grad
            optimizer.step()
        return [p.data.copy() for p in parameters]

    optimizer = kind(ours, **options)
    run(optimizer, ours, steps[:7])
    state = optimizer.state_dict()
    again = [Parameter(p.data.copy()) for p in ours]
    twins, twin = copy.deepcopy((ours, optimizer))
    other = kind(again)
    other.load_state_dict(state)
    expected = run(optimizer, ours, steps[7:])
    assert all(map(np.array_equal, run(other, again, steps[7:]), expected))
    assert all(map(np.array_equal, run(twin, twins, steps[7:]), expected))
    assert {name: value for name, value in other.param_groups[0].items() if name != "params"} == {
        name: value for name, value in optimizer.param_groups[0].items() if name != "params"}


def test_frozen_and_gradient_free_parameters_stay():
    ours = parameters(np.float64)
    before = [p.data.copy() for p in ours]
    optimizer = Adam(ours)
    ours[0].grad = np.ones(SHAPES[0])
    ours[1].grad = np.ones(SHAPES[1])
    ours[1].requires_grad = False
    optimizer.step()
    assert not np.array_equal(ours[0], before[0])
    assert np.array_equal(ours[1], before[1]) and np.array_equal(ours[2], before[2])
    assert optimizer.state_dict()["state"][1:] == [{}, {}]
    optimizer.zero_grad()
    assert all(p.grad is None for p in ours)


def test_groups_and_changed_rates():
    a, b = Parameter(np.zeros(2)), Parameter(np.zeros(2))
    optimizer = SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    a.grad = b.grad = np.ones(2)
    optimizer.step()
    assert a.data.tolist() == [-0.1, -0.1] and b.data.tolist() == [-0.5, -0.5]
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    optimizer.step()
    assert a.data.tolist() == [-1.1, -1.1]
    assert repr(optimizer).count("lr=1.0") == 2


def test_views_and_changed_types():
    whole = np.zeros((4, 6))
    p = Parameter(whole[::2, ::3].T)
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    p.grad = np.array([[1.0, 2.0], [3.0, 4.0]])
    optimizer.step()
    assert whole[::2, ::3].T.tolist() == [[-1, -2], [-3, -4]]
    p.cast(np.float32)
    optimizer.step()
    assert p.dtype == np.float32 and p.data.tolist() == [[-2.5, -5], [-7.5, -10]]
    p.data = np.zeros((2, 2), np.float32)
    optimizer.step()
    assert p.data.tolist() == [[-1.75, -3.5], [-5.25, -7]]


P = [Parameter(np.zeros(2))]
BAD = [
    (lambda: SGD(P, lr=-1), ValueError, "SGD: lr must be finite, at least 0, got -1"),
    (lambda: SGD(P, lr=float("nan")), ValueError, "lr must be finite"),
    (lambda: SGD(P, lr=float("inf")), ValueError, "lr must be finite"),
    (lambda: SGD(P, lr="fast"), TypeError, "lr must be a number, got 'fast'"),
    (lambda: SGD(P, momentum=-0.1), ValueError, "momentum must be"),
    (lambda: SGD(P, weight_decay=-0.1), ValueError, "weight_decay must be"),
    (lambda: SGD(P, nesterov=True), ValueError, "nesterov=True needs momentum > 0"),
    (lambda: SGD(P, momentum=0.9, dampening=0.1, nesterov=True), ValueError, "nesterov=True needs"),
    (lambda: SGD([{"params": P, "rate": 1}]), ValueError, "unknown hyperparameter 'rate'"),
    (lambda: SGD([{"params": P, "lr": -1}]), ValueError, "lr must be"),
    (lambda: SGD([]), ValueError, "params is empty"),
    (lambda: SGD(P[0]), TypeError, r"pass \[parameter\]"),
    (lambda: SGD(P + P), ValueError, "occurs twice"),
    (lambda: SGD([np.zeros(2)]), TypeError, "must hold Parameter objects, got ndarray"),
    (lambda: RMSprop(P, alpha=-1), ValueError, "alpha must be"),
    (lambda: RMSprop(P, eps=-1), ValueError, "eps must be"),
    (lambda: RMSprop(P, momentum=-1), ValueError, "momentum must be"),
    (lambda: Adam(P, betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be finite, at least 0 and below 1, got 1.0"),
    (lambda: Adam(P, betas=(-0.9, 0.9)), ValueError, r"betas\[0\] must be"),
    (lambda: Adam(P, betas=0.9), ValueError, "betas must be two numbers"),
    (lambda: Adam(P, eps=-1), ValueError, "eps must be"),
]


@pytest.mark.parametrize("call, kind, message", BAD)
def test_bad_arguments(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_states_that_do_not_fit():
    ours = parameters(np.float64)
    optimizer = Adam(ours, lr=0.5)
    for p in ours:
        p.grad = np.ones(p.shape)
    optimizer.step()
    state = optimizer.state_dict()
    cases = [(SGD(ours), state, "this is the state of Adam"),
             (Adam(ours[:2]), state, "of 3 parameters in 1 groups, expected 2 in 1"),
             (Adam(ours[::-1]), state, "exp_avg has shape"),
             (Adam(ours), {**state, "groups": [{"lr": 0.1}]}, "expected the hyperparameters")]
    for target, wrong, message in cases:
        rate = target.param_groups[0]["lr"]
        with pytest.raises(ValueError, match=message):
            target.load_state_dict(wrong)
        assert target.param_groups[0]["lr"] == rate and not any(target.state_dict()["state"])
    # The state is a copy, and but for its arrays JSON.
    optimizer.step()
    assert state["state"][0]["step"] == 1
    json.dumps({**state, "state": []})


def test_a_linear_model_is_fitted():
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((64, 3)), rng.standard_normal((2, 3))
    y = x @ t.T
    layer = Linear(3, 2, bias=False, dtype=np.float64, generator=0)
    optimizer = Adam(layer.parameters(), lr=0.1)
    for _ in range(400):
        layer.backward_parameters(2 * (layer(x) - y) / 64)
        optimizer.step()
    np.testing.assert_allclose(layer.weight, t, atol=1e-6)


class TestMetrics:
    scores = np.array([[0.1, 0.9, 0.0], [0.5, 0.2, 0.5], [0.0, 0.0, 0.0], [0.1, 0.2, 0.3]])
    target = np.array([1, 2, 0, 0])

    def test_accuracy(self):
        assert accuracy(self.scores, self.target) == 0.5
        assert np.isnan(accuracy(np.zeros((0, 3)), np.zeros(0, int)))

    def test_top_k(self):
        assert top_k_accuracy(self.scores, self.target, 1) == accuracy(self.scores, self.target)
        assert top_k_accuracy(self.scores, self.target, 2) == 0.75
        assert top_k_accuracy(self.scores, self.target, 3) == 1
        assert np.isnan(top_k_accuracy(np.zeros((0, 3)), np.zeros(0, int), 2))
        ties = np.zeros((4, 4))
        assert [top_k_accuracy(ties, np.arange(4), k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1]
        undefined = np.array([[0.0, np.nan, 1.0]])
        for label in range(3):
            assert top_k_accuracy(undefined, np.array([label]), 1) == accuracy(undefined, np.array([label]))

    def test_top_k_against_sorting(self):
        rng = np.random.default_rng(0)
        scores, target = rng.integers(0, 4, (200, 7)), rng.integers(0, 7, 200)
        for k in range(1, 8):
            expected = np.mean([label in sorted(range(7), key=lambda c, row=row: (-row[c], c))[:k]
                                for row, label in zip(scores, target, strict=True)])
            assert top_k_accuracy(scores, target, k) == expected

    def test_confusion_matrix(self):
        expected = [[1, 0, 1], [0, 1, 0], [1, 0, 0]]
        assert confusion_matrix(self.scores, self.target).tolist() == expected
        assert confusion_matrix(self.scores.argmax(axis=1), self.target).tolist() == expected
        assert confusion_matrix(np.array([0]), np.array([1]), num_classes=3).tolist() == [[0] * 3, [1, 0, 0], [0] * 3]
        assert confusion_matrix(np.array([1]), np.array([0])).tolist() == [[0, 1], [0, 0]]
        assert confusion_matrix(self.scores, self.target).dtype == np.int64

    @pytest.mark.parametrize("call, kind, message", [
        (lambda s, t: accuracy(s[0], t), ValueError, r"scores must have shape \(N, C\)"),
        (lambda s, t: accuracy(s, t[:3]), ValueError, r"target must have shape \(4,\), got \(3,\)"),
        (lambda s, t: accuracy(s, t + 1), ValueError, "target must hold classes below 3, got 3"),
        (lambda s, t: accuracy(s, t - 1), ValueError, "target must hold no negative class, got -1"),
        (lambda s, t: accuracy(s, t * 1.0), TypeError, "target must be an array of integers, got float64"),
        (lambda s, t: accuracy(s * 1j, t), TypeError, "scores must hold real numbers"),
        (lambda s, t: top_k_accuracy(s, t, 4), ValueError, "k must be at most 3"),
        (lambda s, t: top_k_accuracy(s, t, 0), ValueError, "k must be at least 1"),
        (lambda s, t: confusion_matrix(t, t, num_classes=2), ValueError, "classes below num_classes=2"),
        (lambda s, t: confusion_matrix(s, t[:3]), ValueError, "target must have shape"),
    ])
    def test_bad_arguments(self, call, kind, message):
        with pytest.raises(kind, match=message):
            call(self.scores, self.target)
