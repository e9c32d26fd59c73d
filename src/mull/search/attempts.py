"""Whole answers drawn from the root: what the sampling strategies have in common."""

from dataclasses import dataclass, replace
from typing import Final

from mull.core.errors import BadInputError
from mull.core.expansion import (
    Expansion,
    ExpansionKind,
    Limits,
    Sampling,
    ScoreRequest,
    Thinking,
)
from mull.core.tree import SearchTree

MAX_ATTEMPTS: Final = 10_000
"""Siblings one strategy may ask for; more is a typing error, not a plan."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one whole answer may cost, and whether it reasons."""

    max_tokens: int = 256
    thinking: Thinking = Thinking.AUTO

    def __post_init__(self) -> None:
        check_count("max_tokens", self.max_tokens, at_most=1_000_000)


def check_count(option: str, value: int, *, at_most: int = MAX_ATTEMPTS) -> None:
    """Raise `BadInputError` unless 1 <= value <= at_most."""
    if not 1 <= value <= at_most:
        raise BadInputError(f"`{option}` is {value}; it must lie between 1 and {at_most}")


def whole_answer(tree: SearchTree, attempt: Attempt, sampling: Sampling) -> Expansion:
    """One answer from the problem to the end of the turn."""
    return Expansion(
        (tree.root,),
        ExpansionKind.FINISH,
        limits=Limits(attempt.max_tokens),
        sampling=sampling,
        thinking=attempt.thinking,
    )


def missing_answers(
    tree: SearchTree, attempt: Attempt, sampling: Sampling, wanted: int
) -> tuple[Expansion, ...]:
    """One expansion for what is not asked for yet of `wanted` answers; none where all are."""
    expansion = whole_answer(tree, attempt, sampling)
    missing = wanted - tree.next_sample(expansion)
    return (replace(expansion, count=missing),) if missing > 0 else ()


def unscored(tree: SearchTree, verifier: str | None) -> tuple[ScoreRequest, ...]:
    """Finished answers the verifier has not seen; none without a verifier."""
    if verifier is None:
        return ()
    return tuple(
        ScoreRequest(node.id, verifier)
        for node in tree.finished()
        if tree.score(node.id, verifier) is None
    )
