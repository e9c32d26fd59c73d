"""Knights and knaves: everybody speaks once, knights say what is true and knaves what is false."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self

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

MIN_PEOPLE: Final = 2
MAX_PEOPLE: Final = 6
NAMES: Final = "ABCDEF"

Form = Literal["knight", "knave", "alike", "differ", "both", "either"]
"""Of X alone: `knight`, `knave`. Of X and Y: `alike`, `differ`, `both` knights, `either` one."""
WORDS: Final[Mapping[Form, str]] = {
    "knight": "{0} is a knight",
    "knave": "{0} is a knave",
    "alike": "{0} and {1} are alike",
    "differ": "{0} and {1} differ",
    "both": "{0} and {1} are knights",
    "either": "{0} or {1} is a knight",
}
_CLAIMS: Final[Mapping[Form, re.Pattern[str]]] = {
    form: re.compile(words.format("([a-f])", "([a-f])").lower()) for form, words in WORDS.items()
}
_SAYS: Final = r"[a-f] says: [a-z ]{3,40}\."
_PHRASINGS: Final = (
    re.compile(
        r"(?P<people>[a-f](?:, [a-f]){0,4} and [a-f]) are each a knight, who tells the truth, or "
        rf"a knave, who lies\. (?P<says>{_SAYS}(?: {_SAYS}){{1,5}}) say what each is.{{0,80}}"
    ),
)
_KIND = re.compile(r"([a-f])(?: is)?(?: an?)?[ :=]+(knight|knave)")

Kinds = dict[str, bool]
"""Whether each person decided on so far is a knight."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one person says of one or two."""

    speaker: str
    form: Form
    about: tuple[str, ...]

    def holds(self, kinds: Mapping[str, bool]) -> bool:
        """Whether it is true; everybody it is about must have a kind."""
        first = kinds[self.about[0]]
        second = kinds[self.about[-1]]
        truths: Mapping[Form, bool] = {
            "knight": first,
            "knave": not first,
            "alike": first == second,
            "differ": first != second,
            "both": first and second,
            "either": first or second,
        }
        return truths[self.form]

    def __str__(self) -> str:
        return f"{self.speaker} says: {WORDS[self.form].format(*self.about)}."


class _BrokenError(ValueError):
    """The kinds contradict a claim or cannot be read; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Logic:
    """Say who is a knight."""

    claims: tuple[Claim, ...]
    """One a person, in the order of the names: A, B, C…"""

    name: ClassVar[str] = "logic"
    example: ClassVar[str] = (
        "A and B are each a knight, who tells the truth, or a knave, who lies. "
        "A says: A and B differ. B says: A is a knave. "
        "Say what each is, one a line, as A knight."
    )
    answer_kind: ClassVar[AnswerKind] = AnswerKind.PUZZLE

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; see `Puzzle.parse`."""
        match = match_statement(_PHRASINGS, text)
        if match is None:
            return None
        people = re.findall(r"\b[a-f]\b(?!nd)", match["people"].replace(" and ", ", "))
        claims = tuple(_read_claim(each) for each in re.findall(_SAYS, match["says"]))
        names = [name.upper() for name in people]
        about = {name for claim in claims for name in claim.about}
        speakers = [claim.speaker for claim in claims]
        if names != list(NAMES[: len(names)]) or speakers != names or not about <= set(names):
            raise ProblemNotUnderstoodError(
                f"the people must be {MIN_PEOPLE} to {MAX_PEOPLE}, named A, B, C…, and each must "
                "speak once, in that order, of these people",
                hint=f"write it as in `{cls.example}`",
            )
        return cls(claims)

    @property
    def people(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(claim.speaker for claim in self.claims)

    @property
    def statement(self) -> str:
        """The canonical wording."""
        *others, last = self.people
        said = " ".join(map(str, self.claims))
        return (
            f"{', '.join(others)} and {last} are each a knight, who tells the truth, or a knave, "
            f"who lies. {said} Say what each is, one a line, as A knight."
        )

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on one more person's kind: no claim that is decided by now may be contradicted."""
        try:
            kinds = self._decide([*step_lines("\n".join(done)), one_line(line)])
        except _BrokenError as error:
            return Ruling.reject(str(error))
        return Ruling.accept(f"{len(kinds)} of {len(self.claims)} are decided")

    def check_answer(self, text: str) -> Ruling:
        """Rule on everybody's kind."""
        try:
            kinds = self._decide(_answer_lines(text))
        except _BrokenError as error:
            return Ruling.reject(str(error))
        if missing := [name for name in self.people if name not in kinds]:
            return Ruling.reject(f"it does not say what {missing[0]} is")
        return Ruling.accept(f"everything fits {shown_kinds(kinds)}")

    def state_key(self, done: Sequence[str]) -> str | None:
        """Who is what so far; None after a contradiction."""
        try:
            return shown_kinds(self._decide(step_lines("\n".join(done))))
        except _BrokenError:
            return None

    def answer_key(self, text: str) -> str | None:
        """Who is what, in the order of the names, whether or not it fits."""
        try:
            return shown_kinds(_read_kinds(_answer_lines(text))) or wording_key(text)
        except _BrokenError:
            return wording_key(text)

    def _decide(self, lines: Iterable[str]) -> Kinds:
        kinds = _read_kinds(lines)
        if strangers := kinds.keys() - set(self.people):
            raise _BrokenError(f"there is no {min(strangers)}")
        for claim in self.claims:
            decided = kinds.keys() >= {claim.speaker, *claim.about}
            if decided and claim.holds(kinds) != kinds[claim.speaker]:
                kind = "a knight, but it is false" if kinds[claim.speaker] else "a knave, but true"
                raise _BrokenError(f"`{claim}` is said by {kind}")
        return kinds


def shown_kinds(kinds: Mapping[str, bool]) -> str:
    """`A knight, B knave`, in the order of the names."""
    return ", ".join(f"{name} {kind_word(knight=kinds[name])}" for name in sorted(kinds))


def kind_word(*, knight: bool) -> str:
    """`knight` or `knave`."""
    return "knight" if knight else "knave"


def _read_claim(text: str) -> Claim:
    speaker, _, said = text.rstrip(".").partition(" says: ")
    for form, pattern in _CLAIMS.items():
        if match := pattern.fullmatch(said):
            return Claim(speaker.upper(), form, tuple(name.upper() for name in match.groups()))
    known = ", ".join(f"`{words.format('A', 'B')}`" for words in WORDS.values())
    raise ProblemNotUnderstoodError(f"`{shown(said)}` is no claim", hint=f"known claims: {known}")


def _answer_lines(text: str) -> list[str]:
    answer = split_completion(text).answer if len(text) <= MAX_ANSWER_CHARS else None
    if answer is None or not answer.strip():
        raise _BrokenError("there is no answer")
    return [
        part for line in step_lines(answer) for part in re.split(r",| and ", line) if part.strip()
    ]


def _read_kinds(lines: Iterable[str]) -> Kinds:
    kinds: Kinds = {}
    for line in lines:
        match = _KIND.fullmatch(" ".join(line[:40].lower().split()).strip(" ."))
        if match is None:
            raise _BrokenError(f"`{shown(line)}` is not of the form `A knight`")
        name, is_knight = match[1].upper(), match[2] == "knight"
        if name in kinds:
            raise _BrokenError(f"`{shown(line)}` decides on {name} again")
        kinds[name] = is_knight
    return kinds
