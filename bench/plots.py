"""Pictures of a run of the report: the ratio and the share of the peak of each row, and the roofline."""

from __future__ import annotations

import itertools
import math

from bench import limits
from bench.bars import CONVOLUTION, POOLING, SHARE_OF_PEAK
from bench.cases import Conv
from bench.implementations import OURS
from bench.reference import DIRECTIONS
from fastconv.extras import require

# White, so that they can be read on a dark page too.
INK, MUTED, RULE, BLUE, ORANGE = "#1f2933", "#66707c", "#d5dae0", "#1f5fa8", "#d9652b"
STYLE = {
    "figure.facecolor": "white", "figure.constrained_layout.use": True, "font.size": 9, "text.color": INK,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": RULE, "grid.linewidth": 0.6, "xtick.color": MUTED, "ytick.color": INK,
    "legend.frameon": False,
}
MARKS = {"numba": dict(marker="o", color=BLUE), "cython": dict(marker="D", color=ORANGE, markerfacecolor="white")}


def draw(run, folder):
    """Write the pictures of each number of threads into `folder`: a list of (file name, what it shows)."""
    folder.mkdir(exist_ok=True)
    written = []
    with require("matplotlib").rc_context(STYLE):
        for threads in dict.fromkeys(row.threads for row in run.rows):
            count = f"{threads} thread{'s' * (threads > 1)}"
            for name, (plot, text) in PLOTS.items():
                figure = plot(run, threads)
                figure.suptitle(f"{text}, {count}", x=0.01, ha="left", fontsize=13, fontweight="bold")
                path = folder / f"{name}_{threads}.png"
                # Without the version of matplotlib in it: the same figures give the same file.
                figure.savefig(path, dpi=100, metadata={"Software": None})
                written.append((path.name, f"{text}, {count}"))
    return written


def ratios(run, threads):
    """The fastest peer's time by ours of every row, on a logarithmic axis."""
    rows = run.at(threads)
    figure, panels = _panels(rows)
    for direction, axes in zip(DIRECTIONS, panels, strict=True):
        chosen = [row for row in rows if row.direction == direction]
        _lines(axes, chosen)
        for i, row in enumerate(chosen):
            each = CONVOLUTION[direction][1] if isinstance(row.case, Conv) else POOLING[1]
            axes.plot([each, each], [i - 0.4, i + 0.4], color=MUTED, linewidth=1.5,
                      label="asked of the row" if i == 0 else None)
        _marks(axes, chosen, lambda row, name: row.ratio(name))
        axes.axvline(1, color=INK, linewidth=1)
        mean = CONVOLUTION[direction][0]
        axes.axvline(mean, color=INK, linewidth=1, linestyle=":", label="asked of the mean of convolutions")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_title(direction)
        axes.set_xlabel("fastest peer's time / ours (above 1: ours is faster)")
    _legend(figure, panels[-1])
    return figure


def shares(run, threads):
    """Effective GFLOP/s of every convolution as a share of the measured peak; with transforms it may be over 100%."""
    rows = [row for row in run.at(threads) if isinstance(row.case, Conv)]
    peak = run.peaks[threads]["float32"]
    figure, panels = _panels(rows)
    for direction, axes in zip(DIRECTIONS, panels, strict=True):
        chosen = [row for row in rows if row.direction == direction]
        _lines(axes, chosen)
        for i, row in enumerate(chosen):
            if limits.transformed(row.case, direction):
                axes.axhspan(i - 0.5, i + 0.5, color=RULE, alpha=0.5, linewidth=0)
        _marks(axes, chosen, lambda row, name: row.gflops(name) / peak)
        axes.axvline(1, color=INK, linewidth=1)
        axes.axvline(SHARE_OF_PEAK, color=INK, linewidth=1, linestyle=":",
                     label=f"asked of direct rows of 64 channels and more: {SHARE_OF_PEAK:.0%}")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_title(direction)
        axes.set_xlabel(f"effective GFLOP/s / {peak:.0f} (shaded: has a Winograd transform)")
    _legend(figure, panels[-1])
    return figure


