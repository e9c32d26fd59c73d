"""The exact countdown checker: rules on an answer from the statement alone, and never solves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mull.core.score import Score, Source, Verdict
from mull.core.steps import StepKind, Trajectory
from mull.core.usage import Usage
from mull.puzzles import Countdown, Ruling, puzzle_of
from mull.puzzles.reading import step_lines

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
        answer = "".join(step.text for step in trajectory.steps if step.kind is StepKind.ANSWER)
        if trajectory.is_finished:
            return self._decided(puzzle.check_answer(answer))
        ruling = _rule_on_whole_lines(puzzle, answer)
        if not ruling.accepted:
            return self._decided(ruling)
        return Score.unknown(self.source, "the answer is not finished")

    def _decided(self, ruling: Ruling) -> Score:
        verdict = Verdict.ACCEPT if ruling.accepted else Verdict.REJECT
        return Score(float(ruling.accepted), self.source, verdict, reason=ruling.reason)


def _rule_on_whole_lines(puzzle: Countdown, answer: str) -> Ruling:
    """Rule on the lines that have their newline; one in the making may still become legal."""
    lines = step_lines(answer[: answer.rfind("\n") + 1])
    for index, line in enumerate(lines):
        ruling = puzzle.check_step(lines[:index], line)
        if not ruling.accepted:
            return ruling
    return Ruling.accept("every line so far is legal")
