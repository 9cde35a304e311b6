"""One neuron by hand: y = sin(w x) - b, its gradients, the squared error and one step of gradient descent."""

import math
from pathlib import Path

import numpy as np

from fastconv.inspection import draw
from fastconv.layers import Layer, Linear, MSELoss, Sequential
from fastconv.training import SGD


class Sine(Layer):
    """The sine of every element."""

    def forward(self, x):
        self.x = x
        return np.sin(x)

    def backward_inputs(self, grads):
        return grads * np.cos(self.x)


x, label = np.array([[2.0, 1.0]]), np.array([[2.0]])
linear = Linear(2, 1, bias=False, dtype=np.float64)
linear.weight.data[...] = [math.pi / 2, math.pi]
model, loss = Sequential(linear, Sine()), MSELoss()  # b is 0

Path("out").mkdir(exist_ok=True)
draw(model, (2,), loss=loss, title="y = sin(w x), L = (y - label)²").savefig("out/neuron.png")
print("1) the computational graph is in out/neuron.png")

y = model(x)
print(f"2) feed-forward pass: {abs(y.item()):.4f}")
assert abs(y.item()) < 1e-15

model.backward(np.ones_like(y))
print(f"3) gradient of y by w: {linear.weight.grad[0]}")
assert np.allclose(linear.weight.grad, [[2, 1]])

value = loss(y, label)
print(f"4) loss: {value:.4f}")
assert np.isclose(value, 4)

model.backward(loss.backward())
print(f"5) gradient of L by w: {linear.weight.grad[0]}")
assert np.allclose(linear.weight.grad, [[-8, -4]])
SGD(model.parameters(), lr=0.5).step()
print(f"   updated weights: {linear.weight.data[0]}, that is pi/2 + 4 and pi + 2")
assert np.allclose(linear.weight, [[math.pi / 2 + 4, math.pi + 2]])

print("\nNext: convolution_by_hand.py; and change x or the label here: does the update lower the loss?")
