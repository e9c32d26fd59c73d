"""What a reader of recorded samples yields."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from mull.core.problem import AnswerKind, Problem
from mull.core.recording import Record, Recording
from mull.tasks.example import Example


@dataclass(frozen=True, slots=True)
class RecordedProblem:
    """A problem with its reference, what a model said to it, and whether that was right."""

    example: Example
    records: tuple[Record, ...]
    right: tuple[bool | None, ...]
    """One a record: the word of the data set's own grader; None where it says none. A failed sample
    is not right."""

    def __post_init__(self) -> None:
        if len(self.records) != len(self.right):
            raise ValueError(f"{len(self.records)} records have {len(self.right)} grades")


@dataclass(frozen=True, slots=True)
class RecordedSet:
    """The samples of one model in one setting."""

    name: str
    """The run, within its data set."""
    model: str
    problems: tuple[RecordedProblem, ...]
    grades_answers: bool = False
    """The answer of a vote is compared with the reference. Else it is as right as the sample it is
    read off."""

    @property
    def num_samples(self) -> int:
        """Of a problem; the fewest where they differ."""
        return min((len(each.records) for each in self.problems), default=0)

    def recording(self) -> Recording:
        """What a test-time policy may see of it: no reference and no grade."""
        records = chain.from_iterable(each.records for each in self.problems)
        return Recording.of(self.model, records, name=self.name)


def recorded_problem(
    data_set: str,
    number: str,
    statement: str,
    reference: str,
    samples: Sequence[tuple[Record, bool | None]],
    *,
    kind: AnswerKind = AnswerKind.TEXT,
) -> RecordedProblem:
    """The problem of one row. `number` is what the data set calls it."""
    problem = Problem.of(statement, kind, {"source": data_set, "number": number})
    example = Example(problem, reference, data_set, 0, "test", number)
    records, right = zip(*samples, strict=True) if samples else ((), ())
    return RecordedProblem(example, tuple(records), tuple(right))
