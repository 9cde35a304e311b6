"""Transposed convolution layers."""

import numpy as np

from fastconv import functional, geometry, grad
from fastconv.layers.conv import ConvLayer


class _ConvTranspose(ConvLayer):
    transposed = True

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1,
                 bias=True, dilation=1, padding_mode="zeros", *, dtype=np.float32, generator=None):
        op = type(self).__name__
        if isinstance(padding, str):
            raise TypeError(f"{op}: padding must be an int or a tuple of {self.nd} ints, got {padding!r}")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
                         dtype=dtype, generator=generator)
        self.output_padding = geometry.sizes(op, "output_padding", output_padding, self.nd)

    def _arguments(self):
        return self.stride, self.padding, self.output_padding, self.groups, self.dilation


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of batches of 1-D maps: the input gradient of `Conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, output_padding, dilation : int or tuple of 1 int
    groups, bias, padding_mode, dtype, generator
        As of `Conv1d`.

    Attributes
    ----------
    weight : Parameter (in_channels, out_channels / groups, kernel_size)
    bias : Parameter (out_channels,) or None
    """

    nd = 1
    _convolve = staticmethod(functional.conv_transpose1d)
    _grad_input = staticmethod(grad.conv_transpose1d_input)
    _grad_weight = staticmethod(grad.conv_transpose1d_weight)
    _grad_parameters = staticmethod(grad.conv_transpose1d_parameters)


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of batches of images: the input gradient of `Conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, output_padding, dilation : int or tuple of 2 ints
        `output_padding` adds rows and columns at the end, which a stride leaves undecided.
    groups, bias, padding_mode, dtype, generator
        As of `Conv2d`.

    Attributes
    ----------
    weight : Parameter (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter (out_channels,) or None
    """

    nd = 2
    _convolve = staticmethod(functional.conv_transpose2d)
    _grad_input = staticmethod(grad.conv_transpose2d_input)
    _grad_weight = staticmethod(grad.conv_transpose2d_weight)
    _grad_parameters = staticmethod(grad.conv_transpose2d_parameters)


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of batches of volumes: the input gradient of `Conv3d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, output_padding, dilation : int or tuple of 3 ints
    groups, bias, padding_mode, dtype, generator
        As of `Conv3d`.

    Attributes
    ----------
    weight : Parameter (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter (out_channels,) or None
    """

    nd = 3
    _convolve = staticmethod(functional.conv_transpose3d)
    _grad_input = staticmethod(grad.conv_transpose3d_input)
    _grad_weight = staticmethod(grad.conv_transpose3d_weight)
    _grad_parameters = staticmethod(grad.conv_transpose3d_parameters)
