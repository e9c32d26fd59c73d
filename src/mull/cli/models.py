"""`mull models`: what ships, where it lies, and what it can do."""

from typing import Annotated, Final

import typer

from mull.build import ModelCard, describe, find_checkpoint, shipped_models
from mull.cli.options import JsonOption
from mull.cli.output import show, show_json
from mull.core.codec import Json
from mull.models.reward_card import RewardKind
from mull.puzzles import FAMILIES

EXAMPLES: Final = """\
Examples:

mull models

mull models mull-prm

mull models runs/base/model

mull models --json"""

ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL", help="One shipped model or checkpoint folder instead of all that ship."
    ),
]


def models(model: ModelArgument = None, *, as_json: JsonOption = False) -> None:
    """List the shipped models, or describe one of them or a checkpoint folder."""
    cards = shipped_models() if model is None else (describe(find_checkpoint(model)),)
    if as_json:
        show_json("models", {"models": [_as_json(card) for card in cards]})
        return
    for card in cards:
        _show_card(card)
    solvers = [card for card in cards if card.judges is None]
    if families := dict.fromkeys(name for card in solvers for name in card.families):
        show()
        show("They solve, in words of your own, with reasoning or (--direct) without:")
        for name in families:
            show(f"  {name:<10} {FAMILIES[name].example}")
    for card in cards:
        if card.judges is not None:
            show()
            _show_use(card, card.judges)


def _show_use(card: ModelCard, judges: RewardKind) -> None:
    what = "every step" if judges is RewardKind.PROCESS else "whole answers"
    show(f"{card.name} judges {what} of {', '.join(card.families) or 'anything'}:")
    if judges is RewardKind.PROCESS:
        show(f"  --guide {card.name} steers a search by it")
    show(f"  --verifier {card.name} chooses among answers by it")


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
        "forms": ["reasoning", "direct"] if card.families and card.judges is None else [],
        "judges": None if card.judges is None else card.judges.value,
    }
