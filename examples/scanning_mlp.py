"""A multilayer perceptron that scans a signal is a convolution."""

import numpy as np

from fastconv.layers import Conv1d, Linear, ReLU, Sequential

rng = np.random.default_rng(0)


def integers(*shape):
    """Whole numbers, so that sums are exact and ``==`` can compare them."""
    return rng.integers(-4, 5, shape).astype(float)


frames = integers(12, 3)  # 12 moments, 3 features each

# Linear(9, 2) looks at three frames at a time ...
linear = Linear(9, 2, dtype=np.float64)
linear.weight.data[...], linear.bias.data[...] = integers(2, 9), integers(2)
windows = np.stack([frames[t:t + 3].reshape(9) for t in range(10)])

# ... and so does Conv1d(3, 2, kernel_size=3, stride=1). A window lists frames, a kernel features: hence the transpose.
conv = Conv1d(3, 2, kernel_size=3, stride=1, dtype=np.float64)
conv.weight.data[...], conv.bias.data[...] = linear.weight.data.reshape(2, 3, 3).transpose(0, 2, 1), linear.bias.data
y = conv(frames.T[None])
print(f"Linear(9, 2) on {len(windows)} windows: {linear(windows).shape}; Conv1d(3, 2, 3) on the signal: {y.shape}")
assert np.array_equal(y[0].T, linear(windows))

# Layers after the first see one position at a time: kernels of size 1. A stride of 2 skips every other window.
perceptron = Sequential(Linear(12, 5, dtype=np.float64), ReLU(), Linear(5, 4, dtype=np.float64))
scanner = Sequential(Conv1d(3, 5, 4, stride=2, dtype=np.float64), ReLU(), Conv1d(5, 4, 1, dtype=np.float64))
for layer in (perceptron[0], perceptron[2]):
    layer.weight.data[...], layer.bias.data[...] = integers(*layer.weight.shape), integers(*layer.bias.shape)
scanner.load_state_dict({
    "0.weight": perceptron[0].weight.data.reshape(5, 4, 3).transpose(0, 2, 1), "0.bias": perceptron[0].bias,
    "2.weight": perceptron[2].weight.data[:, :, None], "2.bias": perceptron[2].bias})
windows = np.stack([frames[t:t + 4].reshape(12) for t in range(0, 9, 2)])
assert np.array_equal(scanner(frames.T[None])[0].T, perceptron(windows))
print(f"{perceptron}\nscans as\n{scanner}")

# Gradients too: what every window finds adds up.
dy = integers(1, 4, 5)
scanner(frames.T[None])
scanner.backward(dy)
perceptron(windows)
perceptron.backward(np.ascontiguousarray(dy[0].T))
expected = perceptron[0].weight.grad.reshape(5, 4, 3).transpose(0, 2, 1)
assert np.array_equal(scanner[0].weight.grad, expected)

print("\nNext: signal_cnn.py is a network of such layers.")
