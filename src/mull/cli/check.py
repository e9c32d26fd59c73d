"""`mull check`: one answer against a reference, by an exact checker."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from mull.build import CHECKS
from mull.build import check as check_answer
from mull.cli.exits import ExitCode
from mull.cli.options import JsonOption
from mull.cli.output import show, show_json
from mull.core.errors import BadInputError
from mull.core.score import Verdict

EXAMPLES: Final = """\
Examples:

mull check "so it is \\\\boxed{0.5}" --against 1/2

mull check "(10 - 4) * (13 - 9)" --kind countdown --against "Use 4, 9, 10 and 13 to make 24"

mull check - --kind code --against "assert double(2) == 4" < answer.py

mull check "x * x > 4" --kind formal --against "int x; x > 2"

Exit codes: 0 accept, 1 reject, 4 unknown, 2 bad input, 3 failure."""

_EXITS: Final = {
    Verdict.ACCEPT: ExitCode.OK,
    Verdict.REJECT: ExitCode.NO_ANSWER,
    Verdict.UNKNOWN: ExitCode.UNKNOWN,
}

AnswerArgument = Annotated[
    str,
    typer.Argument(metavar="ANSWER", help="The answer, or - to read it from standard input."),
]
AgainstOption = Annotated[
    str,
    typer.Option(
        "--against",
        help="What decides: a reference answer, asserts (code), a query (sql), premises (formal) "
        "or the statement of a puzzle.",
    ),
]
KindOption = Annotated[str, typer.Option("--kind", "-k", help=f"{', '.join(CHECKS)}.")]
ProblemOption = Annotated[
    str, typer.Option("--problem", help="maths: the problem, which may name units or percent.")
]
DatabaseOption = Annotated[
    Path | None,
    typer.Option("--database", help="sql: an SQLite file, or a .sql script that makes one."),
]


def check(
    answer: AnswerArgument,
    *,
    against: AgainstOption,
    kind: KindOption = "maths",
    problem: ProblemOption = "",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check an answer against a reference: accept, reject, or unknown and why."""
    text = _standard_input() if answer == "-" else answer
    finding = check_answer(text, against=against, kind=kind, statement=problem, database=database)
    if as_json:
        verdict = {"verdict": finding.verdict.value, "reason": finding.reason}
        show_json("check", {**verdict, "method": finding.method, "answer_kind": kind})
    else:
        show(f"{finding.verdict.value}: {finding.reason}" + f" [{finding.method}]")
    raise typer.Exit(_EXITS[finding.verdict])


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise BadInputError(f"standard input is no UTF-8 text: {error}") from error
