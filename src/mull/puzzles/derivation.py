"""Countdown derivations: lines such as `13 - 9 = 4 left 4 4 10`, replayed with exact fractions.

A derivation spends two of the numbers at hand and puts their result back, until one number is left.
Lines may be written closer together, with typographic signs, with negative values and fractions
(`8/3`), and without the `left` part; whatever they state must be right.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self, cast

from mull.puzzles.expression import (
    Expression,
    Leaf,
    Operation,
    Operator,
    combine,
    plain_signs,
    render,
)
from mull.puzzles.reading import shown

MAX_LINE_CHARS: Final = 200
_VALUE: Final = r"-?[0-9]{1,9}(?:/[0-9]{1,9})?"
_LINE: Final = re.compile(
    rf"({_VALUE}) ?([-+*/]) ?({_VALUE}) ?= ?({_VALUE})"
    rf"(?: ?\(?(?:left|remaining):? ({_VALUE}(?: {_VALUE}){{0,15}})\)?)?"
)


class DerivationError(ValueError):
    """A line is not legal where it stands; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one line claims."""

    operator: Operator
    left: Fraction
    right: Fraction
    result: Fraction
    remaining: tuple[Fraction, ...] | None
    """The values after `left`, in the order written; None when the line does not list them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A number at hand and how it was made."""

    value: Fraction
    expression: Expression


@dataclass(frozen=True, slots=True)
class Derivation:
    """The numbers at hand after some legal lines, oldest first."""

    parts: tuple[Part, ...]

    @classmethod
    def start(cls, numbers: Iterable[int]) -> Self:
        """Nothing done yet."""
        return cls(tuple(Part(Fraction(number), Leaf(number)) for number in numbers))

    @property
    def remaining(self) -> tuple[Fraction, ...]:
        """The values at hand, ascending."""
        return tuple(sorted(part.value for part in self.parts))

    @property
    def state_key(self) -> str:
        """The values at hand as text; equal for states with equal futures."""
        return " ".join(map(str, self.remaining))

    def advance(self, text: str) -> Self:
        """The derivation after one more line. Raises DerivationError where that is not legal."""
        line = read_line(text)
        result = combine(line.operator, line.left, line.right)
        if result != line.result:
            raise DerivationError(f"`{shown(text)}` is false arithmetic")
        left, rest = _take(self.parts, line.left)
        right, rest = _take(rest, line.right)
        made = Part(line.result, Operation(line.operator, left.expression, right.expression))
        after = type(self)((*rest, made))
        if line.remaining is not None and tuple(sorted(line.remaining)) != after.remaining:
            raise DerivationError(
                f"`{shown(text)}` lists the wrong numbers; left is {after.state_key}"
            )
        return after

    def follow(self, lines: Sequence[str]) -> Self:
        """The derivation after all the lines. Raises DerivationError at the first illegal one."""
        derivation = self
        for line in lines:
            derivation = derivation.advance(line)
        return derivation


def _take(parts: tuple[Part, ...], value: Fraction) -> tuple[Part, tuple[Part, ...]]:
    """The oldest part of that value, and the others."""
    # Equal numbers are interchangeable; a fixed choice gives every derivation one expression.
    for index, part in enumerate(parts):
        if part.value == value:
            return part, (*parts[:index], *parts[index + 1 :])
    at_hand = Counter(str(part.value) for part in parts)
    raise DerivationError(f"`{value}` is not at hand; left is {' '.join(at_hand.elements())}")


def read_line(text: str) -> Line:
    """What one line claims. Raises DerivationError for any other form."""
    if len(text) > MAX_LINE_CHARS:
        raise DerivationError(f"a line is longer than {MAX_LINE_CHARS} characters")
    match = _LINE.fullmatch(" ".join(plain_signs(text).split()))
    if match is None:
        raise DerivationError(f"`{shown(text)}` is not a line of the form `a op b = c left …`")
    left, operator, right, result, remaining = match.groups()
    return Line(
        operator=cast(Operator, operator),
        left=_value(left),
        right=_value(right),
        result=_value(result),
        remaining=None if remaining is None else tuple(map(_value, remaining.split(" "))),
    )


def _value(literal: str) -> Fraction:
    numerator, _, denominator = literal.partition("/")
    if denominator and not int(denominator):
        raise DerivationError(f"`{literal}` divides by zero")
    return Fraction(int(numerator), int(denominator or 1))


def derivation_expression(numbers: Iterable[int], lines: Sequence[str]) -> str:
    """The derivation as people write it: `(10 - 4) * (13 - 9)`.

    Raises DerivationError at an illegal line or when more than one number is left.
    """
    parts = Derivation.start(numbers).follow(lines).parts
    if len(parts) != 1:
        raise DerivationError(f"the derivation is not finished: {len(parts)} numbers are left")
    return render(parts[0].expression)
