"""What each layer of a network makes, holds, costs and sees."""

import math
from dataclasses import dataclass, field

import numpy as np

from fastconv import geometry
from fastconv.inspection.fields import Fields, ReceptiveField
from fastconv.inspection.tables import Table
from fastconv.inspection.trace import kind_of, trace

MIXING = {"Conv1d", "Conv2d", "Conv3d", "Linear"}
TRANSPOSED = {"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"}
PROBABILITIES = {"Softmax", "LogSoftmax"}
# Their output is their input's memory: they keep nothing.
VIEWS = {"Flatten", "Unflatten", "Identity"}


@dataclass(frozen=True)
class Row:
    """One call of a layer, or an operation that a container does itself.

    Attributes
    ----------
    name : str
        The layer's place in the network, as in its parameters' names; for an operation that of its container.
    kind : str
        The name of the layer's class or of the NumPy function; ``'?'`` if what a container did was not seen.
    input_shape, output_shape : tuple of int
        With the batch axis; of the first input and output.
    more_outputs : tuple of tuple of int
        The shapes of the other outputs.
    parameters : int
        Elements of its parameters; 0 where an earlier row counts them already.
    multiply_adds : int or None
        Of a forward pass of the batch, by the direct method; those that meet padding counted in. Layers that do not
        multiply by weights (activations, pooling, normalization) have 0; None for a layer that fastconv does not know.
    memory : int
        Bytes kept for the backward pass: those of its inputs, where no earlier row counts them already.
    output_bytes : int
    receptive_field : ReceptiveField or None
        None where there is none, and where it is not known: behind layers that fastconv does not know, adaptive pooling
        of unequal windows, interpolation but by nearest or linear ones of a whole factor, unpooling, whose places the
        numbers decide, and where branches of different strides meet.
    """

    name: str
    kind: str
    input_shape: tuple
    output_shape: tuple
    more_outputs: tuple
    parameters: int
    multiply_adds: int | None
    memory: int
    output_bytes: int
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
    parameter_bytes, input_bytes : int
    loss_bytes : int
        Bytes that the loss keeps: the network's output and, where the network does not end with them itself, the
        probabilities made from it.
    """

    rows: list
    batch_size: int
    parameters: int
    trainable: int
    parameter_bytes: int
    input_bytes: int
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
    def pass_bytes(self):
        """Bytes of every row's output and of its gradient, views of other outputs counted in."""
        return 2 * sum(row.output_bytes for row in self.rows)

    @property
    def multiply_adds(self):
        """Of a forward pass of the batch; layers for which it is not known are left out."""
        return sum(row.multiply_adds or 0 for row in self.rows)

    def table(self):
        """The summary as a `fastconv.inspection.tables.Table`."""
        spatial = any(row.receptive_field for row in self.rows)
        headings = ["<layer", "<output shape", "parameters", "multiply-adds", "memory (B)"]
        headings += ["sees", "stride", "offset"] * spatial
        rows = []
        for row in self.rows:
            made = ", ".join([_by(row.output_shape[1:]), *map(_by, row.more_outputs)])
            cells = [f"{row.name} {row.kind}".strip(), made, _count(row.parameters), _count(row.multiply_adds),
                     _count(row.memory)]
            if spatial:
                seen = row.receptive_field
                cells += ["?", "?", "?"] if seen is None else [_by(seen.size), _short(seen.stride), _short(seen.offset)]
            rows.append(cells)
        last = ["loss", "", "", "", _count(self.loss_bytes)]
        rows.append(last + [""] * (len(headings) - len(last)))
        frozen = f"  ({self.parameters - self.trainable:,} of them frozen)" if self.trainable < self.parameters else ""
        unknown = "  (without the layers marked ?)" if any(row.multiply_adds is None for row in self.rows) else ""
        notes = [f"parameters              {self.parameters:>16,}{frozen}",
                 f"multiply-adds           {self.multiply_adds:>16,}{unknown}",
                 f"memory of parameters    {self.parameter_bytes:>16,} B",
                 f"memory of activations   {self.activation_bytes:>16,} B  (kept for the backward pass)",
                 f"memory together         {self.total_bytes:>16,} B  ({self.total_bytes / 2**20:.2f} MiB)",
                 f"outputs and gradients   {self.pass_bytes:>16,} B  ({self.pass_bytes / 2**20:.2f} MiB)"]
        title = f"{self.title}, batch of {self.batch_size}: {self.parameters:,} parameters"
        return Table(title, headings, rows, notes)

    def print(self, file=None):
        """Print the table: by rich if `file` (standard output) is a terminal and rich is installed, else plain."""
        self.table().print(file)

    def __str__(self):
        return str(self.table())

    def __rich__(self):
        return self.table().__rich__()


