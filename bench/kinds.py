"""What a case is: a convolution or a pooling, in torch's arguments."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from fastconv import geometry


@dataclass(frozen=True)
class Conv:
    """A convolution of one to three dimensions, in torch's arguments.

    Attributes
    ----------
    name : str
    input : tuple of int
        (N, C, [D, [H,]] W).
    weight : tuple of int
        (K, C / groups, [T, [R,]] S); of a transposed convolution (C, K / groups, [T, [R,]] S).
    stride, dilation : int or tuple of int
    padding : int, tuple of int, 'same' or 'valid'
    groups : int
    transposed : bool
    output_padding : int or tuple of int
        Of a transposed convolution only.
    """

    name: str
    input: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] | str = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    transposed: bool = False
    output_padding: int | tuple[int, ...] = 0

    def __str__(self):
        return self.name

    @property
    def dims(self):
        """1, 2 or 3."""
        return len(self.input) - 2

    @property
    def op(self):
        """The name of the function that computes it."""
        return f"conv_transpose{self.dims}d" if self.transposed else f"conv{self.dims}d"

    def geometry(self):
        """Its `fastconv.geometry.Geometry`; of a transposed one, that of the convolution it is the gradient of."""
        if self.transposed:
            return geometry.conv_transpose(self.op, self.input, self.weight, self.stride, self.padding,
                                           self.output_padding, self.groups, self.dilation)
        return geometry.conv(self.op, self.input, self.weight, self.stride, self.padding, self.dilation, self.groups)

    def with_batch(self, n):
        """The same case at batch size `n`."""
        return dataclasses.replace(self, input=(n, *self.input[1:]))


@dataclass(frozen=True)
class Pool:
    """A pooling of one to three dimensions, in torch's arguments.

    Attributes
    ----------
    name : str
    op : {'max', 'avg'}
    input : tuple of int
        (N, C, [D, [H,]] W).
    kernel, stride, padding, dilation : int or tuple of int
        ``stride=None`` means `kernel`. `dilation` is of maximum pooling only.
    ceil_mode : bool
    count_include_pad, divisor
        Of average pooling only.
    """

    name: str
    op: str
    input: tuple[int, ...]
    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None

    def __str__(self):
        return self.name

    @property
    def dims(self):
        """1, 2 or 3."""
        return len(self.input) - 2

    def geometry(self):
        """Its `fastconv.geometry.Geometry`."""
        return geometry.pool(f"{self.op}_pool{self.dims}d", self.input, self.kernel, self.stride, self.padding,
                             self.dilation, self.ceil_mode, self.count_include_pad, self.divisor)