def roofline(run, threads):
    """GFLOP/s of every convolution over its multiply-adds a byte, under the peak and the bandwidth of a copy."""
    name = next(name for name in OURS if name in run.names)
    peak, bandwidth = run.peaks[threads]["float32"], run.peaks[threads]["bandwidth"]
    figure = require("matplotlib.figure").Figure(figsize=(11, 5.6))
    panels, named = figure.subplots(1, 2, sharey=True), {}
    for direction, axes in zip(DIRECTIONS, panels, strict=True):
        points = [(limits.multiply_adds(row.case, direction) / limits.bytes_moved(row.case, direction),
                   row.gflops(name), row.case.name, limits.transformed(row.case, direction))
                  for row in run.at(threads) if row.direction == direction and isinstance(row.case, Conv)
                  and row.timings[name].samples]
        named[axes] = [point[:3] for point in points]
        if not points:
            continue
        bend = peak / bandwidth / 2
        left, right = min(x for x, *_ in points) / 1.6, max(bend, *(x for x, *_ in points)) * 2.5
        axes.plot([left, bend, right], [2 * left * bandwidth, peak, peak], color=INK, linewidth=1.2,
                  label=f"measured: {peak:.0f} GFLOP/s, {bandwidth:.0f} GB/s")
        for transformed, style, label in ((False, dict(color=BLUE, marker="o"), "direct"),
                                          (True, dict(color=ORANGE, marker="s"),
                                           "has a Winograd transform: effective")):
            chosen = [(x, y) for x, y, _, is_so in points if is_so == transformed]
            if chosen:
                axes.plot(*zip(*chosen, strict=True), linestyle="", markersize=5, label=label, **style)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(left, right)
        axes.set_title(direction)
        axes.set_xlabel("multiply-adds a byte of arguments and results")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(require("matplotlib.ticker").LogLocator(subs=(1, 2, 5)))
            axis.set_minor_locator(require("matplotlib.ticker").NullLocator())
            axis.set_major_formatter(lambda value, _: f"{value:g}")
    panels[0].set_ylabel(f"GFLOP/s, {name}")
    panels[0].set_ylim(top=1.4 * panels[0].get_ylim()[1])
    _legend(figure, panels[0])
    figure.draw_without_rendering()
    for axes in panels:
        _name_points(axes, named[axes])
    return figure


PLOTS = {"ratio": (ratios, "Ratio to the fastest peer"), "peak": (shares, "Share of the measured peak"),
         "roofline": (roofline, "Roofline")}


def _panels(rows):
    count = len({row.case.name for row in rows})
    figure = require("matplotlib.figure").Figure(figsize=(11, 1.9 + 0.23 * count))
    return figure, figure.subplots(1, 2, sharey=True)


def _lines(axes, rows):
    axes.set_yticks(range(len(rows)), [row.case.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(length=0)


def _marks(axes, rows, value):
    for name in OURS:
        points = [(value(row, name), i) for i, row in enumerate(rows)
                  if name in row.timings and row.timings[name].samples]
        points = [(x, i) for x, i in points if not math.isnan(x)]
        if points:
            axes.plot(*zip(*points, strict=True), linestyle="", markersize=5, label=name, **MARKS[name])


def _legend(figure, axes):
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=len(labels))


# Directions from a point in which its name may stand, the better ones first, and how far away, in points.
SIDES = ((1, 0), (-1, 0), (0.6, 0.8), (0.6, -0.8), (-0.6, 0.8), (-0.6, -0.8), (0, 1), (0, -1))
DISTANCES = (5, 9, 14, 20, 27, 35, 44)


def _name_points(axes, points, size=7):
    """Write the name of each of the points (x, y, name) beside it, where no other name and no point is in the way."""
    scale = 72 / axes.figure.dpi
    window = [scale * edge for edge in axes.bbox.extents]
    places = {name: scale * axes.transData.transform((x, y)) for x, y, name in points}
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in places.values()]
    for x, y, name in sorted(points, key=lambda point: -point[1]):
        width, height = 0.62 * size * len(name), 1.1 * size
        for distance, (dx, dy) in itertools.product(DISTANCES, SIDES):
            left = distance * dx - width * (1 - dx / max(abs(dx), 0.1)) / 2
            bottom = distance * dy - height / 2
            across, up = places[name]
            box = (across + left, up + bottom, across + left + width, up + bottom + height)
            if (window[0] <= box[0] and box[2] <= window[2]
                    and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)):
                break
        taken.append(box)
        line = dict(arrowstyle="-", color=MUTED, linewidth=0.5, shrinkA=0, shrinkB=3) if distance > 9 else None
        axes.annotate(name, xy=(x, y), xytext=(left, bottom), textcoords="offset points", fontsize=size, va="bottom",
                      arrowprops=line)
