"""A convolution and a maximum learn: forward, gradient by the kernel, one step."""

from pathlib import Path

import numpy as np

from fastconv.inspection import draw
from fastconv.layers import Conv2d, MaxPool2d, Sequential
from fastconv.training import SGD

x = np.array([[2, 1, 2]], np.float32)[None, None]  # a map of 1 x 3
conv = Conv2d(1, 1, (1, 2), bias=False)
conv.weight.data = np.array([[1, 0]], np.float32)[None, None]
model = Sequential(conv, MaxPool2d((1, 2)))

Path("out").mkdir(exist_ok=True)
draw(model, (1, 1, 3), title="f(x, w) = max(conv(x, w))").savefig("out/learning.png")

f = model(x)
print(f"conv(x, w) = {conv(x)[0, 0]}, f(x, w) = {f.item()}    (the graph is in out/learning.png)")
assert f.item() == 2

model(x)
grad_x = model.backward(np.ones_like(f))
print(f"gradient by w: {conv.weight.grad[0, 0]}, by x: {grad_x[0, 0]}")
assert conv.weight.grad[0, 0].tolist() == [[2, 1]]
assert grad_x[0, 0].tolist() == [[1, 0, 0]]  # the maximum came from the first window alone

SGD(model.parameters(), lr=0.5).step()
print(f"updated kernel: {conv.weight.data[0, 0]}")
assert conv.weight.data[0, 0].tolist() == [[0, -0.5]]

print("\nNext: dimensions.py gives the sizes of all gradients; pooling_by_loops.py shows where a maximum's goes.")
