"""Multiplication problems by number of digits, and long multiplication written in steps."""

from collections.abc import Iterator
from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.puzzles import Multiply
from mull.tasks.example import Example, Form, example_of
from mull.tasks.split import Split, in_held_out_bucket

DIGITS: Final = {1: (2, 1), 2: (2, 2), 3: (3, 2), 4: (3, 3)}
"""Level to the digits of the first and of the second operand."""
LEVELS: Final = range(1, 5)


def draw_operands(level: int, rng: Random, split: Split) -> tuple[int, int]:
    """Two operands without leading zeros whose pair, in this order, belongs to the split."""
    left_digits, right_digits = DIGITS[level]
    while True:
        left = _number(left_digits, rng)
        right = _number(right_digits, rng)
        if in_held_out_bucket((left, right)) == (split == "test"):
            return left, right


def _number(num_digits: int, rng: Random) -> int:
    smallest = 10 ** (num_digits - 1)
    return smallest + int(rng.random() * 9 * smallest)


def draw(level: int, rng: Random, split: Split) -> Example:
    """One problem."""
    left, right = draw_operands(level, rng, split)
    return example_of(
        Multiply(left, right),
        reference=left * right,
        level=level,
        split=split,
        group=f"{left} {right}",
    )


def sample_text(level: int, form: Form, rng: Random, split: Split) -> tuple[str, str]:
    """A statement and a right completion of it."""
    left, right = draw_operands(level, rng, split)
    return Multiply(left, right).statement, write_product(left, right, form)


def write(example: Example, form: Form, rng: Random) -> str:  # noqa: ARG001 (one way to write it)
    """A right completion."""
    puzzle = Multiply.parse(example.problem.statement)
    if puzzle is None:
        raise BadInputError(f"example `{example.id}` states no multiplication")
    return write_product(puzzle.left, puzzle.right, form)


def write_product(left: int, right: int, form: Form) -> str:
    """The product, after the written scheme (`reasoning`) or alone (`direct`)."""
    answer = digits_apart(left * right)
    if form == "direct":
        return f"<think></think>{answer}"
    lines = "".join(f"{line}\n" for line in scheme_lines(left, right))
    return f"<think>{lines}</think>{answer}"


def scheme_lines(left: int, right: int) -> Iterator[str]:
    """The problem again, one row a digit of `right` from the units up, then running sums."""
    apart = digits_apart(left)
    yield f"{apart} *{digits_apart(right)}"
    addends = list[int]()
    for place, digit in enumerate(reversed(str(right))):
        addends.append(left * int(digit) * 10**place)
        yield f"{apart} * {digit}{' 0' * place} ={digits_apart(addends[-1])}"
    total = addends[0]
    for addend in addends[1:]:
        yield (f"{digits_apart(total)} +{digits_apart(addend)} ={digits_apart(total + addend)}")
        total += addend


def digits_apart(number: int) -> str:
    """` 8 4 7`: a blank before every digit."""
    return "".join(f" {digit}" for digit in str(number))
