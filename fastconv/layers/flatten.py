"""Layers that change at most the shape."""

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


class Unflatten(Layer):
    """Split an axis into several: the inverse of `Flatten`. A contiguous input is not copied.

    Parameters
    ----------
    dim : int
    unflattened_size : tuple or list of int
        The new axes; one may be -1, which the others and the axis determine.
    """

    def __init__(self, dim, unflattened_size):
        if not isinstance(unflattened_size, tuple | list) or any(
                isinstance(n, bool) or not isinstance(n, int) for n in unflattened_size):
            raise TypeError(f"Unflatten: unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        if not unflattened_size or min(unflattened_size) < -1 or unflattened_size.count(-1) > 1:
            raise ValueError("Unflatten: unflattened_size must hold sizes, of which one may be -1, got "
                             f"{unflattened_size!r}")
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, x):
        x = floating("Unflatten", "input", x)
        axis = check_axis("Unflatten", self.dim, x.ndim)
        new, whole = list(self.unflattened_size), x.shape[axis] if x.ndim else 1
        known = math.prod(n for n in new if n != -1)
        if -1 in new and known:
            new[new.index(-1)] = whole // known
        if -1 in new or math.prod(new) != whole:
            raise ValueError(f"Unflatten: unflattened_size={self.unflattened_size} must multiply up to {whole}, the "
                             f"size of axis {self.dim} of an input of shape {x.shape}")
        self._input_shape = x.shape
        self._output_shape = (*x.shape[:axis], *new, *x.shape[axis + 1:])
        return x.reshape(self._output_shape)

    def backward_inputs(self, grads):
        grads = floating("Unflatten", "grad_output", grads)
        check_shape("Unflatten", "grad_output", grads.shape, self._output_shape)
        return grads.reshape(self._input_shape)

    def extra_repr(self):
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Layer):
    """The input itself. Arguments are taken and ignored, so that it can stand in for another layer."""

    def __init__(self, *args, **kwargs):
        pass

    def forward(self, x):
        self._shape = getattr(x, "shape", None)
        return x

    def backward_inputs(self, grads):
        if self._shape is not None:
            grads = floating("Identity", "grad_output", grads)
            check_shape("Identity", "grad_output", grads.shape, self._shape)
        return grads
