"""Checking one answer against a reference, without a model: the checkers by name."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mull.build.answers import answer_keys
from mull.build.blocking import blocking
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.problem import AnswerKind, Problem
from mull.puzzles import FAMILIES, recognise
from mull.verifiers.code import cases_in, check_answer, program_in
from mull.verifiers.finding import Finding
from mull.verifiers.formal import FormalChecker
from mull.verifiers.maths import MathsEquality
from mull.verifiers.sandbox import Sandbox
from mull.verifiers.sql import SqlChecker


@dataclass(frozen=True, slots=True)
class Question:
    """One answer that is to be checked."""

    answer: str
    against: str
    statement: str
    database: Path | None


async def check_async(
    answer: str,
    *,
    against: str,
    kind: str = "maths",
    statement: str = "",
    database: str | Path | None = None,
) -> Finding:
    """Whether an answer is right, by one of the exact checkers; no model and no solve is needed.

    Args:
        answer: What somebody or some model wrote. It is hostile: bounded, never evaluated here.
        against: What decides. `maths`, `text`, `integer`: the reference answer, or a solution that
            ends in it. `code`: lines `assert expression == literal`. `sql`: the reference query.
            `formal`: premises that have to entail the answer, or nothing. A puzzle family's name:
            the statement of the puzzle.
        kind: A name of `CHECKS`.
        statement: The problem, where it says which unit or percentage is meant (`maths`).
        database: For `sql`: an SQLite file, or a script (`.sql`) that makes one. Trusted.

    Returns:
        A verdict with its reason. Running out of time, memory or size is unknown, never reject.

    Raises:
        UnknownNameError: for a kind that does not exist.
        BadInputError: for a reference that the kind cannot use, or a missing extra.
        VerifierError: where the checker itself fails, as when nothing here can contain programs.
    """
    if kind not in CHECKS:
        raise UnknownNameError("kind of answer", kind, CHECKS)
    path = None if database is None else Path(database)
    return await CHECKS[kind](Question(answer, against, statement, path))


async def _by_key(asked: Question, kind: AnswerKind) -> Finding:
    problem, key = Problem.of("", kind), answer_keys()
    wanted, given = key(problem, asked.against), key(problem, asked.answer)
    if wanted is None:
        raise BadInputError("the reference is empty", hint="give an answer with `--against`")
    if given is None:
        return Finding.reject("it gives no answer", "key")
    if given == wanted:
        return Finding.accept("the same answer", "key")
    return Finding.reject("another answer", "key")


async def _text(asked: Question) -> Finding:
    return await _by_key(asked, AnswerKind.TEXT)


async def _integer(asked: Question) -> Finding:
    return await _by_key(asked, AnswerKind.INTEGER)


async def _maths(asked: Question) -> Finding:
    async with MathsEquality() as equality:
        return await equality.check(asked.answer, asked.against, asked.statement)


async def _code(asked: Question) -> Finding:
    cases = cases_in(asked.against)
    async with await Sandbox.open(num_slots=1) as sandbox:
        finding = await check_answer(sandbox, asked.answer, cases)
        return Finding(finding.verdict, finding.reason, f"{finding.method}/{sandbox.level.value}")


async def _sql(asked: Question) -> Finding:
    if asked.database is None:
        raise BadInputError(
            "a query is checked on a database", hint="name one with `--database FILE`"
        )
    if not asked.database.is_file():
        raise BadInputError(f"there is no database `{asked.database}`")
    is_script = asked.database.suffix == ".sql"
    script = asked.database.read_text(encoding="utf-8") if is_script else ""
    async with SqlChecker(script, None if is_script else asked.database) as checker:
        return await checker.check(program_in(asked.answer) or "", asked.against)


async def _formal(asked: Question) -> Finding:
    async with FormalChecker() as checker:
        return await checker.check(asked.answer, asked.against)


async def _puzzle(asked: Question) -> Finding:
    ruling = recognise(asked.against).check_answer(asked.answer)
    make = Finding.accept if ruling.accepted else Finding.reject
    return make(ruling.reason, "rules")


Check = Callable[[Question], Awaitable[Finding]]

CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "maths": _maths,
        "text": _text,
        "integer": _integer,
        "code": _code,
        "sql": _sql,
        "formal": _formal,
        "puzzle": _puzzle,
        **dict.fromkeys(FAMILIES, _puzzle),
    }
)
"""The kinds of answer that can be checked; a puzzle family's name is the same as `puzzle`."""

check = blocking(check_async, "check")
