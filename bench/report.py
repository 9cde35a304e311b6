"""Time fastconv beside its peers, each in a process of its own, and write the tables of README.md and RESULTS.md.

    python -m bench.report [--quick] [--threads 1 2] [--case NAME ...] [--update-readme]
    python -m bench.report --replot [--update-readme]
    python -m bench.report --operations | --networks [--threads 1 2] [--output FOLDER]

Every implementation is validated against float64 before it is timed. A part of the suite (--quick, --case) is only
printed. A whole run is kept in RESULTS.json; --replot makes page and pictures from it again.
With --operations it is what lies beyond convolution and pooling that is timed, beside torch, into OPERATIONS.md; with
--networks layers of known networks, into NETWORKS.md.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import pathlib
import subprocess
import sys

from bench import bars, environment, plots, saved, start
from bench.cases import POOLS, SUITE, by_name
from bench.implementations import OURS
from bench.measure import PEERS, TIMED, Run, measure, measure_rows
from bench.pages import PAGES
from bench.tables import brief, details, markdown, number, precision, summary, times

RESULTS = environment.ROOT / "bench" / "RESULTS.md"
README = environment.ROOT / "README.md"
BEGIN, END = "<!-- benchmark table: begin -->", "<!-- benchmark table: end -->"
QUICK = ("fer_2", "lab7_3", "sobel", "max_lab7")


def measured_peaks(threads):
    """{number of threads: what `bench.peak` prints of it}, measured in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "bench.peak", "--threads", *map(str, threads)], cwd=environment.ROOT,
                          capture_output=True, text=True, check=True)
    return {int(count): peaks for count, peaks in json.loads(done.stdout).items()}


