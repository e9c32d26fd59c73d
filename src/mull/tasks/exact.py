"""The exact worth of the states on the way: what learned step values are measured against.

For training and evaluation alone: it solves, and nothing that runs at test time may.
"""

from collections.abc import Sequence
from functools import cache

from mull.core.errors import BadInputError
from mull.puzzles import Chain, Countdown, Multiply, Puzzle
from mull.tasks.countdown_solver import Arithmetic, CountdownSolver


def exact_labels(puzzle: Puzzle, texts: Sequence[str], *, is_right: bool) -> list[bool]:
    """For each step of a whole completion: can it still come out right, by the rules alone?

    A countdown state can while the target is reachable in whole numbers from 0 to 999, which is all
    that models write. In the other families a mistake is final, so a state can as long as all of
    its lines are right (that a second mistake may undo the first is luck, not a rule). The last
    step is as right as the answer.
    """
    thoughts = texts[:-1]
    if isinstance(puzzle, Countdown):
        labels = whole_solver().label_lines(puzzle.numbers, puzzle.target, thoughts)
    elif isinstance(puzzle, Chain | Multiply):
        labels = _legal_so_far(puzzle, thoughts)
    else:
        raise BadInputError(f"no exact labels for `{puzzle.name}`")
    return [*labels, is_right]


def _legal_so_far(puzzle: Puzzle, lines: Sequence[str]) -> list[bool]:
    for index, line in enumerate(lines):
        if not puzzle.check_step(lines[:index], line).accepted:
            return [True] * index + [False] * (len(lines) - index)
    return [True] * len(lines)


@cache
def whole_solver() -> CountdownSolver:
    """One memory for all problems of a process."""
    return CountdownSolver(Arithmetic.WHOLE)
