"""Several verifiers that speak as one (Coste et al. 2024, "Reward Model Ensembles …")."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat
from math import fsum, hypot, sqrt
from typing import Final

from mull.core.digest import content_digest
from mull.core.errors import BadInputError
from mull.core.protocols import Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Trajectory
from mull.core.usage import Usage

PENALTY: Final = 0.5
"""The paper's lambda for best-of-n; its variance is that of standardised rewards, ours is that of
values in [0, 1], so the penalty is weighed against `SPREAD`, the largest variance such values have.
"""
SPREAD: Final = 0.25
MOST_UNCERTAIN: Final = 0.49


class Rule(StrEnum):
    """How the members' values become one."""

    MEAN = "mean"
    WORST = "worst"
    """The lowest (worst-case optimisation, WCO)."""
    UNCERTAINTY = "uncertainty"
    """The mean less what the members disagree by (uncertainty-weighted optimisation, UWO)."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """One value out of those of the members that have an opinion.

    Any member's rejection is the ensemble's; it accepts where all accept. Where fewer than half of
    the members have an opinion, or they disagree by more than `max_disagreement`, it is unknown: a
    place that the members see differently is one that none of them has learned.
    """

    members: tuple[Verifier, ...]
    rule: Rule = Rule.MEAN
    max_disagreement: float = 1.0
    """Of the members' values, as a standard deviation."""

    def __post_init__(self) -> None:
        if len({member.source for member in self.members}) < 2:
            raise BadInputError("an ensemble needs at least two different verifiers")

    @property
    def source(self) -> Source:
        """Its rule and a digest of who is in it."""
        who = sorted(str(member.source) for member in self.members)
        digest = content_digest(*who, str(self.max_disagreement))
        return Source(f"ensemble-{self.rule}", digest)

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order; every member scores all of them."""
        scores = await asyncio.gather(*(each.score(trajectories) for each in self.members))
        return [self._joined(each) for each in zip(*scores, strict=True)]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        """What all members cost together."""
        return sum((each.quote(trajectories) for each in self.members), Usage())

    async def close(self) -> None:
        """Let go of what members hold."""
        for member in self.members:
            close = getattr(member, "close", None)
            if close is not None:
                await close()

    def _joined(self, scores: Sequence[Score]) -> Score:
        usage = sum((each.usage for each in scores), Usage())
        for each in scores:
            if each.verdict is Verdict.REJECT:
                reason = f"{each.source}: {each.reason}"
                return Score(0.0, self.source, Verdict.REJECT, reason=reason, usage=usage)
        opinions = [each for each in scores if each.is_opinion]
        if 2 * len(opinions) < len(scores):
            why = next(each.reason for each in scores if not each.is_opinion)
            return Score.unknown(self.source, why, usage)
        values = [each.value for each in opinions]
        disagreement = sqrt(variance(values))
        if disagreement > self.max_disagreement:
            reason = f"the members disagree by {disagreement:.2f}"
            return Score.unknown(self.source, reason, usage)
        accepted = all(each.verdict is Verdict.ACCEPT for each in scores)
        own = sqrt(fsum(each.uncertainty**2 for each in opinions)) / len(opinions)
        return Score(
            combine(self.rule, values),
            self.source,
            Verdict.ACCEPT if accepted else Verdict.UNKNOWN,
            uncertainty=0.0 if accepted else min(MOST_UNCERTAIN, hypot(own, disagreement)),
            per_step=self._steps(opinions),
            usage=usage,
        )

    def _steps(self, opinions: Sequence[Score]) -> tuple[float, ...]:
        """The rule, step by step, where all that have an opinion judge the same steps."""
        if len({len(each.per_step) for each in opinions}) > 1:
            return ()
        columns = zip(*(each.per_step for each in opinions), strict=True)
        return tuple(map(combine, repeat(self.rule), columns))


def combine(rule: Rule, values: Sequence[float]) -> float:
    """One value in [0, 1] out of at least one."""
    mean = fsum(values) / len(values)
    if rule is Rule.MEAN:
        return mean
    if rule is Rule.WORST:
        return min(values)
    return max(0.0, mean - PENALTY * variance(values) / SPREAD)


def variance(values: Sequence[float]) -> float:
    """Of the values themselves, not of what they were drawn from."""
    mean = fsum(values) / len(values)
    return fsum((value - mean) ** 2 for value in values) / len(values)
