"""How sure one may be of an answer, and what more draws would change about that.

A state is worth half its chance of being right, and another half once that chance is what was asked
for. An index is the largest gain in worth a draw, looking several draws ahead: after one vote a
second can never change the decision, so whoever looks one draw ahead stops at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, log, sqrt
from typing import Final, Protocol

from mull.control.odds import (
    at_least,
    beta_binomial,
    expected_improvement,
    logit,
    majority_holds,
    sigmoid,
)

HORIZON: Final = 64
"""Draws that are looked ahead at most."""


class Belief(Protocol):
    """What is known of a problem after some draws."""

    @property
    def chance(self) -> float:
        """That the answer which would be given now is right; see `Votes` for the exception."""
        ...

    def index(self, quality: float, most: int) -> float:
        """The largest gain a draw, by 1 to `most` more draws, where `quality` is asked for."""
        ...

    def soonest(self, quality: float, most: int) -> int:
        """The least draws that may bring the quality about; 1 where that many cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """P(right) of a majority's answer, from its share of the votes and their number.

    ceiling * sigmoid(bias + slope * logit((top + 1/2) / (votes + 1)) + growth * log(votes)), fitted
    on graded samples of one model and one kind of problem.
    """

    bias: float
    slope: float
    growth: float
    ceiling: float = 1.0
    """What no agreement exceeds: the rest is errors that the model makes every time."""

    def __call__(self, top: int, votes: int) -> float:
        share, number = self.features(top, votes)
        return self.ceiling * sigmoid(self.bias + self.slope * share + self.growth * number)

    @staticmethod
    def features(top: int, votes: int) -> tuple[float, float]:
        """What is fitted to."""
        return logit((top + 0.5) / (votes + 1)), log(votes)


@dataclass(frozen=True, slots=True)
class Votes:
    """Nobody can check: answers that agree are all there is.

    Without an `agreement` that was fitted, `chance` is how likely more votes would keep the answer,
    and says nothing of whether it is right.
    """

    top: int
    second: int
    total: int
    agreement: Agreement | None = None

    @property
    def chance(self) -> float:
        """See `Belief`."""
        return self._chance(self.top, self.second, self.total)

    def _chance(self, top: int, second: int, total: int) -> float:
        if self.agreement is None or not total:
            return majority_holds(top, second)
        return self.agreement(top, total)

    def gain(self, draws: int, quality: float) -> float:
        """Of so many more votes for the first two answers, by the beta-binomial of both."""
        after = list[float]()
        for hits, odds in enumerate(beta_binomial(draws, self.top + 1, self.second + 1)):
            votes = self.top + hits, self.second + draws - hits
            chance = self._chance(max(votes), min(votes), self.total + draws)
            after.append(odds * (chance + (chance >= quality)))
        return 0.5 * (fsum(after) - self.chance)

    def index(self, quality: float, most: int) -> float:
        """See `Belief`."""
        ahead = range(1, min(most, HORIZON) + 1)
        return max((self.gain(draws, quality) / draws for draws in ahead), default=0.0)

    def soonest(self, quality: float, most: int) -> int:
        """See `Belief`."""
        for draws in range(1, most + 1):
            if self._chance(self.top + draws, self.second, self.total + draws) >= quality:
                return draws
        return 1


@dataclass(frozen=True, slots=True)
class Misses:
    """Draws that came to nothing: an exact checker rejected them, or nothing could be read.

    The next one succeeds with p ~ Beta(1, 1 + count). That falls with every miss, so looking one
    draw ahead is optimal (the monotone case).
    """

    count: int

    @property
    def chance(self) -> float:
        """See `Belief`."""
        return 0.0

    def index(self, quality: float, most: int) -> float:  # noqa: ARG002  (success is any quality)
        """See `Belief`."""
        return 1.0 / (2 + self.count) if most else 0.0

    def soonest(self, quality: float, most: int) -> int:  # noqa: ARG002  (the next may do)
        """See `Belief`."""
        return 1


@dataclass(frozen=True, slots=True)
class Scores:
    """A judge that is never sure: the next score is taken as normal, like those before it.

    One imagined score in the middle keeps the first few from deciding that alone.
    """

    values: Sequence[float]

    @property
    def chance(self) -> float:
        """See `Belief`."""
        return max(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Mean and deviation of the next score."""
        values, weight = self.values, len(self.values) + 1
        mean = (fsum(values) + 0.5) / weight
        squares = fsum((value - mean) ** 2 for value in values) + 0.3**2
        return mean, sqrt(squares / weight)

    def index(self, quality: float, most: int) -> float:
        """See `Belief`. Gains diminish, so the first draw's is the largest."""
        reaches = at_least(quality, *self.spread)
        return 0.5 * (reaches + expected_improvement(self.chance, *self.spread)) if most else 0.0

    def soonest(self, quality: float, most: int) -> int:  # noqa: ARG002  (the next may do)
        """See `Belief`."""
        return 1
