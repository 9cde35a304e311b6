"""Which input elements each element of a network's arrays depends on."""

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from fastconv import geometry
from fastconv.inspection.trace import kind_of

# Layers whose every output element comes from the input element in the same place, or from its channels.
POINTWISE = {"ReLU", "LeakyReLU", "PReLU", "Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Identity", "Dropout",
             "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"}
WINDOWS = {f"{kind}{nd}d" for kind in ("Conv", "MaxPool", "AvgPool") for nd in (1, 2, 3)}
ADAPTIVE = {f"Adaptive{kind}Pool{nd}d" for kind in ("Max", "Avg") for nd in (1, 2, 3)}
TRANSPOSED = {f"ConvTranspose{nd}d" for nd in (1, 2, 3)}
ZEROS_BETWEEN = {f"Upsample{nd}d" for nd in (1, 2, 3)}
INTERPOLATING = {"Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d"}
EVERY_OTHER = {f"Downsample{nd}d" for nd in (1, 2, 3)}
PADDING = {f"{kind}Pad{nd}d" for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
           for nd in (1, 2, 3)}


@dataclass(frozen=True)
class Along:
    """Where along one axis the fields of the elements start and end, for as many as it takes until they repeat.

    Behind a transposed convolution of stride 2 every other element has a field of the same size: element i + 2 sees
    what element i does, `jump` further. An element that depends on nothing starts at infinity.
    """

    starts: tuple
    ends: tuple
    jump: int

    def of(self, i):
        """(start, end) of the field of element `i`; the end is exclusive."""
        rounds, i = divmod(i, len(self.starts))
        return self.starts[i] + rounds * self.jump, self.ends[i] + rounds * self.jump

    def through(self, taps, step):
        """Element o of what is made is of the elements `taps[o]`; those of o + len(taps) lie `step` further."""
        rounds = len(self.starts) // math.gcd(len(self.starts), step)
        fields = [[self.of(tap + i * step) for tap in some] for i in range(rounds) for some in taps]
        return Along(tuple(min((start for start, _ in seen), default=math.inf) for seen in fields),
                     tuple(max((end for _, end in seen), default=-math.inf) for seen in fields),
                     self.jump * rounds * step // len(self.starts))

    def union(self, other):
        """The fields of sums of two elements in one place, of equal strides."""
        count = math.lcm(len(self.starts), len(other.starts))
        both = [(*self.of(i), *other.of(i)) for i in range(count)]
        return Along(tuple(min(a, c) for a, _, c, _ in both), tuple(max(b, d) for _, b, _, d in both),
                     self.jump * count // len(self.starts))

    @property
    def stride(self):
        """An int, or a Fraction where outputs lie closer than inputs."""
        ratio = Fraction(self.jump, len(self.starts))
        return ratio.numerator if ratio.denominator == 1 else ratio


@dataclass(frozen=True)
class ReceptiveField:
    """The input elements that an output element depends on, along each spatial axis.

    Attributes
    ----------
    size : tuple of int
        How many, padding counted in; of those of several sizes, behind a transposed convolution, the largest. After a
        Linear, which sees everything: clipped to the input.
    stride : tuple of int or Fraction, or None
        How far apart those of neighboring output elements lie, on average where outputs lie closer than inputs; None
        where there are no neighbors.
    offset : tuple of int
        Where that of the first output element starts; negative in the padding.
    """

    size: tuple
    stride: tuple | None
    offset: tuple
    along: tuple = field(default=(), repr=False, compare=False)

    @classmethod
    def made_of(cls, along, alone=False):
        """The field that is one `Along` for each axis; of a single element if `alone`."""
        sizes = tuple(max([e - s for s, e in zip(a.starts, a.ends, strict=True) if e > s], default=0) for a in along)
        offsets = tuple(next((s for s in a.starts if s < math.inf), 0) for a in along)
        return cls(sizes, None if alone else tuple(a.stride for a in along), offsets, tuple(along))

    def through(self, taps, steps):
        """The field of what is made of the elements `taps` along each axis: see `Along.through`."""
        return self.made_of([a.through(*each) for a, *each in zip(self.along, taps, steps, strict=True)])

    def through_window(self, kernel, stride, padding, dilation):
        """The field after a convolution or pooling."""
        taps = [(tuple(range(-p, f * d - p, d)),) for f, p, d in zip(kernel, padding, dilation, strict=True)]
        return self.through(taps, stride)

    def through_transposed(self, kernel, stride, padding, dilation):
        """The field after a transposed convolution.

        Element o is made of each i with ``i * stride - padding + k * dilation == o`` for some tap k.
        """
        taps = [tuple(tuple((o + p - k * d) // s for k in range(f) if (o + p - k * d) % s == 0) for o in range(s))
                for f, s, p, d in zip(kernel, stride, padding, dilation, strict=True)]
        return self.through(taps, (1,) * len(taps))

    def of_all(self, positions, image):
        """The union over `positions` output elements along each axis, clipped to an input of `image` elements."""
        if self.stride is None:
            return self
        fields = [[a.of(i) for i in range(n)] for a, n in zip(self.along, positions, strict=True)]
        starts = [max(min(start for start, _ in seen), 0) for seen in fields]
        ends = [min(max(end for _, end in seen), whole) for seen, whole in zip(fields, image, strict=True)]
        return self.made_of([Along((s,), (e,), 0) for s, e in zip(starts, ends, strict=True)], alone=True)

    def of(self, element):
        """(start, end) along each axis of what the output element at `element` sees, padding counted in."""
        return [a.of(i) for a, i in zip(self.along, element, strict=True)]

    def clipped(self, element, image):
        """The part of the input that the output element at `element` sees: a slice along each axis."""
        return tuple(slice(max(start, 0), min(end, whole)) if start < end else slice(0, 0)
                     for (start, end), whole in zip(self.of(element), image, strict=True))

    def union(self, other):
        """The field of a sum of two elements in one place; None if their strides differ."""
        if self.stride != other.stride:
            return None
        return self.made_of([a.union(b) for a, b in zip(self.along, other.along, strict=True)], self.stride is None)


class Fields:
    """The receptive field of every tensor in turn; `image` is the input's spatial shape."""

    def __init__(self, image):
        self.image = image
        self._known = {}  # tensor: (its field, how many elements along each axis have one)

    def start(self, tensor):
        nd = len(self.image)
        if nd:
            self._known[tensor] = ReceptiveField.made_of([Along((0,), (1,), 1)] * nd), self.image

    def after(self, node):
        """The field of the node's outputs, which is remembered; None if it is unknown."""
        found = self._of_operation(node) if node.layer is None else self._of_layer(node)
        if found is None or found[0] is None:
            return None
        self._known.update((tensor, found) for tensor in node.outputs)
        return found[0]

    def _of_operation(self, node):
        if not node.inputs or not node.outputs or any(tensor not in self._known for tensor in node.inputs):
            return None
        (seen, positions), *others = (self._known[tensor] for tensor in node.inputs)
        made = node.outputs[0].shape
        if node.kind == "view":
            flat = len(made) == 2 and made[0] == node.inputs[0].shape[0]
            return (seen, positions) if flat or made == node.inputs[0].shape else None
        elementwise = isinstance(getattr(np, node.kind, None), np.ufunc) and node.kind != "matmul"
        channels = node.kind == "concatenate" and made[2:] == positions
        if not ((elementwise and made == node.inputs[0].shape) or channels):
            return None
        for other, other_positions in others:
            seen = seen.union(other) if seen is not None and other_positions == positions else None
        return seen, positions

    def _of_layer(self, node):
        if not node.inputs or not node.outputs or node.inputs[0] not in self._known:
            return None
        layer, kind, nd = node.layer, kind_of(node.layer), len(self.image)
        seen, positions = self._known[node.inputs[0]]
        given, made = node.inputs[0].shape, node.outputs[0].shape
        on_maps = len(given) == nd + 2 and seen.stride is not None
        if kind in WINDOWS and on_maps:
            return seen.through_window(*_window(layer, nd)), made[2:]
        if kind in TRANSPOSED and on_maps:
            return seen.through_transposed(*_window(layer, nd)), made[2:]
        if kind in ZEROS_BETWEEN and on_maps:
            step = geometry.sizes("summary", "upsampling_factor", layer.upsampling_factor, nd, 1)
            return seen.through_transposed((1,) * nd, step, (0,) * nd, (1,) * nd), made[2:]
        if kind in INTERPOLATING and on_maps:
            taps = _interpolated(layer, positions, made[2:])
            return None if taps is None else (seen.through(taps, (1,) * nd), made[2:])
        if kind in ADAPTIVE and on_maps:
            return self._of_adaptive(seen, positions, made[2:])
        if kind in EVERY_OTHER and on_maps:
            step = geometry.sizes("summary", "downsampling_factor", layer.downsampling_factor, nd, 1)
            return seen.through_window((1,) * nd, step, (0,) * nd, (1,) * nd), made[2:]
        if kind in PADDING and on_maps:
            before = tuple(layer.padding[-2::-2]) if isinstance(layer.padding, tuple | list) else (layer.padding,) * nd
            ones = (1,) * nd
            return seen.through_window(ones, ones, before, ones), made[2:]
        if kind in POINTWISE or kind == "Flatten":
            return seen, positions
        # Behind Flatten a Linear sees every position; on maps it would mix only the last axis.
        if kind == "Linear" and len(given) == 2:
            return seen.of_all(positions, self.image), positions
        return None

    def _of_adaptive(self, seen, positions, made):
        """Windows of equal size side by side, where the output's size divides the input's; else they are irregular."""
        if any(n % m for n, m in zip(positions, made, strict=True)):
            return None
        if all(m == 1 for m in made):
            return seen.of_all(positions, self.image), made
        kernel = tuple(n // m for n, m in zip(positions, made, strict=True))
        zeros, ones = (0,) * len(made), (1,) * len(made)
        return seen.through_window(kernel, kernel, zeros, ones), made


def _window(layer, nd):
    kernel = geometry.sizes("summary", "kernel_size", layer.kernel_size, nd, 1)
    stride = kernel if layer.stride is None else geometry.sizes("summary", "stride", layer.stride, nd, 1)
    dilation = geometry.sizes("summary", "dilation", getattr(layer, "dilation", 1), nd, 1)
    if layer.padding == "valid":
        padding = (0,) * nd
    elif layer.padding == "same":
        padding = tuple(d * (f - 1) // 2 for f, d in zip(kernel, dilation, strict=True))
    else:
        padding = geometry.sizes("summary", "padding", layer.padding, nd, 0)
    return kernel, stride, padding, dilation


def _interpolated(layer, positions, made):
    """For each axis the elements that outputs are made of, where the factor is a whole number; None elsewhere.

    Elements beyond the border count, as padding does; there those on the border stand for them.
    """
    factors = [m // n for n, m in zip(positions, made, strict=True)]
    given = layer.scale_factor if isinstance(layer.scale_factor, tuple | list) else [layer.scale_factor] * len(factors)
    exact = layer.size is not None or layer.recompute_scale_factor or all(map(float.__eq__, map(float, given),
                                                                              map(float, factors)))
    if not exact or any(n * s != m for n, s, m in zip(positions, factors, made, strict=True)):
        return None
    if layer.mode in ("nearest", "nearest-exact"):
        return [((0,),) * s for s in factors]
    if layer.mode not in ("linear", "bilinear", "trilinear") or layer.align_corners:
        return None
    return [tuple((place // (2 * s),) if place % (2 * s) == 0 else (place // (2 * s), place // (2 * s) + 1)
                  for place in range(1 - s, s, 2)) for s in factors]
