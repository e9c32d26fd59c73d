"""Self-consistency: draw n answers, give the one most of them agree on."""

from dataclasses import dataclass

from mull.core.answers import AnswerKey, answer_classes, text_key
from mull.core.events import StopReason
from mull.core.expansion import Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import Attempt, check_count, missing_answers
from mull.search.selection import by_votes


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """argmax_a sum_i 1[a_i = a] over n sampled answers (Wang et al. 2022, unweighted sum).

    a_i = a means that `answer_key` names the same equality class. Of answers with equally many
    votes, the one reached first in canonical order wins. Unfinished and unreadable answers abstain.
    `on_arrival` ends the vote when no answer that is still to come could change it.
    """

    n: int = 16
    attempt: Attempt = Attempt()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    on_arrival: bool = False

    def __post_init__(self) -> None:
        check_count("n", self.n)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:  # noqa: ARG002  (the ledger cuts it)
        """What is missing of the n answers, as far as they matter."""
        grow = missing_answers(tree, self.attempt, self.sampling, self.n)
        if not grow and self.on_arrival and self._is_settled(tree):
            return Ask(stop=StopReason.SETTLED)
        return Ask(grow)

    def _is_settled(self, tree: SearchTree) -> bool:
        """Whether the lead is more than all that may come, or that was cancelled and never will."""
        unknown = len(tree.pending()) + len(tree.cancelled)
        votes = sorted(len(each.node_ids) for each in answer_classes(tree, self.answer_key))
        return bool(unknown and votes) and votes[-1] > unknown + sum(votes[-2:-1])

    def select(self, tree: SearchTree) -> Candidate | None:
        """The answer with the most votes."""
        return by_votes(tree, self.answer_key)
