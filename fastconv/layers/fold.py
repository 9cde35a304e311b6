"""Windows as columns, and back."""

from fastconv import functional, geometry, grad
from fastconv.layers.layer import Layer


class _Windows(Layer):
    def __init__(self, kernel_size, dilation, padding, stride):
        options = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
        for name, value in options.items():
            geometry.sizes(type(self).__name__, name, value, 2, int(name != "padding"))
        self.kernel_size, self.dilation, self.padding, self.stride = options.values()

    def _arguments(self):
        return self.kernel_size, self.dilation, self.padding, self.stride

    def extra_repr(self):
        return (f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
                f"stride={self.stride}")


class Unfold(_Windows):
    """The windows of a 2-D map as columns (N, C * R * S, P * Q); arguments are those of `functional.unfold`."""

    def __init__(self, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, x):
        y = functional.unfold(x, *self._arguments())
        self._input_shape = tuple(x.shape)
        return y

    def backward_inputs(self, grads):
        return grad.unfold_input(self._input_shape, grads, *self._arguments())


class Fold(_Windows):
    """Columns (N, C * R * S, P * Q) added into the windows of a 2-D map; arguments are those of `functional.fold`."""

    def __init__(self, output_size, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__(kernel_size, dilation, padding, stride)
        geometry.sizes("Fold", "output_size", output_size, 2, 1)
        self.output_size = output_size

    def forward(self, x):
        y = functional.fold(x, self.output_size, *self._arguments())
        self._output_shape = tuple(y.shape)
        return y

    def backward_inputs(self, grads):
        found = grad.fold_input(grads, *self._arguments())
        geometry.check_shape("Fold", "grad_output", tuple(grads.shape), self._output_shape)
        return found

    def extra_repr(self):
        return f"output_size={self.output_size}, {super().extra_repr()}"
