"""The bars that the CPU engines are held to, and what a run of the report found of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench import limits
from bench.cases import POOLS, SUITE
from bench.implementations import OURS
from bench.tables import geometric_mean, markdown, number

# {direction: (geometric mean, every row, every row of 3 x 3 on large maps)} of the ratio to the fastest peer.
CONVOLUTION = {"forward": (1.5, 0.95, 1.5), "backward": (2.0, 1.0, 1.25)}
MIX = 1.3  # the mean forward of layers outside the suite
POOLING = (1.0, 0.9)
TENSORDOT, LOOPS, FLOAT64, STEP = 5, 1000, 2, 2
NCHW_POOLING, COPIES = 10, 1.5
SHARE_OF_PEAK, CHANNELS = 0.85, 64
OVERHEAD = 10e-6
HIGHEST, HIGH = 2, 1e-5
START = {"import": 0.1, "warm": 1, "cold": 30}


@dataclass
class Bar:
    """What was asked, what was found, and on which row it was worst."""

    what: str
    asked: str
    figure: str
    worst: str
    held: bool


def bar(what, values, limit, *, mean=False, most=False, show=None):
    """The `Bar` of some values; None where none of them is known.

    Parameters
    ----------
    what : str
    values : dict
        {row: value}, NaN where it is not known.
    limit : float
        What they must reach: all of them, or with `mean` their geometric mean; with `most` they may not exceed it.
    show : function, optional
        Of a value to text.
    """
    show = show or number
    known = {row: value for row, value in values.items() if not math.isnan(value)}
    if not known:
        return None
    worst = (max if most else min)(known, key=known.get)
    figure = geometric_mean(known.values()) if mean else known[worst]
    asked = f"{'≤' if most else '≥'} {show(limit)}{' (geometric mean)' if mean else ''}"
    return Bar(what, asked, show(figure), f"{show(known[worst])} {worst}",
               figure <= limit if most else figure >= limit)


def found(run, threads, name):
    """The bars of one of ours at a number of threads: a list of `Bar`."""
    rows = run.at(threads)
    convolutions = _of(rows, SUITE)
    bars = []
    for direction, (mean, each, large) in CONVOLUTION.items():
        ratios = {row.case.name: row.ratio(name) for row in convolutions if row.direction == direction}
        plain = {row.case.name: row.ratio(name) for row in convolutions if row.direction == direction
                 and _plain(row.case)}
        what = f"convolution {direction}, ratio"
        bars += [bar(what, ratios, mean, mean=True), bar(f"{what}, each row", ratios, each),
                 bar(f"{what}, each 3 x 3 row, stride 1, maps from 28 x 28", plain, large)]
    pools = _of(rows, POOLS)
    ratios = {_label(row): row.ratio(name) for row in pools}
    over_torch = {row.case.name: row.ratio(name, "torch") for row in pools
                  if row.case.op == "max" and row.direction == "forward"}
    copies = {_label(row): 1 / row.ratio(name, "copy") for row in pools}
    bars += [bar("maximum pooling forward, ratio to torch NCHW", over_torch, NCHW_POOLING, mean=True),
             bar("pooling, ratio", ratios, POOLING[0], mean=True), bar("pooling, ratio, each row", ratios, POOLING[1]),
             bar("pooling, time over that of a copy of its bytes", copies, COPIES, most=True)]
    doubles = [row for row in run.float64 if row.threads == threads]
    steps = [row for row in run.steps if row.threads == threads]
    shares = {_label(row): row.gflops(name) / run.peaks[threads]["float32"] for row in convolutions
              if name in row.timings and row.timings[name].samples
              and limits.channels(row.case) >= CHANNELS and not limits.transformed(row.case, row.direction)}
    spaces = {_label(row): row.workspace[name] / limits.workspace(row.case, row.direction, threads)
              for row in convolutions if name in row.workspace}
    calls = {_label(row): _median(row, name) for row in run.overhead if row.threads == threads}
    bars += [bar("float64 convolution, ratio to torch", _ratios(doubles, name), FLOAT64, mean=True),
             bar("ratio to `tensordot`", _ratios(rows, name, "tensordot"), TENSORDOT, mean=True),
             bar("ratio to `loops`, cases of reduced size",
                 _ratios((row for row in run.reduced if row.threads == threads), name, "loops"), LOOPS, mean=True),
             bar("share of the measured peak, direct products of 64 channels and more", shares, SHARE_OF_PEAK,
                 show=_percent),
             bar("step of training, ratio to torch", _ratios(steps, name), STEP),
             bar("workspace, share of what is allowed", spaces, 1, most=True, show=_percent),
             bar("a call of conv2d with 1 x 1 x 5 x 5", calls, OVERHEAD, most=True, show=_microseconds)]
    return [one for one in (*bars, *_precision(convolutions, name), *_start(run, threads, name)) if one is not None]


def _precision(rows, name):
    highest, larger, high = {}, {}, {}
    for row in rows:
        for result, error in row.errors.get(f"{name} high", {}).items():
            high[f"{_label(row)} {result}"] = error
        for result, error in row.errors.get(f"{name} highest", {}).items():
            # torch's two layouts differ by up to ten times.
            torch = [row.errors.get(layout, {}).get(result, 0) for layout in ("torch", "torch channels_last")]
            if torch[0]:
                highest[f"{_label(row)} {result}"] = error / torch[0]
                larger[f"{_label(row)} {result}"] = error / max(torch)
    return [bar("error at 'highest', by that of torch NCHW", highest, HIGHEST, most=True),
            bar("error at 'highest', by the larger one of torch's layouts", larger, HIGHEST, most=True),
            bar("error at 'high', part of the largest result", high, HIGH, most=True, show=_scientific)]


def _start(run, threads, name):
    if threads != next(iter(run.peaks)):
        return []
    seconds = {what: run.start.get(what if what == "import" else f"{name} {what}", math.nan) for what in START}
    texts = {"import": "`import fastconv` after NumPy", "warm": "first forward and backward, disk cache warm",
             "cold": "first forward and backward, disk cache cold"}
    return [bar(texts[what], {"new process": value}, START[what], most=True, show=_seconds)
            for what, value in seconds.items()]


def table(run):
    """All bars in Markdown: a row for each at each number of threads; what is not reached is in bold."""
    names = [name for name in OURS if name in run.names]
    lines = {}
    for threads in dict.fromkeys(row.threads for row in run.rows):
        for name in names:
            for one in found(run, threads, name):
                cells = lines.setdefault((one.what, one.asked, str(threads)), {})
                cells[name] = (one.figure if one.held else f"**{one.figure}**", one.worst)
    header = ["bar", "asked", "threads", *(text for name in names for text in (name, "its worst row"))]
    order = {}
    for key in lines:
        order.setdefault(key[:2], []).append(key)
    return markdown(header, [[*key, *(text for name in names for text in lines[key].get(name, ("-", "-")))]
                             for keys in order.values() for key in keys])


def _of(rows, cases):
    names = {case.name for case in cases}
    return [row for row in rows if row.case.name in names]


def _plain(case):
    """Undilated 3 x 3 with stride 1 on maps of 28 x 28 and more."""
    g = case.geometry()
    return (g.kernel == (1, 3, 3) and g.stride == g.dilation == (1, 1, 1) and not case.transposed
            and min(g.input[1:]) >= 28)


def _label(row):
    return f"{row.case.name} {row.direction}".strip()


def _ratios(rows, name, other=None):
    return {_label(row): row.ratio(name, other) for row in rows}


def _median(row, name):
    return row.timings[name].median if name in row.timings and row.timings[name].samples else math.nan


def _percent(value):
    return f"{value:.0%}"


def _scientific(value):
    return f"{value:.1e}"


def _microseconds(value):
    return f"{number(value * 1e6)} µs"


def _seconds(value):
    return f"{number(value)} s"
