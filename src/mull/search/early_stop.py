"""Best-of-N that stops at the first accepted answer."""

from dataclasses import dataclass, replace

from mull.core.answers import AnswerKey, text_key
from mull.core.events import StopReason
from mull.core.expansion import Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import Attempt, check_count, unscored, whole_answer
from mull.search.selection import by_score_or_votes


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """Draws up to n answers, `width` at a time, until the verifier accepts one.

    A wave is finished before its answers are checked, so up to width - 1 answers may be drawn in
    vain; width 1 wastes none and is slowest. `on_arrival` checks each answer when it comes, and the
    first that is accepted ends its wave.
    """

    verifier: str
    n: int = 64
    width: int = 1
    attempt: Attempt = Attempt()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    on_arrival: bool = False

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_count("width", self.width)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:  # noqa: ARG002  (the ledger cuts it)
        """Scores of what is new; after a wave without an accepted answer the next one."""
        is_accepted = bool(tree.accepted(self.verifier))
        if self.on_arrival and is_accepted:
            return Ask(stop=StopReason.ACCEPTED)
        if new := unscored(tree, self.verifier):
            return Ask(score=new)
        if is_accepted:
            return Ask(stop=StopReason.ACCEPTED)
        expansion = whole_answer(tree, self.attempt, self.sampling)
        count = min(self.width, self.n - tree.next_sample(expansion))
        return Ask((replace(expansion, count=count),)) if count > 0 else Ask()

    def select(self, tree: SearchTree) -> Candidate | None:
        """The accepted answer, never a rejected one; a vote where the verifier has no opinion."""
        return by_score_or_votes(tree, self.verifier, self.answer_key)
