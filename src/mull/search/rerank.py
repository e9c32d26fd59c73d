"""Rerank: draw many answers, rank them cheaply, let a dear verifier judge the best few."""

from dataclasses import dataclass

from mull.core.aggregation import Aggregation
from mull.core.answers import AnswerKey, text_key
from mull.core.expansion import NodeId, Sampling, ScoreRequest
from mull.core.protocols import Ask, Candidate
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import Attempt, check_count, missing_answers
from mull.search.judges import Judges
from mull.search.levels import known_or_worst
from mull.search.selection import Combine


@dataclass(frozen=True, slots=True)
class Rerank:
    """n answers, of which the verifier sees the `keep` that the guide values most."""

    guide: str
    """Cheap: it values all n."""
    verifier: str
    """Dear: it judges those kept."""
    n: int = 64
    keep: int = 8
    aggregation: Aggregation | None = None
    attempt: Attempt = Attempt()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_count("keep", self.keep)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:  # noqa: ARG002  (the ledger cuts it)
        """What is missing of the n answers, their values, then verdicts on the best."""
        if grow := missing_answers(tree, self.attempt, self.sampling, self.n):
            return Ask(grow)
        if requests := self._cheap().missing_of_answers(tree):
            return Ask(score=requests)
        return Ask(
            score=tuple(
                ScoreRequest(node_id, self.verifier)
                for node_id in self._ranked(tree)[: self.keep]
                if tree.score(node_id, self.verifier) is None
            )
        )

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best of those it saw, else the guide's best of those not rejected."""
        either = Judges(self.guide, self.verifier, self.aggregation, Combine.MAX)
        return either.choose(tree, self.answer_key)

    def _cheap(self) -> Judges:
        return Judges(self.guide, aggregation=self.aggregation)

    def _ranked(self, tree: SearchTree) -> list[NodeId]:
        """Finished answers, the best by the guide first; of equals, those asked for first."""
        guide, ids = self._cheap(), [node.id for node in tree.finished()]
        alive = [node_id for node_id in ids if not guide.is_rejected(tree, node_id)]
        values = known_or_worst([guide.value(tree, node_id) for node_id in alive])
        order = sorted(range(len(alive)), key=lambda index: -values[index])
        return [alive[index] for index in order]
