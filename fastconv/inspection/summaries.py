"""What each layer of a network makes, holds, costs and sees."""

import copy
import math
from dataclasses import dataclass, field

import numpy as np

from fastconv import geometry
from fastconv.inspection.tables import Table

# Layers whose every output element comes from the input element in the same place, or from its channels.
POINTWISE = {"ReLU", "LeakyReLU", "PReLU", "Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Identity", "Dropout",
             "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"}
WINDOWS = {f"{kind}{nd}d" for kind in ("Conv", "MaxPool", "AvgPool") for nd in (1, 2, 3)}
MIXING = {"Conv1d", "Conv2d", "Conv3d", "Linear"}
TRANSPOSED = {"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"}
PROBABILITIES = {"Softmax", "LogSoftmax"}


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


@dataclass(frozen=True)
class Row:
    """One call of a layer.

    Attributes
    ----------
    name : str
        The layer's place in the network, as in its parameters' names.
    kind : str
        The name of its class.
    input_shape, output_shape : tuple of int
        With the batch axis.
    parameters : int
        Elements of its parameters; 0 where an earlier row counts them already.
    multiply_adds : int
        Of a forward pass of the batch, by the direct method; those that meet padding counted in.
    memory : int
        Bytes kept for the backward pass: those of its input.
    receptive_field : ReceptiveField or None
        None where it is not known, or there is none.
    """

    name: str
    kind: str
    input_shape: tuple
    output_shape: tuple
    parameters: int
    multiply_adds: int
    memory: int
    receptive_field: ReceptiveField | None


@dataclass(frozen=True)
class Summary:
    """What `summary` found; prints as a table.

    Attributes
    ----------
    rows : list of Row
    batch_size : int
    parameters, trainable : int
        Elements of all parameters, and of those that require a gradient.
    parameter_bytes : int
    loss_bytes : int
        Bytes that the loss keeps: the network's output and, where the network does not end with them itself, the
        probabilities made from it.
    """

    rows: list
    batch_size: int
    parameters: int
    trainable: int
    parameter_bytes: int
    loss_bytes: int
    title: str = field(default="Summary")

    @property
    def activation_bytes(self):
        """Bytes of all that is kept between the forward and the backward pass."""
        return sum(row.memory for row in self.rows) + self.loss_bytes

    @property
    def total_bytes(self):
        """Bytes of the parameters and of `activation_bytes`."""
        return self.parameter_bytes + self.activation_bytes

    @property
    def multiply_adds(self):
        """Of a forward pass of the batch."""
        return sum(row.multiply_adds for row in self.rows)

    def table(self):
        """The summary as a `fastconv.inspection.tables.Table`."""
        spatial = any(row.receptive_field for row in self.rows)
        headings = ["<layer", "<output shape", "parameters", "multiply-adds", "memory (B)"]
        headings += ["sees", "stride", "offset"] * spatial
        rows = []
        for row in self.rows:
            cells = [f"{row.name} {row.kind}".strip(), _by(row.output_shape[1:]), _count(row.parameters),
                     _count(row.multiply_adds), _count(row.memory)]
            if spatial:
                seen = row.receptive_field
                cells += ["?", "?", "?"] if seen is None else [_by(seen.size), _short(seen.stride), _short(seen.offset)]
            rows.append(cells)
        last = ["loss", "", "", "", _count(self.loss_bytes)]
        rows.append(last + [""] * (len(headings) - len(last)))
        frozen = f"  ({self.parameters - self.trainable:,} of them frozen)" if self.trainable < self.parameters else ""
        notes = [f"parameters             {self.parameters:>16,}{frozen}",
                 f"multiply-adds          {self.multiply_adds:>16,}",
                 f"memory of parameters   {self.parameter_bytes:>16,} B",
                 f"memory of activations  {self.activation_bytes:>16,} B",
                 f"memory together        {self.total_bytes:>16,} B  ({self.total_bytes / 2**20:.2f} MiB)"]
        title = f"{self.title}, batch of {self.batch_size}: {self.parameters:,} parameters"
        return Table(title, headings, rows, notes)

    def print(self, file=None):
        """Print the table: by rich if `file` (standard output) is a terminal and rich is installed, else plain."""
        self.table().print(file)

    def __str__(self):
        return str(self.table())

    def __rich__(self):
        return self.table().__rich__()


