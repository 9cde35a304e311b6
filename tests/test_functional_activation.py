"""Activations and losses, against torch."""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as T
from torch_twins import (
    CROSS_ENTROPIES,
    TYPES,
    assert_near,
    cross_entropy_arguments,
    ident,
    random,
    tensor,
    torch_arguments,
)

import fastconv
import fastconv.functional as F
import fastconv.grad as G

SPECIAL = [[0.0, -0.0, 1.0, -1.0], [np.nan, 1.0, -1.0, 0.0], [np.inf, 0.0, 1.0, 2.0], [-np.inf, 0.0, 1.0, 2.0],
           [-np.inf] * 4, [np.inf, -np.inf, np.inf, 0.0], [1e4, -1e4, 1e30, 0.0], [-1e4, -1.1e4, -2e4, -1e4]]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3, 4), (0, 3)])
def test_relu(shape, dtype):
    x = np.asarray(random(1, shape, dtype))
    assert_near(F.relu(x), T.relu(tensor(x)), dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_special_values(dtype):
    x = np.array(SPECIAL, dtype)
    for name in ("softmax", "log_softmax"):
        for dim in (0, 1):
            assert_near(getattr(F, name)(x, dim), getattr(T, name)(tensor(x), dim), dtype)
    np.testing.assert_array_equal(F.relu(x), T.relu(tensor(x)).numpy())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("count", [4, 15, 16, 40, 4100, 8200])
def test_special_values_in_rows(count, dtype):
    """Wherever they stand: in the first vector, the last one, or what is left over."""
    x = np.zeros((3 * len(SPECIAL), count), dtype)
    for rows, start in zip(np.split(x, 3), (0, count // 2 - 2, count - 4), strict=True):
        rows[:, start:start + 4] = SPECIAL
    x[-1] = -np.inf
    for name in ("softmax", "log_softmax"):
        assert_near(getattr(F, name)(x, 1), getattr(T, name)(tensor(x), 1), dtype)
        assert_near(getattr(F, name)(x.T, 0), getattr(T, name)(tensor(x.T), 0), dtype)
    labels = np.zeros(len(x), np.int64)
    for reduction in ("none", "sum"):
        assert_near(F.cross_entropy(x, labels, reduction=reduction),
                    T.cross_entropy(tensor(x), tensor(labels), reduction=reduction), dtype)


EXTREME = [0.0, -0.0, 1e-30, -1e-30, 1.0, -1.0, 20.0, -20.0, 88.0, -88.0, 90.0, -90.0, 720.0, -720.0, np.inf, -np.inf,
           np.nan]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("backend_name", ["numba", "tensordot"])
@pytest.mark.parametrize("name, arguments", [
    ("leaky_relu", (0.1,)), ("leaky_relu", ()), ("leaky_relu", (0,)), ("leaky_relu", (-2.0,)), ("sigmoid", ()),
    ("tanh", ()), ("prelu", (0.25,)), ("prelu", (np.array([0.5]),))])
def test_element_by_element(name, arguments, backend_name, dtype):
    arguments = [dtype(a) if name == "prelu" and isinstance(a, float) else a.astype(dtype) if hasattr(a, "astype")
                 else a for a in arguments]
    theirs = [tensor(a) if name == "prelu" else a for a in arguments]
    with fastconv.use_backend(backend_name), np.errstate(all="raise"):
        for shape in ((), (0,), (3,), (2, 3, 4), (0, 3), (70_000,)):
            x = np.asarray(random(1, shape, dtype))
            assert_near(getattr(F, name)(x, *arguments), getattr(T, name)(tensor(x), *theirs), dtype)
        x = np.resize(np.array(EXTREME, dtype), 40)  # vectors, and what is left over
        expected = getattr(T, name)(tensor(x), *theirs).numpy()
        found = getattr(F, name)(x, *arguments)
        np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny * 4)
        np.testing.assert_array_equal(np.signbit(found[expected == 0]), np.signbit(expected[expected == 0]))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("backend_name", ["numba", "tensordot"])
@pytest.mark.parametrize("shape, slopes", [((2, 3), 3), ((2, 3, 4, 5), 3), ((2, 3, 4), 1), ((5,), 1), ((0, 3, 2), 3),
                                           ((2, 0), 0), ((), 1)])
def test_prelu_and_its_gradients(shape, slopes, backend_name, dtype):
    x, w, dy = (np.asarray(random(seed, size, dtype)) for seed, size in ((1, shape), (2, slopes), (3, shape)))
    tx, tw = tensor(x, True), tensor(w, True)
    expected = T.prelu(tx, tw)
    dx, dw = torch.autograd.grad(expected, (tx, tw), tensor(dy))
    with fastconv.use_backend(backend_name):
        assert_near(F.prelu(x, w), expected, dtype)
        assert_near(G.prelu_input(x, w, dy), dx, dtype)
        assert_near(G.prelu_weight(x, w.shape, dy), dw, dtype)
        if slopes == 1:
            assert_near(G.prelu_weight(x, (), dy), dw[0], dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("backend_name", ["numba", "tensordot"])
@pytest.mark.parametrize("name", ["leaky_relu", "sigmoid", "tanh"])
def test_gradients_element_by_element(name, backend_name, dtype):
    x = np.concatenate([np.array(EXTREME, dtype), random(1, 40_000, dtype)])
    dy = np.resize(random(2, 999, dtype), x.shape)
    tx = tensor(x, True)
    y = getattr(T, name)(tx)
    (dx,) = torch.autograd.grad(y, tx, tensor(dy))
    first = x if name == "leaky_relu" else y.detach().numpy().astype(dtype)
    with fastconv.use_backend(backend_name):
        found = getattr(G, f"{name}_input")(first, dy)
    np.testing.assert_allclose(found, dx, atol=10 * np.finfo(dtype).eps, equal_nan=True)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape, dim", [((70, 10), 1), ((5, 16), 1), ((21, 15), 1), ((21, 17), 1), ((19, 63), 1),
                                        ((3, 4096), 1), ((3, 4097), 1), ((2, 9000), 1), ((33, 1), 1),
                                        ((3, 7, 130), 1), ((2, 70, 256), 1), ((1000, 3), 0)])
def test_softmax_with_kernels_and_without(shape, dim, dtype, name):
    x, dy = random(1, shape, dtype) * 5, random(2, shape, dtype)
    x[0, 0] = -np.inf
    tx = tensor(x, True)
    y = getattr(T, name)(tx, dim)
    (dx,) = torch.autograd.grad(y, tx, tensor(dy))
    for backend_name in ("numba", "tensordot"):
        with fastconv.use_backend(backend_name):
            assert_near(getattr(F, name)(x, dim), y, dtype)
            found = getattr(G, f"{name}_input")(y.detach().numpy().astype(dtype), dy, dim)
            assert_near(found, dx, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape, dim", [((), 0), ((), -1), ((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), -2),
                                        ((2, 3, 4, 5), 1), ((0, 3), 0), ((0, 3), 1), ((3, 0), 1), ((1, 1), 1)])
