"""`mull diagnose`: whether more thinking would pay, from samples of a baseline."""

import asyncio
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from mull.build import DEFAULT_MODEL, SearchSettings
from mull.cli.configuration import config_of
from mull.cli.eval_options import (
    TASK_HELP,
    LevelOption,
    MaxTokensOption,
    ProblemsOption,
    SkipOption,
    SuiteOption,
)
from mull.cli.options import JsonOption, ModelOption, SeedOption
from mull.cli.output import say, show, show_json, show_table
from mull.core.codec import Json, encode
from mull.core.errors import BadInputError
from mull.evaluation import ProblemSet
from mull.evaluation.diagnosis import Diagnosis, Lengths, Parted
from mull.evaluation.diagnosis import diagnose as diagnosed
from mull.evaluation.graded import read_graded, record_by, samples_of
from mull.evaluation.intervals import Interval
from mull.evaluation.scaling_law import Fitted

EXAMPLES: Final = """\
Examples:

mull diagnose --results graded.jsonl

mull diagnose my.jsonl --model openai:http://127.0.0.1:8000/v1#big --n 16

mull diagnose countdown --level 4 --count 200 --model mull-base --n 32

A line of graded.jsonl: {"problem": "sums-17", "correct": true, "tokens": 812, "answer": "42"}"""

TELLING: Final = 0.5
"""Share of what a checker gains below which votes are no substitute."""

STEEP: Final = 10
"""Exponent beyond which a power law is no description: the problems are all about equally hard."""
WORTH: Final = 0.005
"""Points of which it is worth speaking."""

TaskOption = Annotated[str | None, typer.Argument(metavar="[TASK]", help=TASK_HELP)]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help="Graded samples, one JSON line each, in the place of TASK: nothing is drawn.",
        exists=True,
        dir_okay=False,
    ),
]
CountOption = Annotated[int, typer.Option("--n", help="Answers to draw to every problem.", min=1)]


