"""Greedy decoding: the one answer that takes the likeliest token every time."""

from dataclasses import dataclass

from mull.core.answers import AnswerKey, text_key
from mull.core.expansion import Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import Attempt, missing_answers, unscored
from mull.search.selection import by_score, by_votes


@dataclass(frozen=True, slots=True)
class Greedy:
    """One answer at temperature 0, checked where there is a verifier."""

    attempt: Attempt = Attempt()
    verifier: str | None = None
    answer_key: AnswerKey = text_key

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:  # noqa: ARG002  (one answer or none)
        """The one attempt, then its score."""
        grow = missing_answers(tree, self.attempt, Sampling(temperature=0.0), 1)
        return Ask(grow, unscored(tree, self.verifier))

    def select(self, tree: SearchTree) -> Candidate | None:
        """The attempt, if it has ended in an answer."""
        checked = by_score(tree, self.verifier) if self.verifier else None
        if checked is not None:
            return checked
        voted = by_votes(tree, self.answer_key)
        return None if voted is None else Candidate(voted.node_id, voted.answer)