def test_softmax(shape, dim, name, dtype):
    x = np.asarray(random(1, shape, dtype))
    assert_near(getattr(F, name)(x, dim), getattr(T, name)(tensor(x), dim), dtype)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (2, 3, 4), (2, 3, 4, 5)])
def test_softmax_without_an_axis_warns(shape, name):
    x = np.asarray(random(1, shape, np.float64))
    with pytest.warns(UserWarning, match="pass dim=") as found:
        result = getattr(F, name)(x)
    assert found[0].filename == __file__
    with pytest.warns(UserWarning, match="Implicit dimension"):
        expected = getattr(T, name)(tensor(x))
    assert_near(result, expected, np.float64)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("source", [np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("dtype", TYPES)
def test_softmax_casts_first(source, dtype, name):
    x = (random(1, (3, 4), np.float64) * 3).astype(source)
    result = getattr(F, name)(x, 1, dtype=dtype)
    expected = getattr(T, name)(torch.from_numpy(x), 1, dtype=torch.from_numpy(np.zeros(0, dtype)).dtype)
    assert_near(result, expected, dtype)
    assert_near(getattr(F, name)(x, 1, 3, np.dtype(dtype).name), expected, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", CROSS_ENTROPIES, ids=ident)
def test_cross_entropy(case, dtype):
    x, target, arguments = cross_entropy_arguments(case, dtype)
    expected = T.cross_entropy(tensor(x), tensor(target), **torch_arguments(arguments))
    assert_near(F.cross_entropy(x, target, **arguments), expected, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(70, 10), (5, 16), (3, 4097), (33, 1), (3, 7, 130), (2, 70, 20, 20)])
@pytest.mark.parametrize("arguments", [{}, dict(weight=True), dict(ignore_index=0, reduction="sum")])
def test_cross_entropy_with_kernels_and_without(shape, arguments, dtype):
    x, labels = random(1, shape, dtype) * 5, np.random.default_rng(2).integers(0, shape[1], (shape[0], *shape[2:]))
    labels.flat[::7] = arguments.get("ignore_index", -100)
    keywords = arguments | ({"weight": np.abs(random(3, shape[1], dtype))} if "weight" in arguments else {})
    tx = tensor(x, True)
    loss = T.cross_entropy(tx, tensor(labels), **torch_arguments(keywords))
    (dx,) = torch.autograd.grad(loss, tx)
    for backend_name in ("numba", "tensordot"):
        with fastconv.use_backend(backend_name):
            assert_near(F.cross_entropy(x, labels, **keywords), loss, dtype)
            assert_near(G.cross_entropy_input(x, labels, **keywords), dx, dtype)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64, ">i4"])
