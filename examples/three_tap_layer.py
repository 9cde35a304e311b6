"""A layer of one's own, q[i] = w0 p[i - 1] + w1 p[i] + w2 p[i + 1], in a network of any depth."""

import numpy as np

import fastconv.functional as F
from fastconv.inspection import check_gradients
from fastconv.layers import Conv1d, Layer, Parameter, ReLU, Sequential


class ThreeTaps(Layer):
    """Each element and its two neighbors, weighted and summed; zeros beyond the ends, so the length stays."""

    def __init__(self, w):
        self.w = Parameter(np.array(w, float))

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


w, n = [2.0, 3.0, 5.0], 6
p, dq = np.arange(1.0, n + 1), np.array([1.0, -2, 4, 0, 3, -1])
layer = ThreeTaps(w)
q = layer(p)
dp = layer.backward(dq)
print(f"p = {p}\nq = {q}\ndL/dp = {dp}\ndL/dw = {layer.w.grad}")

# The Jacobians are band matrices ...
by_input = w[0] * np.eye(n, k=-1) + w[1] * np.eye(n) + w[2] * np.eye(n, k=1)
by_parameters = np.stack([np.pad(p, 1)[:-2], p, np.pad(p, 1)[2:]], axis=1)
assert np.array_equal(q, by_input @ p)
assert np.array_equal(dp, dq @ by_input)
assert np.array_equal(layer.w.grad, dq @ by_parameters)
# ... and both products with them are correlations: of dL/dq with the flipped taps, of p with dL/dq.
assert np.array_equal(dp, F.correlate1d(np.pad(dq, 1), np.array(w[::-1]), mode="valid"))
assert np.array_equal(layer.w.grad, F.correlate1d(np.pad(p, 1), dq, mode="valid"))

# So the layer is a convolution of one channel.
conv = Conv1d(1, 1, 3, padding=1, bias=False, dtype=np.float64)
conv.weight.data[0, 0] = w
assert np.array_equal(conv(p[None])[0], q)

# In a network, twice: gradients add up.
report = check_gradients(Sequential(layer, ReLU(), layer), p + 0.5)
print(f"\nin a network, beside finite differences:\n{report}")
assert report.worst < 1e-6

print("\nNext: the same layer on batches, with functional.conv1d, in CONTRIBUTING.md.")
