"""Pages of what the suite does not hold: everything beyond convolution and pooling, and layers of known networks."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from bench import bars, environment
from bench.implementations import OURS
from bench.kinds import Conv, Pool
from bench.measure import BASELINES, PEERS, TIMED
from bench.networks import NETWORKS
from bench.operations import TIMED as OPERATIONS
from bench.operations import Operation
from bench.tables import markdown, number, summary, times


@dataclass(frozen=True)
class Page:
    """What is timed for a page, and what it says.

    Attributes
    ----------
    option : str
        Of ``python -m bench.report`` that asks for it, without dashes; the file's name in capitals.
    title, what, how : str
    cases : dict
        {name: case}.
    names : tuple of str
        The implementations.
    """

    option: str
    title: str
    what: str
    how: str
    cases: dict
    names: tuple[str, ...]

    @property
    def file(self):
        """The name of its file."""
        return f"{self.option.upper()}.md"

    def text(self, by_threads, names=None):
        """Its Markdown, of {threads: rows} and of the implementations that were timed (all)."""
        parts = [f"# {self.title}",
                 f"Written by `python -m bench.report --{self.option}` on {datetime.date.today().isoformat()}: "
                 f"{self.what}",
                 f"Milliseconds are the median of all repeats, ± half the distance between the quartiles. {self.how}",
                 markdown(["what", "value"], [[what, value] for what, value in environment.describe().items()])]
        for threads, rows in by_threads.items():
            parts.append(f"## {threads} thread{'s' * (threads > 1)}")
            for kind in (Conv, Pool, Operation):
                chosen = [row for row in rows if isinstance(row.case, kind)]
                if chosen:
                    parts += [times(chosen, names or self.names), summary(chosen), _slowest(chosen)]
        return "\n\n".join(part for part in parts if part) + "\n"


def _slowest(rows, below=1.0):
    lines = [f"- {row.case.name} {row.direction}: {number(row.ratio(OURS[0]))}"
             for row in sorted(rows, key=lambda row: row.ratio(OURS[0])) if row.ratio(OURS[0]) < below]
    return "\n".join([f"Slower than the fastest peer with {OURS[0]}:", "", *lines]) if lines else ""


PAGES = {page.option: page for page in (
    Page("operations", "Operations", "everything beyond convolution and pooling, forward and backward.",
         "*Ratio* is torch's time divided by ours: above 1, ours is faster. Maps are 8 x 64 x 56 x 56, float32; "
         "`bench/operations.py` has the calls. torch's gradients are those of its autograd, on a graph that is kept.",
         OPERATIONS, (*OURS, "torch")),
    Page("networks", "Layers of known networks",
         "convolutions and poolings that are not in the suite, forward and backward.",
         f"*Ratio* is the time of the fastest of {', '.join(PEERS)} divided by ours: above 1, ours is faster. "
         "`bench/networks.py` has the shapes, float32. What is asked of the convolutions forward: a geometric mean of "
         f"{bars.MIX:.1f}.",
         NETWORKS, tuple(name for name in TIMED if name not in BASELINES)))}
