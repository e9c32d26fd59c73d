"""Exact graders: whether a completion comes to the reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mull.puzzles import Countdown, Logic, Plan, Puzzle, puzzle_of
from mull.puzzles.logic import shown_kinds
from mull.puzzles.reading import rule_on_integer
from mull.tasks.example import Example, Grader


@dataclass(frozen=True, slots=True)
class CountdownGrader:
    """Right: a derivation or expression over exactly the given numbers that equals the target."""

    def grade(self, example: Example, completion: str) -> bool:
        """See `Grader`."""
        puzzle = puzzle_of(example.problem)
        if not isinstance(puzzle, Countdown):
            return False
        expected = Countdown(puzzle.numbers, int(example.reference))
        return expected.check_answer(completion).accepted


@dataclass(frozen=True, slots=True)
class IntegerGrader:
    """Right: the answer is the reference, digits together or apart."""

    def grade(self, example: Example, completion: str) -> bool:
        """See `Grader`."""
        return rule_on_integer(completion, int(example.reference)).accepted


@dataclass(frozen=True, slots=True)
class PlanGrader:
    """Right: a legal plan after which some jug holds the reference amount."""

    def grade(self, example: Example, completion: str) -> bool:
        """See `Grader`."""
        puzzle = puzzle_of(example.problem)
        if not isinstance(puzzle, Plan):
            return False
        return Plan(puzzle.jugs, int(example.reference)).check_answer(completion).accepted


@dataclass(frozen=True, slots=True)
class KeyGrader:
    """Right: obeys every rule of the statement, and is the reference answer by its key."""

    key_of: Callable[[Puzzle, int], str | None]
    """From a reference number to the answer key it stands for."""

    def grade(self, example: Example, completion: str) -> bool:
        """See `Grader`."""
        puzzle = puzzle_of(example.problem)
        if puzzle is None or not puzzle.check_answer(completion).accepted:
            return False
        return puzzle.answer_key(completion) == self.key_of(puzzle, int(example.reference))


def _grid_of(puzzle: Puzzle, reference: int) -> str | None:
    return puzzle.answer_key(str(reference))


def _kinds_of(puzzle: Puzzle, reference: int) -> str | None:
    if not isinstance(puzzle, Logic):
        return None
    bits = enumerate(puzzle.people)
    return shown_kinds({name: bool(reference >> place & 1) for place, name in bits})


def _verdict_of(puzzle: Puzzle, reference: int) -> str | None:  # noqa: ARG001  (the field's type)
    return {0: "no", 1: "yes"}.get(reference)


GRADERS: Final[Mapping[str, Grader]] = MappingProxyType(
    {
        "countdown": CountdownGrader(),
        "multiply": IntegerGrader(),
        "chain": IntegerGrader(),
        "letters": IntegerGrader(),
        "logic": KeyGrader(_kinds_of),
        "entailment": KeyGrader(_verdict_of),
        "constraint": KeyGrader(_grid_of),
        "plan": PlanGrader(),
    }
)
"""The grader of every task whose answers need not be run."""


def grade(example: Example, completion: str) -> bool:
    """Whether the completion, or the answer alone, is right, by its task's grader."""
    return GRADERS[example.task].grade(example, completion)
