"""The gradients of a fully connected layer, of ReLU and of convolution, in formulas and in code."""

import numpy as np

import fastconv.functional as F
from fastconv.inspection import check_gradients
from fastconv.layers import Conv2d, Linear, ReLU

rng = np.random.default_rng(0)


def integers(*shape):
    """Whole numbers, so that sums are exact and ``==`` can compare them."""
    return rng.integers(-4, 5, shape).astype(float)


# (a) Y = X W + b, a row for each example. Linear keeps the transpose of W.
x, w, b, dy = integers(5, 4), integers(4, 3), integers(3), integers(5, 3)
layer = Linear(4, 3, dtype=np.float64)
layer.weight.data[...], layer.bias.data[...] = w.T, b
assert np.array_equal(layer(x), x @ w + b)
dx = layer.backward(dy)
assert np.array_equal(dx, dy @ w.T)
assert np.array_equal(layer.weight.grad.T, x.T @ dy)
assert np.array_equal(layer.bias.grad, dy.sum(axis=0))
print("fully connected:  dL/dX = dL/dY W^T    dL/dW = X^T dL/dY    dL/db = the sum of dL/dY over the rows")

# (b) Y = max(0, X)
relu = ReLU()
relu(x)
assert np.array_equal(relu.backward(x + 1), (x + 1) * (x > 0))
print("ReLU:             dL/dX = dL/dY where X > 0, else 0")

# (c) Y[n, f] = sum over c of X[n, c] filtered by K[f, c]: valid convolution with the kernel flipped
x, k, dy = integers(2, 3, 6, 7), integers(4, 3, 3, 2), integers(2, 4, 4, 6)
layer = Conv2d(3, 4, (3, 2), bias=False, dtype=np.float64)
layer.weight.data[...] = k
y = layer(x)
dx = layer.backward(dy)
for n, f in np.ndindex(2, 4):
    assert np.array_equal(y[n, f], sum(F.convolve2d(x[n, c], k[f, c, ::-1, ::-1], mode="valid") for c in range(3)))
    assert np.array_equal(y[n, f], sum(F.correlate2d(x[n, c], k[f, c], mode="valid") for c in range(3)))
for n, c in np.ndindex(2, 3):
    assert np.array_equal(dx[n, c], sum(F.convolve2d(dy[n, f], k[f, c], mode="full") for f in range(4)))
for f, c in np.ndindex(4, 3):
    dk = sum(F.correlate2d(x[n, c], dy[n, f], mode="valid") for n in range(2))
    assert np.array_equal(layer.weight.grad[f, c], dk)
print("convolution:      dL/dX = dL/dY fully convolved with K    dL/dK = X filtered by dL/dY")

# None of this needs belief: finite differences say the same.
print(f"\nworst relative error beside finite differences:\n{check_gradients(layer, x)}")
assert check_gradients(layer, x).worst < 1e-6

print("\nNext: softmax_classifier.py puts these layers together; CONTRIBUTING.md shows a layer of one's own.")
