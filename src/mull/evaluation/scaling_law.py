"""What more samples would bring: a law of repeated sampling, with its exponent.

Every problem has a chance that one sample is right, and over the problems these chances are spread
as a Beta(a, b). Then k samples leave

    1 - pass@k = B(a, b + k) / B(a, b)

of the problems unsolved, which falls as k to the power of -a (Brown et al. 2024 saw the power law;
Schaeffer et al. 2025 say where it comes from). Fitted by likelihood to how many of a problem's
samples were right. A share of problems out of reach is not fitted beside it: few samples cannot
tell it from chances that are small, and it spoils what is said of many (experiments/LOG.md).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log
from random import Random
from typing import Final

from mull.core.seeds import derive_seed
from mull.evaluation.intervals import CONFIDENCE, Interval

Tally = tuple[int, int]
"""Samples of a problem, and how many of them are right."""

_START: Final = (-0.5, 0.5)
"""Logarithms of a and b."""
_EDGES: Final = ((-5.0, 5.0), (-5.0, 8.0))
"""Of them: beyond, nothing changes any more."""
_FIRST_STEP: Final = 1.0
_LAST_STEP: Final = 0.01
NUM_RESAMPLES: Final = 100


@dataclass(frozen=True, slots=True)
class Law:
    """How the share of solved problems grows with the number of samples."""

    exponent: float
    """a: with k samples the unsolved fall as k to the power of minus this."""
    spread: float
    """b"""

    def solved(self, k: float) -> float:
        """Share of problems of which one of k samples is right."""
        a, b = self.exponent, self.spread
        return 1.0 - exp(lgamma(b + k) - lgamma(a + b + k) + lgamma(a + b) - lgamma(b))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A law, and the laws of resampled problems: what it says has an interval."""

    law: Law
    others: tuple[Law, ...]

    def solved(self, k: int) -> Interval:
        """`Law.solved` with its 95 % interval."""
        return _interval(self.law.solved(k), [each.solved(k) for each in self.others])

    @property
    def exponent(self) -> Interval:
        """`Law.exponent` with its 95 % interval."""
        return _interval(self.law.exponent, [each.exponent for each in self.others])


def fit_law(problems: Sequence[Tally], *, seed: int = 0) -> Fitted:
    """The likeliest law, and those of as many problems drawn again.

    ValueError where there is nothing to learn from: no problem, or none with two samples.
    """
    if not any(count > 1 for count, _ in problems):
        raise ValueError("a law needs problems with two samples or more")
    rng = Random(derive_seed(seed, "law", len(problems)))
    law = _likeliest(problems, _START)
    start = (log(law.exponent), log(law.spread))
    again = (rng.choices(problems, k=len(problems)) for _ in range(NUM_RESAMPLES))
    return Fitted(law, tuple(_likeliest(each, start) for each in again))


def _likeliest(problems: Sequence[Tally], start: tuple[float, float]) -> Law:
    """By compass search: two parameters, and no derivative worth its code."""
    counts = list(Counter(problems).items())
    place, value, step = start, _likelihood(counts, start), _FIRST_STEP
    while step > _LAST_STEP:
        around = [(_likelihood(counts, each), each) for each in _around(place, step)]
        best = max(around, key=lambda pair: pair[0])
        if best[0] > value:
            value, place = best
        else:
            step /= 2
    return Law(exp(place[0]), exp(place[1]))


def _around(place: tuple[float, float], step: float) -> list[tuple[float, float]]:
    (low_a, high_a), (low_b, high_b) = _EDGES
    a, b = place
    return [
        (min(high_a, max(low_a, a + step * toward_a)), min(high_b, max(low_b, b + step * toward_b)))
        for toward_a, toward_b in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1))
    ]


def _likelihood(counts: Sequence[tuple[Tally, int]], place: tuple[float, float]) -> float:
    """But for the number of orders in which so many may be right."""
    a, b = exp(place[0]), exp(place[1])
    return sum(
        times * (lgamma(a + right) + lgamma(b + num - right) - lgamma(a + b + num))
        for (num, right), times in counts
    ) - sum(times for _, times in counts) * (lgamma(a) + lgamma(b) - lgamma(a + b))


def _interval(value: float, others: Sequence[float]) -> Interval:
    ordered = sorted(others)
    skipped = round(len(ordered) * (1.0 - CONFIDENCE) / 2.0)
    return Interval(value, ordered[skipped], ordered[-1 - skipped])
