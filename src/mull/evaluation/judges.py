"""How good the judges are, on rollouts of the policy they judge, against the truth.

Answers are held against the grader, unfinished paths against exact labels: can the target still be
reached? The unit is the problem, as everywhere: its rollouts are drawn together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mull.core.score import Score, Verdict
from mull.evaluation.bank import Record
from mull.evaluation.calibration import Brier, auroc, brier, ece, risk_coverage
from mull.evaluation.intervals import Floats, Interval, paired_interval
from mull.evaluation.reading import Grades

ANSWERS: Final = "answers"
JUDGED: Final = 32
"""Rollouts of a problem on which its judges are looked at: exact labels of more take longer than
the rollouts themselves, and the unit is the problem."""
_NUM_CELLS: Final = 200
"""Quantiles into which values are put for the interval of a discrimination."""

Pair = tuple[float, bool]
"""A value, and whether what it was given to is right."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One judge on one kind of thing."""

    judge: str
    place: str
    """`answers`, or `step k`: paths after k steps."""
    num_problems: int
    num_values: int
    base_rate: float
    """Share that is right."""
    auroc: Interval
    """Over all problems together."""
    within: float
    """The same within a problem, on average over those with right ones and wrong ones: what a
    selector among the paths of one problem needs."""
    ece_width: float
    ece_mass: float
    brier: Brier
    risk_area: float
    """Mean error over all coverages, the most trusted answered first."""


@dataclass(slots=True)
class Evidence:
    """Values and truths as they are collected, problem by problem. Owned by one report."""

    pairs: dict[tuple[str, str], list[list[Pair]]] = field(
        default_factory=dict[tuple[str, str], list[list[Pair]]]
    )

    async def add(self, record: Record, grades: Grades) -> None:
        """Take in what the judges of a record said of its first `JUDGED` rollouts."""
        first = {judge: scores[:JUDGED] for judge, scores in record.scores.items()}
        scored = [each for scores in first.values() for each in enumerate(scores)]
        samples = {sample for sample, score in scored if score is not None}
        await grades.learn(record.trajectory(sample).answer_text for sample in sorted(samples))
        for judge, scores in first.items():
            found = dict[str, list[Pair]]()
            for place, pair in _pairs(record, scores, grades):
                found.setdefault(place, []).append(pair)
            for place, pairs in found.items():
                self.pairs.setdefault((judge, place), []).append(pairs)

    def judgements(self) -> tuple[Judgement, ...]:
        """Every judge on everything of which it saw right ones and wrong ones."""
        return tuple(
            judgement_of(judge, place, problems)
            for (judge, place), problems in sorted(self.pairs.items())
            if len({truth for pairs in problems for _, truth in pairs}) == 2
        )


def _pairs(
    record: Record, scores: Sequence[Score | None], grades: Grades
) -> Iterator[tuple[str, Pair]]:
    """What a judge that is never sure said, and the truth of it."""
    for sample, score in enumerate(scores):
        if score is None or not score.is_opinion or score.verdict is not Verdict.UNKNOWN:
            continue
        path = record.trajectory(sample)
        if grades.is_known(path.answer_text):
            yield ANSWERS, (score.value, grades.is_right(path.answer_text))
        lines = [step.text for step in path.steps]
        for depth in range(1, min(len(lines), len(score.per_step) + 1)):
            truth = grades.can_be_solved(lines[:depth])
            if truth is not None:
                yield f"step {depth}", (score.per_step[depth - 1], truth)


def judgement_of(judge: str, place: str, problems: Sequence[Sequence[Pair]]) -> Judgement:
    """All measures of one judge; ValueError unless there are right ones and wrong ones."""
    flat = [pair for pairs in problems for pair in pairs]
    values = np.array([value for value, _ in flat], dtype=np.float64)
    truths = np.array([truth for _, truth in flat], dtype=np.bool_)
    return Judgement(
        judge,
        place,
        len(problems),
        len(flat),
        float(truths.mean()),
        _auroc_interval(problems, values, auroc(values, truths)),
        _within(problems),
        ece(values, truths, equal_mass=False),
        ece(values, truths, equal_mass=True),
        brier(values, truths),
        risk_coverage(values, truths).area,
    )


def _within(problems: Sequence[Sequence[Pair]]) -> float:
    rates = list[float]()
    for pairs in problems:
        truths = np.array([truth for _, truth in pairs], dtype=np.bool_)
        if truths.any() and not truths.all():
            rates.append(auroc(np.array([value for value, _ in pairs]), truths))
    return float(np.mean(rates)) if rates else float("nan")


def _auroc_interval(problems: Sequence[Sequence[Pair]], values: Floats, exact: float) -> Interval:
    """The exact value, with bounds from values put into quantiles: a resample is then a sum."""
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, _NUM_CELLS + 1)[1:-1]))
    cells = len(edges) + 1
    counts = np.array([_histogram(pairs, edges, cells) for pairs in problems])

    def of_means(means: Floats) -> Floats:
        right, wrong = means[:, :cells], means[:, cells:]
        below = np.cumsum(wrong, axis=1) - wrong / 2.0
        total = right.sum(axis=1) * wrong.sum(axis=1)
        return (right * below).sum(axis=1) / np.maximum(total, 1e-12)

    found = paired_interval(counts, of_means, num_resamples=2_000)
    return Interval(exact, min(found.low, exact), max(found.high, exact))


def _histogram(pairs: Sequence[Pair], edges: Floats, cells: int) -> NDArray[np.float64]:
    """How many right ones and how many wrong ones fall into each cell: [2 * cells]."""
    places = np.digitize([value for value, _ in pairs], edges)
    truths = np.array([truth for _, truth in pairs], dtype=np.bool_)
    right = np.bincount(places[truths], minlength=cells)
    wrong = np.bincount(places[~truths], minlength=cells)
    return np.concatenate((right, wrong)).astype(np.float64)
