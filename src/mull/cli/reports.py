"""The result of an evaluation as text for a terminal or a file."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.table import Table as RichTable
from rich.text import Text

from mull.cli.output import printable, show, show_table
from mull.evaluation import Axis, Report
from mull.evaluation.quoted import SOURCE, Quoted
from mull.evaluation.tables import Table


def show_report(report: Report, axis: Axis) -> None:
    """Every table, compared on one axis, and what was published about the same problems."""
    show(report.title, style="bold")
    for table in report.tables(axis):
        show()
        show(table.title, style="bold")
        show_grouped(table)
        show(table.note, style="dim")
    if report.quoted:
        show_quoted(report.quoted)


def show_grouped(table: Table) -> None:
    """The rows under a line with their first cell: all tables line up, and fit 80 characters."""
    columns = list(zip(table.columns, *table.rows, strict=True))[1:]
    for name, rows in groupby(table.rows, key=lambda row: row[0]):
        show()
        show(name)
        shown = RichTable(box=None, padding=(0, 1, 0, 0))
        for title, *cells in columns:
            justify = "left" if any(cell[:1].isalpha() for cell in cells) else "right"
            width = max(map(len, (title, *cells)))
            shown.add_column(title, justify=justify, min_width=width, no_wrap=True)
        for row in rows:
            shown.add_row(*(Text(printable(cell)) for cell in row[1:]))
        show_table(shown)


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
