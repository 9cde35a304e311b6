"""Pooling layers."""

from fastconv import functional, geometry, grad
from fastconv.layers.layer import Layer


class _MaxPool(Layer):
    nd = None

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
        op = type(self).__name__
        _check_windows(op, self.nd, kernel_size, stride, padding, dilation)
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode = bool(return_indices), bool(ceil_mode)

    def forward(self, x):
        y, self._indices = self._pool(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                                      return_indices=True)
        self._input_shape = x.shape
        return (y, self._indices) if self.return_indices else y

    def backward_inputs(self, grads):
        return self._grad_input(self._input_shape, self._indices, grads)

    def extra_repr(self):
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPool):
    """Maximum over windows of 1-D maps; arguments are those of `MaxPool2d`."""

    nd = 1
    _pool = staticmethod(functional.max_pool1d)
    _grad_input = staticmethod(grad.max_pool1d_input)


class MaxPool2d(_MaxPool):
    """Maximum over windows of images. The first of equal elements is taken; a NaN wins; padding never does.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of 2 ints
        ``stride=None`` means `kernel_size`.
    return_indices : bool
        Let ``forward`` return (output, indices).
    ceil_mode : bool
        Round the output size up.
    """

    nd = 2
    _pool = staticmethod(functional.max_pool2d)
    _grad_input = staticmethod(grad.max_pool2d_input)


class MaxPool3d(_MaxPool):
    """Maximum over windows of volumes; arguments are those of `MaxPool2d`."""

    nd = 3
    _pool = staticmethod(functional.max_pool3d)
    _grad_input = staticmethod(grad.max_pool3d_input)


class _AvgPool(Layer):
    nd = None

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
                 divisor_override=None):
        op = type(self).__name__
        _check_windows(op, self.nd, kernel_size, stride, padding)
        if divisor_override is not None:
            geometry.sizes(op, "divisor_override", divisor_override, 1, 1)
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x):
        y = self._pool(x, **self._arguments())
        self._input_shape = x.shape
        return y

    def backward_inputs(self, grads):
        return self._grad_input(self._input_shape, grads, **self._arguments())

    def _arguments(self):
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """Mean over windows of 1-D maps; arguments are those of `AvgPool2d` but for `divisor_override`."""

    nd = 1
    _pool = staticmethod(functional.avg_pool1d)
    _grad_input = staticmethod(grad.avg_pool1d_input)

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        for name in ("kernel_size", "stride", "padding"):
            setattr(self, name, geometry.sizes("AvgPool1d", name, getattr(self, name), 1))

    def _arguments(self):
        arguments = super()._arguments()
        del arguments["divisor_override"]
        return arguments


class AvgPool2d(_AvgPool):
    """Mean over windows of images.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of 2 ints
        ``stride=None`` means `kernel_size`.
    ceil_mode : bool
        Round the output size up.
    count_include_pad : bool
        Whether padding counts in the divisor.
    divisor_override : int, optional
        Divide by this.
    """

    nd = 2
    _pool = staticmethod(functional.avg_pool2d)
    _grad_input = staticmethod(grad.avg_pool2d_input)


class AvgPool3d(_AvgPool):
    """Mean over windows of volumes; arguments are those of `AvgPool2d`."""

    nd = 3
    _pool = staticmethod(functional.avg_pool3d)
    _grad_input = staticmethod(grad.avg_pool3d_input)


def _check_windows(op, nd, kernel_size, stride, padding, dilation=1):
    """Refuse what no input would fit: the smallest that the window does is tried."""
    kernel = geometry.sizes(op, "kernel_size", kernel_size, nd, 1)
    steps = geometry.sizes(op, "dilation", dilation, nd, 1)
    geometry.pool(op, (1, 1, *(d * (f - 1) + 1 for f, d in zip(kernel, steps, strict=True))), kernel_size, stride,
                  padding, dilation)
