"""Gradients, against torch and by finite differences."""

import inspect
import itertools
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as T
from torch_twins import (
    AVG_POOLS,
    CONV_TRANSPOSES,
    CONVS,
    CROSS_ENTROPIES,
    MAX_POOLS,
    TYPES,
    UNFOLDS,
    assert_near,
    cross_entropy_arguments,
    ident,
    random,
    tensor,
    torch_arguments,
)

import fastconv.functional as F
import fastconv.grad as G


def backward(y, dy, *leaves):
    """Gradients of the sum of ``y * dy`` by torch."""
    return torch.autograd.grad(y, leaves, tensor(dy), retain_graph=True)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", CONVS, ids=ident)
def test_conv(case, dtype):
    nd, x_shape, w_shape, arguments = case
    x, w = random(1, x_shape, dtype), random(2, w_shape, dtype)
    tx, tw, tb = tensor(x, True), tensor(w, True), torch.zeros(w_shape[0], dtype=torch.float64, requires_grad=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths", UserWarning)
        y = getattr(T, f"conv{nd}d")(tx, tw, tb, **torch_arguments(arguments))
    dy = random(3, y.shape, dtype)
    dx, dw, db = backward(y, dy, tx, tw, tb)
    assert_near(getattr(G, f"conv{nd}d_input")(x_shape, w, dy, **arguments), dx, dtype)
    assert_near(getattr(G, f"conv{nd}d_weight")(x, w_shape, dy, **arguments), dw, dtype)
    found = getattr(G, f"conv{nd}d_parameters")(x, w_shape, dy, **arguments)
    assert_near(found[0], dw, dtype)
    assert_near(found[1], db, dtype)


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_conv_is_torch_nn_grad(nd):
    """Called with the very same arguments, a list or a torch.Size for a shape among them."""
    x, w = random(1, (2, 4, 7, 6, 5)[:nd + 2], np.float64), random(2, (6, 2, 3, 2, 3)[:nd + 2], np.float64)
    dy = random(3, F.__dict__[f"conv{nd}d"](x, w, None, 2, 1, 1, 2).shape, np.float64)
    found = getattr(G, f"conv{nd}d_input")(torch.Size(x.shape), w, dy, 2, 1, 1, 2)
    expected = getattr(torch.nn.grad, f"conv{nd}d_input")(x.shape, tensor(w), tensor(dy), 2, 1, 1, 2)
    assert_near(found, expected, np.float64)
    found = getattr(G, f"conv{nd}d_weight")(x, list(w.shape), dy, 2, 1, 1, 2)
    expected = getattr(torch.nn.grad, f"conv{nd}d_weight")(tensor(x), w.shape, tensor(dy), 2, 1, 1, 2)
    assert_near(found, expected, np.float64)
    for name in (f"conv{nd}d_input", f"conv{nd}d_weight"):
        ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (G, torch.nn.grad))
        assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", CONV_TRANSPOSES, ids=ident)
