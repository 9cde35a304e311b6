"""Worked numbers of five courses that teach convolution with NumPy and torch."""

import itertools
import math

import numpy as np
import pytest

import fastconv.functional as F
from fastconv import grad, models
from fastconv.layers import (
    Conv1d,
    Conv2d,
    CrossEntropyLoss,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    MSELoss,
    Parameter,
    ReLU,
    Sequential,
)
from fastconv.training import SGD

TYPES = (np.float32, np.float64)
SOBEL_X = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def maps(rows, dtype=np.float64):
    """One image of one channel."""
    return np.array(rows, dtype)[None, None]


class SmallIntegers:
    """Integer values, so that every sum is exact and results can be compared with ``==``."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape):
        return self.rng.integers(-4, 5, shape).astype(np.float64)


@pytest.mark.parametrize("dtype", TYPES)
class TestByHand:
    """A tutorial on convolution by pen and paper."""

    X = [[1, 0, 2], [2, 1, -1], [0, 0, 2]]
    W = [[1, -1], [0, 2]]

    @pytest.mark.parametrize("options, expected", [
        ({}, [[3, -4], [1, 6]]), ({"stride": 3, "padding": 1}, [[2, 0], [0, 2]]), ({"dilation": 2}, [[3]])])
    def test_convolution(self, dtype, options, expected):
        x, w = maps(self.X, dtype), maps(self.W, dtype)
        assert F.conv2d(x, w, **options)[0, 0].tolist() == expected
        layer = Conv2d(1, 1, 2, bias=False, dtype=dtype, **options)
        layer.weight.data[...] = w
        assert layer(x)[0, 0].tolist() == expected

    def test_maximum(self, dtype):
        x = maps(self.X, dtype)
        assert F.max_pool2d(x, 2)[0, 0].tolist() == [[2]]
        assert F.max_pool2d(x, 2, stride=1)[0, 0].tolist() == [[2, 2], [2, 2]]

    def test_convolution_and_maximum_learn(self, dtype):
        conv = Conv2d(1, 1, (1, 2), bias=False, dtype=dtype)
        conv.weight.data = maps([[1, 0]], dtype)
        model = Sequential(conv, MaxPool2d((1, 2)))
        x = maps([[2, 1, 2]], dtype)
        assert conv(x)[0, 0].tolist() == [[2, 1]]
        assert model(x).item() == 2
        grad_input = model.backward(np.ones((1, 1, 1, 1), dtype))
        assert conv.weight.grad[0, 0].tolist() == [[2, 1]]
        assert grad_input[0, 0].tolist() == [[1, 0, 0]]
        SGD(model.parameters(), lr=0.5).step()
        assert conv.weight.data[0, 0].tolist() == [[0, -0.5]]

    def test_sine_of_a_weighted_sum(self, dtype):
        class Sine(Layer):
            def forward(self, x):
                self.x = x
                return np.sin(x)

            def backward_inputs(self, grads):
                return np.cos(self.x) * grads

        linear = Linear(2, 1, dtype=dtype)
        linear.weight.data[...] = [math.pi / 2, math.pi]
        linear.bias.data[...] = 0
        model, loss = Sequential(linear, Sine()), MSELoss()
        y = model(np.array([[2, 1]], dtype))
        close = {"rtol": 0, "atol": 1e-5 if dtype == np.float32 else 1e-14}
        np.testing.assert_allclose(y, [[0]], **close)
        model.backward(np.ones_like(y))
        np.testing.assert_allclose(linear.weight.grad, [[2, 1]], **close)
        np.testing.assert_allclose(loss(y, np.array([[2]], dtype)), 4, **close)
        model.backward(loss.backward())
        np.testing.assert_allclose(linear.weight.grad, [[-8, -4]], **close)
        SGD([linear.weight], lr=0.5).step()
        np.testing.assert_allclose(linear.weight, [[math.pi / 2 + 4, math.pi + 2]], **close)


def filtered(a, b):
    """The filtering of a by b, from its definition: windows, nothing flipped."""
    windows = np.lib.stride_tricks.sliding_window_view(a, b.shape)
    return np.einsum("ijpq,pq->ij", windows, b)


class TestLayerGradients:
    """Layers in formulas: rows are examples, and convolution comes valid, filtering and full."""

    def test_fully_connected(self):
        integers = SmallIntegers(0)
        x, w, b, dy = integers(5, 4), integers(4, 3), integers(3), integers(5, 3)
        layer = Linear(4, 3, dtype=np.float64)
        layer.weight.data[...], layer.bias.data[...] = w.T, b
        assert np.array_equal(layer(x), x @ w + b)
        assert np.array_equal(layer.backward(dy), dy @ w.T)
        assert np.array_equal(layer.weight.grad, (x.T @ dy).T)
        assert np.array_equal(layer.bias.grad, dy.sum(axis=0))

    def test_relu(self):
        integers = SmallIntegers(1)
        x, dy = integers(6, 5), integers(6, 5)
        layer = ReLU()
        assert np.array_equal(layer(x), np.maximum(0, x))
        assert np.array_equal(layer.backward(dy), dy * (x > 0))

    def test_the_three_products(self):
        integers = SmallIntegers(2)
        a, b = integers(6, 7), integers(3, 2)
        filtering = filtered(a, b)
        assert filtering.shape == (4, 6)
        assert np.array_equal(F.correlate2d(a, b, mode="valid"), filtering)
        assert np.array_equal(F.conv2d(a[None, None], b[None, None])[0, 0], filtering)
        valid = filtered(a, b[::-1, ::-1])
        assert np.array_equal(F.convolve2d(a, b, mode="valid"), valid)
        full = filtered(np.pad(a, ((2, 2), (1, 1))), b[::-1, ::-1])
        assert full.shape == (8, 8)
        assert np.array_equal(F.convolve2d(a, b, mode="full"), full)
        assert np.array_equal(F.convolve2d(b, a, mode="full"), full)

    def test_the_gradients_of_convolution_are_convolutions(self):
        integers = SmallIntegers(3)
        n, c, f = 2, 3, 4
        x, k, dy = integers(n, c, 6, 7), integers(f, c, 3, 2), integers(n, f, 4, 6)
        layer = Conv2d(c, f, (3, 2), bias=False, dtype=np.float64)
        layer.weight.data[...] = k
        y = layer(x)
        dx = layer.backward(dy)
        for i in range(n):
            for j in range(f):
                # Filtering is valid convolution with the kernel flipped.
                flipped = sum(F.convolve2d(x[i, m], k[j, m, ::-1, ::-1], mode="valid") for m in range(c))
                assert np.array_equal(y[i, j], flipped)
            for m in range(c):
                full = sum(F.convolve2d(dy[i, j], k[j, m], mode="full") for j in range(f))
                assert np.array_equal(dx[i, m], full)
        for j in range(f):
            for m in range(c):
                filtering = sum(F.correlate2d(x[i, m], dy[i, j], mode="valid") for i in range(n))
                assert np.array_equal(layer.weight.grad[j, m], filtering)

    def test_softmax_loss(self):
        rng = np.random.default_rng(4)
        scores, target = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
        loss = CrossEntropyLoss()
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(loss(scores, target), -np.log(probabilities[np.arange(6), target]).mean())
        np.testing.assert_allclose(loss.backward(), (probabilities - np.eye(4)[target]) / 6, atol=1e-15)


class TestLaboratory:
    """A laboratory class: a CNN for digits, the Sobel filter, the gradient with respect to the image."""

    def image(self):
        # The picture of the class had 286 x 230 pixels.
        return np.random.default_rng(0).random((286, 230))

    @pytest.mark.parametrize("dtype", TYPES)
    def test_sobel(self, dtype):
        image = self.image().astype(dtype)
        kernels = np.stack([SOBEL_X, SOBEL_X.T])[:, None].astype(dtype)
        edges = F.conv2d(image[None, None], kernels)[0]
        assert edges.shape == (2, 284, 228)
        magnitude = np.sqrt(edges[0]**2 + edges[1]**2)
        expected = [sum(float(image[i + k, j + m]) * SOBEL_X[k, m] for k in range(3) for m in range(3))
                    for i, j in ((0, 0), (100, 50), (283, 227))]
        np.testing.assert_allclose(edges[0, [0, 100, 283], [0, 50, 227]], expected, rtol=0, atol=1e-6)
        assert (magnitude / magnitude.max()).max() == 1

    def test_gradient_with_respect_to_the_image(self):
        image, kernel = self.image()[None, None], SOBEL_X[None, None]
        y = F.conv2d(image, kernel)
        gradient = grad.conv2d_input(image.shape, kernel, 2 * y)
        assert gradient.shape == (1, 1, 286, 230)
        # The loss, the sum of squares, is of the second degree: central differences have no error but rounding.
        eps = 1e-3
        for i, j in ((0, 0), (0, 115), (1, 229), (143, 1), (143, 115), (285, 0), (285, 229)):
            images = np.concatenate([image, image])
            images[0, 0, i, j] += eps
            images[1, 0, i, j] -= eps
            squares = F.conv2d(images, kernel)**2
            difference = (squares[0] - squares[1]).sum() / (2 * eps)
            np.testing.assert_allclose(gradient[0, 0, i, j], difference, rtol=1e-8, atol=1e-8)

    def test_sums_over_taps(self):
        """Both gradients as they are derived there, element by element, with their borders."""
        integers = SmallIntegers(5)
        x, k, dy = integers(5, 6), integers(3, 2), integers(3, 5)
        dk = [[sum(dy[i, j] * x[i + r, j + s] for i in range(3) for j in range(5)) for s in range(2)] for r in range(3)]
        assert grad.conv2d_weight(x[None, None], (1, 1, 3, 2), dy[None, None])[0, 0].tolist() == dk
        dx = [[sum(dy[i - r, j - s] * k[r, s] for r in range(max(0, i - 5 + 3), min(3, i + 1))
                   for s in range(max(0, j - 6 + 2), min(2, j + 1))) for j in range(6)] for i in range(5)]
        assert grad.conv2d_input((1, 1, 5, 6), k[None, None], dy[None, None])[0, 0].tolist() == dx

    def test_six_elements_and_three_taps(self):
        dy, (k1, k2, k3) = np.array([1.0, 10, 100, 1000]), (2.0, 3, 5)
        found = grad.conv1d_input((1, 1, 6), np.array([[[k1, k2, k3]]]), dy[None, None])[0, 0]
        assert found.tolist() == [k1, k2 + 10 * k1, k3 + 10 * k2 + 100 * k1, 10 * k3 + 100 * k2 + 1000 * k1,
                                  100 * k3 + 1000 * k2, 1000 * k3]

    def test_gradient_ascent_finds_edges(self):
        image = np.random.default_rng(1).random((1, 1, 9, 9))
        kernel, losses = SOBEL_X[None, None], []
        for _ in range(100):
            y = F.conv2d(image, kernel)
            losses.append(float((y**2).sum()))
            image += 0.01 * grad.conv2d_input(image.shape, kernel, 2 * y)
        assert all(a < b for a, b in itertools.pairwise(losses))

    def test_the_network(self):
        model = models.digits_cnn(generator=0)
        x = np.zeros((2, 1, 28, 28), np.float32)
        shapes, counts = [], []
        for layer in model:
            x = layer(x)
            shapes.append(x.shape[1:])
            counts.append(sum(p.size for p in layer.parameters()))
        assert shapes == [(32, 26, 26), (32, 26, 26), (32, 13, 13), (64, 11, 11), (64, 11, 11), (64, 5, 5), (64, 3, 3),
                          (576,), (64,), (64,), (10,)]
        assert counts == [320, 0, 0, 18_496, 0, 0, 36_928, 0, 36_928, 0, 650]
        assert sum(counts) == 93_322


class ThreeTaps(Layer):
    """q[i] = w0 p[i - 1] + w1 p[i] + w2 p[i + 1], with zeros beyond the ends."""

    def __init__(self, w):
        self.w = Parameter(np.array(w))

    def forward(self, p):
        self.p = p
        padded = np.pad(p, 1)
        return padded[:-2] * self.w[0] + p * self.w[1] + padded[2:] * self.w[2]

    def backward_inputs(self, grads):
        padded = np.pad(grads, 1)
        return padded[:-2] * self.w[2] + grads * self.w[1] + padded[2:] * self.w[0]

    def backward_parameters(self, grads):
        padded = np.pad(self.p, 1)
        self.w.grad = np.array([padded[:-2] @ grads, self.p @ grads, padded[2:] @ grads])


class Residual(Layer):
    """softmax's scores W3 relu(W2 h + b2) + b3 + h of h = relu(W x + b)."""

    def __init__(self):
        self.first = Sequential(Linear(3, 2, dtype=np.float64), ReLU())
        self.second = Sequential(Linear(2, 2, dtype=np.float64), ReLU(), Linear(2, 2, dtype=np.float64))

    def forward(self, x):
        h = self.first(x)
        return self.second(h) + h

    def backward(self, grad_output):
        return self.first.backward(self.second.backward(grad_output) + grad_output)


