"""Propositional entailment with a certificate: a derivation by resolution, or a counterexample."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from mull.core.errors import ProblemNotUnderstoodError
from mull.core.problem import AnswerKind
from mull.puzzles.puzzle import Ruling
from mull.puzzles.reading import (
    MAX_ANSWER_CHARS,
    match_statement,
    one_line,
    shown,
    split_completion,
    step_lines,
    wording_key,
)

LETTERS: Final = "pqrstuvw"
MAX_CLAUSES: Final = 16
MAX_STEPS: Final = 100

_LITERAL: Final = r"(?:not )?[p-w]"
_CLAUSE: Final = rf"{_LITERAL}(?: or {_LITERAL}){{0,7}}"
_PHRASINGS: Final = (
    re.compile(
        rf"given:? (?P<given>{_CLAUSE}(?:[;,] {_CLAUSE}){{0,{MAX_CLAUSES}}})\. "
        rf"does (?P<goal>{_LITERAL}) follow(?:\? .{{1,240}})?"
    ),
)
_STEP = re.compile(rf"({_CLAUSE}) ?[,;] ?({_CLAUSE}) ?=> ?({_CLAUSE}|false)")
_VALUES = re.compile(r"no ?[:,.]? ?((?:[p-w] ?(?:=|is)? ?(?:true|false)(?:,? |$)){1,8})")
_VALUE = re.compile(r"([p-w]) ?(?:=|is)? ?(true|false)")

Literal = tuple[str, bool]
"""A letter, and whether it stands plainly."""
Clause = frozenset[Literal]
"""True where one of its literals is; the empty one is never true."""


class _IllegalStepError(ValueError):
    """A line does not follow; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Entailment:
    """Does `goal` follow from the clauses that are given?"""

    given: tuple[Clause, ...]
    goal: Literal

    name: ClassVar[str] = "entailment"
    example: ClassVar[str] = (
        "Given: p or q; not q or r. Does r follow? Derive it, one resolution a line, as "
        "p or q, not q or r => p or r, and end with yes; "
        "or give values for which it fails, as no: p true, q false, r false."
    )
    answer_kind: ClassVar[AnswerKind] = AnswerKind.PUZZLE

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; see `Puzzle.parse`."""
        match = match_statement(_PHRASINGS, text)
        if match is None:
            return None
        clauses = tuple(read_clause(part) for part in re.split("[;,] ", match["given"]))
        if len(clauses) > MAX_CLAUSES or any(map(_is_trivial, clauses)):
            raise ProblemNotUnderstoodError(
                f"an entailment has at most {MAX_CLAUSES} clauses, none with a letter both ways",
                hint="leave out what is always true",
            )
        (goal,) = read_clause(match["goal"])
        return cls(clauses, goal)

    @property
    def letters(self) -> str:
        """Every letter that occurs, in order."""
        used = {letter for clause in self.given for letter, _ in clause} | {self.goal[0]}
        return "".join(sorted(used))

    @property
    def statement(self) -> str:
        """The canonical wording."""
        return (
            f"Given: {'; '.join(map(shown_clause, self.given))}. "
            f"Does {shown_clause([self.goal])} follow? Derive it, one resolution a line, as "
            "p or q, not q or r => p or r, and end with yes; "
            "or give values for which it fails, as no: p true, q false, r false."
        )

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on one more line of a derivation, or on the last line of an answer."""
        lines = step_lines("\n".join(done))
        try:
            if _is_verdict(one_line(line)):
                return self.check_answer("\n".join((*lines, one_line(line))))
            known = _derive(self._known(lines), one_line(line))
        except _IllegalStepError as error:
            return Ruling.reject(str(error))
        return Ruling.accept(f"{len(known)} clauses are known")

    def check_answer(self, text: str) -> Ruling:
        """Rule on a derivation that ends in `yes`, or on `no` with a counterexample."""
        lines = _answer_lines(text)
        if not lines:
            return Ruling.reject("there is no answer")
        *derivation, verdict = lines
        values = _values_in(verdict)
        if values is not None:
            return self._rule_on_counterexample(values)
        if _plain(verdict) != "yes":
            return Ruling.reject(f"`{shown(verdict)}` is neither `yes` nor `no` with values")
        try:
            known = self._known(derivation)
        except _IllegalStepError as error:
            return Ruling.reject(str(error))
        if not known & {frozenset({self.goal}), frozenset[Literal]()}:
            return Ruling.reject(f"`{shown_clause([self.goal])}` is not derived")
        return Ruling.accept(f"`{shown_clause([self.goal])}` is derived")

    def state_key(self, done: Sequence[str]) -> str | None:
        """The clauses known so far; None after a line that does not follow."""
        lines = step_lines("\n".join(done))
        if lines and _is_verdict(lines[-1]):
            return _plain(lines[-1]) if self.check_answer("\n".join(lines)).accepted else None
        try:
            return "; ".join(sorted(map(shown_clause, self._known(lines))))
        except _IllegalStepError:
            return None

    def answer_key(self, text: str) -> str | None:
        """`yes` or `no`, however it is shown."""
        lines = _answer_lines(text)
        if not lines or not _is_verdict(lines[-1]):
            return wording_key(text)
        return "yes" if _plain(lines[-1]) == "yes" else "no"

    def _rule_on_counterexample(self, values: Mapping[str, bool]) -> Ruling:
        missing = set(self.letters) - values.keys()
        if missing:
            return Ruling.reject(f"the counterexample gives no value to {min(missing)}")
        for clause in self.given:
            if not any(values[letter] == plainly for letter, plainly in clause):
                return Ruling.reject(f"`{shown_clause(clause)}` is false there")
        if values[self.goal[0]] == self.goal[1]:
            return Ruling.reject(f"`{shown_clause([self.goal])}` is true there")
        return Ruling.accept("everything given is true there, and the goal false")

    def _known(self, lines: Sequence[str]) -> set[Clause]:
        if len(lines) > MAX_STEPS:
            raise _IllegalStepError(f"a derivation has at most {MAX_STEPS} lines")
        known = set(self.given)
        for line in lines:
            known = _derive(known, line)
        return known


