import asyncio
import time

import pytest

from mull.core.problem import Problem
from mull.core.protocols import Verifier
from mull.core.score import Score, Verdict
from mull.core.steps import Step, StepKind, Trajectory
from mull.verifiers.function import Check, FunctionVerifier, Judgement

PROBLEM = Problem.of("What is six times seven?")


def path(answer: str) -> Trajectory:
    return Trajectory(PROBLEM, (Step(answer, kind=StepKind.ANSWER, is_final=True),))


async def score(check: Check, answer: str = "42") -> Score:
    verifier: Verifier = FunctionVerifier(check, "mine", "3")
    (score,) = await verifier.score([path(answer)])
    assert str(score.source) == "mine@3"
    return score


@pytest.mark.parametrize(
    ("judgement", "value", "verdict", "is_opinion"),
    [
        (True, 1.0, Verdict.ACCEPT, True),
        (False, 0.0, Verdict.REJECT, True),
        (0.7, 0.7, Verdict.UNKNOWN, True),
        (1, 1.0, Verdict.UNKNOWN, True),
        (None, 0.5, Verdict.UNKNOWN, False),
        (1.5, 0.5, Verdict.UNKNOWN, False),
        (float("nan"), 0.5, Verdict.UNKNOWN, False),
        ("yes", 0.5, Verdict.UNKNOWN, False),
    ],
)
async def test_what_a_function_says_is_a_score(
    judgement: object, value: float, verdict: Verdict, is_opinion: bool
) -> None:
    def check(problem: Problem, answer: str) -> Judgement:
        assert (problem, answer) == (PROBLEM, "42")
        return judgement  # pyright: ignore[reportReturnType]  (what an author may do)

    found = await score(check)
    assert (found.value, found.verdict, found.is_opinion) == (value, verdict, is_opinion)


async def test_a_coroutine_function_is_awaited() -> None:
    async def check(problem: Problem, answer: str) -> bool:
        await asyncio.sleep(0)
        return answer == "42"

    assert (await score(check)).verdict is Verdict.ACCEPT


async def test_an_error_is_no_opinion_of_that_answer_alone() -> None:
    def check(problem: Problem, answer: str) -> bool:
        return int(answer) == 42

    verifier = FunctionVerifier(check, "mine")
    first, second, third = await verifier.score([path("six"), path("42"), path("")])
    assert not first.is_opinion
    assert first.reason.startswith("`mine` failed: ValueError: invalid literal")
    assert second.verdict is Verdict.ACCEPT
    assert third.reason == "there is no answer yet"


async def test_a_slow_function_holds_nobody_up() -> None:
    def check(problem: Problem, answer: str) -> bool:
        time.sleep(0.2)
        return True

    scoring = asyncio.ensure_future(FunctionVerifier(check, "mine").score([path("42")]))
    turns = 0
    while not scoring.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns >= 5
