"""Time every tile of the table of blocks on a GPU, case by case: what `fastconv.backends.cuda.blocks` is written from.

    python -m bench.cuda_tiles [--case NAME ...] [--seconds S]

It prints a line for each case and pass: milliseconds with each tile, the one that the table takes now marked by a star.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager

from bench import cuda
from bench.cases import SUITE, by_name
from fastconv.backends.cuda import blocks, calls

PASSES = {"forward": "GATHER", "input gradient": "GATHER", "weight gradient": "WEIGHT"}
SIZE = 4


@contextmanager
def only(table, tile):
    """Have the table of blocks name no tile of 4-byte elements but this one; None leaves it as it is."""
    tables = getattr(blocks, table)
    before = tables[SIZE]
    if tile is not None:
        tables[SIZE] = ((1, tile),) if table == "GATHER" else ((1, 1, tile),)
    _forget()
    try:
        yield
    finally:
        tables[SIZE] = before
        _forget()


def _forget():
    calls._conv.cache_clear()
    calls._weight.cache_clear()


def timed(case, seconds):
    """{pass: {tile, or None for the choice of the table: seconds}} of one case."""
    import torch

    t, found = cuda.tensors(case, torch.float32), {}
    for what, table in PASSES.items():
        found[what] = {}
        for tile in (None, *dict.fromkeys(entry[-1] for entry in getattr(blocks, table)[SIZE])):
            with only(table, tile):
                call, _ = cuda.our_calls(case, t)[what]
                found[what][tile] = cuda.median_times([call], seconds)[0]
    return found


def line(case, what, times):
    """Times in words, the fastest first."""
    chosen = times[None]
    parts = [f"{'x'.join(map(str, tile))} {1e3 * seconds:.3f}" for tile, seconds in
             sorted(((tile, seconds) for tile, seconds in times.items() if tile), key=lambda one: one[1])]
    return f"{case}, {what}: table* {1e3 * chosen:.3f}; " + ", ".join(parts)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Time every tile of the table of blocks on a GPU.")
    parser.add_argument("--case", action="append", metavar="NAME", help="this case only; may be repeated")
    parser.add_argument("--seconds", type=float, default=0.05, help="for each tile (0.05)")
    options = parser.parse_args(arguments)
    lacking = cuda.missing()
    if lacking:
        print(f"cuda_tiles: {lacking}")
        return 1
    for case in [by_name(name) for name in options.case or ()] or SUITE:
        if case.groups == 1:
            for what, times in timed(case.with_batch(cuda.BATCH), options.seconds).items():
                print(line(case.name, what, times), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
