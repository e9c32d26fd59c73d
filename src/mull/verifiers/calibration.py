"""From a verifier's value to a probability: maps fitted on problems that were not trained on.

Pure functions of values and outcomes. A map belongs to one verifier version, one family of problems
and one policy; it is stored with the checkpoint and fitted anew when any of them changes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from typing import Protocol, cast

from mull.core.errors import CheckpointError

EDGE = 1e-6
"""Values are kept this far from 0 and 1 where their logit is taken."""
SLOPE = 0.001
"""The least rise of an isotonic map."""


class Calibration(Protocol):
    """A monotone map from [0, 1] to [0, 1]."""

    def __call__(self, value: float) -> float:
        """The probability that `value` stands for."""
        ...

    def to_json(self) -> dict[str, object]:
        """What `calibration_of` reads."""
        ...


@dataclass(frozen=True, slots=True)
class Platt:
    """sigmoid(slope * logit(value) + shift) (Platt 1999); slope 1 / T and no shift: temperature."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, value: float) -> float:
        """See `Calibration`."""
        return _sigmoid(self.slope * _logit(value) + self.shift)

    def to_json(self) -> dict[str, object]:
        """See `Calibration`."""
        return {"kind": "platt", "slope": self.slope, "shift": self.shift}


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Straight lines between the centres of pooled blocks (Zadrozny & Elkan 2002).

    A thousandth of the value itself is mixed in, so that the map rises everywhere and a ranking
    keeps its order also within a block.
    """

    centres: tuple[float, ...]
    """Ascending."""
    levels: tuple[float, ...]
    """Not descending."""

    def __call__(self, value: float) -> float:
        """See `Calibration`."""
        return (1 - SLOPE) * self._on_the_lines(value) + SLOPE * value

    def _on_the_lines(self, value: float) -> float:
        after = bisect_right(self.centres, value)
        if after == 0:
            return self.levels[0]
        if after == len(self.centres):
            return self.levels[-1]
        left, right = self.centres[after - 1], self.centres[after]
        share = (value - left) / (right - left)
        return (1 - share) * self.levels[after - 1] + share * self.levels[after]

    def to_json(self) -> dict[str, object]:
        """See `Calibration`."""
        return {"kind": "isotonic", "centres": self.centres, "levels": self.levels}


def calibration_of(raw: Mapping[str, object]) -> Calibration:
    """Read what `to_json` wrote. Raises `CheckpointError`."""
    try:
        if raw["kind"] == "platt":
            return Platt(float(cast("float", raw["slope"])), float(cast("float", raw["shift"])))
        centres = tuple(map(float, cast("Sequence[float]", raw["centres"])))
        levels = tuple(map(float, cast("Sequence[float]", raw["levels"])))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"a calibration map cannot be read: {error}") from error
    if not centres or len(centres) != len(levels):
        raise CheckpointError("a calibration map needs as many levels as centres, and at least one")
    return Isotonic(centres, levels)


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring values that are given one level."""

    centre: float
    """Mean value."""
    level: float
    """Mean outcome."""
    weight: float


def pool_adjacent_violators(values: Sequence[float], outcomes: Sequence[float]) -> list[Block]:
    """The least-squares monotone fit of outcomes to values (Ayer et al. 1955), as blocks.

    Equal values form one block from the start, so that the fit is a function of the value.
    """
    groups = dict[float, list[float]]()
    for value, outcome in zip(values, outcomes, strict=True):
        groups.setdefault(value, []).append(outcome)
    blocks = list[Block]()
    for value in sorted(groups):
        block = Block(value, fsum(groups[value]) / len(groups[value]), float(len(groups[value])))
        while blocks and blocks[-1].level >= block.level:
            block = _pooled(blocks.pop(), block)
        blocks.append(block)
    return blocks


def _pooled(left: Block, right: Block) -> Block:
    weight = left.weight + right.weight
    centre = (left.weight * left.centre + right.weight * right.centre) / weight
    level = (left.weight * left.level + right.weight * right.level) / weight
    return Block(centre, level, weight)


def fit_isotonic(values: Sequence[float], outcomes: Sequence[float]) -> Isotonic:
    """The monotone map of least squared error through the blocks' centres."""
    blocks = pool_adjacent_violators(values, outcomes)
    return Isotonic(tuple(each.centre for each in blocks), tuple(each.level for each in blocks))


def fit_platt(values: Sequence[float], outcomes: Sequence[float]) -> Platt:
    """The likeliest slope and shift, by Newton's method.

    Outcomes are smoothed as by Platt (one imagined case of each kind), so that separable data have
    a finite slope.
    """
    num_good = fsum(outcomes)
    good = (num_good + 1) / (num_good + 2)
    bad = 1 / (len(outcomes) - num_good + 2)
    wanted = [bad + (good - bad) * outcome for outcome in outcomes]
    logits = [_logit(value) for value in values]
    slope, shift = 1.0, 0.0
    for _ in range(50):
        step = _newton_step(logits, wanted, slope, shift)
        slope, shift = slope + step[0], shift + step[1]
        if max(map(abs, step)) < 1e-9:
            break
    return Platt(slope, shift)


def _newton_step(
    logits: Sequence[float], wanted: Sequence[float], slope: float, shift: float
) -> tuple[float, float]:
    """Solve Hessian * step = gradient of the log-likelihood, lightly damped."""
    told = [_sigmoid(slope * logit + shift) for logit in logits]
    missing = [want - said for want, said in zip(wanted, told, strict=True)]
    curves = [max(said * (1 - said), 1e-12) for said in told]
    a = fsum(curve * logit * logit for curve, logit in zip(curves, logits, strict=True)) + 1e-6
    b = fsum(curve * logit for curve, logit in zip(curves, logits, strict=True))
    c = fsum(curves) + 1e-6
    first = fsum(miss * logit for miss, logit in zip(missing, logits, strict=True))
    second = fsum(missing)
    determinant = a * c - b * b
    return (c * first - b * second) / determinant, (a * second - b * first) / determinant


def fit_temperature(values: Sequence[float], outcomes: Sequence[float]) -> Platt:
    """The likeliest temperature (Guo et al. 2017): only the sharpness changes, never a side of 1/2.

    The likelihood has one peak in 1 / T, which a golden-section search finds.
    """

    def loss(slope: float) -> float:
        return log_loss([Platt(slope)(value) for value in values], outcomes)

    low, high, golden = 0.0, 20.0, (5**0.5 - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return Platt((low + high) / 2)


def log_loss(probabilities: Sequence[float], outcomes: Sequence[float]) -> float:
    """Mean negative log-likelihood, in nats."""
    pairs = zip(probabilities, outcomes, strict=True)
    losses = (
        -(outcome * log(max(p, EDGE)) + (1 - outcome) * log(max(1 - p, EDGE)))
        for p, outcome in pairs
    )
    return fsum(losses) / len(outcomes)


def calibration_error(
    probabilities: Sequence[float], outcomes: Sequence[float], *, bins: int = 15
) -> float:
    """The expected calibration error over bins of equal mass: mean |said - seen|."""
    ordered = sorted(zip(probabilities, outcomes, strict=True))
    total, count = 0.0, len(ordered)
    for index in range(bins):
        held = ordered[index * count // bins : (index + 1) * count // bins]
        total += abs(fsum(said - seen for said, seen in held))
    return total / count


def _logit(value: float) -> float:
    kept = min(max(value, EDGE), 1 - EDGE)
    return log(kept / (1 - kept))


def _sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z)) if z >= 0 else exp(z) / (1 + exp(z))
