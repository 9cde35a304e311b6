"""The layer between maps and fully connected layers."""

import math

from fastconv.checks import check_axis, floating
from fastconv.geometry import check_shape
from fastconv.layers.layer import Layer


class Flatten(Layer):
    """Merge the axes from `start_dim` to `end_dim`, both included, into one. A contiguous input is not copied."""

    def __init__(self, start_dim=1, end_dim=-1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x):
        x = floating("Flatten", "input", x)
        start = check_axis("Flatten", self.start_dim, x.ndim)
        end = check_axis("Flatten", self.end_dim, x.ndim)
        if start > end:
            raise ValueError(f"Flatten: start_dim={self.start_dim} lies behind end_dim={self.end_dim} for an input of "
                             f"shape {x.shape}")
        self._input_shape = x.shape
        self._output_shape = (*x.shape[:start], math.prod(x.shape[start:end + 1]), *x.shape[end + 1:])
        return x.reshape(self._output_shape)

    def backward_inputs(self, grads):
        grads = floating("Flatten", "grad_output", grads)
        check_shape("Flatten", "grad_output", grads.shape, self._output_shape)
        return grads.reshape(self._input_shape)

    def extra_repr(self):
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
