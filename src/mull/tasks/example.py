"""A problem with its reference answer, and how an answer is graded against it.

Examples and graders are for evaluation and training only: nothing that runs at test time may import
them.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from mull.core.problem import Problem
from mull.puzzles import Puzzle, to_problem
from mull.tasks.split import Split

Form = Literal["reasoning", "direct"]
"""How a completion is written: with its steps, or the answer alone."""


@dataclass(frozen=True, slots=True)
class Example:
    """A problem whose answer is known."""

    problem: Problem
    reference: str
    """What a right answer comes to, as a plain number (target, product, sum or count); of a program
    the cases that must hold, as `assert` lines."""
    task: str
    level: int
    split: Split
    group: str
    """What decides the split (the numbers, the word): one group is one independent unit."""

    @property
    def id(self) -> str:
        """The problem's id."""
        return self.problem.id


class Grader(Protocol):
    """Says whether a completion is right. It sees the reference; a verifier never does."""

    def grade(self, example: Example, completion: str) -> bool:
        """Whether the completion, or the answer alone, is right; False for unreadable text."""
        ...


def example_of(puzzle: Puzzle, *, reference: int, level: int, split: Split, group: str) -> Example:
    """The example that states this puzzle in its canonical wording."""
    metadata = {"level": str(level), "split": split}
    problem = to_problem(puzzle, metadata)
    return Example(problem, str(reference), puzzle.name, level, split, group)
