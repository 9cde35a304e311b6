"""Time fastconv beside its peers, each in a process of its own, and write the tables of README.md and RESULTS.md.

    python -m bench.report [--quick] [--threads 1 2] [--case NAME ...] [--update-readme]
    python -m bench.report --operations [--threads 1 2]

Every implementation is validated against float64 before it is timed. All of them take turns, round after round, so
that a machine that slows down for a while slows them all. A part of the suite (--quick, --case) is only printed.
With --operations it is what lies beyond convolution and pooling that is timed, beside torch, into OPERATIONS.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import itertools
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from bench import environment
from bench.cases import POOLS, SUITE, Conv, by_name
from bench.implementations import IMPLEMENTATIONS, OURS
from bench.operations import TIMED as OPERATIONS
from bench.reference import DIRECTIONS

RESULTS = environment.ROOT / "bench" / "RESULTS.md"
OPERATIONS_PAGE = environment.ROOT / "bench" / "OPERATIONS.md"
README = environment.ROOT / "README.md"
BEGIN, END = "<!-- benchmark table: begin -->", "<!-- benchmark table: end -->"
OPERATIONS_NAMES = (*OURS, "torch")
QUICK = ("fer_2", "lab7_3", "sobel", "max_lab7")
TIMED = tuple(name for name in IMPLEMENTATIONS if name != "loops")
PEERS = tuple(name for name, implementation in IMPLEMENTATIONS.items() if implementation.peer)
PAUSE = 0.05  # seconds in which the threads of whoever was timed before stop spinning


class Process:
    """A `bench.worker`."""

    def __init__(self, name, threads):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", name, str(threads)], cwd=environment.ROOT, text=True,
            env=environment.for_threads(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.missing = self._answer().get("error")

    def ask(self, **task):
        """The worker's answer to `task`."""
        try:
            print(json.dumps(task), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": "its process has ended"}
        return self._answer()

    def close(self):
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def _answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"its process ended with status {self.process.wait()}"}


@dataclass
class Timing:
    """What is known of one implementation on one case in one direction."""

    samples: list[float] = field(default_factory=list)
    error: float = math.nan
    first_call: float = math.nan
    why_not: str = ""
    invalid: bool = False

    @property
    def median(self):
        """In seconds; infinite if it was not timed."""
        return statistics.median(self.samples) if self.samples else math.inf

    @property
    def spread(self):
        """Half the distance between the quartiles, as a part of the median."""
        if len(self.samples) < 3:
            return math.nan
        first, _, third = statistics.quantiles(self.samples, n=4)
        return (third - first) / 2 / self.median


@dataclass
class Row:
    """One case in one direction at one number of threads."""

    case: object
    direction: str
    threads: int
    timings: dict[str, Timing]

    @property
    def fastest_peer(self):
        """The name of the fastest peer, or None if none was timed."""
        timed = [name for name in PEERS if name in self.timings and self.timings[name].samples]
        return min(timed, key=lambda name: self.timings[name].median, default=None)

    def ratio(self, ours):
        """The fastest peer's time by ours: above 1, ours is faster. NaN where one of them is missing."""
        if self.fastest_peer is None or not self.timings[ours].samples:
            return math.nan
        return self.timings[self.fastest_peer].median / self.timings[ours].median

    def gflops(self, name):
        """Effective GFLOP/s: 2 for each multiply-add of the direct form, padding counted in; NaN for a pooling."""
        if not isinstance(self.case, Conv):
            return math.nan
        passes = 1 if self.direction == "forward" else 2  # the input's gradient and the weight's
        return 2 * passes * self.case.geometry().multiply_adds / self.timings[name].median / 1e9