def test_cross_entropy_takes_any_integers(kind):
    x, labels = random(1, (5, 4), np.float64), np.array([3, 0, 1, 1, 2])
    assert_near(F.cross_entropy(x, labels.astype(kind)), T.cross_entropy(tensor(x), tensor(labels)), np.float64)


def test_cross_entropy_takes_torch_order():
    x, labels, w = random(1, (5, 4), np.float64), np.array([3, 0, 1, 1, 2]), random(2, 4, np.float64) ** 2
    expected = T.cross_entropy(tensor(x), tensor(labels), tensor(w), None, 2, None, "sum", 0.1)
    assert_near(F.cross_entropy(x, labels, w, None, 2, None, "sum", 0.1), expected, np.float64)


def test_cross_entropy_of_one_sample_takes_a_label_with_an_axis():
    x = random(1, 4, np.float64)
    for reduction in ("none", "mean"):
        expected = T.cross_entropy(tensor(x), torch.tensor([2]), reduction=reduction)
        assert_near(F.cross_entropy(x, np.array([2]), reduction=reduction), expected, np.float64)
    assert_near(F.cross_entropy(x, np.int64(2)), T.cross_entropy(tensor(x), torch.tensor(2)), np.float64)


def test_cross_entropy_of_large_scores():
    x = np.array([[1e4, 0.0, -1e4], [-1e30, 0.0, 1e30], [-np.inf, 0.0, 1.0]], np.float32)
    for labels in ([0, 2, 1], [1, 1, 2], [2, 0, 0]):
        expected = T.cross_entropy(tensor(x), torch.tensor(labels), reduction="none")
        np.testing.assert_allclose(F.cross_entropy(x, np.array(labels), reduction="none"), expected, rtol=1e-6)


