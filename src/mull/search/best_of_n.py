"""Best-of-N: draw n answers, give the one a verifier values most."""

from dataclasses import dataclass

from mull.core.answers import AnswerKey, text_key
from mull.core.events import StopReason
from mull.core.expansion import Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import Attempt, check_count, missing_answers, unscored
from mull.search.selection import by_score_or_votes


@dataclass(frozen=True, slots=True)
class BestOfN:
    """All n answers are drawn in one wave and then scored.

    Without a verifier, or with one that has no opinion of this problem, it is a majority vote and
    says so in the notes. An attempt that fails counts as one of the n. `on_arrival` scores each
    answer when it comes, and the first that is accepted ends its wave.
    """

    n: int = 16
    attempt: Attempt = Attempt()
    sampling: Sampling = Sampling()
    verifier: str | None = None
    answer_key: AnswerKey = text_key
    on_arrival: bool = False

    def __post_init__(self) -> None:
        check_count("n", self.n)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:  # noqa: ARG002  (the ledger cuts it)
        """What is missing of the n answers; then scores."""
        if self.on_arrival and self.verifier and tree.accepted(self.verifier):
            return Ask(stop=StopReason.ACCEPTED)
        grow = missing_answers(tree, self.attempt, self.sampling, self.n)
        return Ask(grow, unscored(tree, self.verifier))

    def select(self, tree: SearchTree) -> Candidate | None:
        """The best-scored answer that was not rejected, else the majority's."""
        return by_score_or_votes(tree, self.verifier, self.answer_key)
