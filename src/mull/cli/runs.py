"""`mull runs`: what the journal holds."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from mull.build import open_journal, readable_answer
from mull.cli.options import JournalOption, JsonOption
from mull.cli.output import printable, say, show_json, show_table
from mull.core.codec import Json, encode
from mull.core.problem import Problem
from mull.core.protocols import SolveSummary

EXAMPLES: Final = """\
Examples:

mull runs

mull runs --limit 5 --json"""

_CUT: Final = frozenset({"problem", "answer", "model"})

LimitOption = Annotated[
    int, typer.Option("--limit", help="Solves to list, the newest first.", min=1)
]


def runs(*, limit: LimitOption = 20, as_json: JsonOption = False, journal: JournalOption) -> None:
    """List the solves that the journal keeps, newest first."""
    summaries = asyncio.run(_read(journal)) if journal.exists() else []
    if as_json:
        show_json("runs", {"runs": [_as_json(each) for each in summaries[:limit]]})
        return
    if not summaries:
        say(f"the journal `{journal}` holds no solves yet")
        return
    show_table(_table(summaries[:limit]))
    if len(summaries) > limit:
        say(f"{len(summaries) - limit} older solves: --limit {len(summaries)} shows them all")


async def _read(path: Path) -> list[SolveSummary]:
    async with open_journal(path) as journal:
        return list(await journal.solves())


def _state(summary: SolveSummary) -> str:
    return "open" if summary.stop is None else summary.stop.value


def _table(summaries: Sequence[SolveSummary]) -> Table:
    rows = [_cells(each) for each in summaries]
    table = Table(box=None, pad_edge=False)
    for position, name in enumerate(("id", "state", "problem", "answer", "strategy", "model")):
        widest = max(len(name), *(len(row[position]) for row in rows))
        # A narrow terminal cuts the columns that a person can do without.
        table.add_column(name, no_wrap=True, min_width=None if name in _CUT else widest)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _cells(summary: SolveSummary) -> tuple[str, ...]:
    n = summary.spec.strategy.options.get("n")
    strategy = summary.spec.strategy.name + (f" n={n}" if n is not None else "")
    model = str(summary.spec.policy.options.get("checkpoint", summary.spec.policy.name))
    answer = _answer(summary)
    cells = (summary.solve_id, _state(summary), summary.statement, answer, strategy, model)
    return tuple(printable(" ".join(cell.split())) for cell in cells)


def _answer(summary: SolveSummary) -> str:
    if summary.answer is None:
        return "-"
    return readable_answer(Problem.of(summary.statement), summary.answer)


def _as_json(summary: SolveSummary) -> dict[str, Json]:
    return {
        "solve_id": summary.solve_id,
        "is_open": summary.stop is None,
        "stop": None if summary.stop is None else summary.stop.value,
        "statement": summary.statement,
        "answer": summary.answer,
        "spec": encode(summary.spec),
    }
