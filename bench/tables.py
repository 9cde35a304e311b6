"""Numbers and tables of the report, in Markdown."""

from __future__ import annotations

import math

from bench import limits
from bench.implementations import OURS
from bench.reference import DIRECTIONS


def markdown(header, rows):
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def milliseconds(timing):
    """A median to three digits, with its spread."""
    if not timing.samples:
        return "**wrong**" if timing.invalid else "-"
    spread = "" if math.isnan(timing.spread) else f" ±{timing.spread:.0%}"
    return number(timing.median * 1e3) + spread


def number(value):
    """Three significant digits, without an exponent."""
    if math.isnan(value):
        return "-"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if 0 < value < 100 else f"{value:.0f}"


def geometric_mean(values):
    """Of the values that are numbers; NaN if there are none."""
    known = [value for value in values if not math.isnan(value)]
    return math.exp(sum(map(math.log, known)) / len(known)) if known else math.nan


def times(rows, names):
    """The time of every implementation, a row for each case and direction."""
    ours = [name for name in OURS if name in names]
    header = ["milliseconds", *names, *(f"ratio of {name}" for name in ours)]
    return markdown(header, [[f"{row.case.name} {row.direction}".strip(),
                              *(milliseconds(row.timings[name]) for name in names),
                              *(number(row.ratio(name)) for name in ours)] for row in rows])


def details(rows, name, peak):
    """What else is known of one of ours, a row for each case and direction."""
    lines = []
    for row in rows:
        timing, gflops, space = row.timings[name], row.gflops(name), row.workspace.get(name)
        if timing.samples:
            lines.append([f"{row.case.name} {row.direction}", number(gflops),
                          "-" if math.isnan(gflops) else f"{gflops / peak:.0%}", f"{timing.error:.0e}",
                          number(timing.first_call * 1e3), "-" if space is None else number(space / limits.MIB),
                          "-" if space is None else
                          f"{space / limits.workspace(row.case, row.direction, row.threads):.0%}"])
    header = [name, "GFLOP/s", "of peak", "error", "first call, ms", "workspace, MiB", "of what is allowed"]
    return markdown(header, lines) if lines else ""


def precision(rows):
    """The errors that are known, a row for each case and result."""
    names = list(dict.fromkeys(name for row in rows for name in row.errors))
    lines = []
    for row in rows:
        for result in dict.fromkeys(result for errors in row.errors.values() for result in errors):
            found = [row.errors.get(name, {}).get(result) for name in names]
            lines.append([f"{row.case.name} {result}", *("-" if error is None else f"{error:.1e}" for error in found)])
    return markdown(["error", *names], lines)


def summary(rows):
    """For each of ours and each direction the geometric mean of the ratios and the worst row; empty without ratios."""
    lines = []
    for name in (name for name in OURS if name in rows[0].timings):
        for direction in DIRECTIONS:
            ratios = {row.case.name: row.ratio(name) for row in rows if row.direction == direction}
            known = {case: ratio for case, ratio in ratios.items() if not math.isnan(ratio)}
            if known:
                worst = min(known, key=known.get)
                lines.append(f"- {name}, {direction}: {number(geometric_mean(known.values()))} (of {len(known)} "
                             f"cases), worst {number(known[worst])} ({worst})")
    return "\n".join(["Geometric means of the ratios:", "", *lines]) if lines else ""


def brief(rows):
    """The table of README.md: a row for each case, both directions beside each other."""
    header = ["case"]
    for direction in DIRECTIONS:
        header += [f"{direction} numba", "cython", "fastest peer", "ratio"]
    lines = []
    for case in dict.fromkeys(row.case for row in rows):
        line = [case.name]
        for row in (row for row in rows if row.case == case):
            peer = row.fastest_peer
            line += [number(row.timings[name].median * 1e3) if row.timings[name].samples else "-" for name in OURS]
            line += [f"{number(row.timings[peer].median * 1e3)} {peer}" if peer else "-", number(row.ratio(OURS[0]))]
        lines.append(line)
    return markdown(header, lines)
