"""The table of a network's convolution and pooling layers on every backend, and on torch if it is installed."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from fastconv import backends, layers
from fastconv.demo.measure import CHECKED
from fastconv.inspection.tables import Table

# Cores in use by others: with 1.0 of two, torch and numba with two threads took 10 to 60 times as long.
DISTURBED = 0.2
WATCHED = 0.2  # seconds
BLAS_AND_OPENMP = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def cases_of(model, input_shape):
    """The convolution and max-pooling layers that `model` runs on an input of `input_shape`.

    Parameters
    ----------
    model : Sequential
        Its convolutions have stride 1 and no padding, and its pooling windows are square and do not overlap.
    input_shape : tuple of int
        (N, C, H, W).

    Returns
    -------
    list of dict
        As `fastconv.demo.measure` takes them, with a ``label`` besides.
    """
    cases = []
    x = np.zeros(input_shape, np.float32)
    for layer in model:
        size = "x".join(map(str, x.shape[2:]))
        if isinstance(layer, layers.Conv2d):
            k, c, r, s = layer.weight.shape
            cases.append({"kind": "conv", "x": x.shape, "w": layer.weight.shape,
                          "label": f"conv {r}x{s}, {c} to {k}, on {size}"})
        elif isinstance(layer, layers.MaxPool2d):
            cases.append({"kind": "pool", "x": x.shape, "w": layer.kernel_size,
                          "label": f"max-pool {layer.kernel_size}x{layer.kernel_size}, {x.shape[1]}, on {size}"})
        x = layer.forward(x)
    return cases


class Comparison:
    """Measures implementations, one `measure` each, in the order of `names`; `table` shows those that are done.

    A context manager: at its end the oracle's results are deleted.

    Parameters
    ----------
    cases : list of dict
        From `cases_of`; all of one batch size, a multiple of `fastconv.demo.measure.CHECKED`.
    threads : int

    Attributes
    ----------
    names : list of str
        What can be measured: the backends that are installed, the oracle first, and torch if it is.
    results : dict of str to dict
        What `fastconv.demo.measure.measure` answered for each.
    disturbance : float
        How many cores other processes kept busy at most, seen just before each measurement.
    missing, failed : dict of str to str
        Why an implementation is not in the table.
    """

    def __init__(self, cases, threads):
        self.cases, self.threads = cases, threads
        self.batch = cases[0]["x"][0]
        self.results, self.failed = {}, {}
        self.disturbance = 0.0
        self.missing = {name: why for name, why in backends.available().items() if why}
        # The others are held against what the oracle writes.
        self.names = ["loops", *(n for n in backends.NAMES if n not in self.missing and n != "loops")]
        if importlib.util.find_spec("torch") is not None:
            self.names.append("torch")
        else:
            self.missing["torch"] = "not installed"
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._folder.cleanup()

    def measure(self, name):
        """Check and time one implementation in a process of its own."""
        self.disturbance = max(self.disturbance, _cores_in_use())
        threads = str(self.threads)
        environment = {**os.environ, **dict.fromkeys(BLAS_AND_OPENMP, threads)}
        request = {"implementation": name, "threads": self.threads, "cases": self.cases,
                   "expected": os.path.join(self._folder.name, "expected.npz")}
        child = subprocess.run([sys.executable, "-m", "fastconv.demo.measure"], input=json.dumps(request), text=True,
                               capture_output=True, env=environment, check=False)
        if child.returncode:
            self.failed[name] = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        else:
            self.results[name] = json.loads(child.stdout)

    @property
    def wrong(self):
        """What differed from the oracle, a line each."""
        return [f"{name}: {case['label']}: {row['wrong']}" for name, result in self.results.items()
                for case, row in zip(self.cases, result["rows"], strict=True) if row["wrong"]]

    def table(self):
        """The `Table` of what has been measured."""
        names = [n for n in (*backends.NAMES, "torch") if n in self.results]
        torch = self.results.get("torch")
        headings = ["<layer", "<direction", *(f"{n}*" if n == "loops" else n for n in names)]
        rows = []
        totals = {name: {"forward": 0.0, "backward": 0.0} for name in names}
        for i, case in enumerate(self.cases):
            for direction in ("forward", "backward"):
                cells = []
                for name in names:
                    seconds = self._seconds(name, i, direction)
                    totals[name][direction] += np.nan if seconds is None else seconds
                    cells.append(_cell(seconds, torch and self._seconds("torch", i, direction), name))
                rows.append([case["label"] if direction == "forward" else "", direction, *cells])
        for direction in ("forward", "backward"):
            rows.append(["all of them" if direction == "forward" else "", direction,
                         *(_cell(totals[n][direction], torch and totals["torch"][direction], n) for n in names)])
        return Table(f"Milliseconds for a batch of {self.batch}, float32, {self.threads} "
                     f"thread{'s' * (self.threads != 1)}", headings, rows, self._notes(names))

    def _notes(self, names):
        versions = [f"fastconv {next(iter(self.results.values()))['version']}"] if self.results else []
        notes = []
        if "torch" in names:
            versions.append(f"torch {self.results['torch']['version']} (NCHW)")
            notes.append("(in brackets: how many times as fast as torch)")
        versions.append(f"NumPy {np.__version__}")
        notes += [", ".join(versions) + "; medians, each implementation in a process of its own.",
                  "backward: gradients of input, weight and bias; of max-pooling: of the input.",
                  f"Every result was compared with that of loops on a batch of {CHECKED} before it was timed."]
        if self.disturbance > DISTURBED:
            notes.append(f"CAUTION: other processes kept {self.disturbance:.1f} cores busy meanwhile. Threads that "
                         "wait for each other then take many times as long.")
        if "cuda" in names:
            notes.append("cuda: NumPy arrays, whose copies to the device and back are part of the time.")
        if "loops" in names:
            notes.append(f"* loops: one call on a batch of {CHECKED}, times {self.batch // CHECKED}.")
        notes += [f"{name} is not in the table: {why}" for name, why in self.missing.items()]
        notes += [f"{name} is not in the table, as its measurement failed: {why}" for name, why in self.failed.items()]
        return notes + [f"WRONG {line}" for line in self.wrong]

    def _seconds(self, name, case, direction):
        seconds = self.results[name]["rows"][case][direction]
        return seconds * self.batch / CHECKED if name == "loops" else seconds


def _cores_in_use():
    """How many of this process's cores are busy while it sleeps; 0 where the system does not tell."""
    try:
        mine = {f"cpu{i}" for i in os.sched_getaffinity(0)}
        before = _ticks(mine)
        time.sleep(WATCHED)
        after = _ticks(mine)
    except (AttributeError, OSError):
        return 0.0
    spent = [(busy - busy_before, idle - idle_before)
             for (busy, idle), (busy_before, idle_before) in zip(after, before, strict=True)]
    return sum(busy / max(busy + idle, 1) for busy, idle in spent)


def _ticks(names):
    """(busy, idle) clock ticks since boot of each of the cores `names`."""
    with open("/proc/stat") as file:
        cores = [[int(n) for n in rest] for name, *rest in map(str.split, file) if name in names]
    # user, nice, system, idle, iowait, irq, softirq, steal; guest times are within user and nice.
    return [(sum(times[:3]) + sum(times[5:8]), times[3] + times[4]) for times in cores]


def _cell(seconds, torch_seconds, name):
    if seconds is None or np.isnan(seconds):
        return "WRONG"
    milliseconds = seconds * 1e3
    text = f"{milliseconds:,.0f}" if milliseconds >= 1000 else f"{milliseconds:#.3g}"
    text = text.removesuffix(".")
    if not torch_seconds or np.isnan(torch_seconds) or name == "torch":
        return text
    ratio = torch_seconds / seconds
    return f"{text} ({'<0.01' if ratio < 0.01 else f'{ratio:.1f}' if ratio >= 9.995 else f'{ratio:.2f}'}x)"
