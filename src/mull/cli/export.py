"""`mull export`: models, and what mull keeps, in files for others."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from mull.build import (
    DEFAULT_MODEL,
    MODELS,
    find_policy,
    needs_extra,
    open_journal,
    write_recording,
)
from mull.cli.options import JournalOption
from mull.cli.output import say
from mull.core.events import Event

SAMPLES_EXAMPLES: Final = """\
Examples:

mull export samples 3f2a90c1d4 --out samples.jsonl

mull solve "What is 6 * 7?" --model replay:samples.jsonl"""

GGUF_EXAMPLES: Final = """\
Examples:

mull export gguf --model mull-base --out mull-base.gguf

mull export gguf --model runs/base/model --format f16 --out base.gguf"""

SolvesArgument = Annotated[
    list[str],
    typer.Argument(metavar="ID...", help="Solves of one model, as `mull runs` lists them."),
]
OutOption = Annotated[Path, typer.Option("--out", help="The recording to write.", dir_okay=False)]
CheckpointOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help=f"A shipped model ({', '.join(sorted(MODELS))}) or a checkpoint folder.",
    ),
]
FileOption = Annotated[
    Path,
    typer.Option("--out", help="The file to write; what is there is replaced.", dir_okay=False),
]
FormatOption = Annotated[
    str,
    typer.Option("--format", help="Numbers of the matrices: f32 loses nothing, f16 is half of it."),
]


def samples(solves: SolvesArgument, *, out: OutOption, journal: JournalOption) -> None:
    """Write the samples of solves as a recording, to be replayed without their model."""
    num_samples = write_recording(out, asyncio.run(_load(journal, solves)))
    say(f"{num_samples} samples: --model replay:{out}")


async def _load(path: Path, solves: Sequence[str]) -> list[Sequence[Event]]:
    async with open_journal(path) as journal:
        return [await journal.load(solve) for solve in solves]


def gguf(
    *, model: CheckpointOption = DEFAULT_MODEL, out: FileOption, number_format: FormatOption = "f32"
) -> None:
    """Write a checkpoint as one GGUF file, which llama.cpp serves."""
    folder = find_policy(model).folder
    with needs_extra("gguf", "`mull export gguf`"):
        from mull.models.gguf import export_gguf
    export_gguf(folder, out, number_format=number_format)
    say(f"`{out}`: {out.stat().st_size / 1e6:.1f} MB as {number_format}; llama.cpp serves it")
