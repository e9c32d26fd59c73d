"""Counting a letter in a word by a scratchpad with a running count."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from mull.core.errors import ProblemNotUnderstoodError
from mull.core.problem import AnswerKind
from mull.puzzles.puzzle import Ruling
from mull.puzzles.reading import (
    integer_key,
    match_statement,
    one_line,
    rule_on_integer,
    shown,
    step_lines,
)

MIN_LETTERS: Final = 3
MAX_LETTERS: Final = 14

_LETTER: Final = r"[\"'`]?(?P<letter>[a-z])[\"'`]?"
_WORD: Final = r"[\"'`]?(?P<word>[^\s\"'`]+)[\"'`]?"
_INSIDE: Final = r"(?:appear |occur |are there |are |is |there )*(?:in|inside)(?: the word)?:?"
_PHRASINGS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"how many times (?:does|do|is)(?: the)?(?: letter)? {_LETTER} {_INSIDE} {_WORD}",
        rf"how many(?: letter)? {_LETTER}(?:['\u2019]?s)? {_INSIDE} {_WORD}",
        rf"count (?:the )?(?:letter )?{_LETTER}(?:['\u2019]?s)? {_INSIDE} {_WORD}",
    )
)
_LINE: Final = re.compile(r"([a-z]) ?([0-9]{1,2})")


@dataclass(frozen=True, slots=True)
class Letters:
    """How many times does `letter` appear in `word`?"""

    letter: str
    word: str

    name: ClassVar[str] = "letters"
    example: ClassVar[str] = "How many times does the letter r appear in strawberry?"
    answer_kind: ClassVar[AnswerKind] = AnswerKind.INTEGER

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; see `Puzzle.parse`."""
        match = match_statement(_PHRASINGS, text)
        if match is None:
            return None
        word = match["word"]
        if not re.fullmatch(rf"[a-z]{{{MIN_LETTERS},{MAX_LETTERS}}}", word):
            raise ProblemNotUnderstoodError(
                f"`{shown(word)}` is no word of {MIN_LETTERS} to {MAX_LETTERS} letters from a to z",
                hint=f"give one word of {MIN_LETTERS} to {MAX_LETTERS} letters",
            )
        return cls(match["letter"], word)

    @property
    def statement(self) -> str:
        """The canonical wording."""
        return f"How many times does the letter {self.letter} appear in {self.word}?"

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on the next line: the next letter of the word and the count so far."""
        lines = (*step_lines("\n".join(done)), one_line(line))
        for position, text in enumerate(lines):
            ruling = self._rule(position, text)
            if not ruling.accepted:
                return ruling
        return Ruling.accept(f"letter {len(lines)} of {len(self.word)}")

    def check_answer(self, text: str) -> Ruling:
        """Rule on the count, with or without reasoning before it."""
        return rule_on_integer(text, self.word.count(self.letter))

    def state_key(self, done: Sequence[str]) -> str | None:
        """How many letters are done; legal lines leave no choice."""
        lines = step_lines("\n".join(done))
        if lines and not self.check_step(lines[:-1], lines[-1]).accepted:
            return None
        return f"letter {len(lines)}"

    def answer_key(self, text: str) -> str | None:
        """The integer."""
        return integer_key(text)

    def _rule(self, position: int, text: str) -> Ruling:
        match = _LINE.fullmatch(text)
        if match is None or position >= len(self.word):
            return Ruling.reject(f"`{shown(text)}` is not a letter of the word with a count")
        if match[1] != self.word[position]:
            return Ruling.reject(f"`{shown(text)}` should be about `{self.word[position]}`")
        count = self.word.count(self.letter, 0, position + 1)
        if int(match[2]) != count:
            return Ruling.reject(f"`{shown(text)}` should count {count}")
        return Ruling.accept("the line is right")
