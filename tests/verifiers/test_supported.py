"""A judge is not believed about tokens that the policy gave next to no probability."""

from collections.abc import Sequence
from math import log

import pytest
from doubles import PredicateVerifier
from hypothesis import given
from hypothesis import strategies as st

from mull.build import find_verifier
from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind, Problem
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.verifiers import SupportedVerifier

SUMS = Problem.of("How much is it?")


class Opinion:
    """Values every path alike."""

    source = Source("prm", "7")

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return Usage(prompt_tokens=len(trajectories))

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        usage = Usage(prompt_tokens=1)
        return [Score(0.9, self.source, uncertainty=0.1, per_step=(0.9,), usage=usage)] * len(
            trajectories
        )


def path(*steps: Sequence[float], text: str = "7") -> Trajectory:
    """Of steps whose tokens had these probabilities."""
    return Trajectory(
        SUMS,
        tuple(
            Step(text, tuple(range(len(each))), tuple(map(log, each)), StepKind.ANSWER)
            for each in steps
        ),
    )


@given(st.lists(st.lists(st.floats(1e-6, 1.0), max_size=4), max_size=4), st.floats(0.0, 0.99))
async def test_only_paths_with_a_token_below_the_threshold_lose_their_value(
    steps: list[list[float]], least: float
) -> None:
    lowest = min((each for step in steps for each in step), default=1.0)
    if abs(lowest - least) < 1e-9:
        return
    (score,) = await SupportedVerifier(Opinion(), least).score([path(*steps)])
    assert score.is_opinion == (lowest >= least)
    assert score.source == Source("supported:prm", f"{least:g}+7")
    assert score.usage == Usage(prompt_tokens=1), "it was asked all the same"
    assert not score.is_opinion or (score.value, score.per_step) == (0.9, (0.9,))


async def test_what_is_proved_stands_however_improbable_it_was() -> None:
    verifier = SupportedVerifier(PredicateVerifier(lambda answer: answer == "7"))
    right, wrong = path([1e-9]), path([1e-9], text="8")
    scores = await verifier.score([right, wrong])
    assert [each.verdict for each in scores] == [Verdict.ACCEPT, Verdict.REJECT]


async def test_a_policy_that_gives_no_probabilities_is_judged_as_before() -> None:
    (score,) = await SupportedVerifier(Opinion()).score([Trajectory(SUMS, (Step("7"),))])
    assert score.value == 0.9


@pytest.mark.parametrize("least", [-0.1, 1.0, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(least: float) -> None:
    with pytest.raises(BadInputError, match="`least` is"):
        SupportedVerifier(Opinion(), least)


def test_it_goes_by_name() -> None:
    verifier = find_verifier("supported:hybrid:countdown", AnswerKind.COUNTDOWN)
    assert verifier is not None
    assert verifier.source.verifier == "supported:hybrid:countdown-checker"
