"""What every puzzle family offers, and the ruling its rules give.

A family is a frozen value that was read from a statement. It can say whether a step or an answer
obeys the rules of that statement. It does not generate problems, search for answers or hold a
reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from mull.core.problem import AnswerKind


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a step or an answer obeys the rules, and why not."""

    accepted: bool
    """True only when everything that was claimed is right."""
    reason: str
    """One sentence for people; names the offending text when `accepted` is false."""

    @classmethod
    def accept(cls, reason: str) -> Self:
        """The rules are kept."""
        return cls(accepted=True, reason=reason)

    @classmethod
    def reject(cls, reason: str) -> Self:
        """A rule is broken."""
        return cls(accepted=False, reason=reason)


class Puzzle(Protocol):
    """One problem of a family, read from its statement.

    Lines are the steps of a completion, with or without their newline. Text from a model is
    hostile: only `parse` raises, and every method works in bounded time on any text.
    """

    name: ClassVar[str]
    """The family's name, as in `FAMILIES`."""
    example: ClassVar[str]
    """A statement of this family that `recognise` understands."""
    answer_kind: ClassVar[AnswerKind]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a statement; None when it is of no phrasing of this family.

        Raises ProblemNotUnderstoodError when it is of this family but outside its limits.
        """
        ...

    @property
    def statement(self) -> str:
        """The canonical wording, which is what models are trained on."""
        ...

    def check_step(self, done: Sequence[str], line: str) -> Ruling:
        """Rule on the next line, given the earlier lines."""
        ...

    def check_answer(self, text: str) -> Ruling:
        """Rule on a whole completion or on an answer alone."""
        ...

    def state_key(self, done: Sequence[str]) -> str | None:
        """A text equal for partial derivations with equal futures; None after an illegal line."""
        ...

    def answer_key(self, text: str) -> str | None:
        """The equality class of an answer, for votes; None when there is no answer."""
        ...