def measure(cases, threads, names, seconds, rounds):
    """A `Row` for each case and direction."""
    with contextlib.ExitStack() as stack:
        def start(name, count):
            process = Process(name, count)
            stack.callback(process.close)
            return process

        folder = stack.enter_context(tempfile.TemporaryDirectory())
        referee = start("torch", 1)
        if referee.missing:
            raise SystemExit(f"the reference is computed by torch: {referee.missing}")
        processes = {name: start(name, threads) for name in names}
        rows = []
        for case in tqdm(cases, desc=f"{threads} thread{'s' * (threads > 1)}", unit="case"):
            path = str(Path(folder, "reference.npz"))
            answer = referee.ask(do="reference", case=case.name, path=path)
            if "error" in answer:
                raise SystemExit(f"the reference of {case.name}: {answer['error']}")
            for direction in DIRECTIONS:
                rows.append(_row(case, direction, threads, processes, path, seconds, rounds))
    return rows


def _row(case, direction, threads, processes, path, seconds, rounds):
    timings = {}
    for name, process in processes.items():
        answer = ({"error": process.missing} if process.missing else
                  process.ask(do="validate", case=case.name, direction=direction, path=path))
        timings[name] = (Timing(why_not=answer["error"], invalid=answer.get("invalid", False)) if "error" in answer else
                         Timing(error=answer["error_found"], first_call=answer["first_call"]))
    for _ in range(rounds):
        for name, timing in timings.items():
            if not timing.why_not:
                time.sleep(PAUSE)
                answer = processes[name].ask(do="time", seconds=seconds)
                timing.samples += answer.get("samples", [])
                timing.why_not = answer.get("error", "")
    return Row(case, direction, threads, timings)


