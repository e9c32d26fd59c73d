"""Judges against the truth, on recorded rollouts."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from mull.core.clock import SystemClock
from mull.core.expansion import Finish
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Step, StepKind
from mull.core.usage import Usage
from mull.evaluation.bank import Record, Rollout
from mull.evaluation.controls import OracleGuide
from mull.evaluation.grading import Grading
from mull.evaluation.judges import Evidence, judgement_of
from mull.evaluation.reading import Grades
from mull.evaluation.runner import scores_of
from mull.tasks import Example, suite_named

EXAMPLE: Example = next(each for each in suite_named("game24") if each.group == "4 9 10 13")

RIGHT = (" 10 - 4 = 6 left 6 9 13\n", " 13 - 9 = 4 left 4 6\n", " 4 * 6 = 24")
LOST = (" 10 * 13 = 130 left 4 9 130\n", " 4 + 9 = 13 left 13 130\n", " 130 - 13 = 117")
ILLEGAL = (" 10 - 4 = 7 left 7 9 13\n", " 13 - 9 = 4 left 4 7\n", " 4 * 7 = 24")


def rollout(lines: Sequence[str]) -> Rollout:
    last = len(lines) - 1
    steps = tuple(
        Step(line, (place,), kind=StepKind.ANSWER, is_final=place == last)
        for place, line in enumerate(lines)
    )
    return Rollout(steps, Finish.STOP, Usage(visible_tokens=len(lines)))


def record(*scores: Score | None, lines: Sequence[Sequence[str]]) -> Record:
    return Record(EXAMPLE.problem, "m@1", 0, tuple(map(rollout, lines)), {"prm": scores})


def collected(record: Record) -> Evidence:
    evidence = Evidence()
    asyncio.run(evidence.add(record, Grades(EXAMPLE, Grading())))
    return evidence


def test_steps_are_held_against_what_can_still_be_reached() -> None:
    source = Source("prm", "1")
    scores = [
        Score(0.9, source, per_step=(0.8, 0.9, 0.9)),
        Score(0.2, source, per_step=(0.4, 0.3, 0.2)),
        Score(0.6, source, per_step=(0.5, 0.6, 0.6)),
        None,
    ]
    evidence = collected(record(*scores, lines=[RIGHT, LOST, ILLEGAL, RIGHT]))
    assert evidence.pairs == {
        ("prm", "answers"): [[(0.9, True), (0.2, False), (0.6, False)]],
        ("prm", "step 1"): [[(0.8, True), (0.4, False), (0.5, False)]],
        ("prm", "step 2"): [[(0.9, True), (0.3, False), (0.6, False)]],
    }
    assert [each.auroc.value for each in evidence.judgements()] == [1.0, 1.0, 1.0]


def test_those_who_are_sure_or_have_no_opinion_are_not_judged() -> None:
    source = Source("prm", "1")
    scores = [Score(1.0, source, Verdict.ACCEPT), Score.unknown(source, "too long")]
    evidence = collected(record(*scores, lines=[RIGHT, LOST]))
    assert evidence.judgements() == ()


def test_the_oracle_is_never_wrong() -> None:
    given = record(lines=[RIGHT, LOST, ILLEGAL])
    scores = asyncio.run(scores_of(given, OracleGuide(), SystemClock()))
    judged = Record(EXAMPLE.problem, "m@1", 0, given.rollouts, {"oracle": scores})
    evidence = collected(judged)
    assert evidence.judgements()
    for judgement in evidence.judgements():
        assert judgement.auroc.value == 1.0
        assert judgement.brier.score == 0.0


def test_bounds_hold_the_exact_value_and_narrow_with_problems() -> None:
    rng = np.random.default_rng(0)

    def problems(count: int) -> list[list[tuple[float, bool]]]:
        truths = rng.random((count, 16)) < 0.4
        values = np.clip(0.5 + 0.15 * truths + 0.2 * rng.standard_normal(truths.shape), 0, 1)
        return [
            [(float(v), bool(t)) for v, t in zip(*rows, strict=True)]
            for rows in zip(values, truths, strict=True)
        ]

    few, many = (judgement_of("prm", "answers", problems(count)) for count in (20, 320))
    for each in (few, many):
        assert each.auroc.low <= each.auroc.value <= each.auroc.high
        assert each.within == pytest.approx(each.auroc.value, abs=0.1)
    assert many.auroc.high - many.auroc.low < 0.5 * (few.auroc.high - few.auroc.low)
    # right ones lie 0.15 higher with noise of 0.2: P(N(0.15, 2 * 0.2^2) > 0) is 0.70
    assert many.auroc.value == pytest.approx(0.70, abs=0.03)


def test_problems_that_differ_are_told_apart_from_paths_that_do() -> None:
    """A judge of problems alone looks good over all of them, and cannot choose within one."""
    easy = [(0.9, True)] * 9 + [(0.9, False)]
    hard = [(0.1, True)] + [(0.1, False)] * 9
    judgement = judgement_of("prm", "answers", [easy, hard])
    assert judgement.auroc.value > 0.85
    assert judgement.within == 0.5
