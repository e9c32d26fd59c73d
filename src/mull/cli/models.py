"""`mull models`: what ships, where it lies, and what it can do."""

from pathlib import Path
from typing import Annotated, Final

import typer

from mull.build import ModelCard, describe, find_checkpoint, shipped_models
from mull.cli.options import JsonOption
from mull.cli.output import show, show_json
from mull.core.codec import Json
from mull.puzzles import FAMILIES

EXAMPLES: Final = """\
Examples:

mull models

mull models runs/base/model

mull models --json"""

FolderArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[FOLDER]", help="A checkpoint folder instead of the shipped models."),
]


def models(folder: FolderArgument = None, *, as_json: JsonOption = False) -> None:
    """List the shipped models, or describe one checkpoint folder."""
    cards = shipped_models() if folder is None else (describe(find_checkpoint(str(folder))),)
    if as_json:
        show_json("models", {"models": [_as_json(card) for card in cards]})
        return
    for card in cards:
        _show_card(card)
    if any(card.families for card in cards):
        show()
        show("They solve, in words of your own, with reasoning or (--direct) without:")
        for name in dict.fromkeys(name for card in cards for name in card.families):
            show(f"  {name:<10} {FAMILIES[name].example}")


def _show_card(card: ModelCard) -> None:
    show(card.name, style="bold")
    if card.summary:
        show(f"    {card.summary}")
    if card.is_present:
        show(
            f"    {card.num_parameters:,} parameters ({card.num_core_parameters:,} without "
            f"embeddings), {card.num_bytes / 1e6:.1f} MB as {card.dtype}, "
            f"window {card.window} tokens"
        )
    else:
        show("    its weights are missing from this installation", style="yellow")
    show(f"    {card.folder}", style="dim")


def _as_json(card: ModelCard) -> dict[str, Json]:
    return {
        "name": card.name,
        "folder": str(card.folder),
        "is_present": card.is_present,
        "summary": card.summary,
        "num_parameters": card.num_parameters,
        "num_core_parameters": card.num_core_parameters,
        "num_bytes": card.num_bytes,
        "window": card.window,
        "dtype": card.dtype,
        "families": list(card.families),
        "forms": ["reasoning", "direct"] if card.families else [],
    }