def diagnose(
    context: typer.Context,
    task: TaskOption = None,
    *,
    results: ResultsOption = None,
    suite: SuiteOption = None,
    level: LevelOption = None,
    count: ProblemsOption = None,
    skip: SkipOption = 0,
    model: ModelOption = DEFAULT_MODEL,
    n: CountOption = 16,
    seed: SeedOption = 0,
    max_tokens: MaxTokensOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say from a baseline's samples what more of them, a checker, votes or shorter ones bring."""
    if (task is None) == (results is None):
        raise BadInputError(
            "there is nothing to look at" if task is None else "there are two things to look at",
            hint="give either a TASK, whose problems are asked, or `--results FILE`",
        )
    if results is not None:
        problems = read_graded(results)
    else:
        examples = ProblemSet(task or "", suite, level, count, skip=skip).examples()
        say(f"drawing {n} answers to each of {len(examples)} problems")
        settings = SearchSettings(n, max_tokens=max_tokens)
        choice = config_of(context).model(model)
        problems = samples_of(asyncio.run(record_by(choice, examples, settings, seed=seed)))
    found = diagnosed(problems, seed=seed)
    if as_json:
        show_json("diagnosis", _content(found))
    else:
        _show(found)


def _content(found: Diagnosis) -> dict[str, Json]:
    told = {
        each.name: encode(getattr(found, each.name)) for each in fields(found) if each.name != "law"
    }
    return {**told, "exponent": encode(found.law.exponent) if found.law else None}


def _show(found: Diagnosis) -> None:
    _show_problems(found)
    _show_projected(found)
    if found.lengths is not None:
        _show_lengths(found.lengths)
    if found.parted:
        _show_parted(found.parted)
    for line in conclusions(found):
        show(line)


def _show_problems(found: Diagnosis) -> None:
    table = _table(
        f"{found.num_problems} problems by how many of {found.num_samples} samples are right",
        "all",
        "half or more",
        "fewer: hard, in reach",
        "none",
    )
    table.add_row(*map(_share, (found.always, found.easy)), _interval(found.hard),
                  _share(found.never))  # fmt: skip
    show_table(table)


def _show_projected(found: Diagnosis) -> None:
    names = ("samples", "with a checker", "by votes", "tokens", "stopping at the first right")
    table = _table("solved, and what a problem takes", *names)
    for each in found.projected:
        table.add_row(
            str(each.k),
            _interval(each.checked),
            "-" if each.voted is None else _interval(each.voted),
            _count(each.tokens),
            _count(each.tokens_stopping),
        )
    for k, solved in found.beyond:
        table.add_row(f"{k} (not drawn)", _interval(solved), "-", "-", "-")
    show_table(table)


def _show_lengths(lengths: Lengths) -> None:
    title = f"short and long answers to the same problem ({lengths.num_problems} problems)"
    table = _table(title, "tokens", "right")
    for each in lengths.parts:
        table.add_row(_count(each.tokens), _interval(each.right))
    show_table(table)


def _show_parted(parted: tuple[Parted, ...]) -> None:
    table = _table(
        "a budget of tokens: answers as long as they come, or cut and more of them",
        "budget",
        "solved uncut",
        "cut at",
        "answers",
        "solved",
        "gain",
    )
    for each in parted:
        table.add_row(
            _count(each.budget),
            _interval(each.solved_uncut),
            " or ".join(dict.fromkeys(f"{cap:,}" for cap in each.caps)),
            f"{each.k:.1f}",
            _interval(each.solved),
            f"{each.gain.value:+.1%} ({each.gain.low:+.1%} to {each.gain.high:+.1%})",
        )
    show_table(table)


def conclusions(found: Diagnosis) -> list[str]:
    """What the tables come to, a sentence each."""
    last, told = found.projected[-1], list[str]()
    if found.num_samples == 1:
        return ["One sample a problem says nothing of what several would bring: draw more, `--n`."]
    if found.never == 1:
        return [
            "No sample is right: no search helps. Look at how answers are graded, or at the model."
        ]
    told.append(
        f"{_share(found.hard.value)} of the problems are hard and in reach: there more samples "
        f"pay. {_share(found.never)} were never solved."
    )
    told.append(
        f"With a checker {last.k} samples solve {found.by_checker:+.1%} more than one "
        f"(`mull solve --strategy early_stop --n {last.k}`)."
    )
    if found.by_votes is not None:
        told.append(_on_votes(found.by_votes, found.by_checker))
    if found.law is not None:
        told.append(_on_law(found.law))
    if found.lengths is not None:
        told.append(_on_length(found.lengths))
    told += _on_budgets(found.parted)
    return told


def _on_votes(by_votes: float, by_checker: float) -> str:
    if by_votes >= TELLING * by_checker:
        return f"Votes bring {by_votes:+.1%}, most of it without a checker (`self_consistency`)."
    return (
        f"Votes bring {by_votes:+.1%}: right answers are there and not found. A checker or a "
        "reward model (`--verifier`) is worth more than further samples."
    )


def _on_law(law: Fitted) -> str:
    exponent = law.exponent
    if exponent.value > STEEP:
        return "What is unsolved falls faster than any power of the number of samples."
    return (
        "What is unsolved falls as the number of samples to the power of "
        f"-{exponent.value:.2g} ({exponent.low:.2g} to {exponent.high:.2g})."
    )


def _on_length(lengths: Lengths) -> str:
    if lengths.too_long_hurts:
        best = lengths.parts[lengths.best]
        return (
            f"Longer is not better: of answers to one problem those of about {best.tokens:,.0f} "
            f"tokens are right most often, and the longest {-lengths.longest_less_best.value:.1%} "
            "less often."
        )
    return "Nothing says that the longest answers are worse than others to the same problem."


def _on_budgets(parted: tuple[Parted, ...]) -> list[str]:
    gains = [each for each in parted if each.gain.low > 0 and each.gain.value >= WORTH]
    if not gains:
        return ["No limit on an answer's length is better than none at equal tokens."]
    best = max(gains, key=lambda each: each.gain.value)
    caps = " or ".join(dict.fromkeys(f"{cap:,}" for cap in best.caps))
    return [
        f"For {best.budget:,.0f} tokens a problem, {best.k:.1f} answers of {caps} tokens at most "
        f"(`--max-tokens`) solve {best.gain.value:+.1%} more than uncut ones."
    ]


def _table(title: str, *names: str) -> Table:
    table = Table(title=title)
    for name in names:
        table.add_column(name, justify="right")
    return table


def _share(value: float) -> str:
    return f"{value:.0%}"


def _interval(found: Interval) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
