"""A run of the report on disk, from which its page and its pictures can be made again."""

from __future__ import annotations

import dataclasses
import json
import statistics

from bench import training
from bench.cases import by_name
from bench.implementations import reduced
from bench.measure import Row, Run, Timing

LISTS = ("rows", "float64", "reduced", "steps", "overhead")


def save(run, path):
    """Write a `Run` as JSON; of the samples only median and quartiles, from which the same figures follow."""
    record = {name: getattr(run, name) for name in ("date", "about", "peaks", "start")}
    record |= {name: [_row(row) for row in getattr(run, name)] for name in LISTS}
    # A line for each row: short enough to look at, and what changed can be seen.
    lines = [f"{json.dumps(name)}: " + ("[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if name in LISTS and value
                                        else json.dumps(value)) for name, value in record.items()]
    path.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


def load(path):
    """What `save` wrote."""
    record = json.loads(path.read_text(encoding="utf-8"))
    record["peaks"] = {int(threads): peaks for threads, peaks in record["peaks"].items()}
    for name in LISTS:
        record[name] = [_read(row, small=name == "reduced") for row in record[name]]
    return Run(**record)


def _row(row):
    timings = {}
    for name, timing in row.timings.items():
        samples = timing.samples
        if len(samples) > 2:
            samples = statistics.quantiles(samples, n=4)
        # Only what differs from a Timing of which nothing is known.
        fields = dataclasses.asdict(timing) | {"samples": [_short(sample) for sample in samples],
                                               "error": _short(timing.error), "first_call": _short(timing.first_call)}
        timings[name] = {key: value for key, value in fields.items() if value == value and value not in ("", False, [])}
    errors = {name: {result: _short(error) for result, error in found.items()} for name, found in row.errors.items()}
    return {"case": row.case.name, "direction": row.direction, "threads": row.threads, "timings": timings,
            "workspace": row.workspace, "errors": errors}


def _read(record, small):
    steps = {step.name: step for step in training.STEPS}
    name = record["case"]
    case = steps[name] if name in steps else by_name(name)
    timings = {name: Timing(**fields) for name, fields in record["timings"].items()}
    return Row(**record | {"case": reduced(case) if small else case, "timings": timings})


def _short(value):
    return float(f"{value:.5g}")
