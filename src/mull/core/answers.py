"""When two answers are the same answer.

Rules of a problem family live in `puzzles`; `build` puts them in an `AnswerKeys` table. Votes count
equality classes, so a wrong key is a wrong vote.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mull.core.expansion import NodeId
from mull.core.problem import AnswerKind, Problem
from mull.core.tree import SearchTree


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


@dataclass(frozen=True, slots=True)
class AnswerClass:
    """Finished answers that are the same answer."""

    key: str
    node_ids: tuple[NodeId, ...]
    """In canonical order; never empty."""


def answer_classes(
    tree: SearchTree,
    answer_key: AnswerKey,
    *,
    unless: Callable[[NodeId], bool] = lambda node_id: False,  # noqa: ARG005  (nobody)
) -> tuple[AnswerClass, ...]:
    """The distinct answers, in the order in which each was first reached.

    A finished trajectory without a recognisable answer belongs to no class, nor does one of which
    `unless` holds.
    """
    classes = dict[str, list[NodeId]]()
    for node in tree.finished():
        if unless(node.id):
            continue
        key = answer_key(tree.problem, tree.trajectory(node.id).answer_text)
        if key is not None:
            classes.setdefault(key, []).append(node.id)
    return tuple(AnswerClass(key, tuple(node_ids)) for key, node_ids in classes.items())
