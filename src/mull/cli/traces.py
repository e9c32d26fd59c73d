"""A solve's trace as JSON lines, and `mull trace`."""

import asyncio
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from mull.build import open_journal, trace_line
from mull.cli.options import JournalOption
from mull.cli.output import write_line
from mull.core.errors import BadInputError
from mull.core.events import Event

EXAMPLES: Final = """\
Examples:

mull trace 3f9a1c20bb > solve.jsonl

mull trace 3f9a1c20bb | jq -c 'select(.event == "node_scored")'"""

SolveIdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The solve's id, as `mull runs` lists it.")
]


def trace(solve_id: SolveIdArgument, *, journal: JournalOption) -> None:
    """Print every event of a solve as JSON lines: nodes, scores, usage, decisions."""
    for event in asyncio.run(_load(journal, solve_id)):
        write_line(trace_line(event))


async def _load(path: Path, solve_id: str) -> list[Event]:
    async with open_journal(path) as journal:
        return list(await journal.load(solve_id))


def check_writable(path: Path) -> None:
    """Make the file if it is missing; `BadInputError` if it cannot be written.

    What it holds stays until there is a trace to replace it.
    """
    with _writing(path):
        path.open("a", encoding="utf-8").close()


def write_trace(path: Path, events: Iterable[Event]) -> None:
    """Replace the file's content by the events, one a line."""
    with _writing(path), path.open("w", encoding="utf-8") as file:
        file.writelines(f"{trace_line(event)}\n" for event in events)


@contextmanager
def _writing(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise BadInputError(f"cannot write the trace `{path}`: {error.strerror}") from error
