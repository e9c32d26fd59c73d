"""The exact countdown checker: rules on an answer from the statement alone, and never solves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mull.core.score import Score, Source
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.puzzles import Countdown, puzzle_of
from mull.verifiers.puzzle import score_by_rules

VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class CountdownChecker:
    """Rules on derivations and expressions with exact fractions.

    A finished trajectory is accepted or rejected. An unfinished one is rejected from its first
    illegal line on and unknown before: whether a legal beginning can still reach the target is not
    looked at. Problems that are no countdown are unknown. Generates no tokens: its usage is zero.
    """

    @property
    def source(self) -> Source:
        """Its name and version."""
        return Source("countdown-checker", VERSION)

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order."""
        return [self._score(trajectory) for trajectory in trajectories]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (the seam's)
        """Nothing: checking costs no tokens, calls or money."""
        return Usage()

    def _score(self, trajectory: Trajectory) -> Score:
        puzzle = puzzle_of(trajectory.problem)
        if not isinstance(puzzle, Countdown):
            return Score.unknown(self.source, "the problem is no countdown")
        return score_by_rules(puzzle, trajectory, self.source)
