"""Processes that measure, led from here, and what they found: every implementation has a process of its own.

All of them take turns, round after round, so that a machine that slows down for a while slows them all.
"""

from __future__ import annotations

import contextlib
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

from bench import environment, limits, training
from bench.cases import OVERHEAD, Conv
from bench.implementations import IMPLEMENTATIONS, OURS, reduced
from bench.reference import DIRECTIONS

TIMED = tuple(name for name in IMPLEMENTATIONS if name != "loops")
PEERS = tuple(name for name, implementation in IMPLEMENTATIONS.items() if implementation.peer)
# So slow that one round will do.
BASELINES = ("tensordot", "loops")
# Those that compute in float64 too, and do steps of training.
FLOAT64 = (*OURS, "torch", "torch channels_last")
# {what stands behind a name: fastconv's precision}, and whose errors are asked for; torch has one precision.
PRECISIONS = {"highest": "highest", "high": "high", "": "high"}
PRECISE = {"highest": OURS, "high": OURS, "": ("torch", "torch channels_last")}
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
    workspace: dict[str, int] = field(default_factory=dict)  # bytes, of ours
    errors: dict[str, dict[str, float]] = field(default_factory=dict)  # {implementation and precision: {result: error}}

    @property
    def fastest_peer(self):
        """The name of the fastest peer, or None if none was timed."""
        timed = [name for name in PEERS if name in self.timings and self.timings[name].samples]
        return min(timed, key=lambda name: self.timings[name].median, default=None)

    def ratio(self, ours, other=None):
        """The time of `other` (the fastest peer) by ours: above 1, ours is faster. NaN where one of them is missing."""
        other = other or self.fastest_peer
        timed = [self.timings[name].samples for name in (ours, other) if name in self.timings]
        if len(timed) < 2 or not all(timed):
            return math.nan
        return self.timings[other].median / self.timings[ours].median

    def gflops(self, name):
        """Effective GFLOP/s: 2 for each multiply-add of the direct form, padding counted in; NaN for a pooling."""
        if not isinstance(self.case, Conv):
            return math.nan
        return 2 * limits.multiply_adds(self.case, self.direction) / self.timings[name].median / 1e9


@dataclass
class Run:
    """All that a run of the report finds: rows of both directions at each number of threads, and what is measured once.

    Attributes
    ----------
    date : str
    about : dict
        What `bench.environment.describe` says.
    peaks : dict
        {threads: {'float32', 'float64': GFLOP/s of multiply-adds, 'bandwidth': GB/s of a copy}}.
    rows, float64 : list of Row
        The suite in float32, and its convolutions in float64.
    reduced : list of Row
        The cases that are small enough for plain loops, at the first number of threads.
    steps : list of Row
        Steps of training.
    overhead : list of Row
        A convolution that is next to nothing.
    start : dict
        {what: seconds} of the first calls in a new process.
    """

    date: str
    about: dict[str, str]
    peaks: dict[int, dict[str, float]]
    rows: list[Row] = field(default_factory=list)
    float64: list[Row] = field(default_factory=list)
    reduced: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    overhead: list[Row] = field(default_factory=list)
    start: dict[str, float] = field(default_factory=dict)

    @property
    def names(self):
        """Of the implementations that were timed, in order."""
        return list(self.rows[0].timings)

    def at(self, threads):
        """The rows of the suite at a number of threads."""
        return [row for row in self.rows if row.threads == threads]


