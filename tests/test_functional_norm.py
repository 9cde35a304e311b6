"""Batch normalisation, dropout and embedding, forward and backward, against torch."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as T
from torch_twins import TOLERANCE, TYPES, assert_near, random, tensor

import fastconv
import fastconv.functional as F
import fastconv.grad as G
from fastconv.inspection import check_gradients

SHAPES = [(4, 3), (5, 3, 7), (2, 3, 4, 5), (2, 3, 2, 3, 4), (1, 2, 40), (3, 1, 6, 6), (64, 5)]


def statistics(channels, dtype):
    return random(4, channels, dtype), np.abs(random(5, channels, dtype)) + dtype(0.5)


def near(found, expected, dtype, scale=1):
    assert found.dtype == dtype
    expected = expected.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=scale * TOLERANCE[dtype] * max(1, np.abs(expected).max()))


@pytest.fixture(params=["numba", "tensordot"])
def either(request):
    """With kernels, and without."""
    with fastconv.use_backend(request.param):
        yield


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training, affine", [*itertools.product((False, True), repeat=2)])
def test_batch_norm(shape, training, affine, dtype, either):
    x, (mean, var) = random(1, shape, dtype) * 3 + 2, statistics(shape[1], dtype)
    w, b = (random(2, shape[1], dtype), random(3, shape[1], dtype)) if affine else (None, None)
    tx, tmean, tvar = tensor(x, True), tensor(mean), tensor(var)
    tw, tb = (tensor(w, True), tensor(b, True)) if affine else (None, None)
    before = mean.copy(), var.copy()
    y = F.batch_norm(x, mean, var, w, b, training, 0.3, 1e-4)
    expected = T.batch_norm(tx, tmean, tvar, tw, tb, training, 0.3, 1e-4)
    near(y, expected, dtype)
    near(mean, tmean, dtype)
    near(var, tvar, dtype)
    dy = random(6, shape, dtype)
    found = torch.autograd.grad(expected, [a for a in (tx, tw, tb) if a is not None], tensor(dy))
    near(G.batch_norm_input(x, dy, *before, w, training, 1e-4), found[0], dtype, 10)
    if affine:
        for ours, theirs in zip(G.batch_norm_parameters(x, dy, *before, training, 1e-4), found[1:], strict=True):
            near(ours, theirs, dtype)
    together = G.batch_norm_backward(x, dy, *before, w, training, 1e-4)
    assert together[0].tobytes() == G.batch_norm_input(x, dy, *before, w, training, 1e-4).tobytes()
    parameters = G.batch_norm_parameters(x, dy, *before, training, 1e-4)
    assert [a.tobytes() for a in together[1:]] == [a.tobytes() for a in parameters]


def test_batch_norm_without_running_statistics():
    x = random(1, (4, 3, 5), np.float64)
    assert_near(F.batch_norm(x, None, None, training=True), T.batch_norm(tensor(x), None, None, training=True),
                np.float64)


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0), (2, 0, 3)])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_of_nothing(shape, training):
    mean, var = np.zeros(shape[1], np.float32), np.ones(shape[1], np.float32)
    x = np.zeros(shape, np.float32)
    assert F.batch_norm(x, mean, var, training=training).shape == shape
    assert not mean.any() and var.all()
    assert G.batch_norm_input(x, x, mean, var, training=training).shape == shape
    for gradient in G.batch_norm_parameters(x, x, mean, var, training):
        np.testing.assert_array_equal(gradient, np.zeros(shape[1], np.float32))


def test_statistics_are_accurate_in_float32(either):
    x = (random(1, (8, 2, 160, 160), np.float64) + 1000).astype(np.float32)
    mean, var = np.zeros(2, np.float32), np.zeros(2, np.float32)
    F.batch_norm(x, mean, var, training=True, momentum=1)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var((0, 2, 3), ddof=1), rtol=1e-6)


def test_batch_norm_spreads_nan_over_its_channel(either):
    x = random(1, (2, 3, 4, 5), np.float32)
    x[1, 1, 2, 2] = np.nan
    with np.errstate(all="raise"):
        y = F.batch_norm(x, None, None, training=True)
    assert np.isnan(y[:, 1]).all() and np.isfinite(y[:, ::2]).all()
    y = F.batch_norm(x, *np.ones((2, 3), np.float32))
    assert np.isnan(y).sum() == 1


def test_running_statistics_may_be_strided():
    x, (mean, var) = random(1, (4, 3, 5), np.float32), statistics(3, np.float32)
    strided = np.stack([mean, var], axis=1)
    F.batch_norm(x, mean, var, training=True)
    F.batch_norm(x, strided[:, 0], strided[:, 1], training=True)
    np.testing.assert_array_equal(strided, np.stack([mean, var], axis=1))


def test_batch_norm_of_tensors():
    x = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    w, b = torch.randn(2, 3, dtype=torch.float64)
    mean, var = torch.zeros(3).double(), torch.ones(3).double()
    theirs = mean.clone(), var.clone()
    expected = T.batch_norm(x, *theirs, w, b, True)
    torch.testing.assert_close(F.batch_norm(x.detach(), mean, var, w, b, True), expected.detach())
    torch.testing.assert_close((mean, var), theirs)
    found = G.batch_norm_input(x.detach(), x.detach() ** 2, None, None, w, True)
    torch.testing.assert_close(found, torch.autograd.grad(expected, x, x.detach() ** 2)[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_same_bits_for_any_number_of_threads(threads):
    x, dy = random(1, (8, 16, 56, 56), np.float32), random(2, (8, 16, 56, 56), np.float32)
    rows = np.random.default_rng(3).integers(0, x.size // 7, 60_001)
    calls = [lambda: F.batch_norm(x, None, None, training=True), lambda: F.sigmoid(x), lambda: F.tanh(x),
             lambda: G.batch_norm_input(x, dy, None, None, training=True), lambda: F.softmax(x, 1),
             lambda: F.log_softmax(x, -1), lambda: G.tanh_input(x, dy), lambda: F.leaky_relu(x),
             lambda: G.prelu_weight(x, (16,), dy), lambda: F.dropout(x, generator=3),
             lambda: G.dropout_input(x > 0, dy), lambda: G.mse_loss_input(x, dy),
             lambda: F.embedding(rows, x.reshape(-1, 7))]
    fastconv.set_num_threads(1)
    expected = [call().tobytes() for call in calls]
    fastconv.set_num_threads(min(threads, fastconv.backends.threads.cores()))
    assert [call().tobytes() for call in calls] == expected


class TestDropout:
    @pytest.mark.parametrize("dtype", TYPES)
    def test_drops_a_share_and_scales_the_rest(self, dtype):
        x = np.abs(random(1, (100, 50, 40), dtype)) + dtype(1)
        y, mask = F.dropout_with_mask(x, 0.3, generator=0)
        assert mask.dtype == bool and abs(mask.mean() - 0.7) < 0.01
        assert y.dtype == dtype
        np.testing.assert_allclose(y, np.where(mask, x / 0.7, 0), rtol=1e-6)
        np.testing.assert_array_equal(F.dropout(x, 0.3, generator=0), y)
        assert not np.array_equal(F.dropout(x, 0.3, generator=1), y)
        dy = random(2, x.shape, dtype)
        np.testing.assert_array_equal(G.dropout_input(mask, dy, 0.3), dy * (mask * dtype(1 / 0.7)))

    @pytest.mark.parametrize("dtype", TYPES)
    def test_kernels_do_as_numpy_does(self, dtype):
        x, mask = random(1, (3, 5, 41), dtype), np.random.default_rng(2).random((3, 5, 41)) < 0.5
        x[0, 0, :4] = np.inf, -np.inf, np.nan, -0.0
        mask[0, 0, :4] = False
        found = []
        for backend in ("numba", "tensordot"):
            with fastconv.use_backend(backend):
                found.append(G.dropout_input(mask, x, 0.3).tobytes() + F.dropout(x, 0.3, generator=1).tobytes())
        assert found[0] == found[1]
        expected = torch.ops.aten.native_dropout_backward(torch.from_numpy(x), torch.from_numpy(mask), 1 / 0.7)
        np.testing.assert_array_equal(G.dropout_input(mask, x, 0.3), expected)

    def test_a_generator_goes_on(self):
        generator, x = np.random.default_rng(0), np.ones(1000)
        first, second = F.dropout(x, generator=generator), F.dropout(x, generator=generator)
        assert not np.array_equal(first, second)
        generator = np.random.default_rng(0)
        np.testing.assert_array_equal(F.dropout(x, generator=generator), first)

    @pytest.mark.parametrize("p", [0, 1, 0.5, True])
    def test_extremes_are_torchs(self, p):
        x = np.array([1.0, -1.0, 0.0, np.nan])
        if p != 0.5:
            np.testing.assert_array_equal(F.dropout(x, p), T.dropout(tensor(x), float(p)).numpy())
        np.testing.assert_array_equal(F.dropout(x, p, training=False), x)
        assert F.dropout(x, p, False) is not x
        assert np.isnan(F.dropout(np.array([np.inf]), 1)).all()

    @pytest.mark.parametrize("shape", [(), (0, 3), (70000,)])
    def test_shapes(self, shape):
        y, mask = F.dropout_with_mask(np.ones(shape), generator=1)
        assert y.shape == mask.shape == shape
        assert G.dropout_input(mask, np.ones(shape)).shape == shape

    def test_gradient(self):
        assert check_gradients(F.dropout, random(1, (5, 6), np.float64), generator=3, p=0.4)

    def test_tensors(self):
        y, mask = F.dropout_with_mask(torch.ones(50, 60), generator=0)
        assert isinstance(y, torch.Tensor) and set(y.unique().tolist()) == {0.0, 2.0}
        assert torch.equal(G.dropout_input(mask, torch.ones(50, 60)), y)
        np.testing.assert_array_equal(mask, F.dropout_with_mask(np.ones((50, 60)), generator=0)[1])


TABLES = [dict(), dict(padding_idx=2), dict(padding_idx=-1, scale_grad_by_freq=True), dict(scale_grad_by_freq=True),
          dict(max_norm=1.0), dict(max_norm=1.5, norm_type=1.0), dict(max_norm=0.5, norm_type=float("inf")),
          dict(max_norm=2, norm_type=0), dict(max_norm=-1.0)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("arguments", TABLES)
@pytest.mark.parametrize("rows", [[[3, 0, 3], [6, 3, 2]], 4, [], [6] * 9 + [2, 2]])
def test_embedding(rows, arguments, dtype, either):
    rows, w = np.array(rows, np.int64), random(1, (7, 4), dtype)
    tw = tensor(w, True)
    y = F.embedding(rows, w, **arguments)
    theirs = tw.detach().clone()
    expected = T.embedding(torch.from_numpy(rows), theirs, **arguments)
    assert_near(y, expected, dtype)
    near(w, theirs, dtype)
    dy = random(2, y.shape, dtype)
    kept = {name: value for name, value in arguments.items() if name in ("padding_idx", "scale_grad_by_freq")}
    (dw,) = torch.autograd.grad(T.embedding(torch.from_numpy(rows), tw, **kept), tw, tensor(dy))
    near(G.embedding_weight(rows, (7, 4), dy, **kept), dw, dtype)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, ">i4"])
def test_embedding_takes_any_integers(kind):
    w, rows = random(1, (7, 4), np.float64), np.array([[3, 0], [6, 3]])
    np.testing.assert_array_equal(F.embedding(rows.astype(kind), w), w[rows])
    found = F.embedding(rows.astype(kind)[::-1, ::-1], w[:, ::-1])
    np.testing.assert_array_equal(found, w[rows[::-1, ::-1]][..., ::-1])
    np.testing.assert_array_equal(F.embedding(rows[:0], w[:0]), np.zeros((0, 2, 4)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("columns", [0, 1, 3, 8, 15, 16, 17, 33, 64])
def test_embedding_of_any_width(columns, dtype, either):
    w, rows = random(1, (9, columns), dtype), np.array([8, 0, 8, 3, 7])
    np.testing.assert_array_equal(F.embedding(rows, w), w[rows])
    np.testing.assert_array_equal(F.embedding(rows[::-2] // 2, w[::-2]), w[::-2][rows[::-2] // 2])


def test_embedding_scales_strided_tables_in_place():
    wide = np.asfortranarray(random(1, (7, 4), np.float32) * 5)
    F.embedding(np.array([1, 2, 1]), wide, max_norm=1)
    norms = np.linalg.norm(wide, axis=1)
    np.testing.assert_allclose(norms[[1, 2]], 1, rtol=1e-5)
    assert norms[0] > 1
    fixed = wide.copy()
    fixed.flags.writeable = False
    F.embedding(np.array([1, 2]), fixed, max_norm=1.01)  # nothing to be scaled
    with pytest.raises(ValueError, match=r"^embedding: max_norm scales rows of weight in place.*read-only"):
        F.embedding(np.array([0]), fixed, max_norm=1)


def test_many_occurrences_add_up_accurately():
    dy = np.full((100_000, 2), 0.1, np.float32)
    with fastconv.use_backend("tensordot"):
        found = G.embedding_weight(np.arange(100_000) % 3, (3, 2), dy)
    np.testing.assert_allclose(found, np.bincount(np.arange(100_000) % 3)[:, None] * np.float64(dy[0]), rtol=1e-6)


def test_embedding_of_tensors():
    w = torch.randn(7, 4, requires_grad=True)
    rows = torch.tensor([[3, 0, 3], [6, 3, 2]])
    y = F.embedding(rows, w.detach())
    expected = T.embedding(rows, w)
    assert torch.equal(y, expected)
    dy = torch.randn(y.shape)
    found = G.embedding_weight(rows, (7, 4), dy, 3, True)
    expected = torch.autograd.grad(T.embedding(rows, w, 3, scale_grad_by_freq=True), w, dy)[0]
    torch.testing.assert_close(found, expected)
    w = w.detach() * 9
    theirs = w.clone()
    F.embedding(rows, w, max_norm=1.0)
    T.embedding(rows, theirs, max_norm=1.0)
    torch.testing.assert_close(w, theirs)


GRADIENTS = [
    (F.leaky_relu, [(3, 4)], dict(negative_slope=0.3)), (F.prelu, [(2, 3, 4), (3,)], {}), (F.prelu, [(2, 3), (1,)], {}),
    (F.sigmoid, [(3, 4)], {}), (F.tanh, [(3, 4)], {}),
    (F.batch_norm, [(3, 4, 5), None, None, (4,), (4,)], dict(training=True)),
    (F.batch_norm, [(3, 2, 5, 4), (2,), (2,), (2,), (2,)], dict(eps=0.1)),
    (F.batch_norm, [(3, 2), (2,), (2,)], {}),
]


@pytest.mark.parametrize("function, shapes, arguments", GRADIENTS)
def test_finite_differences(function, shapes, arguments):
    inputs = [None if shape is None else np.abs(random(seed, shape, np.float64)) + 0.5 if seed == 13 else
              random(seed, shape, np.float64) for seed, shape in enumerate(shapes, 11)]
    report = check_gradients(function, inputs, **arguments)
    assert report, report


def test_finite_differences_of_embedding():
    for arguments in ({}, dict(padding_idx=2, scale_grad_by_freq=False)):
        report = check_gradients(F.embedding, [np.array([[1, 2, 1], [0, 5, 1]]), random(1, (6, 3), np.float64)],
                                 **arguments)
        assert report or arguments, report
