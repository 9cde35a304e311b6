"""Pictures of what a network has learnt: functions that take arrays and return matplotlib figures.

Nothing here opens a window or touches ``pyplot``'s state: ``figure.savefig(path)`` writes a figure, and a notebook
shows one.
"""

from functools import wraps

import numpy as np

from fastconv.extras import require
from fastconv.inspection.summaries import summary
from fastconv.training.metrics import confusion_matrix

INK, MUTED, RULE = "#1f2933", "#66707c", "#d5dae0"
BLUE, ORANGE = "#1f5fa8", "#d9652b"
STYLE = {
    "figure.dpi": 144, "figure.facecolor": "white", "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.11, "figure.constrained_layout.w_pad": 0.11,
    "font.family": "sans-serif", "font.size": 10, "text.color": INK,
    "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 10,
    "axes.edgecolor": RULE, "axes.labelcolor": MUTED, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": RULE, "grid.linewidth": 0.6,
    "xtick.color": MUTED, "ytick.color": MUTED, "legend.frameon": False, "lines.linewidth": 2,
}


def styled(plot):
    @wraps(plot)
    def styled(*args, **kwargs):
        with require("matplotlib").rc_context(STYLE):
            return plot(*args, **kwargs)
    return styled


@styled
def curves(training, validation=None, title="Training"):
    """Plot loss and accuracy after each epoch.

    Parameters
    ----------
    training, validation : dict
        ``{"loss": sequence, "accuracy": sequence}``, a number an epoch; accuracy 0 to 1.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(9, 3.8)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for label, history, color, marker in (("training", training, BLUE, "o"),
                                              ("validation", validation, ORANGE, "s")):
            if history is not None:
                values = _numbers("curves", f"{label}[{name!r}]", history[name], 1)
                axes.plot(np.arange(1, len(values) + 1), values, color=color, marker=marker, markersize=4, label=label)
        axes.set(title=f"{title}: {name}", xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.margins(x=0.04)
        if name == "loss":
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(top=min(1.005, axes.get_ylim()[1] + 0.01))
            axes.yaxis.set_major_formatter(require("matplotlib.ticker").PercentFormatter(1, decimals=None))
        axes.legend(loc="best")
    return figure


@styled
def filter_grid(weight, columns=8, title="Filters"):
    """Draw the filters of a 2-D convolution, blue where they subtract and red where they add.

    Parameters
    ----------
    weight : array_like
        (K, C, R, S). A filter with several channels is drawn as their mean.
    columns : int
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    weight = _numbers("filter_grid", "weight", weight, 4)
    tiles = weight.mean(axis=1)
    limit = float(np.abs(tiles).max()) or 1.0
    return _grid(tiles, columns, title, cmap="RdBu_r", vmin=-limit, vmax=limit, bar="weight")


@styled
def activation_grid(maps, columns=8, title="Activations"):
    """Draw the channels of one example's activations on one scale of brightness.

    Parameters
    ----------
    maps : array_like
        (C, H, W).
    columns : int
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    maps = _numbers("activation_grid", "maps", maps, 3)
    return _grid(maps, columns, title, cmap="magma", vmin=float(maps.min()), vmax=float(maps.max()), bar="activation")


@styled
def image_grid(images, columns=10, title="Images"):
    """Draw many images of one size beside each other.

    Parameters
    ----------
    images : array_like
        (N, H, W) or (N, 1, H, W) in shades of gray, the largest element black; or (N, 3, H, W) in colors, 0 to 1.
    columns : int
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    images = np.asarray(images, float)
    if images.ndim not in (3, 4) or not images.size or (images.ndim == 4 and images.shape[1] not in (1, 3)):
        raise ValueError(f"image_grid: images must have shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), got "
                         f"{images.shape}")
    images = np.moveaxis(images, 1, -1) if images.ndim == 4 else images[..., None]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width, channels = images.shape[1:]
    # One picture of all is drawn twenty times faster than a hundred of one each.
    mosaic = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), np.nan)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        mosaic[1 + row * (height + 1):, 1 + column * (width + 1):][:height, :width] = image
    tile = max(0.62, 5 / columns)
    figure = _figure(tile * columns + 0.4, tile * rows * height / width + 0.7)
    axes = figure.subplots()
    if channels == 1:
        axes.imshow(np.ma.masked_invalid(mosaic[..., 0]), cmap="gray_r")
    else:
        axes.imshow(np.nan_to_num(mosaic.clip(0, 1), nan=1))
    axes.set_axis_off()
    figure.suptitle(title, x=0.012, ha="left", fontweight="bold", fontsize=12)
    return figure


