"""A ReLU and the maximum pooling after it in one pass, beside the two by themselves."""

import numpy as np
import pytest

import fastconv
from fastconv import backends, functional, geometry, grad, layers
from fastconv.layers.rectified import PooledReLU

# Even and odd maps, of less than a vector and of more, few and many; the last four go past the caches.
SHAPES = [(1, 1, 2, 2), (2, 3, 4, 5), (1, 5, 7, 7), (3, 2, 26, 26), (2, 2, 13, 35), (1, 1, 64, 66), (2, 1, 100, 102),
          (1, 3200, 26, 26), (1, 12400, 13, 13), (1, 40000, 2, 27), (2, 40, 164, 168)]
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-40, -1e-40]



def numbers(shape, dtype, special=True):
    """Small integers, so that many are equal, and some of what is no ordinary number."""
    rng = np.random.default_rng(sum(shape))
    x = rng.integers(-4, 3, shape).astype(dtype)
    if special:
        odd = rng.random(shape) < 0.1
        x[odd] = rng.choice(SPECIAL, odd.sum())
    return x


def by_two(x, dy, **options):
    """Result and gradient of pooling, then ReLU."""
    y, indices = functional.max_pool2d(x, 2, return_indices=True, **options)
    return functional.relu(y), grad.max_pool2d_input(x.shape, indices, grad.relu_input(y, dy))


def equal(a, b):
    """The same numbers, but that which of 0.0 and -0.0 is the largest depends on what came first."""
    return np.array_equal(a, b, equal_nan=True)


def same(a, b):
    """Whether two arrays hold the same bits, but for those of a NaN."""
    return equal(a, b) and np.array_equal(np.signbit(a) & (a == a), np.signbit(b) & (b == b))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_in_one_pass(shape, dtype, threads, stored_past):
    stored_past(np.prod(shape) > 1 << 20)
    fastconv.set_num_threads(threads)
    numba, x = backends.get("numba"), numbers(shape, dtype)
    g = geometry.pool("max_pool2d", shape, 2)
    dy = numbers(g.y_shape[:2] + g.y_shape[3:], dtype)
    wanted, wanted_grad = by_two(x, dy)
    space = np.full(dy.size + 64, 7, dtype)     # what lies beside a result stays
    codes = np.full(dy.size + 64, 7, np.uint8)
    shift = 1 + sum(shape) % 3
    y, which = (a[shift:shift + dy.size].reshape(dy.shape) for a in (space, codes))
    assert numba.max_pool_relu(x, y, which, g)
    assert same(y, wanted)
    assert (np.delete(space, np.s_[shift:shift + dy.size]) == 7).all()
    assert (np.delete(codes, np.s_[shift:shift + dy.size]) == 7).all()
    space = np.full(x.size + 64, 7, dtype)
    dx = space[shift:shift + x.size].reshape(shape)
    numba.max_pool_relu_backward(dy, which, dx, g)
    assert same(dx, wanted_grad)
    assert (np.delete(space, np.s_[shift:shift + x.size]) == 7).all()


@pytest.mark.parametrize("options", [{}, {"ceil_mode": True}, {"stride": 1}, {"padding": 1}, {"dilation": 2}], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (3, 9, 9), (0, 3, 8, 8)], ids=str)
@pytest.mark.parametrize("backend", ["numba", "tensordot"])
def test_sequential_gives_what_its_layers_give(backend, shape, options):
    with fastconv.use_backend(backend):
        model, x = layers.Sequential(layers.ReLU(), layers.MaxPool2d(2, **options)), numbers(shape, np.float32)
        y = model(x)
        relu, pool = layers.ReLU(), layers.MaxPool2d(2, **options)
        assert equal(y, pool(relu(x)))
        dy = numbers(y.shape, np.float32, special=False)
        assert same(model.backward(dy), by_two(x, dy, **options)[1])
        assert same(model.backward(dy), by_two(x, dy, **options)[1])


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_every_number_of_axes(nd):
    pool = getattr(layers, f"MaxPool{nd}d")
    model, x = layers.Sequential(layers.ReLU(), pool(2)), numbers((2, 3, *[6] * nd), np.float64)
    assert equal(model(x), pool(2)(layers.ReLU()(x)))


def test_the_same_layers_twice():
    relu, pool = layers.ReLU(), layers.MaxPool2d(2)
    x = numbers((2, 3, 8, 8), np.float32)
    model = layers.Sequential(relu, relu, pool, relu, pool)
    y = model(x)
    dx = model.backward(np.ones_like(y))
    apart = [layers.ReLU(), layers.ReLU(), layers.MaxPool2d(2), layers.Identity(), layers.ReLU(), layers.Identity(),
             layers.MaxPool2d(2)]
    other = layers.Sequential(*apart)
    assert equal(y, other(x))
    assert np.array_equal(dx, other.backward(np.ones_like(y)))


def test_a_layer_that_was_passed_over_has_no_gradient():
    """Not that of an earlier call."""
    relu, pool = layers.ReLU(), layers.MaxPool2d(2)
    x = numbers((2, 3, 8, 8), np.float32)
    pool(relu(x))
    layers.Sequential(relu, pool)(x)
    for layer, size in ((relu, 8), (pool, 4)):
        with pytest.raises(RuntimeError, match="call forward first"):
            layer.backward(np.ones((2, 3, size, size), np.float32))


@pytest.mark.parametrize("shape", [(2, 3, 9, 8), (3, 26, 27)], ids=str)
def test_another_backend_computes_the_gradient(shape):
    model, x = layers.Sequential(layers.ReLU(), layers.MaxPool2d(2)), numbers(shape, np.float32)
    with fastconv.use_backend("numba"):
        y = model(x)
        dy = numbers(y.shape, np.float32, special=False)
        wanted = model.backward(dy)
    with fastconv.use_backend("tensordot"):
        found = model.backward(dy)
        with pytest.raises(TypeError, match="max_pool2d_input: grad_output"):
            model.backward(dy.astype(np.int64))
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


def test_bad_calls():
    pooled = PooledReLU(layers.ReLU(), layers.MaxPool2d(2))
    x = numbers((2, 3, 8, 8), np.float32, special=False)
    with pytest.raises(RuntimeError, match="call forward first"):
        pooled.backward(x)
    with pytest.raises(TypeError, match="max_pool2d: input must be"):
        pooled(x.astype(np.int64))
    with pytest.raises(ValueError, match="max_pool2d: input must have"):
        pooled(x[0, 0])
    pooled(x)
    with pytest.raises(ValueError, match=r"max_pool2d_input: grad_output must have shape \(2, 3, 4, 4\)"):
        pooled.backward(x)
    for dtype in (np.int64, np.float64):
        with pytest.raises(TypeError, match="max_pool2d_input: grad_output"):
            pooled.backward(x[:, :, :4, :4].astype(dtype))
