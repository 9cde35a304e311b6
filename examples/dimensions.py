"""The dimensions of every variable and of every gradient in a computational graph."""

from pathlib import Path

import numpy as np

from fastconv.inspection import draw, summary
from fastconv.layers import Layer, Linear, MSELoss, Parameter, Sequential


class Shift(Layer):
    """q = z + u."""

    def __init__(self, count):
        self.u = Parameter(np.zeros(count, np.float32))

    def forward(self, z):
        return z + self.u.data

    def backward_inputs(self, grads):
        return grads

    def backward_parameters(self, grads):
        self.u.grad = grads.sum(axis=0)


# W is 4 x 6, so x has 6 elements: 5 and the 1 that makes them homogeneous, in place of a bias. y has 17.
model = Sequential({"z": Linear(6, 4, bias=False), "q": Shift(4), "prediction": Linear(4, 17, bias=False)})
summary(model, (6,)).print()

Path("out").mkdir(exist_ok=True)
draw(model, (6,), loss=MSELoss(), jacobians=True, title="L(y, V (W x + u))").savefig("out/dimensions.png")
print("\nout/dimensions.png has the shape of every gradient and the size of every Jacobian")

x, y, loss = np.ones((1, 6), np.float32), np.ones((1, 17), np.float32), MSELoss()
value = loss(model(x), y)
grad_prediction = loss.backward()
grad_q = model.prediction.backward(grad_prediction)
grad_z = model.q.backward(grad_q)
model.z.backward(grad_z)
shapes = {"L": value.shape, "dL/dq": grad_q.shape[1:], "dL/dz": grad_z.shape[1:], "dL/dW": model.z.weight.grad.shape,
          "dL/du": model.q.u.grad.shape, "dL/dy": grad_prediction.shape[1:]}
for name, shape in shapes.items():
    print(f"{name:6s} {shape}")
# A gradient of the loss has the shape of what it is taken by; the loss itself is a number.
assert shapes == {"L": (), "dL/dq": (4,), "dL/dz": (4,), "dL/dW": (4, 6), "dL/du": (4,), "dL/dy": (17,)}

# dz/dw with w = vec(W), a row for each element of z: its row of W meets x, the other rows do not matter.
jacobian = np.kron(np.eye(4), x)
assert jacobian.shape == (4, 24)
assert np.allclose((grad_z @ jacobian).reshape(4, 6), model.z.weight.grad)
print(f"dq/dz  (4, 4), dz/dw {jacobian.shape}: dL/dw = dL/dz dz/dw")

print("\nNext: residual_network.py, where two paths meet and their gradients add up.")
