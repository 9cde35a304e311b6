"""The fully connected layer."""

import numpy as np

from fastconv import functional, geometry, grad
from fastconv.checks import as_generator
from fastconv.layers.initialization import weight_and_bias
from fastconv.layers.layer import Layer, bias_gradient
from fastconv.layers.parameter import float_dtype


class Linear(Layer):
    """``x @ weight.T + bias`` over the last axis.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    dtype : float32 or float64
    generator : numpy.random.Generator or seed, optional
        Where the initial values come from. Pass one generator, not one seed, to all layers of a network.

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
    bias : Parameter (out_features,) or None
    """

    def __init__(self, in_features, out_features, bias=True, *, dtype=np.float32, generator=None):
        dtype = float_dtype("Linear", dtype)
        (self.in_features,) = geometry.sizes("Linear", "in_features", in_features, 1, 1)
        (self.out_features,) = geometry.sizes("Linear", "out_features", out_features, 1, 1)
        self.weight, self.bias = weight_and_bias((self.out_features, self.in_features), self.out_features, bias, dtype,
                                                 as_generator("Linear", generator))

    def forward(self, x):
        y = functional.linear(x, self.weight.data, None if self.bias is None else self.bias.data)
        self._input, self._output_shape = x, y.shape
        return y

    def backward_inputs(self, grads):
        return grad.linear_input(self._input.shape, self.weight.data, grads)

    def backward_parameters(self, grads):
        trains_bias = self.bias is not None and self.bias.requires_grad
        if self.weight.requires_grad and trains_bias:
            self.weight.grad, self.bias.grad = grad.linear_parameters(self._input, self.weight.shape, grads)
        elif self.weight.requires_grad:
            self.weight.grad = grad.linear_weight(self._input, self.weight.shape, grads)
        elif trains_bias:
            self.bias.grad = bias_gradient("Linear", grads, self.bias.data, self._output_shape, -1)

    def extra_repr(self):
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
