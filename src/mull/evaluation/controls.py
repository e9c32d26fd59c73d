"""Guides that no solve may use: one that knows nothing, and one that knows the truth.

A search steered by the first must lose, or its gain was never the guide's. What it reaches with the
second is the most that any guide could give it. Both are free: they show what judging is worth
before it costs anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from mull.core.protocols import Verifier
from mull.core.score import Score, Source
from mull.core.seeds import derive_seed
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.puzzles import Countdown, puzzle_of
from mull.tasks import Arithmetic, CountdownSolver


@dataclass(frozen=True, slots=True)
class RandomGuide:
    """Values every path by a hash of its text: evenly in [0, 1], the same path always alike."""

    @property
    def source(self) -> Source:
        """It speaks as `random`."""
        return Source("random", "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """A value for every prefix of each path; that of the whole path is its last."""
        return [self._score(each) for each in trajectories]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (it is free)
        """Nothing."""
        return Usage()

    def _score(self, trajectory: Trajectory) -> Score:
        text, values = trajectory.problem.statement, list[float]()
        for step in trajectory.steps:
            text += step.text
            values.append(derive_seed(0, "random guide", text) / 2**63)
        return Score(values[-1], self.source, uncertainty=0.25, per_step=tuple(values))


@dataclass(frozen=True, slots=True)
class OracleGuide:
    """Knows for countdown whether the target can still be reached: 1 or 0 a step.

    It has no opinion of other problems.
    """

    solver: CountdownSolver = field(
        default_factory=lambda: CountdownSolver(Arithmetic.WHOLE), repr=False, compare=False
    )

    @property
    def source(self) -> Source:
        """It speaks as `oracle`."""
        return Source("oracle", "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Exact labels of every step; the path is worth its last."""
        return [self._score(each) for each in trajectories]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (it is free)
        """Nothing."""
        return Usage()

    def _score(self, trajectory: Trajectory) -> Score:
        puzzle = puzzle_of(trajectory.problem)
        if not isinstance(puzzle, Countdown):
            return Score.unknown(self.source, "it knows countdown alone")
        lines = [step.text for step in trajectory.steps]
        values = [self._value(puzzle, lines[: place + 1]) for place in range(len(lines))]
        return Score(values[-1], self.source, per_step=tuple(values), uncertainty=0.0)

    def _value(self, puzzle: Countdown, lines: Sequence[str]) -> float:
        state = puzzle.state_key(lines)
        if state is None:
            return 0.0
        numbers = [Fraction(number) for number in state.split()]
        return float(self.solver.reachable(numbers, puzzle.target))


CONTROLS: Final[Mapping[str, Callable[[], Verifier]]] = MappingProxyType(
    {"oracle": OracleGuide, "random": RandomGuide}
)
"""By the name under which they speak."""
