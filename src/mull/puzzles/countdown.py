"""Countdown: combine every number once with + - * / to reach a target. Game of 24 is one case.

Answers are derivations or expressions, and are ruled on with exact fractions: negative and
fractional intermediate values are allowed.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final, NamedTuple, Self

from mull.core.errors import ProblemNotUnderstoodError
from mull.core.problem import AnswerKind
from mull.puzzles.derivation import Derivation, DerivationError
from mull.puzzles.expression import (
    Expression,
    ExpressionError,
    canonical,
    evaluate,
    leaves,
    parse_expression,
    render,
)
from mull.puzzles.puzzle import Ruling
from mull.puzzles.reading import (
    MAX_ANSWER_CHARS,
    NUMBER,
    NUMBER_LIST,
    listed,
    match_statement,
    numbers_in,
    one_line,
    split_completion,
    step_lines,
    whole_number,
    wording_key,
)

MIN_NUMBERS: Final = 3
MAX_NUMBERS: Final = 6
MAX_NUMBER: Final = 999
MAX_TARGET: Final = 999_999_999

_REACH: Final = r"(?:make|get|reach|obtain|equal|give|form|produce|hit)"
# Every repetition is bounded, so that no text makes the matcher search for long.
_WORDS: Final = r"[^0-9]{0,120}?"
_PHRASINGS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # as in "use 4, 9, 10 and 13 once each with the four operations to make 24"
        rf"(?:use|using|with|combine|take|given|from)\b[a-z :]{{0,40}}?(?P<numbers>{NUMBER_LIST})"
        rf"{_WORDS}\b{_REACH}s?\b[a-z ]{{0,30}}?(?P<target>{NUMBER})(?:[ .,;:!?]{_WORDS})?",
        # as in "make 24 from 4 9 10 13"
        rf"(?:can you |please |how do i |how can i )?{_REACH} (?P<target>{NUMBER}) "
        rf"(?:from|using|with|out of|by using|by combining|given)\b[a-z :]{{0,40}}?"
        rf"(?P<numbers>{NUMBER_LIST}){_WORDS}",
        # as in "4 9 10 13 -> 24"
        rf"(?:countdown:? |numbers:? )?(?P<numbers>{NUMBER_LIST})"
        rf" ?(?:->|=>|→|=|:|(?:to )?{_REACH}|target:?) ?(?P<target>{NUMBER})",
        # as in "game of 24: 4 9 10 13"
        rf"(?:play |solve |the )*(?:game of |game |make )?(?P<target>24)(?: game)?[: ]+"
        rf"(?:with |for |on )?(?P<numbers>{NUMBER_LIST})",
    )
)
_CLAIM: Final = re.compile(r"(?P<expression>[^=]+)=\s*(?P<claim>-?[0-9]{1,9})\s*")


class Answer(NamedTuple):
    """A readable answer."""

    expression: Expression
    claim: Fraction | None
    """The value that the answer itself states, where it states one."""


class _UnreadableError(ValueError):
    """The answer breaks a rule before its value matters; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Countdown:
    """Reach `target` by using each of `numbers` exactly once."""

    numbers: tuple[int, ...]
    """Ascending."""
    target: int

    name: ClassVar[str] = "countdown"
    example: ClassVar[str] = "Use 4, 9, 10 and 13 once each with + - * / to make 24."
    answer_kind: ClassVar[AnswerKind] = AnswerKind.COUNTDOWN

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; see `Puzzle.parse`."""
        match = match_statement(_PHRASINGS, text)
        if match is None:
            return None
        literals = numbers_in(match["numbers"])
        if not MIN_NUMBERS <= len(literals) <= MAX_NUMBERS:
            raise ProblemNotUnderstoodError(
                f"a countdown has {MIN_NUMBERS} to {MAX_NUMBERS} numbers; this has {len(literals)}",
                hint=f"give {MIN_NUMBERS} to {MAX_NUMBERS} numbers",
            )
        numbers = (
            whole_number(literal, smallest=1, largest=MAX_NUMBER, what="the number")
            for literal in literals
        )
        target = whole_number(match["target"], smallest=1, largest=MAX_TARGET, what="the target")
        return cls(tuple(sorted(numbers)), target)

    @property
    def statement(self) -> str:
        """The canonical wording."""
        return f"Use {listed(self.numbers)} once each with + - * / to make {self.target}."

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on the next line of a derivation. A legal last line may end short of the target."""
        try:
            before = Derivation.start(self.numbers).follow(step_lines("\n".join(done)))
            after = before.advance(one_line(line))
        except DerivationError as error:
            return Ruling.reject(str(error))
        return Ruling.accept(f"left is {after.state_key}")

    def check_answer(self, text: str) -> Ruling:
        """Rule on a derivation or an expression."""
        try:
            answer = self._read(text)
        except _UnreadableError as error:
            return Ruling.reject(str(error))
        value = evaluate(answer.expression)
        if value is None:
            return Ruling.reject(f"`{render(answer.expression)}` divides by zero")
        if answer.claim is not None and answer.claim != value:
            return Ruling.reject(f"the answer states {answer.claim}, but its value is {value}")
        if value != self.target:
            return Ruling.reject(f"`{render(answer.expression)}` is {value}, not {self.target}")
        return Ruling.accept(f"{render(answer.expression)} = {self.target}")

    def state_key(self, done: Sequence[str]) -> str | None:
        """The numbers left, ascending; None after an illegal line."""
        try:
            return Derivation.start(self.numbers).follow(step_lines("\n".join(done))).state_key
        except DerivationError:
            return None

    def answer_key(self, text: str) -> str | None:
        """The expression up to commutation and association, whatever its value.

        An answer that breaks a rule is a class of its own wording: a vote counts it, none is
        filtered out.
        """
        try:
            return canonical(self._read(text).expression)
        except _UnreadableError:
            return wording_key(text)

    def expression(self, text: str) -> str | None:
        """The answer as people write it, `(13 - 9) * (10 - 4)`; None when it is not readable."""
        try:
            return render(self._read(text).expression)
        except _UnreadableError:
            return None

    def _read(self, text: str) -> Answer:
        """The expression behind an answer that uses each number once. Raises _UnreadableError."""
        if len(text) > MAX_ANSWER_CHARS:
            raise _UnreadableError(f"the answer is longer than {MAX_ANSWER_CHARS} characters")
        answer = split_completion(text).answer
        if answer is None:
            raise _UnreadableError("the reasoning has not ended in an answer")
        lines = step_lines(answer)
        is_derivation = len(lines) > 1 or "left" in answer
        try:
            return self._derivation(lines) if is_derivation else self._expression("".join(lines))
        except (DerivationError, ExpressionError) as error:
            raise _UnreadableError(str(error)) from error

    def _derivation(self, lines: tuple[str, ...]) -> Answer:
        parts = Derivation.start(self.numbers).follow(lines).parts
        if len(parts) != 1:
            raise _UnreadableError(f"the derivation is not finished: {len(parts)} numbers are left")
        return Answer(parts[0].expression, parts[0].value)

    def _expression(self, line: str) -> Answer:
        match = _CLAIM.fullmatch(line)
        expression = parse_expression(match["expression"] if match else line)
        used, given = Counter(leaves(expression)), Counter(self.numbers)
        if used != given:
            raise _UnreadableError(_misuse(used, given))
        return Answer(expression, Fraction(int(match["claim"])) if match else None)


def _misuse(used: Counter[int], given: Counter[int]) -> str:
    """Why these numbers are not the statement's, each once."""
    extra, missing = used - given, given - used
    if extra:
        return f"`{min(extra)}` is used more often than the statement gives it"
    return f"`{min(missing)}` is not used"