def test_conv_transpose(case, dtype):
    nd, x_shape, w_shape, arguments = case
    x, w = random(1, x_shape, dtype), random(2, w_shape, dtype)
    tx, tw = tensor(x, True), tensor(w, True)
    tb = torch.zeros(w_shape[1] * arguments.get("groups", 1), dtype=torch.float64, requires_grad=True)
    y = getattr(T, f"conv_transpose{nd}d")(tx, tw, tb, **arguments)
    dy = random(3, y.shape, dtype)
    dx, dw, db = backward(y, dy, tx, tw, tb)
    assert_near(getattr(G, f"conv_transpose{nd}d_input")(x_shape, w, dy, **arguments), dx, dtype)
    assert_near(getattr(G, f"conv_transpose{nd}d_weight")(x, w_shape, dy, **arguments), dw, dtype)
    found = getattr(G, f"conv_transpose{nd}d_parameters")(x, w_shape, dy, **arguments)
    assert_near(found[0], dw, dtype)
    assert_near(found[1], db, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", MAX_POOLS, ids=ident)
def test_max_pool(case, dtype):
    nd, shape, arguments = case
    x = tensor(np.round(random(1, shape, dtype)), True)
    y, places = getattr(T, f"max_pool{nd}d")(x, **arguments, return_indices=True)
    dy = random(3, y.shape, dtype)
    (dx,) = backward(y, dy, x)
    assert_near(getattr(G, f"max_pool{nd}d_input")(shape, places.numpy(), dy), dx, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", AVG_POOLS, ids=ident)
def test_avg_pool(case, dtype):
    nd, shape, arguments = case
    x = tensor(random(1, shape, dtype), True)
    y = getattr(T, f"avg_pool{nd}d")(x, **arguments)
    dy = random(3, y.shape, dtype)
    (dx,) = backward(y, dy, x)
    assert_near(getattr(G, f"avg_pool{nd}d_input")(shape, dy, **arguments), dx, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", UNFOLDS, ids=ident)
def test_unfold_and_fold(case, dtype):
    shape, arguments = case
    x = tensor(random(1, shape, dtype), True)
    y = T.unfold(x, **arguments)
    dy = random(3, y.shape, dtype)
    (dx,) = backward(y, dy, x)
    assert_near(G.unfold_input(shape, dy, **arguments), dx, dtype)
    cols = tensor(dy, True)
    y = T.fold(cols, shape[-2:], **arguments)
    dy = random(4, y.shape, dtype)
    (dcols,) = backward(y, dy, cols)
    assert_near(G.fold_input(dy, **arguments), dcols, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("x_shape, w_shape", [((4, 5), (3, 5)), ((5,), (3, 5)), ((2, 3, 4, 5), (6, 5)),
                                              ((0, 5), (3, 5)), ((2, 0), (3, 0)), ((2, 5), (0, 5)), ((4, 5), (5,)),
                                              ((5,), (5,))])
def test_linear(x_shape, w_shape, dtype):
    x, w = random(1, x_shape, dtype), random(2, w_shape, dtype)
    tx, tw, tb = tensor(x, True), tensor(w, True), torch.zeros(w_shape[:-1], dtype=torch.float64, requires_grad=True)
    y = T.linear(tx, tw) + tb
    dy = np.asarray(random(3, y.shape, dtype))
    dx, dw, db = backward(y, dy, tx, tw, tb)
    assert_near(G.linear_input(x_shape, w, dy), dx, dtype)
    assert_near(G.linear_weight(x, w_shape, dy), dw, dtype)
    found = G.linear_parameters(x, w_shape, dy)
    assert_near(found[0], dw, dtype)
    assert_near(found[1], db, dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_relu(dtype):
    x = np.array([-1.0, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf], dtype)
    dy = np.array([1, 2, 3, 4, 5, np.inf, np.nan], dtype)
    tx = tensor(x, True)
    (dx,) = backward(T.relu(tx), dy, tx)
    assert_near(G.relu_input(x, dy), dx, dtype)
    assert_near(G.relu_input(F.relu(x), dy), dx, dtype)
    assert_near(G.relu_input(np.asarray(x[3]), np.asarray(dy[3])), np.array(4.0), dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape, dim", [((), 0), ((5,), 0), ((3, 4), 0), ((2, 3, 4), -1), ((2, 3, 4), 1), ((0, 3), 1)])
def test_softmax(shape, dim, name, dtype):
    x = tensor(np.asarray(random(1, shape, dtype)), True)
    y = getattr(T, name)(x, dim)
    dy = np.asarray(random(3, shape, dtype))
    (dx,) = backward(y, dy, x)
    assert_near(getattr(G, f"{name}_input")(y.detach().numpy().astype(dtype), dy, dim), dx, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", CROSS_ENTROPIES, ids=ident)
def test_cross_entropy(case, dtype):
    x, target, arguments = cross_entropy_arguments(case, dtype)
    tx = tensor(x, True)
    loss = T.cross_entropy(tx, tensor(target), **torch_arguments(arguments))
    (dx,) = backward(loss, np.ones(loss.shape), tx)
    assert_near(G.cross_entropy_input(x, target, **arguments), dx, dtype)
    dy = np.asarray(random(3, loss.shape, dtype))
    (dx,) = backward(loss, dy, tx)
    assert_near(G.cross_entropy_input(x, target, dy, **arguments), dx, dtype)
    (dx,) = backward(loss, np.full(loss.shape, -2.5), tx)
    for factor in (-2.5, np.array(-2.5), np.float32(-2.5)):
        assert_near(G.cross_entropy_input(x, target, factor, **arguments), dx, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (), (2, 3, 4), (0, 3)])
def test_mse_loss(shape, weighted, reduction, dtype):
    x, t, w = (np.asarray(random(seed, shape, dtype)) for seed in (1, 2, 3))
    w = np.abs(w) if weighted else None
    tx = tensor(x, True)
    loss = T.mse_loss(tx, tensor(t), reduction=reduction, weight=None if w is None else tensor(w))
    (dx,) = backward(loss, np.ones(loss.shape), tx)
    assert_near(G.mse_loss_input(x, t, reduction=reduction, weight=w), dx, dtype)
    dy = np.asarray(random(4, loss.shape, dtype))
    (dx,) = backward(loss, dy, tx)
    assert_near(G.mse_loss_input(x, t, dy, reduction, w), dx, dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("x_shape, t_shape", [((3, 4), (4,)), ((4,), (3, 4)), ((3, 1), (1, 4)), ((), (2, 3))])
def test_mse_loss_sums_over_what_was_broadcast(x_shape, t_shape, reduction):
    x, t = np.asarray(random(1, x_shape, np.float64)), np.asarray(random(2, t_shape, np.float64))
    tx = tensor(x, True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a target size", UserWarning)
        loss = T.mse_loss(tx, tensor(t), reduction=reduction)
    (dx,) = backward(loss, np.ones(loss.shape), tx)
    assert_near(G.mse_loss_input(x, t, reduction=reduction), dx, np.float64)


def test_empty_batches():
    dtype = np.float32
    none = np.zeros((0, 3, 6, 6), dtype)
    w = random(2, (4, 3, 3, 3), dtype)
    dy = np.zeros((0, 4, 4, 4), dtype)
    assert_near(G.conv2d_input(none.shape, w, dy), none, dtype)
    assert_near(G.conv2d_weight(none, w.shape, dy), np.zeros(w.shape), dtype)
    for found, shape in zip(G.conv2d_parameters(none, w.shape, dy), (w.shape, (4,)), strict=True):
        assert_near(found, np.zeros(shape), dtype)
    w = random(2, (3, 4, 3, 3), dtype)
    dy = np.zeros((0, 4, 8, 8), dtype)
    assert_near(G.conv_transpose2d_input(none.shape, w, dy), none, dtype)
    for found, shape in zip(G.conv_transpose2d_parameters(none, w.shape, dy), (w.shape, (4,)), strict=True):
        assert_near(found, np.zeros(shape), dtype)
    pooled = np.zeros((0, 3, 3, 3), dtype)
    assert_near(G.max_pool2d_input(none.shape, pooled.astype(np.int64), pooled), none, dtype)
    assert_near(G.avg_pool2d_input(none.shape, pooled, 2), none, dtype)
    assert_near(G.unfold_input(none.shape, np.zeros((0, 12, 25), dtype), 2), none, dtype)
    assert_near(G.fold_input(none, 2), np.zeros((0, 12, 25)), dtype)


def distinct(shape):
    """A shuffled row of numbers half a unit apart, none of them 0."""
    n = int(np.prod(shape))
    return (np.random.default_rng(7).permutation(n).reshape(shape) - n // 2) / 2 + 0.25


X, W, B = random(1, (2, 4, 5, 6), np.float64), random(2, (6, 2, 3, 2), np.float64), random(3, 6, np.float64)
W_TRANSPOSED = random(2, (4, 3, 3, 2), np.float64)
CONV = dict(stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
CONV_TRANSPOSE = dict(stride=(2, 3), padding=1, output_padding=(1, 0), groups=2)
POOL = dict(kernel_size=3, stride=2, padding=1, ceil_mode=True)
CLASSES, SHARES = np.array([[1, 3, 0], [2, -100, 2]]), np.abs(random(5, (2, 4, 3), np.float64))
CLASS_WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])
SCORES = random(6, (2, 4, 3), np.float64)

# name: (forward, the argument to differentiate for, gradient from the argument and dy)
DIFFERENTIATED = {
    "conv input": (lambda x: F.conv2d(x, W, B, **CONV), X, lambda x, dy: G.conv2d_input(x.shape, W, dy, **CONV)),
    "conv weight": (lambda w: F.conv2d(X, w, B, **CONV), W, lambda w, dy: G.conv2d_weight(X, w.shape, dy, **CONV)),
    "conv bias": (lambda b: F.conv2d(X, W, b, **CONV), B,
                  lambda b, dy: G.conv2d_parameters(X, W.shape, dy, **CONV)[1]),
    "conv same": (lambda x: F.conv2d(x, W, padding="same", groups=2), X,
                  lambda x, dy: G.conv2d_input(x.shape, W, dy, padding="same", groups=2)),
    "conv_transpose input": (lambda x: F.conv_transpose2d(x, W_TRANSPOSED, B, **CONV_TRANSPOSE), X,
                             lambda x, dy: G.conv_transpose2d_input(x.shape, W_TRANSPOSED, dy, **CONV_TRANSPOSE)),
    "conv_transpose weight": (lambda w: F.conv_transpose2d(X, w, B, **CONV_TRANSPOSE), W_TRANSPOSED,
                              lambda w, dy: G.conv_transpose2d_weight(X, w.shape, dy, **CONV_TRANSPOSE)),
    "conv_transpose bias": (lambda b: F.conv_transpose2d(X, W_TRANSPOSED, b, **CONV_TRANSPOSE), B,
                            lambda b, dy: G.conv_transpose2d_parameters(X, W_TRANSPOSED.shape, dy,
                                                                        **CONV_TRANSPOSE)[1]),
    "max_pool": (lambda x: F.max_pool2d(x, **POOL), distinct((2, 3, 6, 5)),
                 lambda x, dy: G.max_pool2d_input(x.shape, F.max_pool2d_with_indices(x, **POOL)[1], dy)),
    "avg_pool": (lambda x: F.avg_pool2d(x, **POOL, count_include_pad=False), X,
                 lambda x, dy: G.avg_pool2d_input(x.shape, dy, **POOL, count_include_pad=False)),
    "unfold": (lambda x: F.unfold(x, 2, 2, 1, 2), X, lambda x, dy: G.unfold_input(x.shape, dy, 2, 2, 1, 2)),
    "fold": (lambda x: F.fold(x, (4, 5), 2), random(1, (2, 8, 12), np.float64), lambda x, dy: G.fold_input(dy, 2)),
    "linear input": (lambda x: F.linear(x, W[:, 0, :, 0], B), X[..., :3],
                     lambda x, dy: G.linear_input(x.shape, W[:, 0, :, 0], dy)),
    "linear weight": (lambda w: F.linear(X[..., :3], w, B), W[:, 0, :, 0].copy(),
                      lambda w, dy: G.linear_weight(X[..., :3], w.shape, dy)),
    "linear bias": (lambda b: F.linear(X[..., :3], W[:, 0, :, 0], b), B,
                    lambda b, dy: G.linear_parameters(X[..., :3], (6, 3), dy)[1]),
    "relu": (F.relu, distinct((3, 4)), G.relu_input),
    "softmax": (lambda x: F.softmax(x, 1), SCORES, lambda x, dy: G.softmax_input(F.softmax(x, 1), dy, 1)),
    "log_softmax": (lambda x: F.log_softmax(x, 1), SCORES,
                    lambda x, dy: G.log_softmax_input(F.log_softmax(x, 1), dy, 1)),
    "mse_loss": (lambda x: F.mse_loss(x, SHARES), SCORES, lambda x, dy: G.mse_loss_input(x, SHARES, dy)),
} | {
    f"cross_entropy {kind} {reduction} {smoothing}": (
        lambda x, target=target, kw=(reduction, smoothing): F.cross_entropy(
            x, target, CLASS_WEIGHT, reduction=kw[0], label_smoothing=kw[1]),
        SCORES,
        lambda x, dy, target=target, kw=(reduction, smoothing): G.cross_entropy_input(
            x, target, dy, CLASS_WEIGHT, -100, *kw))
    for (kind, target), reduction, smoothing in itertools.product(
        (("index", CLASSES), ("probability", SHARES)), ("mean", "sum", "none"), (0.0, 0.2))
}


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_finite_differences(name):
    forward, argument, gradient = DIFFERENTIATED[name]
    dy = np.asarray(random(9, forward(argument).shape, np.float64))
    found = gradient(argument, dy)
    step = 1e-5
    expected = np.zeros(argument.shape)
    for place in np.ndindex(*argument.shape):
        moved = [argument.copy(), argument.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        after, before = (np.sum(forward(a) * dy) for a in moved)
        expected[place] = (after - before) / (2 * step)
    assert found.shape == argument.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * max(1.0, np.abs(expected).max()))


def test_tensors_go_in_and_come_out():
    x = torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(2, 3, 4).requires_grad_()
    t = torch.linspace(0, 1, 24, dtype=torch.float64).reshape(2, 3, 4)
    labels = torch.tensor([[0, 1, 2, 2], [1, -100, 0, 2]])
    dy = torch.linspace(1, 2, 24, dtype=torch.float64).reshape(2, 3, 4)
    plain = x.detach()
    strided = plain.permute(2, 1, 0)
    leaf = strided.clone().requires_grad_()
    pairs = [
        (G.relu_input(plain, dy), T.relu(x), x, dy),
        (G.softmax_input(T.softmax(plain, 1), dy, 1), T.softmax(x, 1), x, dy),
        (G.log_softmax_input(T.log_softmax(plain, 1), dy, 1), T.log_softmax(x, 1), x, dy),
        (G.mse_loss_input(plain, t), T.mse_loss(x, t), x, None),
        (G.cross_entropy_input(plain, labels, label_smoothing=0.1), T.cross_entropy(x, labels, label_smoothing=0.1), x,
         None),
        (G.cross_entropy_input(strided, strided), T.cross_entropy(leaf, strided), leaf, None),
        (G.cross_entropy_input(plain, t, dy[:, 0], reduction="none"), T.cross_entropy(x, t, reduction="none"), x,
         dy[:, 0]),
    ]
    for found, y, argument, grad_output in pairs:
        assert isinstance(found, torch.Tensor)
        torch.testing.assert_close(found, torch.autograd.grad(y, argument, grad_output)[0])
    np.testing.assert_array_equal(plain, torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(2, 3, 4))
