"""Scores that were recorded with the samples they judge."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Final

from mull.core.problem import Message
from mull.core.recorded_search import RecordedSearches
from mull.core.recording import Record, Recording
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Trajectory
from mull.core.usage import Usage

SCHEME: Final = "recorded:"
"""Its names are this and the recording's."""

Words = tuple[tuple[Message, ...], str, str]
"""A problem, all that was said and the answer: what a score belongs to."""


@dataclass(frozen=True, slots=True)
class RecordedScores:
    """Repeats what was said of the same words; of other words it has no opinion.

    Samples of equal words share the mean of their scores, with their spread as its uncertainty, and
    a verdict only where all agree.
    """

    recording: Recording
    _known: dict[Words, list[Record]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known = dict[Words, list[Record]]()
        for messages, records in self.recording.samples.items():
            for record in records:
                if record.score is not None or record.verdict is not Verdict.UNKNOWN:
                    known.setdefault(_words(messages, record), []).append(record)
        object.__setattr__(self, "_known", known)

    @property
    def source(self) -> Source:
        """Its version is the recording's content."""
        return Source(f"{SCHEME}{self.recording.name}", self.recording.version)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (it is free)
        """Nothing."""
        return Usage()

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """The recorded scores."""
        return [self._score(each) for each in trajectories]

    def _score(self, trajectory: Trajectory) -> Score:
        messages = trajectory.problem.messages
        found = self._known.get((messages, trajectory.text, trajectory.answer_text))
        if found is None:
            return Score.unknown(self.source, "nothing was recorded of this sample")
        verdicts = {record.verdict for record in found}
        verdict = verdicts.pop() if len(verdicts) == 1 else Verdict.UNKNOWN
        values = [_value(record) for record in found]
        return Score(fmean(values), self.source, verdict, pstdev(values))


def _words(messages: tuple[Message, ...], record: Record) -> Words:
    trajectory = "".join(step.text for step in record.steps)
    answer = "".join(step.text for step in record.steps if step.kind == "answer").strip()
    return messages, trajectory, answer


def _value(record: Record) -> float:
    if record.score is not None:
        return record.score
    return {Verdict.ACCEPT: 1.0, Verdict.REJECT: 0.0}.get(record.verdict, 0.5)


@dataclass(frozen=True, slots=True)
class RecordedValues:
    """Repeats what a recorded search's own evaluator thought of a path."""

    searches: RecordedSearches

    @property
    def source(self) -> Source:
        """Its version is the recording's content."""
        return Source(f"{SCHEME}{self.searches.model}", self.searches.version)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (it is free)
        """Nothing."""
        return Usage()

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """The recorded values; of a path that was not valued it has no opinion."""
        return [self._score(each) for each in trajectories]

    def _score(self, trajectory: Trajectory) -> Score:
        *before, last = trajectory.steps
        places = self.searches.thoughts.get(trajectory.problem.messages, {})
        thoughts = places.get("".join(step.text for step in before), ())
        value = next((each.value for each in thoughts if each.text == last.text), None)
        if value is None:
            return Score.unknown(self.source, "nothing was recorded of this path")
        return Score(value, self.source)
