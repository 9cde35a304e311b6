"""The computational graph of a network as a picture."""

from dataclasses import dataclass, field

import numpy as np

from fastconv.extras import require
from fastconv.inspection.plots import BLUE, INK, MUTED, ORANGE, styled
from fastconv.inspection.summaries import example
from fastconv.inspection.trace import Node, trace

# Inches. Everything else follows from the widths of the texts.
BOX, GAP, PAD, BETWEEN = 0.36, 0.56, 0.12, 0.4
PARAMETER, PARAMETER_EDGE = 0.31, 0.5
APART = 0.045  # of the arrow of a tensor, and of that of its gradient, from the line between them
LINE = 0.15    # between two lines of a label
SPACE = 0.09   # between two texts in a line
SIZES = {"box": 10, "label": 8.5, "small": 7.5}
DASHES = (0, (3, 2))
TIMES = "\N{MULTIPLICATION SIGN}"
SYMBOLS = {"add": "+", "subtract": "\N{MINUS SIGN}", "multiply": TIMES, "divide": "\N{DIVISION SIGN}"}


@styled
def draw(model, input_shape, batch_size=1, loss=None, jacobians=False, dtype=None, title=None):
    """Draw the computational graph of a network, with the shape of every tensor and of every gradient.

    Parameters
    ----------
    model : Layer
    input_shape : tuple of int
        Of one example: (C, H, W) for images.
    batch_size : int
    loss : Layer or str, optional
        A loss, or the name of one, to draw at the end of the graph; without it the graph ends with the output.
    jacobians : bool
        Give every edge also the size of the Jacobian matrix of what the layer makes by what it takes, and every
        parameter's that by the parameter: elements of the one by elements of the other.
    dtype : dtype, optional
        Of the input, as in `summary`.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        Layers from top to bottom, their parameters to the left of them. Dark arrows are tensors, with their shapes;
        dashed ones lead the gradients of the loss back, with theirs. Whole numbers and frozen parameters have none.
    """
    seen = trace(model, example("draw", model, input_shape, batch_size, dtype))
    boxes, edges = _graph(seen, loss)
    _place(boxes, edges)
    heading = type(model).__name__ if title is None else title
    return _Picture(boxes, edges, jacobians).figure(heading)


@dataclass(eq=False)
class _Box:
    """A node of the picture; `rank` is its row, `column` its column, from 0."""

    text: str
    name: str = ""
    shade: str = "white"
    parameters: list = field(default_factory=list)
    size: int = 0
    rank: int = 0
    column: int = 0


@dataclass(eq=False)
class _Edge:
    """From box to box; `lane` is the column in which it runs down."""

    source: _Box
    target: _Box
    shape: tuple
    has_gradient: bool = True
    lane: int = 0

    @property
    def elements(self):
        return int(np.prod(self.shape, dtype=object))


def _graph(seen, loss):
    """Boxes in the order of the calls, and the edges between them."""
    start = _Box("input")
    made = {seen.input: start}
    boxes, edges = [start], []
    for node in seen.nodes:
        box = _Box(SYMBOLS.get(node.kind, node.kind), node.name, _shade(node),
                   [(name.rpartition(".")[2], p.shape, p.requires_grad) for name, p in node.parameters],
                   node.outputs[0].size if node.outputs else 1)
        boxes.append(box)
        edges += [_Edge(made[tensor], box, tensor.shape, tensor.dtype.kind == "f")
                  for tensor in dict.fromkeys(node.inputs)]
        made.update(dict.fromkeys(node.outputs, box))
    last = _Box("output" if loss is None else loss if isinstance(loss, str) else type(loss).__name__,
                shade="white" if loss is None else "#fbe9e0")
    boxes.append(last)
    # Whether what a network returns besides its output takes part in the loss is not known.
    final = seen.outputs[0]
    edges.append(_Edge(made[final], last, final.shape))
    if loss is not None:
        value = _Box("L")
        last.size = 1
        boxes.append(value)
        edges.append(_Edge(last, value, ()))
    return boxes, edges


def _shade(node: Node):
    if node.layer is None:
        return "white"
    return "#dfeaf5" if node.parameters else "#eef0f2"


def _place(boxes, edges):
    """Give each box a row below those it depends on, each branch a column, each edge that skips rows a free lane."""
    for box in boxes:
        box.rank = max((edge.source.rank + 1 for edge in edges if edge.target is box), default=0)
    taken = set()
    for box in boxes:
        sources = [edge.source for edge in edges if edge.target is box]
        box.column = min((source.column for source in sources), default=0)
        while (box.rank, box.column) in taken:
            box.column += 1
        taken.add((box.rank, box.column))
    for edge in edges:
        edge.lane = max(edge.source.column, edge.target.column)
        between = range(edge.source.rank + 1, edge.target.rank)
        while any((rank, edge.lane) in taken for rank in between):
            edge.lane += 1
        taken.update((rank, edge.lane) for rank in between)


