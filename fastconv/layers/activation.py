"""Activation layers."""

from fastconv import functional, grad
from fastconv.layers.layer import Layer


class ReLU(Layer):
    """The larger of each element and 0; a NaN stays.

    Parameters
    ----------
    inplace : False
        Inputs are never written to: True is refused.
    """

    def __init__(self, inplace=False):
        if inplace:
            raise ValueError(f"ReLU: inplace must be False, got {inplace!r}: layers do not write to their inputs")

    def forward(self, x):
        y = functional.relu(x)
        self._input = x
        return y

    def backward_inputs(self, grads):
        return grad.relu_input(self._input, grads)


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