class TestExercises:
    """Exercises with solutions: sizes of a network, a layer written by hand, a residual network."""

    def test_sizes(self):
        model = models.small_rgb_cnn(generator=0)
        batch, x = 8, np.zeros((8, 3, 28, 28), np.float32)
        shapes, kept = [], 0
        for layer in model:
            kept += 0 if isinstance(layer, Flatten) else x.nbytes
            x = layer(x)
            shapes.append(x.shape[1:])
        assert shapes == [(16, 24, 24), (16, 24, 24), (16, 12, 12), (32, 8, 8), (32, 8, 8), (32, 4, 4), (512,), (10,),
                          (10,)]
        counts = [sum(p.size for p in layer.parameters()) for layer in model]
        assert counts == [5 * 5 * 3 * 16 + 16, 0, 0, 5 * 5 * 16 * 32 + 32, 0, 0, 0, 512 * 10 + 10, 0]
        assert sum(counts) == 19_178
        parameter_bytes = sum(p.data.nbytes for p in model.parameters())
        assert parameter_bytes == 76_712
        kept += x.nbytes  # what the loss keeps
        assert kept == batch * 4 * (28 * 28 * 3 + 2 * 24 * 24 * 16 + 12 * 12 * 16 + 2 * 8 * 8 * 32 + 512 + 10 + 10)
        assert kept == 886_912
        assert kept + parameter_bytes == 963_624
        np.testing.assert_allclose(x.sum(axis=1), 1, rtol=1e-6)

    def test_three_taps(self):
        w, n = [2.0, 3.0, 5.0], 6
        p, dq = np.arange(1.0, n + 1), np.array([1.0, -2, 4, 0, 3, -1])
        layer = ThreeTaps(w)
        jacobian = w[0] * np.eye(n, k=-1) + w[1] * np.eye(n) + w[2] * np.eye(n, k=1)
        padded = np.pad(p, 1)
        assert np.array_equal(layer(p), jacobian @ p)
        assert np.array_equal(layer.backward(dq), dq @ jacobian)
        by_parameters = np.stack([padded[:-2], p, padded[2:]], axis=1)
        assert np.array_equal(layer.w.grad, dq @ by_parameters)
        # Both are correlations: of the padded gradient with the flipped taps, of the padded input with the gradient.
        assert np.array_equal(layer.backward_inputs(dq), F.correlate1d(np.pad(dq, 1), np.array(w[::-1]), mode="valid"))
        assert np.array_equal(layer.w.grad, F.correlate1d(padded, dq, mode="valid"))
        twin = Conv1d(1, 1, 3, padding=1, bias=False, dtype=np.float64)
        twin.weight.data[0, 0] = w
        assert np.array_equal(twin(p[None])[0], layer(p))
        assert np.array_equal(twin.backward(dq[None])[0], layer.backward(dq))
        assert np.array_equal(twin.weight.grad[0, 0], layer.w.grad)

    def test_three_taps_in_a_network(self):
        layer = ThreeTaps([2.0, 3.0, 5.0])
        model = Sequential(layer, ReLU(), layer)
        p, dq = np.array([1.0, -2, 3, -4]), np.array([1.0, 1, -1, 2])
        model(p)
        dp = model.backward(dq)
        eps = 1e-6

        def difference(array, i):
            before = array[i]
            array[i] = before + eps
            above = dq @ model(p)
            array[i] = before - eps
            below = dq @ model(p)
            array[i] = before
            return (above - below) / (2 * eps)
        np.testing.assert_allclose(dp, [difference(p, i) for i in range(4)], rtol=1e-7)
        np.testing.assert_allclose(layer.w.grad, [difference(layer.w, i) for i in range(3)], rtol=1e-7)

    def test_residual_network(self):
        model, loss = Residual(), CrossEntropyLoss()
        model.load_state_dict({"first.0.weight": [[1, 1, 0], [0, 0, 1]], "first.0.bias": [0, 0],
                               "second.0.weight": np.eye(2), "second.0.bias": [0, 0],
                               "second.2.weight": np.eye(2), "second.2.bias": [0, 0]})
        scores = model(np.array([[1.0, 2.0, 3.0]]))
        assert scores.tolist() == [[6, 6]]
        assert F.softmax(scores, dim=1).tolist() == [[0.5, 0.5]]
        np.testing.assert_allclose(loss(scores, np.array([0])), math.log(2), rtol=1e-15)
        assert loss.backward().tolist() == [[-0.5, 0.5]]
        assert model.backward(loss.backward()).tolist() == [[-1, -1, 1]]
        assert model.first[0].weight.grad.tolist() == [[-1, -2, -3], [1, 2, 3]]
        assert model.first[0].bias.grad.tolist() == [-1, 1]


