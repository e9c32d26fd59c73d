"""Countdown problems of 3 to 6 numbers from 1 to 30, solvable by construction, and their traces."""

from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.puzzles import Countdown, derivation_expression
from mull.tasks.countdown_solver import Arithmetic, CountdownSolver
from mull.tasks.example import Example, Form, example_of
from mull.tasks.split import Split, any_held_out, is_held_out
from mull.tasks.walk import Move, legal_moves, random_walk, states_of, write_moves

LEVELS: Final = range(3, 7)
"""The level is how many numbers there are."""
MAX_NUMBER: Final = 30
MIN_TARGET: Final = 10
MAX_TARGET: Final = 100
WALKS_PER_START: Final = 64
"""Walks from one evaluation start before other numbers are drawn."""


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem; its target is the end of a random legal walk."""
    numbers, moves = draw_walk(level, rng, split)
    puzzle = Countdown(numbers, moves[-1].result)
    group = " ".join(map(str, numbers))
    return example_of(puzzle, reference=puzzle.target, level=level, split=split, group=group)


def draw_walk(level: int, rng: Random, split: Split) -> tuple[tuple[int, ...], list[Move]]:
    """Numbers of the split and a walk from them to a value from 10 to 100.

    Evaluation starts are held out; training starts are not, nor is any state on the way.
    """
    while True:
        # Held-out starts are rare, so evaluation tries one of them several times; training draws
        # anew, so that its walks are those of free play given that nothing held out was met.
        numbers = tuple(sorted(1 + int(rng.random() * MAX_NUMBER) for _ in range(level)))
        if is_held_out(numbers) != (split == "test"):
            continue
        for _ in range(WALKS_PER_START if split == "test" else 1):
            moves = random_walk(numbers, rng)
            if not MIN_TARGET <= moves[-1].result <= MAX_TARGET:
                continue
            if split == "test" or not any_held_out(states_of(numbers, moves)):
                return numbers, moves


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a right completion of it."""
    numbers, moves = draw_walk(level, rng, split)
    return Countdown(numbers, moves[-1].result).statement, write_walk(numbers, moves, form)


def write(example: Example, form: Form, rng: Random) -> str:
    """A right completion, by a random winning walk in whole numbers from 0 to 999.

    Raises BadInputError when the problem has no solution of that kind.
    """
    puzzle = Countdown.parse(example.problem.statement)
    if puzzle is None:
        raise BadInputError(f"example `{example.id}` states no countdown")
    return write_walk(puzzle.numbers, winning_walk(puzzle, rng), form)


def winning_walk(puzzle: Countdown, rng: Random) -> list[Move]:
    """A walk to the target, each move uniform over those after which it can still be reached.

    Raises BadInputError when the target cannot be reached in whole numbers from 0 to 999.
    """
    solver = CountdownSolver(Arithmetic.WHOLE)
    if not solver.reachable(puzzle.numbers, puzzle.target):
        raise BadInputError(
            f"`{puzzle.statement}` has no solution in whole numbers from 0 to 999",
            hint="write a trace for another problem",
        )
    values, moves = puzzle.numbers, list[Move]()
    while len(values) > 1:
        candidates = legal_moves(values)
        rng.shuffle(candidates)
        winning = (move for move in candidates if solver.reachable(move.state, puzzle.target))
        moves.append(next(winning))
        values = moves[-1].state
    return moves


def write_walk(numbers: tuple[int, ...], moves: list[Move], form: Form) -> str:
    """The walk as a derivation (`reasoning`) or as one expression (`direct`)."""
    reasoning = write_moves(moves)
    if form == "reasoning":
        return reasoning
    expression = derivation_expression(numbers, reasoning.split("\n"))
    return " " + expression.replace("(", "( ").replace(")", " )")
