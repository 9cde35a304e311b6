"""Which input elements each element of a network's arrays depends on."""

from dataclasses import dataclass

import numpy as np

from fastconv import geometry
from fastconv.inspection.trace import kind_of

# Layers whose every output element comes from the input element in the same place, or from its channels.
POINTWISE = {"ReLU", "LeakyReLU", "PReLU", "Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Identity", "Dropout",
             "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"}
WINDOWS = {f"{kind}{nd}d" for kind in ("Conv", "MaxPool", "AvgPool") for nd in (1, 2, 3)}
ADAPTIVE = {f"Adaptive{kind}Pool{nd}d" for kind in ("Max", "Avg") for nd in (1, 2, 3)}
EVERY_OTHER = {f"Downsample{nd}d" for nd in (1, 2, 3)}
PADDING = {f"{kind}Pad{nd}d" for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
           for nd in (1, 2, 3)}


@dataclass(frozen=True)
class ReceptiveField:
    """The input elements that an output element depends on, along each spatial axis.

    Attributes
    ----------
    size : tuple of int
        How many, padding counted in. After a Linear, which sees everything: clipped to the input.
    stride : tuple of int or None
        How far apart those of neighboring output elements lie; None where there are no neighbors.
    offset : tuple of int
        Where that of the first output element starts; negative in the padding.
    """

    size: tuple
    stride: tuple | None
    offset: tuple

    def through_window(self, kernel, stride, padding, dilation):
        """The field after a convolution or pooling."""
        axes = list(zip(self.size, self.stride, self.offset, kernel, stride, padding, dilation, strict=True))
        return ReceptiveField(tuple(size + (f - 1) * d * jump for size, jump, _, f, _, _, d in axes),
                              tuple(jump * s for _, jump, _, _, s, _, _ in axes),
                              tuple(start - p * jump for _, jump, start, _, _, p, _ in axes))

    def of_all(self, positions, image):
        """The union over `positions` output elements along each axis, clipped to an input of `image` elements."""
        if self.stride is None:
            return self
        starts = [max(start, 0) for start in self.offset]
        ends = [min(start + (n - 1) * jump + size, whole) for start, n, jump, size, whole in
                zip(self.offset, positions, self.stride, self.size, image, strict=True)]
        return ReceptiveField(tuple(e - s for s, e in zip(starts, ends, strict=True)), None, tuple(starts))

    def clipped(self, element, image):
        """The part of the input that the output element at `element` sees: a slice along each axis."""
        steps = self.stride or (0,) * len(self.size)
        starts = [start + i * jump for start, i, jump in zip(self.offset, element, steps, strict=True)]
        return tuple(slice(max(start, 0), min(start + size, whole))
                     for start, size, whole in zip(starts, self.size, image, strict=True))

    def union(self, other):
        """The field of a sum of two elements in one place; None if their strides differ."""
        if self.stride != other.stride:
            return None
        starts = tuple(map(min, self.offset, other.offset))
        ends = [max(a + n, b + m) for a, n, b, m in zip(self.offset, self.size, other.offset, other.size, strict=True)]
        return ReceptiveField(tuple(e - s for s, e in zip(starts, ends, strict=True)), self.stride, starts)


class Fields:
    """The receptive field of every tensor in turn; `image` is the input's spatial shape."""

    def __init__(self, image):
        self.image = image
        self._known = {}  # tensor: (its field, how many elements along each axis have one)

    def start(self, tensor):
        nd = len(self.image)
        if nd:
            self._known[tensor] = ReceptiveField((1,) * nd, (1,) * nd, (0,) * nd), self.image

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
