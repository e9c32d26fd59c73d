"""Long multiplication of two numbers of up to three digits, digits written apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, Self

from mull.core.problem import AnswerKind
from mull.puzzles.puzzle import Ruling
from mull.puzzles.reading import (
    NUMBER,
    integer_key,
    joined_integer,
    match_statement,
    one_line,
    rule_on_integer,
    shown,
    step_lines,
    whole_number,
)

MAX_OPERAND: Final = 999

_PHRASINGS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:please )?multiply ({NUMBER}) (?:by|and|with|times) ({NUMBER})",
        rf"(?:what is|what's|compute|calculate|how much is|the product of)?:? ?"
        rf"({NUMBER}) ?(?:\*|x|\u00d7|times|multiplied by) ?({NUMBER})(?: ?= ?)?",
        rf"(?:what is |what's |compute |calculate )?(?:the )?product of ({NUMBER}) and ({NUMBER})",
    )
)
_MAX_LINE_CHARS: Final = 80
_DIGITS: Final = r"[0-9](?: ?[0-9]){0,11}"
_LINE: Final = re.compile(rf"({_DIGITS}) ?([*+]) ?({_DIGITS})(?: ?= ?({_DIGITS}))?")


class _Row(NamedTuple):
    """One line of the scheme: `left operator right = result`; the first line has no result."""

    left: int
    operator: str
    right: int
    result: int | None


@dataclass(frozen=True, slots=True)
class Multiply:
    """Multiply `left` by `right`."""

    left: int
    right: int

    name: ClassVar[str] = "multiply"
    example: ClassVar[str] = "Multiply 847 by 293."
    answer_kind: ClassVar[AnswerKind] = AnswerKind.INTEGER

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; see `Puzzle.parse`."""
        match = match_statement(_PHRASINGS, text)
        if match is None:
            return None
        left, right = (
            whole_number(literal, smallest=0, largest=MAX_OPERAND, what="the operand")
            for literal in match.groups()
        )
        return cls(left, right)

    @property
    def statement(self) -> str:
        """The canonical wording."""
        return f"Multiply {self.left} by {self.right}."

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on the next line of the scheme: restate, one row a digit, running sums."""
        earlier = step_lines("\n".join(done))
        scheme = self._scheme()
        for index, text in enumerate((*earlier, one_line(line))):
            if index >= len(scheme):
                return Ruling.reject(f"`{shown(text)}` follows the last line of the scheme")
            ruling = _rule(text, scheme[index])
            if not ruling.accepted:
                return ruling
        return Ruling.accept(f"line {len(earlier) + 1} of {len(scheme)}")

    def check_answer(self, text: str) -> Ruling:
        """Rule on the product, with or without reasoning before it."""
        return rule_on_integer(text, self.left * self.right)

    def state_key(self, done: Sequence[str]) -> str | None:
        """How many lines are written; legal lines leave no choice."""
        lines = step_lines("\n".join(done))
        if lines and not self.check_step(lines[:-1], lines[-1]).accepted:
            return None
        return f"line {len(lines)}"

    def answer_key(self, text: str) -> str | None:
        """The integer, digits joined."""
        return integer_key(text)

    def _scheme(self) -> list[_Row]:
        """The lines that long multiplication writes, which check every line that is claimed."""
        digits = [int(digit) for digit in reversed(str(self.right))]
        addends = [self.left * digit * 10**place for place, digit in enumerate(digits)]
        rows = [_Row(self.left, "*", self.right, None)]
        rows += [
            _Row(self.left, "*", digit * 10**place, addend)
            for place, (digit, addend) in enumerate(zip(digits, addends, strict=True))
        ]
        total = addends[0]
        for addend in addends[1:]:
            rows.append(_Row(total, "+", addend, total + addend))
            total += addend
        return rows


def _rule(text: str, row: _Row) -> Ruling:
    match = _LINE.fullmatch(" ".join(text.split())) if len(text) <= _MAX_LINE_CHARS else None
    if match is None:
        return Ruling.reject(f"`{shown(text)}` is not a line of long multiplication")
    left, operator, right, result = match.groups()
    if (joined_integer(left), operator, joined_integer(right)) != row[:3]:
        expected = f"{row.left} {row.operator} {row.right}"
        return Ruling.reject(f"`{shown(text)}` should be about {expected}")
    if (None if result is None else joined_integer(result)) != row.result:
        return Ruling.reject(f"`{shown(text)}` is false arithmetic")
    return Ruling.accept("the line is right")
