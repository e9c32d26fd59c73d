"""A verifier that is not believed about what the policy itself would not have said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Final

from mull.core.errors import BadInputError
from mull.core.protocols import Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Trajectory
from mull.core.usage import Usage

SCHEME: Final = "supported:"
"""Of its name: another verifier's name follows."""
LEAST: Final = 0.01
"""Of 100 Countdown problems it kept 99.9 % of the right answers and 94 % of the wrong ones."""


@dataclass(frozen=True, slots=True)
class SupportedVerifier:
    """What `rest` says of paths that the policy supports, and no opinion of others.

    A reward model errs most on what it never saw, and a search finds just that: the more samples,
    the surer one of them slipped where `rest` cannot see it. The policy can: a slip is a token that
    it gave next to no probability. Where it gives no probabilities, all is left to `rest`. Limits
    the choice to the policy's support, as offline reinforcement learning does (Fujimoto et al.
    2019).
    """

    rest: Verifier
    least: float = LEAST
    """The probability of a path's least probable token below which there is no opinion."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.least < 1.0:
            raise BadInputError(f"`least` is {self.least}; it must lie in [0, 1)")

    @property
    def source(self) -> Source:
        """The other verifier's name and version, with the threshold."""
        rest = self.rest.source
        return Source(f"{SCHEME}{rest.verifier}", f"{self.least:g}+{rest.version}")

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        """What `rest` asks for."""
        return self.rest.quote(trajectories)

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order. What `rest` is sure of stands, whoever said it."""
        scores = await self.rest.score(trajectories)
        return [self._bounded(*each) for each in zip(trajectories, scores, strict=True)]

    def _bounded(self, trajectory: Trajectory, said: Score) -> Score:
        least = least_probability(trajectory)
        if said.verdict is Verdict.UNKNOWN and least < self.least:
            reason = f"the policy gave one of its tokens a probability of {least:.2g}"
            return Score.unknown(self.source, reason, said.usage)
        return replace(said, source=self.source)


def least_probability(trajectory: Trajectory) -> float:
    """Of a path's least probable token, by the policy that drew it; 1 where it gave none."""
    return exp(min((each for step in trajectory.steps for each in step.logprobs), default=0.0))
