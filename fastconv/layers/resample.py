"""Layers that change the size of maps."""

from fastconv import functional, geometry, grad
from fastconv.layers.layer import Layer


class Upsample(Layer):
    """Maps resampled to another size, by `fastconv.functional.interpolate`.

    Parameters
    ----------
    size : int or tuple of ints, optional
        The output's. Either this or `scale_factor` is needed.
    scale_factor : float or tuple of floats, optional
    mode : str
        'nearest', 'linear', 'bilinear', 'trilinear', 'bicubic' and the others of `interpolate`.
    align_corners, recompute_scale_factor : bool, optional
        As of `interpolate`.
    """

    def __init__(self, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
        self.size = size
        self.scale_factor = tuple(map(float, scale_factor)) if isinstance(scale_factor, tuple) else (
            float(scale_factor) if scale_factor else None)
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def _arguments(self):
        return self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor

    def forward(self, x):
        y = functional.interpolate(x, *self._arguments())
        self._input_shape = x.shape
        return y

    def backward_inputs(self, grads):
        return grad.interpolate_input(tuple(self._input_shape), grads, *self._arguments())

    def extra_repr(self):
        size = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{size}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images resampled by taking elements as they are; `size` and `scale_factor` as of `Upsample`."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Images resampled between the centers of their corners; `size` and `scale_factor` as of `Upsample`."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class _Shuffle(Layer):
    def forward(self, x):
        y = self._shuffle(x, self._factor)
        self._output_shape = y.shape
        return y

    def backward_inputs(self, grads):
        found = self._grad_input(grads, self._factor)
        geometry.check_shape(type(self).__name__, "grad_output", grads.shape, self._output_shape)
        return found


class PixelShuffle(_Shuffle):
    """Spread each group of `upscale_factor` ** 2 channels over a block of as many elements."""

    _shuffle = staticmethod(functional.pixel_shuffle)
    _grad_input = staticmethod(grad.pixel_shuffle_input)

    def __init__(self, upscale_factor):
        self.upscale_factor = upscale_factor

    _factor = property(lambda self: self.upscale_factor)

    def extra_repr(self):
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(_Shuffle):
    """Gather each block of `downscale_factor` ** 2 elements in as many channels."""

    _shuffle = staticmethod(functional.pixel_unshuffle)
    _grad_input = staticmethod(grad.pixel_unshuffle_input)

    def __init__(self, downscale_factor):
        self.downscale_factor = downscale_factor

    _factor = property(lambda self: self.downscale_factor)

    def extra_repr(self):
        return f"downscale_factor={self.downscale_factor}"


class _ByFactor(Layer):
    nd = None

    def _check(self, name, factor):
        geometry.sizes(type(self).__name__, name, factor, self.nd, 1)
        return factor

    def forward(self, x):
        y = self._resample(x, self._factor)
        self._input_shape = x.shape
        return y

    def backward_inputs(self, grads):
        return self._grad_input(tuple(self._input_shape), grads, self._factor)


class _UpsampleByFactor(_ByFactor):
    def __init__(self, upsampling_factor):
        self.upsampling_factor = self._check("upsampling_factor", upsampling_factor)

    _factor = property(lambda self: self.upsampling_factor)

    def extra_repr(self):
        return f"upsampling_factor={self.upsampling_factor}"


class _DownsampleByFactor(_ByFactor):
    def __init__(self, downsampling_factor):
        self.downsampling_factor = self._check("downsampling_factor", downsampling_factor)

    _factor = property(lambda self: self.downsampling_factor)

    def extra_repr(self):
        return f"downsampling_factor={self.downsampling_factor}"


class Upsample1d(_UpsampleByFactor):
    """``upsampling_factor - 1`` zeros between neighbors: a line of W elements becomes one of (W - 1) * k + 1."""

    nd = 1
    _resample = staticmethod(functional.zero_insert1d)
    _grad_input = staticmethod(grad.zero_insert1d_input)


class Upsample2d(_UpsampleByFactor):
    """Zeros between neighboring rows and columns; `upsampling_factor` is an int or a tuple of 2."""

    nd = 2
    _resample = staticmethod(functional.zero_insert2d)
    _grad_input = staticmethod(grad.zero_insert2d_input)


class Upsample3d(_UpsampleByFactor):
    """Zeros between neighbors along each axis; `upsampling_factor` is an int or a tuple of 3."""

    nd = 3
    _resample = staticmethod(functional.zero_insert3d)
    _grad_input = staticmethod(grad.zero_insert3d_input)


class Downsample1d(_DownsampleByFactor):
    """Every element of a line whose position is a multiple of `downsampling_factor`."""

    nd = 1
    _resample = staticmethod(functional.downsample1d)
    _grad_input = staticmethod(grad.downsample1d_input)


class Downsample2d(_DownsampleByFactor):
    """Rows and columns whose positions are multiples of `downsampling_factor`, an int or a tuple of 2."""

    nd = 2
    _resample = staticmethod(functional.downsample2d)
    _grad_input = staticmethod(grad.downsample2d_input)


class Downsample3d(_DownsampleByFactor):
    """Elements whose positions are multiples of `downsampling_factor`, an int or a tuple of 3."""

    nd = 3
    _resample = staticmethod(functional.downsample3d)
    _grad_input = staticmethod(grad.downsample3d_input)
