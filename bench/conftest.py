"""pytest-benchmark: one thread, because the thread pools of libraries in one process disturb each other.

Times at other numbers of threads, each library in a process of its own, are what `bench.report` is for.
"""

import functools
import os

from bench.environment import for_threads

# Before NumPy, Numba or torch are imported, which read it once.
os.environ.update(for_threads(1))

import pytest

from bench.implementations import IMPLEMENTATIONS, OURS, reduced
from bench.operations import Operation
from bench.reference import arrays, check, expected

SLOW = "loops"


@functools.lru_cache(maxsize=1)
def reference(case):
    """What every implementation must compute; cases come in groups."""
    return expected(case)


@pytest.fixture
def time_validated(benchmark):
    """Validate an implementation on a case, then time it."""
    def run(case, direction, name):
        implementation = IMPLEMENTATIONS[name]
        implementation.start(1)
        # Plain loops get a smaller case, and tables of their own: beside the others their times would mislead.
        slow = name == SLOW
        benchmark.name, benchmark.group = name, f"{case.name} {direction}"
        if slow:
            case = reduced(case)
            benchmark.name, benchmark.group = f"{case.name} reduced to {case.input}", f"loops, reduced, {direction}"
        call = implementation.prepare(case, direction, arrays(case))
        benchmark.extra_info["error"] = check(case, direction, implementation.to_numpy(call()), reference(case))
        if not isinstance(case, Operation):
            benchmark.extra_info["multiply_adds"] = case.geometry().multiply_adds
        if slow:
            benchmark.pedantic(call, rounds=3)
        else:
            benchmark(call)

    return run


def implementations(case, direction):
    """The names of those that can do `case`; of an operation ours alone beside torch."""
    if isinstance(case, Operation):
        return (*OURS, "torch")
    return [name for name, implementation in IMPLEMENTATIONS.items()
            if implementation.supports(case, direction) and (not implementation.peer or name == "torch")]
