"""Tables that print through rich in a terminal and as plain text everywhere else."""

import sys
from dataclasses import dataclass


@dataclass
class Table:
    """Cells of text under headings, with lines of totals or notes below.

    Attributes
    ----------
    title : str
    headings : sequence of str
        One that starts with ``<`` heads a column aligned to the left; the others are aligned to the right.
    rows : sequence of sequence of str
    notes : sequence of str
    """

    title: str
    headings: list
    rows: list
    notes: list

    def __str__(self):
        titles = [h.removeprefix("<") for h in self.headings]
        widths = [max(map(len, column)) for column in zip(titles, *self.rows, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [self.title, rule, self._line(titles, widths), rule]
        lines += [self._line(row, widths) for row in self.rows]
        return "\n".join([*lines, rule, *self.notes])

    def __rich__(self):
        from rich.console import Group
        from rich.text import Text

        return Group(self._rich_cells(), *map(Text, self.notes))

    def print(self, file=None):
        """Print to `file`, standard output by default: by rich if that is a terminal and rich is installed."""
        file = file or sys.stdout
        if file.isatty():
            try:
                from rich.console import Console
            except ModuleNotFoundError:
                pass
            else:
                console = Console(file=file)
                # In a window too narrow for it rich would cut cells short; plain text wraps and loses nothing.
                unbounded = console.options.update(max_width=sys.maxsize)
                if console.measure(self._rich_cells(), options=unbounded).maximum <= console.width:
                    console.print(self)
                    return
        print(self, file=file)

    def _rich_cells(self):
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=self.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in self.headings:
            left = heading.startswith("<")
            table.add_column(Text(heading.removeprefix("<")), justify="left" if left else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def _line(self, cells, widths):
        aligned = [c.ljust(w) if h.startswith("<") else c.rjust(w)
                   for c, w, h in zip(cells, widths, self.headings, strict=True)]
        return "  ".join(aligned).rstrip()
