"""Sums modulo 97 of three to eleven numbers, reduced two at a time in any order."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from mull.core.errors import ProblemNotUnderstoodError
from mull.core.problem import AnswerKind
from mull.puzzles.puzzle import Ruling
from mull.puzzles.reading import (
    NUMBER,
    NUMBER_LIST,
    integer_key,
    listed,
    match_statement,
    numbers_in,
    one_line,
    rule_on_integer,
    shown,
    step_lines,
    whole_number,
)

MODULUS: Final = 97
MIN_NUMBERS: Final = 3
MAX_NUMBERS: Final = 11

_MODULUS_WORDS: Final = rf"(?:,? ?\(?(?:modulo|mod|%)) (?P<modulus>{NUMBER})\)?(?: ?= ?)?"
_PLUS_LIST: Final = rf"{NUMBER}(?: ?\+ ?{NUMBER}){{1,63}}"
_PHRASINGS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:please )?(?:add|sum|what is the sum of|the sum of)(?: up)?(?: the)?(?: numbers)?:? "
        rf"(?P<numbers>{NUMBER_LIST}){_MODULUS_WORDS}",
        rf"(?:what is |what's |compute |calculate )?"
        rf"\(?(?P<numbers>{_PLUS_LIST})\)?{_MODULUS_WORDS}",
    )
)
_MAX_LINE_CHARS: Final = 120
_RESIDUE: Final = r"[0-9]{1,2}"
_LINE: Final = re.compile(
    rf"({_RESIDUE}) ?\+ ?({_RESIDUE}) ?= ?({_RESIDUE})"
    rf"(?: left ({_RESIDUE}(?: {_RESIDUE}){{0,15}}))?"
)


class _IllegalLineError(ValueError):
    """A line is not legal where it stands; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Add `numbers` modulo 97."""

    numbers: tuple[int, ...]
    """Residues in the order of the statement."""

    name: ClassVar[str] = "chain"
    example: ClassVar[str] = "Add 57, 33, 90 and 12 modulo 97."
    answer_kind: ClassVar[AnswerKind] = AnswerKind.INTEGER

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; see `Puzzle.parse`."""
        match = match_statement(_PHRASINGS, text)
        if match is None:
            return None
        whole_number(match["modulus"], smallest=MODULUS, largest=MODULUS, what="the modulus")
        literals = numbers_in(match["numbers"])
        if not MIN_NUMBERS <= len(literals) <= MAX_NUMBERS:
            raise ProblemNotUnderstoodError(
                f"a chain has {MIN_NUMBERS} to {MAX_NUMBERS} numbers; this has {len(literals)}",
                hint=f"give {MIN_NUMBERS} to {MAX_NUMBERS} numbers",
            )
        return cls(
            tuple(
                whole_number(literal, smallest=0, largest=MODULUS - 1, what="the number")
                for literal in literals
            )
        )

    @property
    def statement(self) -> str:
        """The canonical wording."""
        return f"Add {listed(self.numbers)} modulo {MODULUS}."

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on the next line, `57 + 33 = 90 left 12 90 90`."""
        try:
            left = _advance(self._left_after(done), one_line(line))
        except _IllegalLineError as error:
            return Ruling.reject(str(error))
        return Ruling.accept(f"left is {_listed_ascending(left)}")

    def check_answer(self, text: str) -> Ruling:
        """Rule on the sum, with or without reasoning before it."""
        return rule_on_integer(text, sum(self.numbers) % MODULUS)

    def state_key(self, done: Sequence[str]) -> str | None:
        """The numbers left, ascending; None after an illegal line."""
        try:
            return _listed_ascending(self._left_after(done))
        except _IllegalLineError:
            return None

    def answer_key(self, text: str) -> str | None:
        """The integer."""
        return integer_key(text)

    def _left_after(self, done: Sequence[str]) -> Counter[int]:
        left = Counter(self.numbers)
        for line in step_lines("\n".join(done)):
            left = _advance(left, line)
        return left


def _listed_ascending(left: Counter[int]) -> str:
    return " ".join(map(str, sorted(left.elements())))


def _advance(left: Counter[int], text: str) -> Counter[int]:
    """The numbers left after one more line. Raises _IllegalLineError."""
    match = _LINE.fullmatch(" ".join(text.split())) if len(text) <= _MAX_LINE_CHARS else None
    if match is None:
        raise _IllegalLineError(f"`{shown(text)}` is not a line of the form `a + b = c left …`")
    first, second, result = (int(match[group]) for group in (1, 2, 3))
    missing = Counter((first, second)) - left
    if missing:
        raise _IllegalLineError(
            f"`{min(missing)}` is not at hand; left is {_listed_ascending(left)}"
        )
    if (first + second) % MODULUS != result:
        raise _IllegalLineError(f"`{shown(text)}` is false arithmetic")
    after = left - Counter((first, second)) + Counter((result,))
    if match[4] is not None and Counter(map(int, match[4].split(" "))) != after:
        raise _IllegalLineError(
            f"`{shown(text)}` lists the wrong numbers; left is {_listed_ascending(after)}"
        )
    return after