@pytest.mark.parametrize("probability", [False, True])
@pytest.mark.parametrize("shape", [(0, 4), (2, 4, 0), (0, 4, 3)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_nothing(shape, reduction, probability):
    x = np.zeros(shape, np.float32)
    target = x.copy() if probability else np.zeros((shape[0], *shape[2:]), np.int64)
    expected = T.cross_entropy(tensor(x), tensor(target), reduction=reduction)
    assert_near(F.cross_entropy(x, target, reduction=reduction), expected, np.float32)


OLD = [(a, b) for a in (None, False, True) for b in (None, False, True) if (a, b) != (None, None)]


@pytest.mark.parametrize("size_average, reduce", OLD)
def test_old_names_of_reduction(size_average, reduce):
    x, t, labels = random(1, (3, 4), np.float64), random(2, (3, 4), np.float64), np.array([1, 0, 3])
    for name, target in (("cross_entropy", labels), ("mse_loss", t)):
        with pytest.warns(UserWarning, match="deprecated") as found:
            result = getattr(F, name)(x, target, size_average=size_average, reduce=reduce)
        assert found[0].filename == __file__
        with pytest.warns(UserWarning, match="deprecated"):
            expected = getattr(T, name)(tensor(x), tensor(target), size_average=size_average, reduce=reduce)
        assert_near(result, expected, np.float64)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (0, 3), (2, 3, 4, 5)])
def test_mse_loss(shape, weighted, reduction, dtype):
    x, t, w = (np.asarray(random(seed, shape, dtype)) for seed in (1, 2, 3))
    w = np.abs(w) if weighted else None
    expected = T.mse_loss(tensor(x), tensor(t), reduction=reduction, weight=None if w is None else tensor(w))
    assert_near(F.mse_loss(x, t, reduction=reduction, weight=w), expected, dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss_broadcasts_with_a_warning(reduction):
    for x_shape, t_shape in [((3, 4), (4,)), ((4,), (3, 4)), ((3, 1), (1, 4)), ((2, 3), ())]:
        x, t = random(1, x_shape, np.float64), np.asarray(random(2, t_shape, np.float64))
        with pytest.warns(UserWarning, match="broadcast") as found:
            result = F.mse_loss(x, t, reduction=reduction)
        assert found[0].filename == __file__
        with pytest.warns(UserWarning, match="broadcast"):
            expected = T.mse_loss(tensor(x), tensor(t), reduction=reduction)
        assert_near(result, expected, np.float64)


def arguments_of_torch(name):
    function = getattr(T, f"_{name}", getattr(T, name))  # what may return indices is chosen from by another function
    try:
        return inspect.signature(function)
    except ValueError:
        # One in C++ says it in its docstring.
        made = {}
        exec(f"def {function.__doc__.split('->')[0].strip()}: pass", made)
        return inspect.signature(made[name])


@pytest.mark.parametrize("name", [name for name in F.__all__ if hasattr(T, name)])
def test_arguments_are_torch_s(name):
    ours, theirs = inspect.signature(getattr(F, name)).parameters, arguments_of_torch(name).parameters
    assert [(p.name, p.default) for p in ours.values() if p.kind != p.KEYWORD_ONLY] == [
        (p.name, p.default) for p in theirs.values()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_go_in_and_come_out(dtype):
    x = torch.linspace(-2, 2, 24, dtype=dtype).reshape(2, 3, 4)
    t = torch.linspace(0, 1, 24, dtype=dtype).reshape(2, 3, 4)
    labels, w = torch.tensor([[0, 1, 2, 2], [1, -100, 0, 2]]), torch.tensor([0.5, 1.0, 2.0], dtype=dtype)
    strided = x.transpose(0, 2)
    pairs = [
        (F.relu(x), T.relu(x)),
        (F.softmax(x, 1), T.softmax(x, 1)),
        (F.softmax(strided, -1), T.softmax(strided, -1)),
        (F.softmax(labels, 1, dtype=dtype), T.softmax(labels, 1, dtype=dtype)),
        (F.log_softmax(x, 2), T.log_softmax(x, 2)),
        (F.mse_loss(x, t), T.mse_loss(x, t)),
        (F.mse_loss(x, t, reduction="none"), T.mse_loss(x, t, reduction="none")),
        (F.cross_entropy(x, labels, w, label_smoothing=0.1), T.cross_entropy(x, labels, w, label_smoothing=0.1)),
        (F.cross_entropy(x, labels, reduction="none"), T.cross_entropy(x, labels, reduction="none")),
        (F.cross_entropy(x, t, w), T.cross_entropy(x, t, w)),
    ]
    for found, expected in pairs:
        assert isinstance(found, torch.Tensor)
        torch.testing.assert_close(found, expected)
