"""Repeated runs of frontier models on OTIS Mock AIME and GPQA Diamond (Epoch AI, CC BY 4.0)."""

from collections.abc import Iterator
from dataclasses import dataclass
from re import compile as compile_pattern
from typing import Final

from mull.core.recording import Record
from mull.tasks.recorded.rows import Rows
from mull.tasks.recorded.sets import RecordedProblem, RecordedSet, recorded_problem

SOURCE: Final = "epoch_frontier_samples"
FILES: Final = ("otis_samples_dev.csv.gz", "gpqa_samples_dev.csv.gz")
_PUBLISHED: Final = compile_pattern(r":([\d.]+)")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One evaluation run."""

    run: str
    benchmark: str
    model: str
    label: str
    epochs: str
    published_scores: str
    frac_with_answer: str

    @property
    def published(self) -> tuple[float, ...]:
        """Accuracies that were published; two where it had two scorers."""
        return tuple(float(each) for each in _PUBLISHED.findall(self.published_scores))

    @property
    def has_answers(self) -> bool:
        """Whether most of its samples come with their answer, so that they can vote."""
        return float(self.frac_with_answer) > 0.5


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample; every field is text, and empty where nothing is known."""

    run: str
    qid: str
    epoch: str
    target: str
    answer: str
    correct: str
    output_tokens: str
    reasoning_tokens: str
    seconds: str


def read_runs(rows: Rows) -> dict[str, RunRow]:
    """The runs by id."""
    return {row.run: row for row in rows.csv_lines("runs_dev.csv", RunRow)}


def read_epoch(rows: Rows) -> Iterator[RecordedSet]:
    """One set a run, named `benchmark run`. Statements and most responses were not published."""
    runs = read_runs(rows)
    for name in FILES:
        by_run = dict[str, dict[str, list[SampleRow]]]()
        for row in rows.csv_lines(name, SampleRow):
            if row.run in runs:
                by_run.setdefault(row.run, {}).setdefault(row.qid, []).append(row)
            else:
                rows.reject(f"run `{row.run}` is not listed")
        for run, questions in by_run.items():
            problems = [_problem(runs[run], qid, each) for qid, each in questions.items()]
            title = f"{runs[run].benchmark} {run}"
            yield RecordedSet(title, runs[run].model, tuple(problems), grades_answers=True)


def _problem(run: RunRow, qid: str, samples: list[SampleRow]) -> RecordedProblem:
    statement = f"{run.benchmark} {qid}"
    in_order = sorted(samples, key=lambda row: int(row.epoch))
    parts = [(_record(statement, row), row.correct == "1") for row in in_order]
    return recorded_problem(SOURCE, statement, statement, _plain(samples[0].target), parts)


def _record(statement: str, row: SampleRow) -> Record:
    hidden = _count(row.reasoning_tokens)
    return Record(
        statement,
        answer=_plain(row.answer),
        error="" if row.correct else "the sample failed",
        tokens=max(0, _count(row.output_tokens) - hidden),
        hidden_tokens=hidden,
        seconds=float(row.seconds or 0),
    )


def _count(text: str) -> int:
    return int(float(text)) if text else 0


def _plain(answer: str) -> str:
    """`024` and `24` are one integer."""
    return str(int(answer)) if answer.isdigit() else answer
