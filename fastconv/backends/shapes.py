"""The shapes of the contract's arrays, for backends that index their axes: callers' arrays have shapes of their own."""

from functools import wraps
from types import SimpleNamespace

_BIAS, _X, _W, _Y, _COLS = "bias_shape", "x_shape", "w_shape", "y_shape", "cols_shape"
SHAPES = {"im2col": (_X, _COLS), "col2im": (_COLS, _X), "conv_forward": (_X, _W, _BIAS, _Y),
          "conv_backward_input": (_Y, _W, _X), "conv_backward_weight": (_X, _Y, _W, _BIAS),
          "max_pool_forward": (_X, _Y, _Y), "max_pool_backward": (_Y, _Y, _X), "avg_pool_forward": (_X, _Y),
          "avg_pool_backward": (_Y, _X)}


def shaped(module):
    """A backend whose functions take arrays of any shape; those of `module` get them in the contract's."""
    return SimpleNamespace(**{**vars(module), **{name: _shaped(vars(module)[name], shapes)
                                                 for name, shapes in SHAPES.items()}})


def _shaped(kernel, shapes):
    @wraps(kernel)
    def call(*arguments):
        *arrays, g = arguments
        # Results are contiguous: these are views, written to in place.
        kernel(*(array if array is None else array.reshape(getattr(g, shape))
                 for array, shape in zip(arrays, shapes, strict=True)), g)

    return call
