"""When two answers are the same answer.

Rules of a problem family live in `puzzles`; `build` puts them in an `AnswerKeys` table. Votes count
equality classes, so a wrong key is a wrong vote.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mull.core.problem import AnswerKind, Problem


class AnswerKey(Protocol):
    """Names the equality class of an answer; None where the text holds no answer. Never raises."""

    def __call__(self, problem: Problem, text: str) -> str | None: ...


def text_key(problem: Problem, text: str) -> str | None:  # noqa: ARG001  (the seam's signature)
    """Equal up to case, width and spacing."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded or None


@dataclass(frozen=True, slots=True)
class AnswerKeys:
    """One rule an answer kind; kinds without a rule compare as text. Itself an `AnswerKey`."""

    rules: Mapping[AnswerKind, AnswerKey] = field(default_factory=dict[AnswerKind, AnswerKey])

    def __call__(self, problem: Problem, text: str) -> str | None:
        return self.rules.get(problem.answer_kind, text_key)(problem, text)
