"""REBASE: the next steps of a level are shared out in proportion to the softmax of its values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, floor, fsum

from mull.core.answers import AnswerKey, text_key
from mull.core.errors import BadInputError
from mull.core.expansion import Expansion, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.states import StateKey, no_state
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count
from mull.search.judges import Judges
from mull.search.levels import Level, Walk
from mull.search.steps import Stepwise

Softmax = Callable[[Sequence[float], float], list[float]]
Allot = Callable[[int, Sequence[float]], list[int]]
"""From a number of seats and shares that sum to 1 to whole seats."""


def softmax(values: Sequence[float], temperature: float) -> list[float]:
    """p_i = e^(v_i / T) / sum_j e^(v_j / T)."""
    largest = max(values, default=0.0)
    weights = [exp((value - largest) / temperature) for value in values]
    total = fsum(weights)
    return [weight / total for weight in weights]


def largest_remainder(seats: int, shares: Sequence[float]) -> list[int]:
    """floor(seats p_i) each, and the seats left over to the largest remainders.

    Sums to `seats` exactly. Of equal remainders the first wins.
    """
    # Rounded, so that quotas which are equal but for the last bits tie as they should.
    quotas = [round(seats * share, 9) for share in shares]
    given = [floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda index: given[index] - quotas[index])
    for index in by_remainder[: seats - sum(given)]:
        given[index] += 1
    return given


def check_temperature(value: float) -> None:
    """Raise `BadInputError` unless a softmax can be taken at this temperature."""
    if not 0.001 <= value <= 1000:
        raise BadInputError(f"`softmax_temperature` is {value}; it must lie between 0.001 and 1000")


@dataclass(frozen=True, slots=True)
class Rebase:
    """Every level grows `width` steps, less one for each answer that has finished.

    Wu et al. 2024, with T = `softmax_temperature`. The paper hands out ceil(W p_i) from the best
    node on until the width is used up, which depends on the order and starves the last nodes; here
    the width is shared out by largest remainder, which does neither. Equal states share one place.
    """

    judges: Judges
    width: int = 16
    softmax_temperature: float = 0.2
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    state_key: StateKey = no_state
    softmax: Softmax = softmax
    allot: Allot = largest_remainder

    def __post_init__(self) -> None:
        check_count("width", self.width)
        check_temperature(self.softmax_temperature)
        self.steps.check(self.judges.verifier)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """The steps of a level, then their values."""
        return Walk(self._plan, self.judges, self.steps, self.state_key).ask(tree, limit)

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def _plan(self, tree: SearchTree, level: Level) -> Sequence[Expansion]:
        places = level.open
        if not places:
            return ()
        values = [place.value for place in places]
        seats = max(0, self.width - level.num_finished)
        counts = self.allot(seats, self.softmax(values, self.softmax_temperature))
        return self.steps.share_out(tree, [p.node_id for p in places], counts, self.sampling)
