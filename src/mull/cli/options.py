"""Options that several commands share, spelled and explained the same everywhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mull.build import (
    DEFAULT_MODEL,
    JUDGE_EXAMPLE,
    MODELS,
    POOLING_EXAMPLE,
    REWARD_MODELS,
    schemes,
)
from mull.cli.places import default_journal
from mull.core.errors import BadInputError
from mull.core.spec import Option
from mull.search import STRATEGIES
from mull.verifiers import VERIFIERS

_SEARCH = "How to search"
_LIMITS = "How much"
_OUTPUT = "What to show and keep"

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help=f"A shipped model ({', '.join(sorted(MODELS))}), a checkpoint folder, or a served "
        f"model: {', '.join(each.example for each in schemes().values())}.",
        rich_help_panel=_SEARCH,
    ),
]
DraftOption = Annotated[
    str | None,
    typer.Option(
        "--draft",
        help="A smaller checkpoint of the same tokenizer, which guesses ahead for the model "
        "(mull-mini for mull-base): the same distribution of answers, both models charged.",
        rich_help_panel=_SEARCH,
    ),
]
AnswerOption = Annotated[
    str | None,
    typer.Option(
        "--answer",
        help="What the problem asks for: text, integer, maths or code (a built-in puzzle if it is "
        "one).",
        rich_help_panel=_SEARCH,
        show_default=False,
    ),
]
StrategyOption = Annotated[
    str,
    typer.Option(
        "--strategy",
        "-s",
        help=f"{', '.join(STRATEGIES)}, or your own as MODULE:NAME or FILE.py:NAME.",
        rich_help_panel=_SEARCH,
    ),
]
CountOption = Annotated[
    int | None,
    typer.Option(
        "--n", help="Answers to draw (the strategy's own default).", rich_help_panel=_SEARCH
    ),
]
WidthOption = Annotated[
    int | None,
    typer.Option(
        "--width",
        help="Answers drawn at once (early_stop: 1), or paths kept at once (beam: 4).",
        rich_help_panel=_SEARCH,
    ),
]
VerifierOption = Annotated[
    str,
    typer.Option(
        "--verifier",
        help="none, auto (the exact checker of the problem's kind if it has one), "
        f"{', '.join(VERIFIERS)}, a reward model ({', '.join(REWARD_MODELS)}, a folder or "
        f"{POOLING_EXAMPLE}), a model's opinion ({JUDGE_EXAMPLE}), exact tools before another "
        "(hybrid:VERIFIER), one not believed about slips (supported:VERIFIER), or your own "
        "as MODULE:NAME or FILE.py:NAME.",
        rich_help_panel=_SEARCH,
    ),
]
GuideOption = Annotated[
    str | None,
    typer.Option(
        "--guide",
        help="Who values unfinished paths: a verifier that can judge steps, such as countdown "
        "or mull-prm. Searches that go step by step need one.",
        rich_help_panel=_SEARCH,
    ),
]
QualityOption = Annotated[
    float | None,
    typer.Option(
        "--quality",
        help="Draw until the answer is right with this chance (0.9), as far as can be told.",
        rich_help_panel=_LIMITS,
    ),
]
AbstainOption = Annotated[
    bool,
    typer.Option("--abstain", help="No answer rather than one below it.", rich_help_panel=_LIMITS),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any other option of the strategy as NAME=VALUE, as often as needed.",
        rich_help_panel=_SEARCH,
    ),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option("--temperature", help="Of sampling (1.0).", rich_help_panel=_SEARCH),
]
ReasoningOption = Annotated[
    bool | None,
    typer.Option(
        "--reason/--direct",
        help="Think in steps, or answer at once (as the model does by itself).",
        rich_help_panel=_SEARCH,
        show_default=False,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option("--seed", help="Equal seeds draw equal answers.", rich_help_panel=_SEARCH, min=0),
]
TokensOption = Annotated[
    int | None,
    typer.Option(
        "--budget-tokens", help="Generated tokens, never passed.", rich_help_panel=_LIMITS
    ),
]
SecondsOption = Annotated[
    float | None,
    typer.Option("--budget-seconds", help="Wall-clock time.", rich_help_panel=_LIMITS),
]
UsdOption = Annotated[
    float | None,
    typer.Option(
        "--budget-usd", help="US dollars, for a model with prices.", rich_help_panel=_LIMITS
    ),
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option(
        "--max-tokens",
        help="Tokens one answer may take, thoughts included (256; 4096 from a server).",
        rich_help_panel=_LIMITS,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on standard output.", rich_help_panel=_OUTPUT),
]
TraceOption = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        help="Write every event of the solve to this file as JSON lines.",
        rich_help_panel=_OUTPUT,
        dir_okay=False,
    ),
]
JournalOption = Annotated[
    Path,
    typer.Option(
        "--journal",
        help="The file that keeps solves, so that they can be resumed (or $MULL_JOURNAL).",
        rich_help_panel=_OUTPUT,
        default_factory=default_journal,
        show_default="in the user's state folder",
    ),
]


def options_in(settings: Sequence[str]) -> dict[str, Option]:
    """`NAME=VALUE` as strategy options: whole numbers, numbers, `true`, `false`, else text.

    Raises `BadInputError` for what is no setting.
    """
    options = dict[str, Option]()
    for setting in settings:
        name, mark, value = setting.partition("=")
        if not (mark and name.isidentifier() and value):
            raise BadInputError(
                f"`--set {setting}` is no setting", hint="write `--set NAME=VALUE`, without spaces"
            )
        options[name] = _value(value)
    return options


def _value(text: str) -> Option:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


__all__ = [
    "DEFAULT_MODEL",
    "AbstainOption",
    "AnswerOption",
    "CountOption",
    "GuideOption",
    "JournalOption",
    "JsonOption",
    "MaxTokensOption",
    "ModelOption",
    "QualityOption",
    "ReasoningOption",
    "SecondsOption",
    "SeedOption",
    "SetOption",
    "StrategyOption",
    "TemperatureOption",
    "TokensOption",
    "TraceOption",
    "UsdOption",
    "VerifierOption",
    "WidthOption",
    "options_in",
]