class Session:
    """The processes of one number of threads, and how long each is timed.

    Use it in a ``with`` statement, which ends them.
    """

    def __init__(self, threads, names, seconds, rounds):
        self.threads, self.names, self.seconds, self.rounds = threads, names, seconds, rounds
        self.processes = {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(tempfile.TemporaryDirectory())
            self.referee = Process("torch", 1)
            stack.callback(self.referee.close)
            if self.referee.missing:
                raise SystemExit(f"the reference is computed by torch: {self.referee.missing}")
            for name in self.names:
                self.processes[name] = Process(name, self.threads)
                stack.callback(self.processes[name].close)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self.stack.close()

    def each(self, cases):
        """The cases, with a progress bar."""
        return tqdm(cases, desc=f"{self.threads} thread{'s' * (self.threads > 1)}", unit="case")

    def reference(self, case, reduced=False):
        """The path of what every implementation must compute."""
        path = str(Path(self.folder, "reference.npz"))
        self.refer(do="reference", case=case.name, path=path, reduced=reduced)
        return path

    def refer(self, **task):
        """What the reference's process answers; no run goes on without it."""
        answer = self.referee.ask(**task)
        if "error" in answer:
            raise SystemExit(f"the reference ({task}): {answer['error']}")
        return answer

    def row(self, case, direction, task, names=None, rounds=None):
        """Validate each of the names (all) by `task`, then time them in turns."""
        names = [name for name in self.names if names is None or name in names]
        timings = {}
        for name in names:
            process = self.processes[name]
            answer = {"error": process.missing} if process.missing else process.ask(**task)
            timings[name] = (Timing(why_not=answer["error"], invalid=answer.get("invalid", False))
                             if "error" in answer else
                             Timing(error=answer["error_found"], first_call=answer["first_call"]))
        for i in range(rounds or self.rounds):
            for name, timing in timings.items():
                if not timing.why_not and (i == 0 or name not in BASELINES):
                    time.sleep(PAUSE)
                    answer = self.processes[name].ask(do="time", seconds=self.seconds)
                    timing.samples += answer.get("samples", [])
                    timing.why_not = answer.get("error", "")
        return Row(case, direction, self.threads, timings)

    def known(self, names, key, task):
        """{name: what it answers under `key`}, of those of the names that answer."""
        answers = {name: self.processes[name].ask(**task) for name in names
                   if name in self.processes and not self.processes[name].missing}
        return {name: answer[key] for name, answer in answers.items() if key in answer}


def measure_rows(threads, cases, names, seconds, rounds):
    """A `Row` for each case and direction."""
    rows = []
    with Session(threads, names, seconds, rounds) as session:
        for case in session.each(cases):
            path = session.reference(case)
            rows += [session.row(case, direction, dict(do="validate", case=case.name, direction=direction, path=path))
                     for direction in DIRECTIONS]
    return rows


def measure(run, threads, cases, names, seconds, rounds):
    """Add to `run` what there is to measure of `cases` at so many threads; some of it at the first number only."""
    first = not run.rows
    with Session(threads, (*names, "loops") if first else names, seconds, rounds) as session:
        for case in session.each(cases):
            path = session.reference(case)
            for direction in DIRECTIONS:
                task = dict(do="validate", case=case.name, direction=direction, path=path)
                row = session.row(case, direction, task, names)
                run.rows.append(row)
                if isinstance(case, Conv):
                    row.workspace = session.known(OURS, "bytes", dict(do="workspace"))
                    run.float64.append(session.row(case, direction, task | {"dtype": "float64"}, FLOAT64, 1))
                    if first:
                        for label, level in PRECISIONS.items():
                            asked = task | {"do": "errors", "precision": level}
                            known = session.known(PRECISE[label], "errors", asked)
                            row.errors |= {f"{name} {label}".strip(): errors for name, errors in known.items()}
            if first:
                path = session.reference(case, reduced=True)
                for direction in DIRECTIONS:
                    task = dict(do="validate", case=case.name, direction=direction, path=path, reduced=True)
                    run.reduced.append(session.row(reduced(case), direction, task, (*OURS, "loops"), 1))
        task = dict(do="validate", case=OVERHEAD.name, direction="forward", path=session.reference(OVERHEAD))
        run.overhead.append(session.row(OVERHEAD, "forward", task, FLOAT64))
        for step in training.STEPS:
            losses = session.refer(do="train_reference", batch=step.batch)["losses"]
            run.steps.append(session.row(step, "", dict(do="train", batch=step.batch, losses=losses), FLOAT64))
