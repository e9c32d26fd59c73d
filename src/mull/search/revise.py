"""Revision: answer, hear what is wrong, answer again; keep the best."""

from dataclasses import dataclass, replace

from mull.core.answers import AnswerKey, text_key
from mull.core.events import StopReason
from mull.core.expansion import Expansion, ExpansionKind, NodeId, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.score import Score
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import Attempt, check_count, unscored, whole_answer
from mull.search.selection import by_score


@dataclass(frozen=True, slots=True)
class Revise:
    """Up to n answers, each a revision of the best one before it (Self-Refine, Reflexion).

    With a verifier the feedback is its reason, of a failed program the error it ended with, and the
    first accepted answer ends the search (extrinsic). Without one the model looks for mistakes by
    itself, each answer revises the last, and the last is given (intrinsic; Huang et al. 2023 find
    that this does not help). An attempt that fails or does not end counts as one of the n.
    """

    n: int = 4
    attempt: Attempt = Attempt()
    sampling: Sampling = Sampling()
    verifier: str | None = None
    answer_key: AnswerKey = text_key

    def __post_init__(self) -> None:
        check_count("n", self.n)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:  # noqa: ARG002  (the ledger cuts it)
        """Scores of what is new; then the next revision, unless an answer is accepted."""
        if new := unscored(tree, self.verifier):
            return Ask(score=new)
        if self.verifier and tree.accepted(self.verifier):
            return Ask(stop=StopReason.ACCEPTED)
        if len(tree.branches()) >= self.n:
            return Ask()
        return Ask((self._next(tree),))

    def _next(self, tree: SearchTree) -> Expansion:
        fresh = whole_answer(tree, self.attempt, self.sampling)
        best = self._best(tree)
        if best is None:
            return fresh
        score = tree.score(best, self.verifier) if self.verifier else None
        feedback = score.reason if score is not None and score.is_opinion else ""
        return replace(fresh, parents=(best,), kind=ExpansionKind.REVISE, feedback=feedback)

    def _best(self, tree: SearchTree) -> NodeId | None:
        """The finished answer to build on: the best scored, the newest of equals."""
        finished = [node.id for node in tree.finished()]
        if not finished:
            return None
        return max(reversed(finished), key=lambda node_id: self._value(tree, node_id))

    def _value(self, tree: SearchTree, node_id: NodeId) -> float:
        score: Score | None = tree.score(node_id, self.verifier) if self.verifier else None
        return score.value if score is not None else 0.0

    def select(self, tree: SearchTree) -> Candidate | None:
        """The best scored answer, never a rejected one; the last where nobody scores."""
        checked = by_score(tree, self.verifier) if self.verifier else None
        if checked is not None:
            return checked
        answers = ((node.id, tree.trajectory(node.id).answer_text) for node in tree.finished())
        given = [(node_id, text) for node_id, text in answers if text]
        return Candidate(*given[-1]) if given else None
