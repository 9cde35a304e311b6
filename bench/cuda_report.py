"""The page and the plot of the CUDA benchmark, from what was measured."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

PASSES = ("forward", "input gradient", "weight gradient")
ROOFLINE = "cuda_roofline.png"


@dataclass(frozen=True)
class Row:
    """One case in one pass.

    Attributes
    ----------
    case : str
    what : str
        One of `PASSES`, or "backward" of a pooling.
    mode : {'float32', 'tensor cores'}
        Whether tensor cores were allowed, on both sides.
    kind : {'convolution', 'few channels', 'pooling'}
        'few channels' are depthwise and grouped convolutions.
    ours, theirs : float
        Median seconds; NaN where there is nothing to compare with.
    flops : int
        Two for each multiply-add of the direct form.
    bytes : int
        Arguments read once and results written once.
    error : float
        The largest error over the largest result.
    """

    case: str
    what: str
    mode: str
    kind: str
    ours: float
    theirs: float
    flops: int
    bytes: int
    error: float

    @property
    def ratio(self):
        """cuDNN's time over ours: above 1, ours is faster."""
        return self.theirs / self.ours


@dataclass(frozen=True)
class Machine:
    """What was measured of the device: bytes a second of a copy, read and written; FLOP/s of torch's products."""

    facts: dict
    copy: float
    float32: float
    tensor: float
    host: dict  # {(function, library of its arrays): seconds that a warm call takes the host}

    def limit(self, row):
        """The least seconds that a row could take: its arithmetic at the rate of a product, or its bytes of a copy."""
        peak = self.tensor if row.mode == "tensor cores" else self.float32
        return max(row.flops / peak, row.bytes / self.copy)

    def bound_by_memory(self, row):
        """Whether moving the bytes takes longer than the arithmetic."""
        return row.bytes / self.copy > row.flops / self.float32


def geometric_mean(values):
    """NaN of none."""
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan


def page(rows, machine, failures):
    """The whole page.

    Parameters
    ----------
    rows : list of Row
    machine : Machine
    failures : list of str
        What validation found wrong, which was not timed, and what could not be run.
    """
    lines = ["# CUDA benchmark", "",
             "Written by `make bench-cuda`. Medians of CUDA events, at batch 64, of the kernels alone, validated "
             "before. *Ratio*: torch's time, that is cuDNN's with `cudnn.benchmark`, over ours; above 1, ours is "
             "faster. *Of limit*: the time that the device needs at least, by its copy bandwidth or by its rate in "
             "torch's matrix products, over ours.", ""]
    lines += [f"- {name}: {value}" for name, value in machine.facts.items()]
    lines += [f"- copy bandwidth: {machine.copy / 1e9:,.0f} GB/s; matrix product: {machine.float32 / 1e12:.1f} TFLOP/s "
              f"in float32, {machine.tensor / 1e12:.1f} with TF32", ""]
    if failures:
        lines += ["## Wrong or missing", "", *(f"- {failure}" for failure in failures), ""]
    lines += ["## Against the bars", "", *_bars(rows, machine), "", f"![Roofline]({ROOFLINE})", ""]
    lines += [*_host(machine.host), ""]
    for mode in dict.fromkeys(row.mode for row in rows):
        lines += [f"## {mode[0].upper()}{mode[1:]}", "",
                  "| case | pass | ours ms | torch ms | ratio | TFLOP/s | GB/s | of limit | error |",
                  "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        lines += [_line(row, machine) for row in rows if row.mode == mode] + [""]
    return "\n".join(lines)


def _host(times):
    """What a call costs besides the kernels: a table of functions by libraries."""
    libraries = list(dict.fromkeys(library for _, library in times))
    lines = ["## The host", "", "Microseconds that a warm call of a small case takes before it returns, by the library "
             "of its arrays; aim 50.", "", f"| function | {' | '.join(libraries)} |",
             f"| --- |{' ---: |' * len(libraries)}"]
    for function in dict.fromkeys(function for function, _ in times):
        cells = [_or_nothing(1e6 * times.get((function, library), math.nan), ".1f") for library in libraries]
        lines.append(f"| {function} | {' | '.join(cells)} |")
    return lines


def _line(row, machine):
    return (f"| {row.case} | {row.what} | {row.ours * 1e3:.4g} | {_or_nothing(row.theirs * 1e3, '.4g')} | "
            f"{_or_nothing(row.ratio, '.2f')} | {row.flops / row.ours / 1e12:.2f} | "
            f"{row.bytes / row.ours / 1e9:,.0f} | {machine.limit(row) / row.ours:.2f} | {row.error:.1e} |")


def _or_nothing(value, form):
    return "" if math.isnan(value) else format(value, form)


def _bars(rows, machine):
    lines = ["| what | geometric mean | rows | worst | bar |", "| --- | ---: | ---: | --- | --- |"]
    exact = [row for row in rows if row.mode == "float32" and not math.isnan(row.ratio)]
    for what in PASSES:
        lines.append(_bar(f"float32, {what}", [row for row in exact if row.what == what and row.kind == "convolution"],
                          "mean 0.7, no row under 0.3"))
    lines.append(_bar("float32, depthwise and grouped", [row for row in exact if row.kind == "few channels"],
                      "each 1.0"))
    lines.append(_bar("pooling", [row for row in exact if row.kind == "pooling"], "each 1.0"))
    bound = [row for row in rows if row.mode == "float32" and machine.bound_by_memory(row)]
    lines.append(_bar("share of the copy bandwidth, rows bound by memory", bound, "each 0.7",
                      lambda row: row.bytes / machine.copy / row.ours))
    lines.append(_bar("tensor cores allowed", [row for row in rows if row.mode == "tensor cores"
                                               and not math.isnan(row.ratio)], "aim 0.5"))
    return lines


def _bar(name, rows, bar, value=lambda row: row.ratio):
    if not rows:
        return f"| {name} | | 0 | | {bar} |"
    worst = min(rows, key=value)
    return (f"| {name} | {geometric_mean([value(row) for row in rows]):.2f} | {len(rows)} | {value(worst):.2f} "
            f"({worst.case}, {worst.what}) | {bar} |")


def roofline(rows, machine, path):
    """Draw rows in float32 under the two limits of the device."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(8, 5), layout="constrained").subplots()
    exact = [row for row in rows if row.mode == "float32"]
    reach = [row.flops / row.bytes for row in exact if row.flops]
    ends = [min(reach, default=0.1) / 2, max(reach, default=100) * 2]
    ridge = machine.float32 / machine.copy
    points = sorted({*ends, ridge})
    axes.plot(points, [min(machine.float32, machine.copy * x) / 1e12 for x in points], color="black")
    for name, mark, time in (("fastconv", "o", lambda row: row.ours), ("torch", "x", lambda row: row.theirs)):
        shown = [row for row in exact if row.flops and not math.isnan(time(row))]
        axes.scatter([row.flops / row.bytes for row in shown], [row.flops / time(row) / 1e12 for row in shown],
                     marker=mark, label=name)
    axes.set(xscale="log", yscale="log", xlabel="FLOP a byte", ylabel="TFLOP/s", title="float32")
    axes.legend()
    axes.figure.savefig(path, dpi=120)
