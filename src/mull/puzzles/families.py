"""The families that mull knows, and the way from free text to one of them."""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from mull.core.answers import AnswerKey
from mull.core.errors import ProblemNotUnderstoodError, UnknownNameError
from mull.core.problem import AnswerKind, Problem
from mull.core.steps import Trajectory
from mull.puzzles.chain import Chain
from mull.puzzles.constraint import Constraint
from mull.puzzles.countdown import Countdown
from mull.puzzles.entailment import Entailment
from mull.puzzles.letters import Letters
from mull.puzzles.logic import Logic
from mull.puzzles.multiply import Multiply
from mull.puzzles.plan import Plan
from mull.puzzles.puzzle import Puzzle
from mull.puzzles.reading import MAX_STATEMENT_CHARS, integer_key, shown, wording_key

FAMILIES: Final[Mapping[str, type[Puzzle]]] = MappingProxyType(
    {
        "countdown": Countdown,
        "multiply": Multiply,
        "chain": Chain,
        "letters": Letters,
        "logic": Logic,
        "entailment": Entailment,
        "constraint": Constraint,
        "plan": Plan,
    }
)


def puzzle_key(problem: Problem, text: str) -> str | None:
    """The equality class of an answer by the rules of the problem's family, as `AnswerKey`."""
    puzzle = puzzle_of(problem)
    return wording_key(text) if puzzle is None else puzzle.answer_key(text)


def number_key(problem: Problem, text: str) -> str | None:  # noqa: ARG001  (the seam's signature)
    """The equality class of an integer answer to any problem, as `AnswerKey`."""
    return integer_key(text)


ANSWER_RULES: Final[Mapping[AnswerKind, AnswerKey]] = MappingProxyType(
    {
        AnswerKind.COUNTDOWN: puzzle_key,
        AnswerKind.PUZZLE: puzzle_key,
        AnswerKind.INTEGER: number_key,
    }
)
"""What to build `AnswerKeys` from."""


def family_named(name: str) -> type[Puzzle]:
    """The family of that name. Raises UnknownNameError."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise UnknownNameError("puzzle family", name, FAMILIES) from None


def recognise(text: str, families: Collection[str] = FAMILIES) -> Puzzle:
    """Read a problem in free words, as one of these families.

    Raises ProblemNotUnderstoodError, which names what is out of bounds or, where nothing fits, the
    kinds of problem that are known, with an example of each.
    """
    known = [family_named(name) for name in families]
    if len(text) > MAX_STATEMENT_CHARS:
        raise ProblemNotUnderstoodError(
            f"the problem has {len(text)} characters, more than {MAX_STATEMENT_CHARS}",
            hint=_known_kinds(known),
        )
    for family in known:
        puzzle = family.parse(text)
        if puzzle is not None:
            return puzzle
    raise ProblemNotUnderstoodError(
        f"`{shown(text)}` is none of the problems that the built-in families know",
        hint=_known_kinds(known),
    )


def _known_kinds(families: Iterable[type[Puzzle]]) -> str:
    kinds = "; ".join(f"{family.name}: `{family.example}`" for family in families)
    return (
        f"known kinds: {kinds}. Other problems need another model: one behind a server, such "
        "as `openai:http://HOST:PORT/v1#NAME`, a checkpoint folder, or a policy of your own"
    )


def to_problem(puzzle: Puzzle, metadata: Mapping[str, str] | None = None) -> Problem:
    """The problem in its canonical wording; metadata gains the family's name."""
    return Problem.of(
        puzzle.statement, puzzle.answer_kind, {**(metadata or {}), "family": puzzle.name}
    )


def puzzle_of(problem: Problem) -> Puzzle | None:
    """The puzzle that a problem states; None when it states none that the families know."""
    return _stated(problem.statement)


def state_of(trajectory: Trajectory) -> str | None:
    """Where an unfinished path has led to, as `StateKey`.

    Legal paths of families with an exact checker are equal by the rules: countdown paths when they
    leave the same numbers. All others are equal when they read the same: elsewhere a rule would
    tell right lines from wrong ones where nobody else can. None for a path that is finished or
    stops in the middle of a line.
    """
    steps = trajectory.steps
    if not steps or trajectory.is_finished or not steps[-1].text.endswith("\n"):
        return None
    return _state_of_lines(trajectory.problem.statement, trajectory.text)


# A search asks for the same paths again in every wave.
@lru_cache(maxsize=1 << 14)
def _state_of_lines(statement: str, text: str) -> str:
    puzzle = _stated(statement)
    if puzzle is None or puzzle.answer_kind not in {AnswerKind.COUNTDOWN, AnswerKind.PUZZLE}:
        return f"text:{text}"
    state = puzzle.state_key([text])
    return f"text:{text}" if state is None else f"state:{state}"


@lru_cache(maxsize=1 << 8)
def _stated(statement: str) -> Puzzle | None:
    try:
        return recognise(statement)
    except ProblemNotUnderstoodError:
        return None
