"""A classifier with a skip connection: prediction, loss and gradients, as on paper."""

import math
from pathlib import Path

import numpy as np

import fastconv.functional as F
from fastconv.inspection import draw
from fastconv.layers import CrossEntropyLoss, Linear, ReLU, Residual, Sequential

# h = ReLU(W x + b), s = W3 ReLU(W2 h + b2) + b3 + h
options = {"dtype": np.float64}
model = Sequential(Linear(3, 2, **options), ReLU(),
                   Residual(Sequential(Linear(2, 2, **options), ReLU(), Linear(2, 2, **options))))
first = model[0]
for parameter in model.parameters():
    parameter.data[...] = np.eye(2) if parameter.ndim == 2 and parameter is not first.weight else 0
first.weight.data[...] = [[1, 1, 0], [0, 0, 1]]

x, y = np.array([[1.0, 2, 3]]), np.array([0])
h = F.relu(first(x))
scores = model(x)
probabilities = F.softmax(scores, dim=1)
print(f"h = {h[0]}, s = {scores[0]}, p = {probabilities[0]}")
assert h.tolist() == [[3, 3]]
assert scores.tolist() == [[6, 6]]
assert probabilities.tolist() == [[0.5, 0.5]]

loss = CrossEntropyLoss()
value = float(loss(scores, y))
print(f"L = {value:.3f}, which is log 2")
assert math.isclose(value, math.log(2))

grad_scores = loss.backward()
model.backward(grad_scores)
print(f"dL/ds = {grad_scores[0]}\ndL/dW =\n{first.weight.grad}")
assert grad_scores.tolist() == [[-0.5, 0.5]]
assert first.bias.grad.tolist() == [-1, 1]  # dL/da: half of it came through W2, half past it
assert first.weight.grad.tolist() == [[-1, -2, -3], [1, 2, 3]]

Path("out").mkdir(exist_ok=True)
draw(model, (3,), loss=loss, title="A skip connection").savefig("out/residual.png")
print("\nNext: out/residual.png shows both ways; what are the gradients without the skip connection?")
