"""Activation layers."""

import numpy as np

from fastconv import functional, geometry, grad
from fastconv.checks import real
from fastconv.layers.layer import Layer
from fastconv.layers.parameter import Parameter, float_dtype


class _ElementWise(Layer):
    """What activations share that torch can compute in place: the argument, which changes nothing here."""

    def __init__(self, inplace=False):
        self.inplace = inplace

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""


class ReLU(_ElementWise):
    """The larger of each element and 0; a NaN stays.

    Parameters
    ----------
    inplace : bool
        Taken for torch's sake and ignored: layers do not write to their inputs.
    """

    def forward(self, x):
        y = functional.relu(x)
        self._input = x
        return y

    def backward_inputs(self, grads):
        return grad.relu_input(self._input, grads)


class LeakyReLU(_ElementWise):
    """Each element where it is above 0, else `negative_slope` times it.

    Parameters
    ----------
    negative_slope : float
    inplace : bool
        Taken for torch's sake and ignored: layers do not write to their inputs.
    """

    def __init__(self, negative_slope=0.01, inplace=False):
        self.negative_slope = negative_slope
        super().__init__(inplace)
        real("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x):
        y = functional.leaky_relu(x, self.negative_slope)
        self._input = x
        return y

    def backward_inputs(self, grads):
        return grad.leaky_relu_input(self._input, grads, self.negative_slope)

    def extra_repr(self):
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class PReLU(Layer):
    """`LeakyReLU` with a slope, or one for each channel, that is learned.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels.
    init : float
        The slopes to begin with.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter (num_parameters,)
    """

    def __init__(self, num_parameters=1, init=0.25, *, dtype=np.float32):
        dtype = float_dtype("PReLU", dtype)
        (self.num_parameters,) = geometry.sizes("PReLU", "num_parameters", num_parameters, 1, 1)
        self.init = init
        self.weight = Parameter(np.full(self.num_parameters, real("PReLU", "init", init), dtype))

    def forward(self, x):
        y = functional.prelu(x, self.weight.data)
        self._input = x
        return y

    def backward_inputs(self, grads):
        return grad.prelu_input(self._input, self.weight.data, grads)

    def backward_parameters(self, grads):
        if self.weight.requires_grad:
            self.weight.grad = grad.prelu_weight(self._input, self.weight.shape, grads)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"


class Sigmoid(Layer):
    """``1 / (1 + exp(-x))``"""

    def forward(self, x):
        self._output = functional.sigmoid(x)
        return self._output

    def backward_inputs(self, grads):
        return grad.sigmoid_input(self._output, grads)


class Tanh(Layer):
    """The hyperbolic tangent."""

    def forward(self, x):
        self._output = functional.tanh(x)
        return self._output

    def backward_inputs(self, grads):
        return grad.tanh_input(self._output, grads)


class _AlongAxis(Layer):
    def __init__(self, dim=None):
        self.dim = dim

    def forward(self, x):
        y = self._function(x, self.dim)
        # Without an axis the function has warned, and followed torch's old rule.
        self._axis = self.dim if self.dim is not None else 0 if y.ndim in (0, 1, 3) else 1
        self._output = y
        return y

    def backward_inputs(self, grads):
        return self._grad_input(self._output, grads, self._axis)

    def extra_repr(self):
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """``exp(x) / sum(exp(x))`` along the axis `dim`, an int."""

    _function = staticmethod(functional.softmax)
    _grad_input = staticmethod(grad.softmax_input)


class LogSoftmax(_AlongAxis):
    """Logarithm of `Softmax` along the axis `dim`, an int."""

    _function = staticmethod(functional.log_softmax)
    _grad_input = staticmethod(grad.log_softmax_input)
