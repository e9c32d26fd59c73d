"""Exact checkers of puzzle families: they rule from the statement alone, and never solve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mull.core.problem import AnswerKind
from mull.core.score import Score, Source, Verdict
from mull.core.steps import StepKind, Trajectory
from mull.core.usage import Usage
from mull.puzzles import Puzzle, Ruling, puzzle_of
from mull.puzzles.reading import step_lines

VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class PuzzleChecker:
    """Rules on the families whose answers carry their own proof: logic, entailment, grids, plans.

    As `CountdownChecker` does: a finished trajectory is accepted or rejected, an unfinished one is
    rejected from its first illegal line on and unknown before, any other problem is unknown.
    Generates no tokens.
    """

    @property
    def source(self) -> Source:
        """Its name and version."""
        return Source("puzzle-checker", VERSION)

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order."""
        return [self._score(trajectory) for trajectory in trajectories]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (the seam's)
        """Nothing: checking costs no tokens, calls or money."""
        return Usage()

    def _score(self, trajectory: Trajectory) -> Score:
        puzzle = puzzle_of(trajectory.problem)
        if puzzle is None or puzzle.answer_kind is not AnswerKind.PUZZLE:
            return Score.unknown(self.source, "the problem is of no family this checker knows")
        return score_by_rules(puzzle, trajectory, self.source)


def score_by_rules(puzzle: Puzzle, trajectory: Trajectory, source: Source) -> Score:
    """What the rules of a puzzle say of a trajectory; an unfinished one may still become right."""
    answer = "".join(step.text for step in trajectory.last_turn if step.kind is StepKind.ANSWER)
    if trajectory.is_finished:
        return _decided(puzzle.check_answer(answer), source)
    ruling = _rule_on_whole_lines(puzzle, answer)
    if not ruling.accepted:
        return _decided(ruling, source)
    return Score.unknown(source, "the answer is not finished")


def _decided(ruling: Ruling, source: Source) -> Score:
    verdict = Verdict.ACCEPT if ruling.accepted else Verdict.REJECT
    return Score(float(ruling.accepted), source, verdict, reason=ruling.reason)


def _rule_on_whole_lines(puzzle: Puzzle, answer: str) -> Ruling:
    """Rule on the lines that have their newline; one in the making may still become legal."""
    lines = step_lines(answer[: answer.rfind("\n") + 1])
    for index, line in enumerate(lines):
        ruling = puzzle.check_step(lines[:index], line)
        if not ruling.accepted:
            return ruling
    return Ruling.accept("every line so far is legal")
