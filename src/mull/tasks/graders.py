"""Exact graders: whether a completion comes to the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mull.puzzles import Countdown, puzzle_of
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


GRADERS: Final[Mapping[str, Grader]] = MappingProxyType(
    {
        "countdown": CountdownGrader(),
        "multiply": IntegerGrader(),
        "chain": IntegerGrader(),
        "letters": IntegerGrader(),
    }
)
"""The grader of every task."""


def grade(example: Example, completion: str) -> bool:
    """Whether the completion, or the answer alone, is right, by its task's grader."""
    return GRADERS[example.task].grade(example, completion)
