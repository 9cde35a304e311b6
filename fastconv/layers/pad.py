"""Padding layers."""

from fastconv import functional, geometry, grad
from fastconv.layers.layer import Layer


class _Pad(Layer):
    nd = None
    mode = "constant"
    value = None

    def __init__(self, padding):
        op = type(self).__name__
        self.padding = geometry.sizes(op, "padding", padding, 2 * self.nd, None)

    def forward(self, x):
        y = functional.pad(x, self.padding, self.mode, self.value)
        self._input_shape = x.shape
        return y

    def backward_inputs(self, grads):
        return grad.pad_input(tuple(self._input_shape), grads, self.padding, self.mode)

    def extra_repr(self):
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = value

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Elements of `value` before and after a line; arguments are those of `ConstantPad2d`, with 2 ints."""

    nd = 1


class ConstantPad2d(_ConstantPad):
    """Elements of `value` round an image.

    Parameters
    ----------
    padding : int or tuple of 4 ints
        (left, right, top, bottom); negative ones take elements away.
    value : number
    """

    nd = 2


class ConstantPad3d(_ConstantPad):
    """Elements of `value` round a volume; arguments are those of `ConstantPad2d`, with 6 ints."""

    nd = 3


class ZeroPad1d(_Pad):
    """Zeros before and after a line; `padding` as of `ZeroPad2d`, with 2 ints."""

    nd = 1
    value = 0


class ZeroPad2d(_Pad):
    """Zeros round an image; `padding` is an int or (left, right, top, bottom), negative ones take elements away."""

    nd = 2
    value = 0


class ZeroPad3d(_Pad):
    """Zeros round a volume; `padding` as of `ZeroPad2d`, with 6 ints."""

    nd = 3
    value = 0


class ReflectionPad1d(_Pad):
    """A line and its mirror images about its ends; `padding` as of `ZeroPad2d`, with 2 ints."""

    nd = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """An image and its mirror images about its outermost rows and columns; `padding` as of `ZeroPad2d`."""

    nd = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """A volume and its mirror images about its outermost elements; `padding` as of `ZeroPad2d`, with 6 ints."""

    nd = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """A line whose first and last elements are repeated; `padding` as of `ZeroPad2d`, with 2 ints."""

    nd = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """An image whose outermost elements are repeated; `padding` as of `ZeroPad2d`."""

    nd = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """A volume whose outermost elements are repeated; `padding` as of `ZeroPad2d`, with 6 ints."""

    nd = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """A line that goes on at its other end; `padding` as of `ZeroPad2d`, with 2 ints."""

    nd = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """An image that goes on at its other side; `padding` as of `ZeroPad2d`."""

    nd = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """A volume that goes on at its other side; `padding` as of `ZeroPad2d`, with 6 ints."""

    nd = 3
    mode = "circular"