def _chains(boxes, edges, column):
    """What lies below each other in a column and hangs together: lists of boxes and edges."""
    chains = []
    for part in (*(box for box in boxes if box.column == column), *(edge for edge in edges if edge.lane == column)):
        joined = [part]
        for chain in list(chains):
            if isinstance(part, _Edge) and any(box in chain for box in (part.source, part.target)):
                chains.remove(chain)
                joined = chain + joined
        chains.append(joined)
    return chains


class _Picture:
    """Sizes in inches, and the drawing itself."""

    def __init__(self, boxes, edges, jacobians):
        self.boxes, self.edges, self.jacobians = boxes, edges, jacobians
        self.widths = {box: self._box_width(box) for box in boxes}
        self.heights = {box: max(BOX, PARAMETER * len(box.parameters)) for box in boxes}
        self._place_rows()
        self._place_columns()

    def _place_rows(self):
        self.gap = GAP + LINE * self.jacobians
        self.y, at = [], 0.0
        for rank in range(1 + max(box.rank for box in self.boxes)):
            height = max(self.heights[box] for box in self.boxes if box.rank == rank)
            self.y.append(at - height / 2)
            at -= height + self.gap
        self.height = -at - self.gap

    def _place_columns(self):
        """Each chain goes as far to the left as what is beside it lets it: ``self.x`` of boxes and edges."""
        self.x, start = {}, 0.0
        # How far each rank, and the gap below it, is filled: 2 rank, 2 rank + 1.
        filled = [0.0] * (2 * len(self.y))
        for column in range(1 + max([box.column for box in self.boxes] + [edge.lane for edge in self.edges])):
            for chain in _chains(self.boxes, self.edges, column):
                parts = [self._extent(part) for part in chain]
                x = 0.0
                if column:
                    x = max(filled[row] + BETWEEN + left for rows, left, _ in parts for row in rows)
                self.x.update(dict.fromkeys(chain, x))
                start = min([start, *(x - left for _, left, _ in parts)])
                for rows, _, right in parts:
                    for row in rows:
                        filled[row] = max(filled[row], x + right)
        self.left, self.width = start, max(filled) - start

    def _extent(self, part):
        """The rows that a box or an edge takes, and how far it reaches to the left and to the right."""
        if isinstance(part, _Box):
            half = self.widths[part] / 2
            return [2 * part.rank], half + self._parameters_width(part), half
        first = 2 * part.source.rank + (part.lane == part.source.column)
        last = 2 * part.target.rank - (part.lane == part.target.column)
        label = max(_width(text, "label") for text, _ in self._label(part))
        return range(first, last + 1), 2 * APART, 2 * APART + 0.08 + label

    def figure(self, title):
        margin, row = 0.3, 0.19
        key = [(INK, "-", "a tensor and its shape"), (ORANGE, DASHES, "the loss's gradient by it, and its shape")]
        if self.jacobians:
            key.append((MUTED, None, "Jacobian: elements of what comes out by elements of what goes in"))
        width = max(self.width, _width(title, "box") * 1.3, *(0.5 + _width(text, "label") for _, _, text in key))
        heading = 0.45 + row * len(key)
        figure = require("matplotlib.figure").Figure(
            figsize=(width + 2 * margin, self.height + heading + 2 * margin), layout="none")
        left, top = self.left - (width - self.width) / 2, heading
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(left - margin, left + width + margin), ylim=(-self.height - margin, top + margin))
        self.axes.set_axis_off()
        self._text(left, top - 0.05, title, INK, size=12, weight="bold")
        for i, (color, style, text) in enumerate(key):
            y, ends = top - 0.3 - row * i, (left, left + 0.4)
            if style is not None:
                self._path([(x, y) for x in (ends if style == "-" else ends[::-1])], color, style)
            self._text(left + 0.5, y, text, color, size=SIZES["label"])
        for edge in self.edges:
            self._edge(edge)
        for box in self.boxes:
            self._box(box)
        return figure

    def _box(self, box):
        x, y, width, height = self.x[box], self.y[box.rank], self.widths[box], self.heights[box]
        patches = require("matplotlib.patches")
        self.axes.add_patch(patches.FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=box.shade, edgecolor=INK if box.shade == "white" else MUTED, linewidth=0.9, zorder=3))
        kind = _width(box.text, "box")
        whole = kind + (SPACE + _width(box.name, "small") if box.name else 0)
        self._text(x - whole / 2, y, box.text, INK, size=SIZES["box"], weight="bold", zorder=4)
        if box.name:
            self._text(x - whole / 2 + kind + SPACE, y, box.name, MUTED, size=SIZES["small"], zorder=4)
        for i, (name, shape, trained) in enumerate(box.parameters):
            self._parameter(box, name, shape, trained, y + ((len(box.parameters) - 1) / 2 - i) * PARAMETER)

    def _parameter(self, box, name, shape, trained, y):
        text = f"{name} {_by(shape)}"
        width = _width(text, "label") + 2 * PAD
        edge = self.x[box] - self.widths[box] / 2
        end = edge - self._edge_length(box)
        patches = require("matplotlib.patches")
        self.axes.add_patch(patches.FancyBboxPatch(
            (end - width, y - 0.115), width, 0.23, boxstyle="round,pad=0,rounding_size=0.11", facecolor="white",
            edgecolor=BLUE, linewidth=0.9, zorder=3))
        self._text(end - width / 2, y, text, BLUE, size=SIZES["label"], ha="center", zorder=4)
        self._path([(end, y - 0.045), (edge, y - 0.045)], INK, "-")
        if not trained:
            self._text((edge + end) / 2, y + 0.055, "frozen", MUTED, size=SIZES["small"], ha="center")
            return
        self._path([(edge, y - 0.115), (end, y - 0.115)], ORANGE, DASHES)
        texts = self._parameter_label(box, shape)
        at = (edge + end - self._label_width(texts)) / 2
        for text, color in texts:
            self._text(at, y + 0.055, text, color, size=SIZES["small"])
            at += _width(text, "small") + SPACE

    def _edge(self, edge):
        lane = self.x[edge]
        for color, style, side in ((INK, "-", -1), (ORANGE, DASHES, 1))[:1 + edge.has_gradient]:
            x = lane + side * APART
            source = self.y[edge.source.rank] - self._apart(edge.source)
            target = self.y[edge.target.rank] + self._apart(edge.target)
            if edge.lane == edge.source.column:
                points = [(x, self.y[edge.source.rank] - self.heights[edge.source] / 2)]
            else:
                y = source + side * APART
                points = [(self.x[edge.source] + self.widths[edge.source] / 2, y), (x, y)]
            if edge.lane == edge.target.column:
                points.append((x, self.y[edge.target.rank] + self.heights[edge.target] / 2))
            else:
                y = target - side * APART
                points += [(x, y), (self.x[edge.target] + self.widths[edge.target] / 2, y)]
            self._path(points if side < 0 else points[::-1], color, style)
        if edge.lane == edge.target.column:
            middle = self.y[edge.target.rank] + self.heights[edge.target] / 2 + self.gap / 2
        elif edge.lane == edge.source.column:
            middle = self.y[edge.source.rank] - self.heights[edge.source] / 2 - self.gap / 2
        else:
            middle = (self.y[edge.source.rank] + self.y[edge.target.rank]) / 2
        lines = self._label(edge)
        for i, (text, color) in enumerate(lines):
            y = middle + ((len(lines) - 1) / 2 - i) * LINE
            self._text(lane + APART + 0.08, y, text, color, size=SIZES["label"])

    def _apart(self, box):
        """How far above and below its middle edges come to a box from the right and leave it there."""
        comes = any(edge.target is box and edge.lane != box.column for edge in self.edges)
        leaves = any(edge.source is box and edge.lane != box.column for edge in self.edges)
        return 2 * APART if comes and leaves else 0.0

    def _label(self, edge):
        if not edge.has_gradient:
            return [(_by(edge.shape), INK)]
        lines = [(_by(edge.shape), INK), (f"grad {_by(edge.shape)}", ORANGE)]
        if self.jacobians and edge.target.size:
            lines.append((f"Jacobian {edge.target.size}{TIMES}{edge.elements}", MUTED))
        return lines

    def _parameter_label(self, box, shape):
        texts = [(f"grad {_by(shape)}", ORANGE)]
        if self.jacobians:
            texts.append((f"Jacobian {box.size}{TIMES}{int(np.prod(shape, dtype=object))}", MUTED))
        return texts

    def _box_width(self, box):
        named = SPACE + _width(box.name, "small") if box.name else 0
        return max(_width(box.text, "box") + named + 2 * PAD, BOX)

    def _edge_length(self, box):
        labels = (self._parameter_label(box, shape) for _, shape, _ in box.parameters)
        return max(PARAMETER_EDGE, *(self._label_width(label) + 0.16 for label in labels))

    def _label_width(self, texts):
        return sum(_width(text, "small") for text, _ in texts) + SPACE * (len(texts) - 1)

    def _parameters_width(self, box):
        if not box.parameters:
            return 0.0
        texts = max(_width(f"{name} {_by(shape)}", "label") for name, shape, _ in box.parameters)
        return texts + 2 * PAD + self._edge_length(box)

    def _path(self, points, color, style):
        """A line with a head at its end."""
        patches, path = require("matplotlib.patches"), require("matplotlib.path")
        self.axes.add_patch(patches.FancyArrowPatch(
            path=path.Path(points), arrowstyle="-|>,head_length=3.2,head_width=1.7", color=color, linewidth=1.1,
            linestyle=style, capstyle="butt", shrinkA=0, shrinkB=0, zorder=2))

    def _text(self, x, y, text, color, *, size, ha="left", weight="normal", zorder=5):
        self.axes.text(x, y, text, color=color, fontsize=size, ha=ha, va="center_baseline", fontweight=weight,
                       zorder=zorder)


def _by(shape):
    return TIMES.join(map(str, shape)) or "scalar"


def _width(text, kind):
    """In inches."""
    if not text:
        return 0.0
    weight = "bold" if kind == "box" else "normal"
    fonts = require("matplotlib.font_manager")
    path = require("matplotlib.textpath").TextPath((0, 0), text, size=SIZES[kind],
                                                   prop=fonts.FontProperties(family="sans-serif", weight=weight))
    return path.get_extents().x1 / 72
