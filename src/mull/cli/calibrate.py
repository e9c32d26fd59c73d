"""`mull calibrate`: what votes of a model are worth."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from mull.build import AGREEMENT_FILE, DEFAULT_MODEL, SearchSettings
from mull.cli.configuration import config_of
from mull.cli.eval_options import (
    LevelOption,
    MaxTokensOption,
    ProblemsOption,
    SkipOption,
    SuiteOption,
    TaskArgument,
)
from mull.cli.options import ModelOption, SeedOption
from mull.cli.output import say, show, show_table
from mull.core.codec import encode
from mull.core.errors import BadInputError
from mull.evaluation import ProblemSet
from mull.evaluation.agreement import Ballots, Reached, ballots_by_kind, fit, reached
from mull.evaluation.graded import record_by

EXAMPLES: Final = """\
Examples:

mull calibrate my.jsonl --model big --out agreement.json

mull calibrate countdown --level 4 --count 400 --model mull-base --out agreement.json

Then, in `mull.toml`: [models.big] ... agreement = "agreement.json\""""

QUALITIES: Final = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Of the table."""

FEW: Final = 10
"""Problems with a right majority, below which nothing is certain."""

CountOption = Annotated[int, typer.Option("--n", help="Answers to draw to every problem.", min=2)]
OutOption = Annotated[
    Path, typer.Option("--out", help="The file to write, or to add kinds to.", dir_okay=False)
]


def calibrate(
    context: typer.Context,
    task: TaskArgument,
    *,
    suite: SuiteOption = None,
    level: LevelOption = None,
    count: ProblemsOption = None,
    skip: SkipOption = 0,
    model: ModelOption = DEFAULT_MODEL,
    n: CountOption = 32,
    seed: SeedOption = 0,
    max_tokens: MaxTokensOption = None,
    out: OutOption = Path(AGREEMENT_FILE),
) -> None:
    """Find out how often a model's majority is right, on problems whose answers are known."""
    examples = ProblemSet(task, suite, level, count, skip=skip).examples()
    choice = config_of(context).model(model)
    known = _known(out)
    settings = SearchSettings(n, max_tokens=max_tokens)
    say(f"drawing {n} answers to each of {len(examples)} problems")
    drawn = asyncio.run(record_by(choice, examples, settings, seed=seed))
    for kind, ballots in asyncio.run(ballots_by_kind(drawn)).items():
        known[kind] = encode(fit(ballots, seed=seed))
        _warn_of_few(kind, ballots)
        _show(kind, ballots, reached(ballots, QUALITIES, seed=seed))
    about = f"{n} answers to {len(examples)} problems of {task} by {drawn.model}, seed {seed}"
    out.write_text(json.dumps({"about": about, "agreements": known}, indent=2) + "\n", "utf-8")
    show(f"written: {out}")


def _known(out: Path) -> dict[str, object]:
    """The kinds that the file says something of already."""
    if not out.exists():
        return {}
    try:
        return dict(json.loads(out.read_text("utf-8"))["agreements"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"`{out}` is there, and does not say what votes are worth",
            hint="name another file with `--out`",
        ) from error


def _warn_of_few(kind: str, ballots: list[Ballots]) -> None:
    """What few right majorities have in common is chance."""
    found = (each.after(len(each.keys)) for each in ballots)
    num_right = sum(each is not None and each[2] for each in found)
    if num_right < FEW:
        say(
            f"{kind}: the majority was right on {num_right} of {len(ballots)} problems, too few to "
            "rely on: give more problems",
            style="yellow",
        )


def _show(kind: str, ballots: list[Ballots], found: list[Reached]) -> None:
    table = Table(title=f"{kind}, {len(ballots)} problems, each judged by the other half")
    for name in ("quality", "reached", "of those right", "95 %", "draws"):
        table.add_column(name, justify="right")
    for each in found:
        right = each.right
        table.add_row(
            f"{each.quality:g}",
            f"{each.met:.0%}",
            "-" if right is None else f"{right.value:.1%}",
            "-" if right is None else f"{right.low:.1%} to {right.high:.1%}",
            f"{each.draws:.1f} of {len(ballots[0].keys)}",
        )
    show_table(table)