def summary(model, input_shape, batch_size=1, dtype=None):
    """Summarise a network: shapes, parameters, multiply-adds, memory of a training step, receptive fields.

    A copy of the network is run once, on zeros. The memory is that of all arrays alive when the loss is known: the
    parameters, the inputs of every layer (but of those that only reshape, whose output is the same memory), the
    network's output, and the probabilities that a cross-entropy makes from it if the network itself does not end in
    Softmax. An array that several layers take counts once. Gradients, an optimizer's state and what a layer keeps
    besides its inputs, such as the indices of max-pooling, are not in it. `Summary.pass_bytes` counts differently:
    every output, and a gradient for each.

    Parameters
    ----------
    model : Layer
    input_shape : tuple of int
        Of one example: (C, H, W) for images.
    batch_size : int
    dtype : dtype, optional
        Of the input. By default that of the parameters; int64 if the first layer is an Embedding.

    Returns
    -------
    Summary
    """
    x = example("summary", model, input_shape, batch_size, dtype)
    parameters = list(model.parameters())
    seen = trace(model, x)
    fields, counted, kept = Fields(x.shape[2:]), set(), set()
    fields.start(seen.input)
    rows = []
    for node in seen.nodes:
        new = [p for _, p in node.parameters if id(p) not in counted]
        counted.update(map(id, new))
        memory = 0
        if node.layer is not None and kind_of(node.layer) not in VIEWS:
            memory = sum({t.memory: t.nbytes for t in node.inputs if t.memory not in kept}.values())
            kept.update(t.memory for t in node.inputs)
        first = node.outputs[0].shape if node.outputs else ()
        rows.append(Row(node.name, node.kind, node.inputs[0].shape if node.inputs else (), first,
                        tuple(t.shape for t in node.outputs[1:]), sum(p.size for p in new), _multiply_adds(node),
                        memory, sum(t.nbytes for t in node.outputs), fields.after(node)))
    output_bytes = sum(t.nbytes for t in seen.outputs[:1])
    ends_with_probabilities = bool(rows) and rows[-1].kind in PROBABILITIES
    return Summary(rows, len(x), sum(p.size for p in parameters),
                   sum(p.size for p in parameters if p.requires_grad), sum(p.data.nbytes for p in parameters),
                   x.nbytes, output_bytes * (1 if ends_with_probabilities else 2), type(model).__name__)


def example(op, model, input_shape, batch_size, dtype):
    """A batch of zeros that `model` takes."""
    shape = geometry.sizes(op, "input_shape", tuple(input_shape), len(tuple(input_shape)), 1)
    (batch_size,) = geometry.sizes(op, "batch_size", batch_size, 1, 1)
    if dtype is None:
        first = next((layer for layer in model.modules() if not any(True for _ in layer.children())), model)
        parameter = next(model.parameters(), None)
        dtype = np.int64 if kind_of(first) == "Embedding" else np.float32 if parameter is None else parameter.dtype
    return np.zeros((batch_size, *shape), dtype)


def _multiply_adds(node):
    if node.layer is None:
        return None if node.kind in ("?", "matmul", "dot", "einsum", "tensordot") else 0
    kind = kind_of(node.layer)
    if kind is None or not node.outputs:
        return None
    made = math.prod(node.outputs[0].shape)
    if kind in MIXING:
        return made * math.prod(node.layer.weight.shape[1:])
    if kind in TRANSPOSED:
        return math.prod(node.inputs[0].shape) * math.prod(node.layer.weight.shape[1:])
    if kind == "RNN":
        steps = made // node.outputs[0].shape[-1]
        return steps * sum(p.size for _, p in node.parameters if p.ndim == 2)
    return 0


def _by(shape):
    return "x".join(map(str, shape)) or "-"


def _short(values):
    if values is None:
        return "-"
    return str(values[0]) if len(set(values)) == 1 else _by(values)


def _count(n):
    return "?" if n is None else f"{n:,}" if n else "-"
