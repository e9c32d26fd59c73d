"""The result of an evaluation as text for a terminal or a file."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from mull.cli.output import printable, show, show_table
from mull.evaluation import Curve, Report
from mull.evaluation.quoted import SOURCE, Quoted
from mull.evaluation.table import COLUMNS, NUM_TEXT_COLUMNS, rows_of

_WIDTHS: Final = (6, 9, 15, 9, 15, 10, 8, 9)
"""Of the number columns: the tables of all arms line up."""


def show_curves(report: Report) -> None:
    """A table an arm, and what was published about the same problems."""
    for curve in report.curves:
        show()
        show(f"{curve.label}  ({curve.seconds:.1f} s in all at n = {curve.points[-1].n})")
        show_table(_table(curve))
    if report.quoted:
        show_quoted(report.quoted)


def _table(curve: Curve) -> Table:
    table = Table(box=None, pad_edge=False)
    names = COLUMNS[NUM_TEXT_COLUMNS:]
    for name, width in zip(names, _WIDTHS, strict=True):
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
