"""How far a verifier's values can be believed: discrimination, calibration, selective risk.

Pure functions of values in [0, 1] and truths (right or not), in any order. ValueError where there
is nothing to say: no values, or for `auroc` truths of one kind only.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mull.evaluation.intervals import Floats

NUM_BINS: Final = 10

Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Brier:
    """The mean squared error of probabilities, and Murphy's (1973) three parts of it."""

    score: float
    reliability: float
    """How far bins lie from the truth: 0 is perfect."""
    resolution: float
    """How far the bins' truths lie from the base rate: more is better."""
    uncertainty: float
    """Base rate times its rest: what knowing nothing costs."""
    spread: float
    """What binning leaves over: score = reliability - resolution + uncertainty + spread."""


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """The error among what is answered when only the most trusted part is."""

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float
    """Mean risk over all coverages: lower is better."""


def ece(values: Floats, truths: Truths, *, equal_mass: bool, num_bins: int = NUM_BINS) -> float:
    """Expected calibration error: the mean gap of a bin's values and truths, by its share.

    Bins are of equal width over [0, 1], or of equal mass: as many values in each, equal values
    never apart.
    """
    _check(values, truths)
    bins = _bins(values, num_bins, equal_mass=equal_mass)
    gaps = (abs(values[at].mean() - truths[at].mean()) * at.mean() for at in bins)
    return float(sum(gaps))


def brier(values: Floats, truths: Truths, *, num_bins: int = NUM_BINS) -> Brier:
    """The Brier score and its parts over bins of equal width."""
    _check(values, truths)
    base = float(truths.mean())
    bins = _bins(values, num_bins, equal_mass=False)
    score = float(((values - truths) ** 2).mean())
    reliability = sum(at.mean() * (values[at].mean() - truths[at].mean()) ** 2 for at in bins)
    resolution = sum(at.mean() * (truths[at].mean() - base) ** 2 for at in bins)
    uncertainty = base * (1.0 - base)
    spread = score - float(reliability) + float(resolution) - uncertainty
    return Brier(score, float(reliability), float(resolution), uncertainty, spread)


def auroc(values: Floats, truths: Truths) -> float:
    """The chance that a right one is valued above a wrong one; equal values count half."""
    _check(values, truths)
    num_right = int(truths.sum())
    num_wrong = len(truths) - num_right
    if not num_right or not num_wrong:
        raise ValueError("auroc() needs right ones and wrong ones")
    distinct, place = np.unique(values, return_inverse=True)
    counts = np.bincount(place, minlength=len(distinct))
    ranks = np.cumsum(counts) - (counts - 1) / 2.0  # mean rank of equal values
    rank_sum = float(ranks[place][truths].sum())
    return (rank_sum - num_right * (num_right + 1) / 2.0) / (num_right * num_wrong)


def risk_coverage(values: Floats, truths: Truths) -> RiskCoverage:
    """The risk at every coverage, the most trusted first; equal values are answered together."""
    _check(values, truths)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    last_of_equals = np.append(ordered[1:] != ordered[:-1], True)
    count = np.arange(1, len(ordered) + 1)
    risks = np.cumsum(~truths[order]) / count
    coverage, risk = (count / len(ordered))[last_of_equals], risks[last_of_equals]
    steps = np.diff(coverage, prepend=0.0)
    return RiskCoverage(
        tuple(map(float, coverage)), tuple(map(float, risk)), float((risk * steps).sum())
    )


def _check(values: Floats, truths: Truths) -> None:
    if not len(values) or len(values) != len(truths):
        raise ValueError(f"{len(values)} values do not fit {len(truths)} truths")
    if not bool(((values >= 0.0) & (values <= 1.0)).all()):
        raise ValueError("values must lie in [0, 1]")


def _bins(values: Floats, num_bins: int, *, equal_mass: bool) -> list[Truths]:
    """Which values fall into each bin that has any."""
    if equal_mass:
        edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, num_bins + 1)[1:-1]))
    else:
        edges = np.linspace(0.0, 1.0, num_bins + 1)[1:-1]
    place = np.digitize(values, edges)
    return [place == each for each in np.unique(place)]
