"""One implementation in a process of its own, at one number of threads, led by `bench.report`.

    python -m bench.worker NAME THREADS

Reads a JSON object a line, and answers each with one. An answer with "error" in it says why there is no other.

    {"do": "reference", "case": NAME, "path": FILE}                     -> {}
    {"do": "validate", "case": NAME, "direction": D, "path": FILE}      -> {"error_found": ..., "first_call": seconds}
    {"do": "time", "seconds": S}                                        -> {"samples": [seconds, ...]}

"time" times what was validated last, and nothing that has failed to be.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np

from bench import reference
from bench.cases import by_name
from bench.implementations import IMPLEMENTATIONS

WARM_UP = 0.02  # seconds
FEWEST = 3  # repeats of a call, however long it takes


class Worker:
    """What a process remembers between two lines: the call that has been validated."""

    def __init__(self, implementation):
        self.implementation = implementation
        self.call = None

    def reference(self, case, path):
        """Save what every implementation must compute."""
        with open(path, "wb") as file:
            np.savez(file, **reference.expected(by_name(case)))
        return {}

    def validate(self, case, direction, path):
        """Make a case ready, and hold its results against the reference."""
        self.call = None
        case = by_name(case)
        if not self.implementation.supports(case, direction):
            return {"error": "not supported"}
        call = self.implementation.prepare(case, direction, reference.arrays(case))
        begin = time.perf_counter()
        results = call()
        first = time.perf_counter() - begin
        with np.load(path) as expected:
            error = reference.check(case, direction, self.implementation.to_numpy(results), expected)
        self.call = call
        return {"error_found": error, "first_call": first}

    def time(self, seconds):
        """Time the call again and again for about that long."""
        if self.call is None:
            return {"error": "nothing has been validated"}
        repeat(self.call, WARM_UP, 1)
        return {"samples": repeat(self.call, seconds, FEWEST)}


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
