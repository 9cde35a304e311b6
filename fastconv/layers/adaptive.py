"""Adaptive pooling and unpooling layers."""

from fastconv import functional, geometry, grad
from fastconv.layers.layer import Layer


class _AdaptiveAvgPool(Layer):
    nd = None

    def __init__(self, output_size):
        geometry.adaptive(type(self).__name__, (1,) * (self.nd + 2), output_size)
        self.output_size = output_size

    def forward(self, x):
        y = self._pool(x, self.output_size)
        self._input_shape = x.shape
        return y

    def backward_inputs(self, grads):
        return self._grad_input(tuple(self._input_shape), grads)

    def extra_repr(self):
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Mean of each of `output_size` windows of 1-D maps."""

    nd = 1
    _pool = staticmethod(functional.adaptive_avg_pool1d)
    _grad_input = staticmethod(grad.adaptive_avg_pool1d_input)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Mean of each of P x Q windows of images; `output_size` is an int or (P, Q), with None for the input's size."""

    nd = 2
    _pool = staticmethod(functional.adaptive_avg_pool2d)
    _grad_input = staticmethod(grad.adaptive_avg_pool2d_input)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Mean of each of O x P x Q windows of volumes; `output_size` as of `AdaptiveAvgPool2d`, with 3 ints."""

    nd = 3
    _pool = staticmethod(functional.adaptive_avg_pool3d)
    _grad_input = staticmethod(grad.adaptive_avg_pool3d_input)


class _AdaptiveMaxPool(Layer):
    nd = None

    def __init__(self, output_size, return_indices=False):
        geometry.adaptive(type(self).__name__, (1,) * (self.nd + 2), output_size)
        self.output_size, self.return_indices = output_size, bool(return_indices)

    def forward(self, x):
        y, self._indices = self._pool(x, self.output_size, return_indices=True)
        self._input_shape = x.shape
        return (y, self._indices) if self.return_indices else y

    def backward_inputs(self, grads):
        return self._grad_input(tuple(self._input_shape), self._indices, grads)

    def extra_repr(self):
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maximum of each of `output_size` windows of 1-D maps; `return_indices` as of `MaxPool2d`."""

    nd = 1
    _pool = staticmethod(functional.adaptive_max_pool1d)
    _grad_input = staticmethod(grad.adaptive_max_pool1d_input)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maximum of each of P x Q windows of images.

    Parameters
    ----------
    output_size : int or tuple of 2 ints
        (P, Q), with None for the input's size.
    return_indices : bool
        Let ``forward`` return (output, indices).
    """

    nd = 2
    _pool = staticmethod(functional.adaptive_max_pool2d)
    _grad_input = staticmethod(grad.adaptive_max_pool2d_input)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maximum of each of O x P x Q windows of volumes; arguments as of `AdaptiveMaxPool2d`, with 3 ints."""

    nd = 3
    _pool = staticmethod(functional.adaptive_max_pool3d)
    _grad_input = staticmethod(grad.adaptive_max_pool3d_input)


class _MaxUnpool(Layer):
    nd = None

    def __init__(self, kernel_size, stride=None, padding=0):
        op = type(self).__name__
        self.kernel_size = geometry.sizes(op, "kernel_size", kernel_size, self.nd, 1)
        self.stride = self.kernel_size if stride is None else geometry.sizes(op, "stride", stride, self.nd, 1)
        self.padding = geometry.sizes(op, "padding", padding, self.nd, 0)

    def forward(self, x, indices, output_size=None):
        """The map that max pooling made `x` and `indices` of; `output_size` as of `fastconv.functional`'s function."""
        y = self._unpool(x, indices, self.kernel_size, self.stride, self.padding, output_size)
        self._indices, self._output_shape = indices, y.shape
        return y

    def backward_inputs(self, grads):
        if hasattr(grads, "shape"):
            geometry.check_shape(type(self).__name__, "grad_output", grads.shape, self._output_shape)
        return self._grad_input(self._indices, grads)

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """1-D maps of what `MaxPool1d` kept; arguments are those of `MaxUnpool2d`."""

    nd = 1
    _unpool = staticmethod(functional.max_unpool1d)
    _grad_input = staticmethod(grad.max_unpool1d_input)


class MaxUnpool2d(_MaxUnpool):
    """Images of what `MaxPool2d` kept, with zeros elsewhere; ``forward(x, indices, output_size=None)``.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of 2 ints
        Those of the pooling; ``stride=None`` means `kernel_size`.
    """

    nd = 2
    _unpool = staticmethod(functional.max_unpool2d)
    _grad_input = staticmethod(grad.max_unpool2d_input)


class MaxUnpool3d(_MaxUnpool):
    """Volumes of what `MaxPool3d` kept; arguments are those of `MaxUnpool2d`."""

    nd = 3
    _unpool = staticmethod(functional.max_unpool3d)
    _grad_input = staticmethod(grad.max_unpool3d_input)
