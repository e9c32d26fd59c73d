"""Which finished answer to give: votes and scores, shared by all strategies.

Ties always go to what comes first in canonical order, so that the order of arrival decides nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from math import fsum
from types import MappingProxyType
from typing import Final

from mull.core.answers import AnswerKey, answer_classes
from mull.core.expansion import NodeId
from mull.core.protocols import Candidate
from mull.core.score import Score, Verdict
from mull.core.tree import SearchTree


def by_votes(
    tree: SearchTree,
    answer_key: AnswerKey,
    *,
    unless: Callable[[NodeId], bool] = lambda node_id: False,  # noqa: ARG005  (nobody)
) -> Candidate | None:
    """The answer most trajectories reach; of equals, the one reached first in canonical order.

    Trajectories of which `unless` holds have no vote.
    """
    classes = answer_classes(tree, answer_key, unless=unless)
    if not classes:
        return None
    winner = max(classes, key=lambda each: len(each.node_ids))  # max keeps the first of equals
    num_votes = sum(len(each.node_ids) for each in classes)
    first = winner.node_ids[0]
    return Candidate(
        first,
        tree.trajectory(first).answer_text,
        notes=(f"{len(winner.node_ids)} of {num_votes} votes",),
    )


class Combine(StrEnum):
    """What the weights of equal answers come to together."""

    SUM = "sum"
    """argmax_a sum_i w_i 1[a_i = a]: best-of-N weighted (Snell et al. 2024)."""
    MAX = "max"
    """The best single path decides: plain best-of-N."""


COMBINATIONS: Final[Mapping[Combine, Callable[[list[float]], float]]] = MappingProxyType(
    {Combine.SUM: fsum, Combine.MAX: max}
)


def by_weight(
    tree: SearchTree,
    weight: Callable[[NodeId], float | None],
    answer_key: AnswerKey,
    combine: Combine,
) -> Candidate | None:
    """The answer of the largest combined weight, shown by its heaviest path.

    Paths without a weight have no say; None where none has one.
    """
    weighed = [
        (each, weights)
        for each in answer_classes(tree, answer_key)
        if (weights := {id_: w for id_ in each.node_ids if (w := weight(id_)) is not None})
    ]
    if not weighed:
        return None
    totals = [COMBINATIONS[combine](list(weights.values())) for _, weights in weighed]
    best = max(range(len(weighed)), key=lambda index: totals[index])  # the first of equals
    weights = weighed[best][1]
    node_id = max(weights, key=lambda each: weights[each])
    note = f"weight {totals[best]:.3g} of {fsum(totals):.3g} in {len(totals)} answers"
    return Candidate(node_id, tree.trajectory(node_id).answer_text, notes=(note,))


def noted(candidate: Candidate, *notes: str) -> Candidate:
    """The candidate with these notes after its own."""
    return replace(candidate, notes=(*candidate.notes, *notes))


def by_score(tree: SearchTree, verifier: str) -> Candidate | None:
    """The finished answer the verifier values most; None where it has no opinion of any.

    A rejected answer is never given: if all are rejected, the candidate holds the best of them as a
    trajectory to look at and no answer. The confidence is the score where the verifier is sure.
    """
    scored = [
        (node.id, score)
        for node in tree.finished()
        if (score := tree.score(node.id, verifier)) is not None and score.is_opinion
    ]
    if not scored:
        return None
    node_id, score = max(scored, key=lambda each: _rank(each[1]))
    if score.verdict is Verdict.REJECT:
        note = f"all {len(scored)} answers were rejected by `{score.source}`: {score.reason}"
        return Candidate(node_id, None, 0.0, (note.removesuffix(": "),))
    confidence = score.value if score.verdict is Verdict.ACCEPT else None
    return Candidate(node_id, tree.trajectory(node_id).answer_text, confidence)


def by_score_or_votes(
    tree: SearchTree, verifier: str | None, answer_key: AnswerKey
) -> Candidate | None:
    """The best-scored answer; where nobody can score, a majority vote and a note that says so.

    A rejected answer is never given and never votes, not even where the others could not be judged.
    """
    best = by_score(tree, verifier) if verifier else None
    if best is not None and best.answer is not None:
        return best
    voted = by_votes(tree, answer_key, unless=lambda each: _is_rejected(tree, each, verifier))
    if voted is None:
        return best  # all were rejected, or nothing is there
    return replace(voted, notes=(f"{_why_votes(verifier, best)}: majority vote", *voted.notes))


def _why_votes(verifier: str | None, best: Candidate | None) -> str:
    if verifier is None:
        return "no verifier"
    return f"`{verifier}` has no opinion" + (" of what it did not reject" if best else "")


def _is_rejected(tree: SearchTree, node_id: NodeId, verifier: str | None) -> bool:
    score = tree.score(node_id, verifier) if verifier is not None else None
    return score is not None and score.verdict is Verdict.REJECT


def _rank(score: Score) -> tuple[int, float]:
    order = {Verdict.REJECT: 0, Verdict.UNKNOWN: 1, Verdict.ACCEPT: 2}
    return order[score.verdict], score.value
