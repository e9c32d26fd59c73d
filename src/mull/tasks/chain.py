"""Sums modulo 97 by number of steps, and their reductions two numbers at a time in random order."""

from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.puzzles import Chain
from mull.puzzles.chain import MODULUS
from mull.tasks.example import Example, Form, example_of
from mull.tasks.split import MIN_HELD_OUT_SIZE, Split, in_held_out_bucket

LEVELS: Final = range(2, 11)
"""The level is the number of steps: one less than the numbers."""


def draw_numbers(level: int, rng: Random, split: Split) -> tuple[int, ...]:
    """Residues, in the order of the statement, whose multiset belongs to the split."""
    while True:
        numbers = tuple(int(rng.random() * MODULUS) for _ in range(level + 1))
        if in_held_out_bucket(sorted(numbers)) == (split == "test"):
            return numbers


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem."""
    numbers = draw_numbers(level, rng, split)
    return example_of(
        Chain(numbers),
        reference=sum(numbers) % MODULUS,
        level=level,
        split=split,
        group=" ".join(map(str, sorted(numbers))),
    )


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a right completion; a training one passes through no held-out multiset."""
    while True:
        numbers = draw_numbers(level, rng, split)
        steps = reduce_randomly(numbers, rng)
        if split == "test" or form == "direct" or not _passes_held_out(steps):
            return Chain(numbers).statement, write_steps(numbers, steps, form)


def write(example: Example, form: Form, rng: Random) -> str:
    """A right completion; the order of the steps is random."""
    puzzle = Chain.parse(example.problem.statement)
    if puzzle is None:
        raise BadInputError(f"example `{example.id}` states no chain")
    return write_steps(puzzle.numbers, reduce_randomly(puzzle.numbers, rng), form)


_Step = tuple[int, int, int, list[int]]
"""Larger number, smaller number, their sum modulo 97, and what is left then, ascending."""


def reduce_randomly(numbers: tuple[int, ...], rng: Random) -> list[_Step]:
    """Replace two random numbers by their sum until one is left."""
    left = list(numbers)
    steps = list[_Step]()
    while len(left) > 1:
        first = left.pop(int(rng.random() * len(left)))
        second = left.pop(int(rng.random() * len(left)))
        total = (first + second) % MODULUS
        left = sorted((*left, total))
        steps.append((max(first, second), min(first, second), total, left.copy()))
    return steps


def _passes_held_out(steps: list[_Step]) -> bool:
    return any(len(left) >= MIN_HELD_OUT_SIZE and in_held_out_bucket(left) for *_, left in steps)


def write_steps(numbers: tuple[int, ...], steps: list[_Step], form: Form) -> str:
    """The sum, after its steps (`reasoning`) or alone (`direct`)."""
    answer = f" {sum(numbers) % MODULUS}"
    if form == "direct":
        return f"<think></think>{answer}"
    lines = "".join(
        f" {larger} + {smaller} = {total}{_left_part(left)}\n"
        for larger, smaller, total, left in steps
    )
    return f"<think>{lines}</think>{answer}"


def _left_part(left: list[int]) -> str:
    return f" left {' '.join(map(str, left))}" if len(left) > 1 else ""
