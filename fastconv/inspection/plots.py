"""Pictures of what a network has learnt: functions that take arrays and return matplotlib figures.

Nothing here opens a window or touches ``pyplot``'s state: ``figure.savefig(path)`` writes a figure, and a notebook
shows one.
"""

from functools import wraps

import numpy as np

from fastconv.extras import require
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


def _styled(plot):
    @wraps(plot)
    def styled(*args, **kwargs):
        with require("matplotlib").rc_context(STYLE):
            return plot(*args, **kwargs)
    return styled


@_styled
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


@_styled
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


@_styled
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


@_styled
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


@_styled
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
