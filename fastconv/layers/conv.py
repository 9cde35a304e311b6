"""Convolution layers."""

import numpy as np

from fastconv import functional, geometry, grad
from fastconv.checks import as_generator
from fastconv.layers.initialization import weight_and_bias
from fastconv.layers.layer import Layer, bias_gradient
from fastconv.layers.parameter import float_dtype


class ConvLayer(Layer):
    """What convolutions and transposed convolutions of one to three dimensions share: arguments and parameters."""

    nd = None
    transposed = False
    padding_modes = ("zeros",)

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
                 padding_mode="zeros", *, dtype=np.float32, generator=None):
        op = type(self).__name__
        dtype = float_dtype(op, dtype)
        (self.in_channels,) = geometry.sizes(op, "in_channels", in_channels, 1, 1)
        (self.out_channels,) = geometry.sizes(op, "out_channels", out_channels, 1, 1)
        (self.groups,) = geometry.sizes(op, "groups", groups, 1, 1)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{op}: {name} must be divisible by groups={self.groups}, got {getattr(self, name)}")
        if not isinstance(padding_mode, str) or padding_mode not in self.padding_modes:
            raise ValueError(f"{op}: padding_mode must be one of {', '.join(map(repr, self.padding_modes))}, "
                             f"got {padding_mode!r}")
        self.kernel_size = geometry.sizes(op, "kernel_size", kernel_size, self.nd, 1)
        self.stride = geometry.sizes(op, "stride", stride, self.nd, 1)
        self.dilation = geometry.sizes(op, "dilation", dilation, self.nd, 1)
        self.padding_mode = padding_mode
        first, second = ((self.in_channels, self.out_channels) if self.transposed else
                         (self.out_channels, self.in_channels))
        shape = (first, second // self.groups, *self.kernel_size)
        self.padding = padding if isinstance(padding, str) else geometry.sizes(op, "padding", padding, self.nd)
        if isinstance(padding, str):
            # On the smallest input that the kernel fits: what is refused here would be at every forward.
            smallest = tuple(d * (f - 1) + 1 for f, d in zip(self.kernel_size, self.dilation, strict=True))
            geometry.conv(op, (1, self.in_channels, *smallest), shape, stride, padding, dilation, groups)
        self.weight, self.bias = weight_and_bias(shape, self.out_channels, bias, dtype, as_generator(op, generator))

    def forward(self, x):
        y = self._convolve(x, self.weight.data, None if self.bias is None else self.bias.data, *self._arguments())
        self._input, self._output_shape = x, y.shape
        return y

    def backward_inputs(self, grads):
        return self._grad_input(self._input.shape, self.weight.data, grads, *self._arguments())

    def backward_parameters(self, grads):
        trains_bias = self.bias is not None and self.bias.requires_grad
        if self.weight.requires_grad and trains_bias:
            self.weight.grad, self.bias.grad = self._grad_parameters(self._input, self.weight.shape, grads,
                                                                     *self._arguments())
        elif self.weight.requires_grad:
            self.weight.grad = self._grad_weight(self._input, self.weight.shape, grads, *self._arguments())
        elif trains_bias:
            self.bias.grad = bias_gradient(type(self).__name__, grads, self.bias.data, self._output_shape, -self.nd - 1)

    def extra_repr(self):
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        zeros, ones = (0,) * self.nd, (1,) * self.nd
        defaults = {"padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1}
        parts += [f"{name}={getattr(self, name)}" for name, default in defaults.items()
                  if getattr(self, name, default) != default]
        parts += ["bias=False"] * (self.bias is None)
        return ", ".join(parts + [f"padding_mode={self.padding_mode}"] * (self.padding_mode != "zeros"))


class _Conv(ConvLayer):
    padding_modes = ("zeros", "reflect", "replicate", "circular")

    def forward(self, x):
        if self.padding_mode == "zeros":
            return super().forward(x)
        # The kernels know zeros only: other padding is written round a copy of the input.
        padded = functional.pad(x, self._pad(), self.padding_mode)
        self._unpadded_shape = x.shape
        return super().forward(padded)

    def backward_inputs(self, grads):
        found = super().backward_inputs(grads)
        if self.padding_mode == "zeros":
            return found
        return grad.pad_input(self._unpadded_shape, found, self._pad(), self.padding_mode)

    def _pad(self):
        """The padding as `fastconv.functional.pad` takes it, the last axis first."""
        if self.padding == "valid":
            return (0, 0) * self.nd
        if self.padding == "same":
            totals = [d * (f - 1) for f, d in zip(self.kernel_size, self.dilation, strict=True)]
            return tuple(n for total in reversed(totals) for n in (total // 2, total - total // 2))
        return tuple(n for p in reversed(self.padding) for n in (p, p))

    def _arguments(self):
        padding = self.padding if self.padding_mode == "zeros" else 0
        return self.stride, padding, self.dilation, self.groups


class Conv1d(_Conv):
    """Convolution (strictly: cross-correlation) of batches of 1-D maps.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or tuple of 1 int
    padding : int, tuple of 1 int, 'same' or 'valid'
    groups, bias, padding_mode, dtype, generator
        As of `Conv2d`.

    Attributes
    ----------
    weight : Parameter (out_channels, in_channels / groups, kernel_size)
    bias : Parameter (out_channels,) or None
    """

    nd = 1
    _convolve = staticmethod(functional.conv1d)
    _grad_input = staticmethod(grad.conv1d_input)
    _grad_weight = staticmethod(grad.conv1d_weight)
    _grad_parameters = staticmethod(grad.conv1d_parameters)


class Conv2d(_Conv):
    """Convolution (strictly: cross-correlation) of batches of images, (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or tuple of 2 ints
    padding : int, tuple of 2 ints, 'same' or 'valid'
    groups : int
        The channels are split into so many groups that do not see each other.
    bias : bool
    padding_mode : {'zeros', 'reflect', 'replicate', 'circular'}
        What stands in the padding; see `fastconv.functional.pad`.
    dtype : float32 or float64
    generator : numpy.random.Generator or seed, optional
        Where the initial values come from. Pass one generator, not one seed, to all layers of a network.

    Attributes
    ----------
    weight : Parameter (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter (out_channels,) or None

    Raises
    ------
    ValueError, TypeError
        For arguments that no input would fit.
    """

    nd = 2
    _convolve = staticmethod(functional.conv2d)
    _grad_input = staticmethod(grad.conv2d_input)
    _grad_weight = staticmethod(grad.conv2d_weight)
    _grad_parameters = staticmethod(grad.conv2d_parameters)


class Conv3d(_Conv):
    """Convolution (strictly: cross-correlation) of batches of volumes.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or tuple of 3 ints
    padding : int, tuple of 3 ints, 'same' or 'valid'
    groups, bias, padding_mode, dtype, generator
        As of `Conv2d`.

    Attributes
    ----------
    weight : Parameter (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter (out_channels,) or None
    """

    nd = 3
    _convolve = staticmethod(functional.conv3d)
    _grad_input = staticmethod(grad.conv3d_input)
    _grad_weight = staticmethod(grad.conv3d_weight)
    _grad_parameters = staticmethod(grad.conv3d_parameters)
