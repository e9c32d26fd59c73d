"""Who steers a search and who judges its answers: values of paths out of verifiers' scores."""

from collections.abc import Iterable
from dataclasses import dataclass

from mull.core.aggregation import AGGREGATIONS, Aggregation
from mull.core.answers import AnswerKey
from mull.core.expansion import NodeId, ScoreRequest
from mull.core.protocols import Candidate
from mull.core.score import Verdict
from mull.core.tree import SearchTree
from mull.search.selection import Combine, by_score, by_votes, by_weight, noted


@dataclass(frozen=True, slots=True)
class Judges:
    """The guide values every path, the verifier judges finished ones; both by name."""

    guide: str
    """Its scores steer the search and weigh the votes."""
    verifier: str | None = None
    """Its word on a finished answer comes before the guide's."""
    aggregation: Aggregation | None = None
    """Of the guide's step values; None takes the value it gives the whole path itself."""
    combine: Combine = Combine.SUM
    """How the guide's values of equal answers add up."""

    def value(self, tree: SearchTree, node_id: NodeId) -> float | None:
        """In [0, 1]; 1 for an accepted path, 0 for a rejected one, None where nobody can say."""
        verdicts = self._verdicts(tree, node_id)
        if Verdict.REJECT in verdicts:
            return 0.0
        return 1.0 if Verdict.ACCEPT in verdicts else self._guided(tree, node_id)

    def is_rejected(self, tree: SearchTree, node_id: NodeId) -> bool:
        """Whether the verifier or the guide is sure that the path is wrong."""
        return Verdict.REJECT in self._verdicts(tree, node_id)

    def missing(self, tree: SearchTree, node_ids: Iterable[NodeId]) -> tuple[ScoreRequest, ...]:
        """Scores that the values of these nodes still need.

        First those of the verifier: of what it is sure the guide is not asked.
        """
        nodes = tuple(node_ids)
        asked = [
            ScoreRequest(node_id, self.verifier)
            for node_id in nodes
            if self.verifier is not None
            and _is_finished(tree, node_id)
            and tree.score(node_id, self.verifier) is None
        ]
        if asked:
            return tuple(asked)
        return tuple(
            ScoreRequest(node_id, self.guide)
            for node_id in nodes
            if tree.score(node_id, self.guide) is None and not self._verdicts(tree, node_id)
        )

    def missing_of_answers(self, tree: SearchTree) -> tuple[ScoreRequest, ...]:
        """As `missing`, of every finished path, whoever asked for it."""
        return self.missing(tree, [node.id for node in tree.finished()])

    def choose(self, tree: SearchTree, answer_key: AnswerKey) -> Candidate | None:
        """The answer the verifier thinks best, else the one with the largest weight of the guide.

        Where neither can say anything it is a majority vote, and the notes say so.
        """
        judged = by_score(tree, self.verifier) if self.verifier else None
        if judged is not None and judged.answer is not None:
            return noted(judged, *self._failures(tree))
        weighed = by_weight(
            tree, lambda node_id: self._weight(tree, node_id), answer_key, self.combine
        )
        if weighed is not None:
            return noted(weighed, f"by `{self.guide}`", *self._failures(tree))
        voted = by_votes(tree, answer_key, unless=lambda node_id: self.is_rejected(tree, node_id))
        if voted is None:
            return judged
        return noted(voted, f"`{self.guide}` has no opinion: majority vote", *self._failures(tree))

    def _weight(self, tree: SearchTree, node_id: NodeId) -> float | None:
        return None if self.is_rejected(tree, node_id) else self.value(tree, node_id)

    def _verdicts(self, tree: SearchTree, node_id: NodeId) -> set[Verdict]:
        """What both are sure of."""
        verified = tree.score(node_id, self.verifier) if self.verifier is not None else None
        said = (verified, tree.score(node_id, self.guide))
        return {each.verdict for each in said if each and each.verdict is not Verdict.UNKNOWN}

    def _guided(self, tree: SearchTree, node_id: NodeId) -> float | None:
        said = tree.score(node_id, self.guide)
        if said is None or not said.is_opinion:
            return None
        if self.aggregation is None:
            return said.value
        return AGGREGATIONS[self.aggregation](said.per_step) if said.per_step else None

    def _failures(self, tree: SearchTree) -> tuple[str, ...]:
        """A line about paths that the guide was asked about and could not value."""
        said = {node.id: tree.score(node.id, self.guide) for node in tree.nodes()}
        asked = {node_id: score for node_id, score in said.items() if score is not None}
        silent = [
            score
            for node_id, score in asked.items()
            if score.verdict is Verdict.UNKNOWN and self._guided(tree, node_id) is None
        ]
        if not silent:
            return ()
        reason = silent[-1].reason or "no value a step"
        return (f"`{self.guide}` could not value {len(silent)} of {len(asked)} paths: {reason}",)


def _is_finished(tree: SearchTree, node_id: NodeId) -> bool:
    step = tree.node(node_id).step
    return step is not None and step.is_final
