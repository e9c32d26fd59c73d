"""Weighted best-of-N: draw n answers, give the one with the largest weight of a guide's values."""

from dataclasses import dataclass

from mull.core.answers import AnswerKey, text_key
from mull.core.expansion import Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import Attempt, check_count, missing_answers
from mull.search.judges import Judges


@dataclass(frozen=True, slots=True)
class WeightedBestOfN:
    """argmax_a sum_i w_i 1[a_i = a], w_i the guide's value of path i (Snell et al. 2024).

    With `combine` = `max` the best single path decides: best-of-N by that guide. With a verifier,
    what it accepts comes first and what it rejects has no weight.
    """

    judges: Judges
    n: int = 16
    attempt: Attempt = Attempt()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key

    def __post_init__(self) -> None:
        check_count("n", self.n)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:  # noqa: ARG002  (the ledger cuts it)
        """What is missing of the n answers; then their values."""
        grow = missing_answers(tree, self.attempt, self.sampling, self.n)
        return Ask(grow, self.judges.missing_of_answers(tree))

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or the one with the largest weight."""
        return self.judges.choose(tree, self.answer_key)