@styled
def receptive_field(image, model, layer, element=None, title=None):
    """Draw over an image what one element of a layer's output sees of it.

    Parameters
    ----------
    image : array_like
        (H, W), (1, H, W) or, in colors, (3, H, W); what `model` takes, without the batch.
    model : Layer
    layer : str or int
        The layer's name as in `summary`, or the number of its row, from 0.
    element : (int, int), optional
        Row and column in the layer's output; the one in the middle by default.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        The field, clipped to the image, in full color within a frame; a dashed frame shows what lies in the padding.
    """
    image = np.asarray(image, float)
    if image.ndim not in (2, 3) or not image.size or (image.ndim == 3 and image.shape[0] not in (1, 3)):
        raise ValueError(f"receptive_field: image must have shape (H, W), (1, H, W) or (3, H, W), got {image.shape}")
    pixels = np.moveaxis(image, 0, -1) if image.ndim == 3 else image[..., None]
    found = summary(model, np.moveaxis(pixels, -1, 0).shape).rows
    row = _row("receptive_field", found, layer)
    seen, positions = row.receptive_field, row.output_shape[2:]
    if seen is None:
        raise ValueError(f"receptive_field: that of {row.name} {row.kind} is not known")
    if element is None:
        element = tuple(n // 2 for n in positions) or (0, 0)
    if positions and (len(element) != 2 or not all(0 <= i < n for i, n in zip(element, positions, strict=True))):
        raise ValueError(f"receptive_field: element must lie within the output's {_by(positions)} elements, got "
                         f"{tuple(element)}")
    rows, columns = seen.clipped(element, pixels.shape[:2])
    (top, bottom), (left, right) = seen.of(element)
    if not (top < bottom and left < right):
        raise ValueError(f"receptive_field: element {tuple(element)} of {row.name} {row.kind} depends on nothing")

    figure = _figure(5.2, 5.2 * pixels.shape[0] / pixels.shape[1] + 0.7)
    axes = figure.subplots()
    axes.imshow(pixels if pixels.shape[2] == 3 else pixels[..., 0], cmap="gray_r")
    veil = np.zeros((*pixels.shape[:2], 4))
    veil[...] = (1, 1, 1, 0.62)
    veil[rows, columns] = 0
    axes.imshow(veil)
    frame = require("matplotlib.patches").Rectangle
    height, width = pixels.shape[:2]
    axes.plot(np.array([0, width, width, 0, 0]) - 0.5, np.array([0, 0, height, height, 0]) - 0.5, color=RULE,
              linewidth=1)
    clipped = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    whole = (left, top, right - left, bottom - top)
    for (x, y, width, height), line in ((whole, (0, (3, 2))), (clipped, "-"))[int(whole == clipped):]:
        axes.add_patch(frame((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=ORANGE, linewidth=2,
                             linestyle=line))
    axes.set(xlim=(min(left, 0) - 0.5, max(right, pixels.shape[1]) - 0.5),
             ylim=(max(bottom, pixels.shape[0]) - 0.5, min(top, 0) - 0.5), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set(visible=False)
    if title is None:
        which = f"element {tuple(map(int, element))} of {_by(positions)}" if positions else "every element"
        title = f"{row.name} {row.kind}: {which} sees {_by((clipped[3], clipped[2]))} pixels".strip()
    axes.set_title(title, fontsize=10)
    return figure


def _row(op, rows, layer):
    if isinstance(layer, str):
        named = [row for row in rows if row.name == layer]
        if not named:
            raise ValueError(f"{op}: layer must be one of {', '.join(repr(row.name) for row in rows)}, got {layer!r}")
        return named[-1]
    if not -len(rows) <= layer < len(rows):
        raise ValueError(f"{op}: layer must be a name or from 0 to {len(rows) - 1}, got {layer!r}")
    return rows[layer]


def _by(shape):
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape))


@styled
def confusion(labels, predictions, names=None, title="Confusion matrix"):
    """Draw how often each class was taken for each.

    Parameters
    ----------
    labels, predictions : array_like
        (N,), class indices.
    names : sequence of str, optional
        The classes' names; their indices by default.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Rows are true classes, columns predicted ones; shades are shares of a row, the correct ones in blue and the
        errors in orange.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(f"confusion: labels and predictions must be vectors of one length, got shapes {labels.shape} "
                         f"and {predictions.shape}")
    if not len(labels):
        raise ValueError("confusion: labels must not be empty")
    counts = confusion_matrix(predictions, labels, None if names is None else len(names))
    classes = len(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [str(i) for i in range(classes)] if names is None else list(names)

    figure = _figure(6.4, 6.1)
    axes = figure.subplots()
    colors = require("matplotlib.colors")
    right = colors.LinearSegmentedColormap.from_list("right", ["white", BLUE])
    wrong = colors.LinearSegmentedColormap.from_list("wrong", ["white", ORANGE])
    # Errors are rare: on the diagonal's scale they would all be white.
    diagonal = np.eye(classes, dtype=bool)
    worst = max(float(share[~diagonal].max(initial=0)), 1e-9)
    axes.imshow(np.where(diagonal[..., None], right(share), wrong(share / worst * 0.8)))
    for i, j in np.ndindex(classes, classes):
        if counts[i, j]:
            axes.text(j, i, counts[i, j], ha="center", va="center",
                      color="white" if i == j and share[i, j] > 0.5 else INK, fontsize=10 if classes <= 12 else 7)
    axes.set_xticks(range(classes), names)
    axes.set_yticks(range(classes), names)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=RULE, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    accuracy = counts[diagonal].sum() / len(labels)
    axes.set(xlabel="predicted", ylabel="true",
             title=f"{title}: {accuracy:.1%} of {len(labels):,} right, {len(labels) - counts[diagonal].sum()} wrong")
    return figure


@styled
def hardest(images, labels, probabilities, count=12, names=None, title="Hardest examples"):
    """Draw the examples whose true class got the lowest probability, each with its three likeliest classes.

    Parameters
    ----------
    images : array_like
        (N, H, W) or (N, 1, H, W).
    labels : array_like
        (N,), class indices.
    probabilities : array_like
        (N, classes).
    count : int
    names : sequence of str, optional
        The classes' names; their indices by default.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Hardest first; the bar of the true class is blue.
    """
    images, labels, probabilities = np.asarray(images), np.asarray(labels), np.asarray(probabilities)
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),) or len(images) != len(labels):
        raise ValueError(f"hardest: images, labels and probabilities must have one length, got shapes {images.shape}, "
                         f"{labels.shape} and {probabilities.shape}")
    images = images.reshape(len(images), *images.shape[-2:])
    names = [str(i) for i in range(probabilities.shape[1])] if names is None else list(names)
    order = np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")[:count]

    columns = min(4, len(order))
    rows = -(-len(order) // columns)
    figure = _figure(2.75 * columns, 1.62 * rows + 0.6)
    figure.suptitle(title, x=0.012, ha="left", fontweight="bold", fontsize=12)
    cells = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 0.95] * columns)
    for cell in cells.flat:
        cell.set_axis_off()
    for place, example in enumerate(order):
        row, column = divmod(place, columns)
        picture, bars = cells[row, 2 * column:2 * column + 2]
        truth, guess = labels[example], probabilities[example]
        picture.imshow(images[example], cmap="gray_r")
        picture.set_title(f"true: {names[truth]}", fontsize=10, pad=3, loc="center", fontweight="normal")
        top = np.argsort(-guess, kind="stable")[:3]
        heights = np.arange(len(top))[::-1]
        bars.barh(heights, guess[top], height=0.34, left=0,
                  color=[BLUE if c == truth else ORANGE for c in top])
        for y, c in zip(heights, top, strict=True):
            bars.text(0, y + 0.24, f"{names[c]}", ha="left", va="bottom", fontsize=9,
                      fontweight="bold" if c == truth else "normal")
            bars.text(1, y + 0.24, _percent(guess[c]), ha="right", va="bottom", fontsize=8, color=MUTED)
        bars.set(xlim=(0, 1), ylim=(-0.45, len(top) - 0.1))
    return figure


def _percent(p):
    if p < 0.001 or p > 0.999:
        return "< 0.1%" if p < 0.5 else "> 99.9%"
    return f"{p:.1%}"


def _grid(tiles, columns, title, bar, **shades):
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    figure = _figure(0.9 * columns + 1.0, 0.9 * rows + 0.7)
    cells = figure.subplots(rows, columns, squeeze=False)
    for cell in cells.flat[len(tiles):]:
        cell.set_axis_off()
    for cell, tile in zip(cells.flat, tiles, strict=False):
        picture = cell.imshow(tile, **shades)
        cell.set(xticks=[], yticks=[])
        cell.grid(False)
        cell.spines[:].set(visible=True, color=RULE, linewidth=0.8)
    figure.suptitle(title, x=0.012, ha="left", fontweight="bold", fontsize=12)
    scale = figure.colorbar(picture, ax=cells, label=bar, shrink=0.9, aspect=30)
    scale.outline.set_visible(False)
    return figure


def _figure(width, height):
    return require("matplotlib.figure").Figure(figsize=(width, height))


def _numbers(op, name, value, ndim):
    array = np.asarray(value, float)
    if array.ndim != ndim or not array.size:
        raise ValueError(f"{op}: {name} must have {ndim} dimensions and hold something, got shape {array.shape}")
    return array