def summary(model, input_shape, batch_size=1):
    """Summarise a network: shapes, parameters, multiply-adds, memory of a training step, receptive fields.

    A copy of the network is run once, on zeros. The memory is that of all arrays alive when the loss is known: the
    parameters, the input of every layer but Flatten (whose output is the same memory), the network's output, and the
    probabilities that a cross-entropy makes from it if the network itself does not end in Softmax. Gradients,
    an optimizer's state and what a layer keeps besides its input, such as the indices of max-pooling, are not in it.

    Parameters
    ----------
    model : Layer
    input_shape : tuple of int
        Of one example: (C, H, W) for images.
    batch_size : int

    Returns
    -------
    Summary
    """
    shape = geometry.sizes("summary", "input_shape", tuple(input_shape), len(tuple(input_shape)), 1)
    (batch_size,) = geometry.sizes("summary", "batch_size", batch_size, 1, 1)
    parameters = list(model.parameters())
    dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
    watcher = _Watcher(copy.deepcopy(model).eval(), shape[1:])
    output = watcher.run(np.zeros((batch_size, *shape), dtype))
    ends_with_probabilities = bool(watcher.rows) and watcher.rows[-1].kind in PROBABILITIES
    return Summary(watcher.rows, batch_size, sum(p.size for p in parameters),
                   sum(p.size for p in parameters if p.requires_grad), sum(p.data.nbytes for p in parameters),
                   output.nbytes * (1 if ends_with_probabilities else 2), type(model).__name__)


class _Watcher:
    """Runs a network and notes every call of a layer that has no layers within it."""

    def __init__(self, model, image):
        self.model, self.image = model, image
        self.rows = []
        self._counted = set()
        # id of an array: (the array, kept so that its id stays its own; its field; its spatial positions)
        self._seen = {}
        for name, layer in model.named_modules():
            if not any(True for _ in layer.children()):
                layer.forward = self._watched(name, layer, layer.forward)

    def run(self, x):
        nd = len(self.image)
        if nd:
            self._seen[id(x)] = (x, ReceptiveField((1,) * nd, (1,) * nd, (0,) * nd), self.image)
        return self.model.forward(x)

    def _watched(self, name, layer, forward):
        def watched(x, *args, **kwargs):
            y = forward(x, *args, **kwargs)
            result = y[0] if isinstance(y, tuple) else y
            _, seen, positions = self._seen.get(id(x), (None, None, None))
            if seen is not None:
                seen, positions = self._field(layer, seen, positions, np.shape(x), result.shape)
            self._seen[id(result)] = (result, seen, positions)
            kind = type(layer).__name__
            self.rows.append(Row(name, kind, np.shape(x), result.shape, self._parameters(layer),
                                 _multiply_adds(layer, np.shape(x), result.shape), 0 if kind == "Flatten" else x.nbytes,
                                 seen))
            return y
        return watched

    def _parameters(self, layer):
        new = [p for p in layer.parameters() if id(p) not in self._counted]
        self._counted.update(map(id, new))
        return sum(p.size for p in new)

    def _field(self, layer, seen, positions, input_shape, output_shape):
        """The field after `layer`, and how many elements have one along each axis; (None, None) if it is unknown."""
        kind = type(layer).__name__
        nd = len(self.image)
        if kind in WINDOWS and len(input_shape) == nd + 2 and seen.stride is not None:
            return seen.through_window(*_window(layer, nd)), output_shape[2:]
        if kind in POINTWISE or kind == "Flatten":
            return seen, positions
        # Behind Flatten a Linear sees every position; on maps it would mix only the last axis.
        if kind == "Linear" and len(input_shape) == 2:
            return seen.of_all(positions, self.image), positions
        return None, None


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


def _multiply_adds(layer, input_shape, output_shape):
    kind = type(layer).__name__
    if kind in MIXING:
        return math.prod(output_shape) * math.prod(layer.weight.shape[1:])
    if kind in TRANSPOSED:
        return math.prod(input_shape) * math.prod(layer.weight.shape[1:])
    return 0


def _by(shape):
    return "x".join(map(str, shape)) or "-"


def _short(values):
    if values is None:
        return "-"
    return str(values[0]) if len(set(values)) == 1 else _by(values)


def _count(n):
    return f"{n:,}" if n else "-"