def results_page(run, pictures=()):
    """The text of RESULTS.md; `pictures` are what `bench.plots.draw` returns."""
    names = run.names
    problems = {}
    for row in itertools.chain(run.rows, run.float64, run.reduced, run.steps, run.overhead):
        for name, timing in row.timings.items():
            if timing.why_not not in ("", "not supported"):
                problems.setdefault(f"{name}: {timing.why_not}", []).append(f"{row.case.name} {row.direction}")
    ours = [name for name in OURS if name in names]
    parts = [
        "# Results", f"Written by `make bench-report` on {run.date}.",
        "## What is asked and what was found",
        f"*Ratio* is the time of the fastest of {', '.join(PEERS)} divided by ours: above 1, ours is faster. What "
        "falls short is in **bold**; beside each figure stands its worst row. Plain loops get smaller cases, of "
        "less than a million multiply-adds.",
        bars.table(run),
        "## How it was measured",
        "Milliseconds are the median of all repeats, ± half the distance between the quartiles. GFLOP/s are effective: "
        "2 for each multiply-add of the direct form, padding counted in. *Error* is the largest, beside float64, as a "
        "part of the largest result. *First call* includes compilation or loading. A backward pass computes the "
        "gradients of input, weight and bias. onnxruntime's weights are constants that it may rearrange beforehand; "
        "the others get them anew at every call. Where Numba's tiles are for AMX too, it multiplies float32 as "
        "bfloat16 halves, three products for one, which the peers would do only if told to; the measured peak is that "
        "of float32. *copy* moves the bytes that a pooling must read and write. "
        "*Workspace* is what a call holds at most beyond its arguments and results, when nothing was kept from before.",
        markdown(["what", "value"], [[what, value] for what, value in run.about.items()])]
    for threads in dict.fromkeys(row.threads for row in run.rows):
        rows, peak = run.at(threads), run.peaks[threads]
        count = f"{threads} thread{'s' * (threads > 1)}"
        parts += [f"## {count}",
                  f"Measured peak: {number(peak['float32'])} GFLOP/s of float32 multiply-adds. Measured bandwidth: "
                  f"{number(peak['bandwidth'])} GB/s, read and written together, of a copy far larger than the caches.",
                  *(f"![{text}](plots/{file})" for file, text in pictures if text.endswith(f", {count}")),
                  times(rows, names), summary(rows), *(details(rows, name, peak["float32"]) for name in ours)]
        for title, more in (("Convolutions in float64", run.float64), ("A step of training", run.steps),
                            ("Cut down for plain loops", run.reduced), ("A call with next to nothing to compute",
                                                                        run.overhead)):
            chosen = [row for row in more if row.threads == threads]
            if chosen:
                parts += [f"### {title}, {count}", times(chosen, list(chosen[0].timings)),
                          summary(chosen) if more is run.float64 else ""]
    parts += ["## Precision",
              "The largest error beside float64, as a part of the largest element, at fastconv's levels and of torch.",
              precision(run.rows)] if any(row.errors for row in run.rows) else []
    if problems:
        parts += ["## Not timed", "\n".join(f"- {why} ({', '.join(dict.fromkeys(where))})"
                                            for why, where in problems.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def readme_part(run):
    """What stands between the two markers of README.md."""
    threads = run.rows[0].threads
    rows = run.at(threads)
    return (f"Milliseconds, float32, {threads} thread{'s' * (threads > 1)} of {run.about['CPU']}, whose "
            f"measured peak is {number(run.peaks[threads]['float32'])} GFLOP/s. *Ratio*: the fastest peer's time "
            "divided by Numba's; above 1, fastconv is faster.\n\n"
            f"![Ratio of every row](bench/plots/ratio_{threads}.png)\n\n{brief(rows)}\n\n{summary(rows)}\n\n"
            "What is asked of them, more threads, spread, float64 and errors: [bench/RESULTS.md](bench/RESULTS.md).")


def replace_between(text, part, begin=BEGIN, end=END):
    """`text` with `part` between the two markers in place of what stood there."""
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"expected one line {begin!r} and one line {end!r}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"


def write(run, results, update_readme):
    """Write page and pictures of a whole run, and README's table if asked for; returns the page."""
    page = results_page(run, plots.draw(run, results.parent / "plots"))
    results.write_text(page, encoding="utf-8")
    if update_readme:
        README.write_text(replace_between(README.read_text(encoding="utf-8"), readme_part(run)), encoding="utf-8")
    return page


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small cases for a moment each")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N", help="numbers of threads (1)")
    parser.add_argument("--case", action="append", metavar="NAME", help="this case only; may be repeated")
    parser.add_argument("--only", action="append", choices=TIMED, metavar="NAME",
                        help=f"this implementation only; may be repeated: {', '.join(TIMED)}")
    parser.add_argument("--seconds", type=float, default=0.15, help="for each implementation in each round (0.15)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all take turns (3)")
    parser.add_argument("--update-readme", action="store_true", help="also replace the table in README.md")
    pages = parser.add_mutually_exclusive_group()
    for page in PAGES.values():
        pages.add_argument(f"--{page.option}", dest="page", action="store_const", const=page,
                           help=f"{page.what.partition(',')[0]}: writes {page.file}")
    parser.add_argument("--replot", action="store_true", help="measure nothing: page and pictures from RESULTS.json")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS.parent, metavar="FOLDER",
                        help="where page, RESULTS.json and pictures go (bench); README's table is of bench")
    options = parser.parse_args(arguments)
    options.results = options.output / RESULTS.name
    elsewhere = options.output != RESULTS.parent
    if options.update_readme and elsewhere:
        parser.error("--update-readme does not go with --output")
    page = options.page
    if page and (options.quick or options.update_readme or options.replot):
        parser.error(f"--{page.option} goes with none of --quick, --update-readme and --replot")
    partial = options.quick or options.case or options.only
    if partial and (options.update_readme or options.replot or elsewhere):
        parser.error("--update-readme, --replot and --output need the whole suite: leave out --quick, --case and "
                     "--only")
    if options.replot:
        write(saved.load(options.results.with_suffix(".json")), options.results, options.update_readme)
        return 0
    known = list(page.cases) if page else [case.name for case in (*SUITE, *POOLS)]
    chosen = options.case or (QUICK if options.quick else known)
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"there is no case {unknown[0]!r}; expected one of {', '.join(known)}")
    names = options.only or (page.names if page else TIMED)
    timed = ([by_name(name) for name in chosen], names, *((0.02, 1) if options.quick else
                                                          (options.seconds, options.rounds)))
    rows = _beyond(options, timed, partial) if page else _suite(options, timed, partial)
    return 1 if any(timing.invalid for row in rows for timing in row.timings.values()) else 0


def _beyond(options, timed, partial):
    by_threads = {threads: measure_rows(threads, *timed) for threads in options.threads}
    text = options.page.text(by_threads, timed[1])
    print(text)
    if not partial:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / options.page.file).write_text(text, encoding="utf-8")
    return list(itertools.chain(*by_threads.values()))


def _suite(options, timed, partial):
    run = Run(datetime.date.today().isoformat(), environment.describe(), measured_peaks(options.threads))
    for threads in options.threads:
        measure(run, threads, *timed)
    if partial:
        print(results_page(run))
    else:
        run.start = start.measured(name for name in OURS if name in run.names)
        options.output.mkdir(parents=True, exist_ok=True)
        saved.save(run, options.results.with_suffix(".json"))
        print(write(run, options.results, options.update_readme))
    return [*run.rows, *run.float64, *run.reduced, *run.steps]


if __name__ == "__main__":
    sys.exit(main())
