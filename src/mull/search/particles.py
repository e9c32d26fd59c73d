"""Particle filtering: REBASE that draws its allocation instead of computing it."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from mull.core.answers import AnswerKey, text_key
from mull.core.expansion import Expansion, Sampling
from mull.core.protocols import Ask, Candidate
from mull.core.seeds import derive_seed
from mull.core.states import StateKey, no_state
from mull.core.tree import SearchTree
from mull.core.usage import Headroom
from mull.search.attempts import check_count
from mull.search.judges import Judges
from mull.search.levels import Level, Walk
from mull.search.rebase import check_temperature, softmax
from mull.search.steps import Stepwise

Resample = Callable[[Sequence[float], Sequence[float]], list[int]]
"""From shares that sum to 1 and one uniform number in [0, 1) a particle to copies of each."""


def multinomial(shares: Sequence[float], uniforms: Sequence[float]) -> list[int]:
    """Each particle is drawn on its own: particle k falls where u_k lies in the shares' sum."""
    return _fallen(shares, uniforms)


def systematic(shares: Sequence[float], uniforms: Sequence[float]) -> list[int]:
    """One draw for all: particle k falls at (k + u_0) / n, so that n p_i is missed by less than 1.

    Unbiased like the multinomial, with less noise.
    """
    count = len(uniforms)
    return _fallen(shares, [(index + uniforms[0]) / count for index in range(count)])


def _fallen(shares: Sequence[float], points: Sequence[float]) -> list[int]:
    edges = list(accumulate(shares))
    counts = [0] * len(shares)
    for point in points:
        counts[min(bisect_right(edges, point), len(shares) - 1)] += 1
    return counts


class Resampling(StrEnum):
    """How particles are drawn."""

    SYSTEMATIC = "systematic"
    MULTINOMIAL = "multinomial"


RESAMPLERS: Final = MappingProxyType(
    {Resampling.SYSTEMATIC: systematic, Resampling.MULTINOMIAL: multinomial}
)


def uniforms(seed: int, level: int, count: int) -> list[float]:
    """Numbers in [0, 1) that depend on the solve's seed and the level alone."""
    return [derive_seed(seed, "particles", level, index) / 2.0**63 for index in range(count)]


@dataclass(frozen=True, slots=True)
class Particles:
    """`width` particles, resampled after every step with weights e^(value / T).

    Puri et al. 2025. A path of low value lives on with a small probability, where a beam would
    prune it for good. A finished particle stays where it is, and one fewer moves. Particles that
    stand on equal states weigh together.
    """

    judges: Judges
    width: int = 16
    softmax_temperature: float = 0.2
    resampling: Resampling = Resampling.SYSTEMATIC
    steps: Stepwise = Stepwise()
    sampling: Sampling = Sampling()
    answer_key: AnswerKey = text_key
    state_key: StateKey = no_state
    resample: Resample | None = None
    """Instead of the one that `resampling` names."""

    def __post_init__(self) -> None:
        check_count("width", self.width)
        check_temperature(self.softmax_temperature)
        self.steps.check(self.judges.verifier)

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        """One step of every particle, then their values."""
        return Walk(self._plan, self.judges, self.steps, self.state_key).ask(tree, limit)

    def select(self, tree: SearchTree) -> Candidate | None:
        """The verifier's best answer, or a vote weighted by the guide over all that finished."""
        return self.judges.choose(tree, self.answer_key)

    def _plan(self, tree: SearchTree, level: Level) -> Sequence[Expansion]:
        places = level.open
        moving = max(0, self.width - level.num_finished)
        if not places or not moving:
            return ()
        # A place where m particles stand has m times the weight: one share for each of them.
        each = [index for index, place in enumerate(places) for _ in range(place.copies)]
        shares = [0.0] * len(places)
        weights = softmax([places[index].value for index in each], self.softmax_temperature)
        for index, weight in zip(each, weights, strict=True):
            shares[index] += weight
        resample = self.resample or RESAMPLERS[self.resampling]
        counts = resample(shares, uniforms(tree.seed, level.depth, moving))
        return self.steps.share_out(tree, [p.node_id for p in places], counts, self.sampling)