class TestBootcamp:
    """Convolution by loops and by ``tensordot``, and a multilayer perceptron that scans its input."""

    @pytest.mark.parametrize("stride", (1, 2, 3))
    def test_one_loop_and_tensordot(self, stride):
        integers = SmallIntegers(6)
        x, w, b = integers(2, 3, 11), integers(4, 3, 3), integers(4)
        width = (11 - 3) // stride + 1
        loops = np.zeros((2, 4, width))
        for n, k, q, c, s in np.ndindex(2, 4, width, 3, 3):
            loops[n, k, q] += x[n, c, q * stride + s] * w[k, c, s]
        loops += b[:, None]
        tensordot = np.stack([np.tensordot(x[:, :, q * stride:q * stride + 3], w, axes=((1, 2), (1, 2))) + b
                              for q in range(width)], axis=2)
        assert np.array_equal(loops, tensordot)
        assert np.array_equal(F.conv1d(x, w, b, stride=stride), loops)

    @pytest.mark.parametrize("stride", (1, 2))
    def test_two_loops_and_tensordot(self, stride):
        integers = SmallIntegers(7)
        x, w = integers(2, 3, 7, 6), integers(4, 3, 3, 2)
        height, width = (7 - 3) // stride + 1, (6 - 2) // stride + 1
        expected = np.empty((2, 4, height, width))
        for p in range(height):
            for q in range(width):
                window = x[:, :, p * stride:p * stride + 3, q * stride:q * stride + 2]
                expected[:, :, p, q] = np.tensordot(window, w, axes=((1, 2, 3), (1, 2, 3)))
        assert np.array_equal(F.conv2d(x, w, stride=stride), expected)

    def test_matched_axes(self):
        """X (A, B, C) against W (P, B, C) leaves (A, P): a convolution whose kernel is as large as the map."""
        integers = SmallIntegers(8)
        x, w = integers(5, 3, 4), integers(2, 3, 4)
        assert np.array_equal(F.conv1d(x, w)[:, :, 0], np.tensordot(x, w, axes=((1, 2), (1, 2))))

    def test_pooling_by_loops(self):
        x = np.random.default_rng(9).permutation(2 * 3 * 6 * 6).astype(np.float64).reshape(2, 3, 6, 6)
        y, dy = F.max_pool2d(x, 2), SmallIntegers(9)(2, 3, 3, 3)
        expected, dx = np.empty((2, 3, 3, 3)), np.zeros_like(x)
        for n, c, p, q in np.ndindex(2, 3, 3, 3):
            window = x[n, c, 2 * p:2 * p + 2, 2 * q:2 * q + 2]
            r, s = np.unravel_index(window.argmax(), (2, 2))
            expected[n, c, p, q] = window.max()
            dx[n, c, 2 * p + r, 2 * q + s] += dy[n, c, p, q]
        assert np.array_equal(y, expected)
        layer = MaxPool2d(2)
        layer(x)
        assert np.array_equal(layer.backward(dy), dx)

    def test_one_input_map_and_two_kernels(self):
        """Every map of the output has a share in the gradient of the one input map."""
        integers = SmallIntegers(10)
        w, dz = integers(2, 1, 2, 2), integers(1, 2, 3, 3)
        da = grad.conv2d_input((1, 1, 4, 4), w, dz)
        assert da.shape == (1, 1, 4, 4)
        assert np.array_equal(da, sum(grad.conv2d_input((1, 1, 4, 4), w[i:i + 1], dz[:, i:i + 1]) for i in range(2)))

    @pytest.mark.parametrize("stride", (1, 3))
    def test_scanning_perceptron(self, stride):
        """Linear(9, 2) over windows of 3 frames of 3 features is Conv1d(3, 2, kernel_size=3)."""
        integers = SmallIntegers(11)
        linear = Linear(9, 2, dtype=np.float64)
        linear.weight.data[...], linear.bias.data[...] = integers(2, 9), integers(2)
        conv = Conv1d(3, 2, kernel_size=3, stride=stride, dtype=np.float64)
        # A window lists its frames one after another, a kernel its features.
        conv.weight.data[...] = linear.weight.data.reshape(2, 3, 3).transpose(0, 2, 1)
        conv.bias.data[...] = linear.bias.data
        frames = integers(12, 3)
        windows = np.stack([frames[start:start + 3].reshape(9) for start in range(0, 10, stride)])
        y = conv(frames.T[None])
        assert np.array_equal(y[0].T, linear(windows))
        dy = integers(*y.shape)
        conv.backward(dy)
        linear.backward(np.ascontiguousarray(dy[0].T))
        assert np.array_equal(conv.weight.grad, linear.weight.grad.reshape(2, 3, 3).transpose(0, 2, 1))
        assert np.array_equal(conv.bias.grad, linear.bias.grad)

    def test_scanning_perceptron_of_two_layers(self):
        """Layers after the first see one position at a time: kernels of size 1."""
        integers = SmallIntegers(12)
        perceptron = Sequential(Linear(8, 5, dtype=np.float64), ReLU(), Linear(5, 3, dtype=np.float64))
        scanning = Sequential(Conv1d(2, 5, 4, stride=2, dtype=np.float64), ReLU(), Conv1d(5, 3, 1, dtype=np.float64))
        for layer in (perceptron[0], perceptron[2]):
            layer.weight.data[...], layer.bias.data[...] = integers(*layer.weight.shape), integers(*layer.bias.shape)
        scanning.load_state_dict({
            "0.weight": perceptron[0].weight.data.reshape(5, 4, 2).transpose(0, 2, 1), "0.bias": perceptron[0].bias,
            "2.weight": perceptron[2].weight.data[:, :, None], "2.bias": perceptron[2].bias})
        frames = integers(10, 2)
        windows = np.stack([frames[start:start + 4].reshape(8) for start in range(0, 7, 2)])
        assert np.array_equal(scanning(frames.T[None])[0].T, perceptron(windows))

    def test_upsampling_by_kron(self):
        """Resampling: slices with a step go down, Kronecker products go up."""
        x = SmallIntegers(13)(1, 1, 3, 4)
        one = np.ones((1, 1, 1, 1))
        assert np.array_equal(F.conv2d(x, one, stride=2), x[:, :, ::2, ::2])
        up = F.conv_transpose2d(x, np.ones((1, 1, 2, 2)), stride=2)
        assert np.array_equal(up, np.kron(x, np.ones((2, 2))))