def measured_peaks(threads):
    """{number of threads: GFLOP/s of float32 multiply-adds}, measured in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "bench.peak", "--threads", *map(str, threads)], cwd=environment.ROOT,
                          capture_output=True, text=True, check=True)
    return {int(count): peak["float32"] for count, peak in json.loads(done.stdout).items()}


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
    return markdown(header, [[f"{row.case.name} {row.direction}", *(milliseconds(row.timings[name]) for name in names),
                              *(number(row.ratio(name)) for name in ours)] for row in rows])


def details(rows, name, peak):
    """What else is known of one of ours, a row for each case and direction."""
    lines = []
    for row in rows:
        timing, gflops = row.timings[name], row.gflops(name)
        if timing.samples:
            lines.append([f"{row.case.name} {row.direction}", number(gflops),
                          "-" if math.isnan(gflops) else f"{gflops / peak:.0%}", f"{timing.error:.0e}",
                          number(timing.first_call * 1e3)])
    return markdown([name, "GFLOP/s", "of peak", "error", "first call, ms"], lines) if lines else ""


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


def results_page(by_threads, peaks, names):
    """The text of RESULTS.md."""
    about = environment.describe()
    problems = {}
    for row in itertools.chain(*by_threads.values()):
        for name, timing in row.timings.items():
            if timing.why_not not in ("", "not supported"):
                problems.setdefault(f"{name}: {timing.why_not}", []).append(f"{row.case.name} {row.direction}")
    parts = [
        "# Results", f"Written by `make bench-report` on {datetime.date.today().isoformat()}.",
        "Milliseconds are the median of all repeats, ± half the distance between the quartiles. GFLOP/s are effective: "
        "2 for each multiply-add of the direct form, padding counted in. *Ratio* is the time of the fastest of "
        f"{', '.join(PEERS)} divided by ours: above 1, ours is faster. *Error* is the largest, beside float64, as a "
        "part of the largest result. *First call* includes compilation or loading. A backward pass computes the "
        "gradients of input, weight and bias. onnxruntime's weights are constants that it may rearrange beforehand; "
        "the others get them anew at every call.",
        markdown(["what", "value"], [[what, value] for what, value in about.items()])]
    for threads, rows in by_threads.items():
        parts += [f"## {threads} thread{'s' * (threads > 1)}",
                  f"Measured peak: {number(peaks[threads])} GFLOP/s of float32 multiply-adds.",
                  times(rows, names), summary(rows),
                  *(details(rows, name, peaks[threads]) for name in OURS if name in names)]
    if problems:
        parts += ["## Not timed", "\n".join(f"- {why} ({', '.join(dict.fromkeys(where))})"
                                            for why, where in problems.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def operations_page(by_threads, names):
    """The text of OPERATIONS.md."""
    parts = [
        "# Operations",
        f"Written by `python -m bench.report --operations` on {datetime.date.today().isoformat()}: everything beyond "
        "convolution and pooling, forward and backward.",
        "Milliseconds are the median of all repeats, ± half the distance between the quartiles. *Ratio* is torch's "
        "time divided by ours: above 1, ours is faster. Maps are 8 x 64 x 56 x 56, float32; `bench/operations.py` has "
        "the calls. torch's gradients are those of its autograd, on a graph that is kept.",
        markdown(["what", "value"], [[what, value] for what, value in environment.describe().items()])]
    for threads, rows in by_threads.items():
        parts += [f"## {threads} thread{'s' * (threads > 1)}", times(rows, names), summary(rows), _slowest(rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _slowest(rows, below=1.0):
    lines = [f"- {row.case.name} {row.direction}: {number(row.ratio(OURS[0]))}"
             for row in sorted(rows, key=lambda row: row.ratio(OURS[0])) if row.ratio(OURS[0]) < below]
    return "\n".join([f"Slower than torch with {OURS[0]}:", "", *lines]) if lines else ""


def readme_part(by_threads, peaks):
    """What stands between the two markers of README.md."""
    threads, rows = next(iter(by_threads.items()))
    return (f"Milliseconds, float32, {threads} thread{'s' * (threads > 1)} of {environment.describe()['CPU']}, whose "
            f"measured peak is {number(peaks[threads])} GFLOP/s. *Ratio*: the fastest peer's time divided by Numba's; "
            "above 1, fastconv is faster.\n\n"
            f"{brief(rows)}\n\n{summary(rows)}\n\n"
            "More threads, spread, GFLOP/s and errors: [bench/RESULTS.md](bench/RESULTS.md).")


def replace_between(text, part, begin=BEGIN, end=END):
    """`text` with `part` between the two markers in place of what stood there."""
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"expected one line {begin!r} and one line {end!r}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small cases for a moment each")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N", help="numbers of threads (1)")
    parser.add_argument("--case", action="append", metavar="NAME", help="this case only; may be repeated")
    parser.add_argument("--only", action="append", choices=TIMED, metavar="NAME",
                        help=f"this implementation only; may be repeated: {', '.join(TIMED)}")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each implementation in each round (0.3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all take turns (3)")
    parser.add_argument("--update-readme", action="store_true", help="also replace the table in README.md")
    parser.add_argument("--operations", action="store_true",
                        help="what lies beyond convolution and pooling, beside torch: writes bench/OPERATIONS.md")
    options = parser.parse_args(arguments)
    if options.operations and (options.quick or options.update_readme):
        parser.error("--operations goes with neither --quick nor --update-readme")
    partial = options.quick or options.case or options.only
    if partial and options.update_readme:
        parser.error("--update-readme needs the whole suite: leave out --quick, --case and --only")
    known = list(OPERATIONS) if options.operations else [case.name for case in (*SUITE, *POOLS)]
    chosen = options.case or (QUICK if options.quick else known)
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"there is no case {unknown[0]!r}; expected one of {', '.join(known)}")
    seconds, rounds = (0.02, 1) if options.quick else (options.seconds, options.rounds)
    names = options.only or (OPERATIONS_NAMES if options.operations else TIMED)

    peaks = None if options.operations else measured_peaks(options.threads)
    by_threads = {threads: measure([by_name(name) for name in chosen], threads, names, seconds, rounds)
                  for threads in options.threads}
    page = operations_page(by_threads, names) if options.operations else results_page(by_threads, peaks, names)
    print(page)
    if not partial:
        (OPERATIONS_PAGE if options.operations else RESULTS).write_text(page, encoding="utf-8")
    if options.update_readme:
        README.write_text(replace_between(README.read_text(encoding="utf-8"), readme_part(by_threads, peaks)),
                          encoding="utf-8")
    wrong = [row for rows in by_threads.values() for row in rows if any(t.invalid for t in row.timings.values())]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
