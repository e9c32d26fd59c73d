"""`mull export`: what mull keeps, in files for others."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from mull.build import open_journal, write_recording
from mull.cli.options import JournalOption
from mull.cli.output import say
from mull.core.events import Event

SAMPLES_EXAMPLES: Final = """\
Examples:

mull export samples 3f2a90c1d4 --out samples.jsonl

mull solve "What is 6 * 7?" --model replay:samples.jsonl"""

SolvesArgument = Annotated[
    list[str],
    typer.Argument(metavar="ID...", help="Solves of one model, as `mull runs` lists them."),
]
OutOption = Annotated[Path, typer.Option("--out", help="The recording to write.", dir_okay=False)]


def samples(solves: SolvesArgument, *, out: OutOption, journal: JournalOption) -> None:
    """Write the samples of solves as a recording, to be replayed without their model."""
    num_samples = write_recording(out, asyncio.run(_load(journal, solves)))
    say(f"{num_samples} samples: --model replay:{out}")


async def _load(path: Path, solves: Sequence[str]) -> list[Sequence[Event]]:
    async with open_journal(path) as journal:
        return [await journal.load(solve) for solve in solves]
