"""The result of an evaluation as text for a terminal or a file."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from rich.table import Table
from rich.text import Text

from mull.cli.output import printable, show, show_table
from mull.evaluation import Curve, Report
from mull.evaluation.quoted import SOURCE, Quoted
from mull.evaluation.table import NUM_TEXT_COLUMNS, rows_of

_COLUMNS: Final[Mapping[str, int]] = MappingProxyType(
    {"n": 5, "solved": 8, "95 %": 14, "pass@n": 8, "95 % ": 14, "tokens": 8, "read": 6, "GFLOPs": 7}
)
"""Names and widths of the number columns: the tables of all arms line up in 80 characters."""


def show_curves(report: Report) -> None:
    """A table an arm, and what was published about the same problems."""
    for curve in report.curves:
        show()
        show(f"{curve.label}  ({curve.seconds:.1f} s in all at n = {curve.points[-1].n})")
        show_table(_table(curve))
    show()
    show("tokens generated, tokens read and GFLOPs are means per problem", style="dim")
    if report.quoted:
        show_quoted(report.quoted)


def _table(curve: Curve) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name, width in _COLUMNS.items():
        table.add_column(name, justify="right", min_width=width, no_wrap=True)
    for row in rows_of((curve,)):
        table.add_row(*(Text(cell) for cell in row.cells[NUM_TEXT_COLUMNS:]))
    return table


def show_quoted(quoted: Sequence[Quoted]) -> None:
    """Numbers of others, named as such."""
    show()
    for line in quoted_lines(quoted):
        show(line, style="dim")


def quoted_lines(quoted: Sequence[Quoted]) -> Iterator[str]:
    """A line a number under one that says whose they are."""
    yield printable(SOURCE)
    for each in quoted:
        note = f"  ({each.note})" if each.note else ""
        yield f"  {each.accuracy * 100:5.1f} %  {each.label}{note}"
