"""One implementation in a process of its own, at one number of threads, led by `bench.report`.

    python -m bench.worker NAME THREADS

Reads a JSON object a line, and answers each with one. An answer with "error" in it says why there is no other.

    {"do": "reference", "case": NAME, "path": FILE}                 -> {}
    {"do": "validate", "case": NAME, "direction": D, "path": FILE}  -> {"error_found": ..., "first_call": seconds}
    {"do": "train_reference", "batch": N}                           -> {"losses": [...]}
    {"do": "train", "batch": N, "losses": [...]}                    -> {"error_found": ..., "first_call": seconds}
    {"do": "time", "seconds": S}                                    -> {"samples": [seconds, ...]}
    {"do": "workspace"}                                             -> {"bytes": ...}
    {"do": "errors", "case": NAME, "direction": D, "path": FILE, "precision": P}    -> {"errors": {result: error}}

"time" and "workspace" are of what was validated last, and of nothing that has failed to be. "reference" and "validate"
also take "reduced": the case that is small enough for plain loops; "validate" also takes "dtype".
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import tracemalloc

import numpy as np

from bench import reference, training
from bench.cases import by_name
from bench.implementations import IMPLEMENTATIONS, reduced

WARM_UP = 0.02  # seconds
FEWEST = 3  # repeats of a call, however long it takes


class Worker:
    """What a process remembers between two lines: the call that has been validated."""

    def __init__(self, implementation):
        self.implementation = implementation
        self.call = None

    def reference(self, case, path, reduced=False):
        """Save what every implementation must compute."""
        with open(path, "wb") as file:
            np.savez(file, **reference.expected(_case(case, reduced)))
        return {}

    def validate(self, case, direction, path, dtype="float32", reduced=False):
        """Make a case ready, and hold its results against the reference."""
        self.call = None
        case = _case(case, reduced)
        if not self.implementation.supports(case, direction):
            return {"error": "not supported"}
        call = self.implementation.prepare(case, direction, reference.arrays(case, dtype))
        begin = time.perf_counter()
        results = call()
        first = time.perf_counter() - begin
        with np.load(path) as expected:
            error = reference.check(case, direction, self.implementation.to_numpy(results), expected, dtype)
        self.call = call
        return {"error_found": error, "first_call": first}

    def errors(self, case, direction, path, precision):
        """The error of each result at a precision that has a name; of an implementation without any, at its own."""
        case = by_name(case)
        if not self.implementation.supports(case, direction):
            return {"error": "not supported"}
        call = self.implementation.prepare(case, direction, reference.arrays(case))
        with self.implementation.precision(precision), np.load(path) as expected:
            return {"errors": reference.errors(case, direction, self.implementation.to_numpy(call()), expected)}

    def train_reference(self, batch):
        """The losses of some steps of training in float64."""
        return {"losses": training.expected(batch)}

    def train(self, batch, losses):
        """Make a step of training ready, and hold the losses of the first ones against those of the reference."""
        self.call = None
        begin = time.perf_counter()
        call, error = training.prepare(self.implementation, batch, losses)
        self.call = call
        return {"error_found": error, "first_call": time.perf_counter() - begin}

    def time(self, seconds):
        """Time the call again and again for about that long."""
        if self.call is None:
            return {"error": "nothing has been validated"}
        repeat(self.call, WARM_UP, 1)
        return {"samples": repeat(self.call, seconds, FEWEST)}

    def workspace(self):
        """The most bytes that the call holds at once beyond its arguments and results, with nothing kept from before.

        Counted by tracemalloc: what NumPy allocates.
        """
        from fastconv.backends import workspace

        if self.call is None:
            return {"error": "nothing has been validated"}
        self.call()  # what is compiled or planned at the first call is not the call's own
        workspace.clear()
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            results = self.call()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return {"bytes": max(0, most - before - sum(result.nbytes for result in results))}


def _case(name, small):
    return reduced(by_name(name)) if small else by_name(name)


def repeat(call, seconds, fewest):
    """The seconds that each call took: as many calls as take `seconds` together, but not fewer than `fewest`."""
    samples, clock = [], time.perf_counter
    end = clock() + seconds
    while len(samples) < fewest or clock() < end:
        begin = clock()
        call()
        samples.append(clock() - begin)
    return samples


def main(name, threads):
    # Whatever a library prints goes to stderr; the lines have the real stdout to themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(IMPLEMENTATIONS[name])
    try:
        worker.implementation.start(int(threads))
        ready = {}
    except ImportError as error:
        ready = {"error": str(error)}
    print(json.dumps(ready), file=answers)
    for line in sys.stdin:
        task = json.loads(line)
        try:
            answer = getattr(worker, task.pop("do"))(**task)
        except reference.Invalid as error:
            answer = {"error": str(error), "invalid": True}
        except Exception as error:  # one failing case is a row of the table, not the end of the others
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