def read_clause(text: str) -> Clause:
    """The clause of a text that matches its pattern."""
    parts = text.split(" or ")
    return frozenset((part.removeprefix("not "), not part.startswith("not ")) for part in parts)


def shown_clause(clause: Iterable[Literal]) -> str:
    """`p or not q`, in the order of the letters; `false` where it is empty."""
    literals = sorted(clause)
    return " or ".join(letter if plainly else f"not {letter}" for letter, plainly in literals) or (
        "false"
    )


def resolvents(first: Clause, second: Clause) -> list[Clause]:
    """What follows from both by resolving on one letter; nothing that is always true."""
    found = [
        (first - {(letter, plainly)}) | (second - {(letter, not plainly)})
        for letter, plainly in sorted(first)
        if (letter, not plainly) in second
    ]
    return [clause for clause in found if not _is_trivial(clause)]


def _is_trivial(clause: Clause) -> bool:
    return any((letter, not plainly) in clause for letter, plainly in clause)


def _derive(known: set[Clause], line: str) -> set[Clause]:
    match = _STEP.fullmatch(_plain(line))
    if match is None:
        raise _IllegalStepError(f"`{shown(line)}` is not of the form `p or q, not q => p`")
    first, second = read_clause(match[1]), read_clause(match[2])
    result = frozenset[Literal]() if match[3] == "false" else read_clause(match[3])
    for clause in (first, second):
        if clause not in known:
            raise _IllegalStepError(f"`{shown_clause(clause)}` is not known")
    if result not in resolvents(first, second):
        raise _IllegalStepError(f"`{shown_clause(result)}` is no resolvent of the two")
    return known | {result}


def _answer_lines(text: str) -> tuple[str, ...]:
    answer = split_completion(text).answer if len(text) <= MAX_ANSWER_CHARS else None
    return () if answer is None else step_lines(answer)


def _plain(line: str) -> str:
    return " ".join(line[:200].lower().split()).strip(" .")


def _is_verdict(line: str) -> bool:
    return _plain(line) == "yes" or _values_in(line) is not None


def _values_in(line: str) -> dict[str, bool] | None:
    match = _VALUES.fullmatch(_plain(line))
    if match is None:
        return None
    return {letter: value == "true" for letter, value in _VALUE.findall(match[1])}
