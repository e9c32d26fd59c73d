"""Claims inside a trace go to exact tools, the rest to another verifier; scores say which."""

from collections.abc import Sequence

import pytest
from doubles import PredicateVerifier
from hypothesis import given
from hypothesis import strategies as st

from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.puzzles import Chain, Multiply, to_problem
from mull.verifiers import HybridVerifier, MathsChecker
from mull.verifiers.assertions import assertions_in

SUMS = Problem.of("How much is it?", AnswerKind.MATHS)


def trace(*thoughts: str, answer: str = " 7", problem: Problem = SUMS) -> Trajectory:
    steps = [Step(f"{line}\n", kind=StepKind.THOUGHT) for line in thoughts]
    return Trajectory(problem, (*steps, Step(answer, kind=StepKind.ANSWER, is_final=True)))


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("2 + 3 = 5", {"2 + 3 = 5": True}),
        ("So 2 + 3 = 6 apples.", {"2 + 3 = 6": False}),
        ("we get 12 * 3 = 36, and 36 - 1 = 34.", {"12 * 3 = 36": True, "36 - 1 = 34": False}),
        ("$3 \\times 4 = 12$", {"3 * 4 = 12": True}),
        ("$\\frac{1}{2} + 1 = 1.5$", {"(1/2) + 1 = 1.5": True}),
        ("1,000 + 1 = 1,001", {"1,000 + 1 = 1,001": True}),
        ("10 / 3 = 3.33", {"10 / 3 = 3.33": True}),
        ("10 / 3 = 3.34", {"10 / 3 = 3.34": False}),
        ("2 \u00d7 3 = 6 = 5 + 2", {"2 \u00d7 3 = 6 = 5 + 2": False}),
        ("x = 3 + 4 = 7", {"3 + 4 = 7": True}),
        ("8 4 7 * 3 = 2 5 4 1", {"847 * 3 = 2541": True}),
        ("3 < 4 and 5 > 6", {"3 < 4": True, "5 > 6": False}),
        # Half of a claim is none.
        ("3x = 12", {}),
        ("20% of 50 = 11", {}),
        ("two dozen + 3 = 28", {}),
        ("1/2 = 50%", {}),
        ("57 + 50 = 10 mod 97", {}),
        ("2 = 2^1", {"2 = 2^1": True}),
        ("1 / 0 = 1", {}),
        ("(1, 2) = 3", {}),
        ("7^9999999 = 1", {}),
        ("", {}),
    ],
)
def test_closed_arithmetic_in_a_line_is_found_and_settled(
    text: str, claims: dict[str, bool]
) -> None:
    assert {each.text: each.holds for each in assertions_in(text)} == claims


@given(st.integers(0, 10**6), st.sampled_from("+-*"), st.integers(0, 10**6), st.integers(-1, 1))
def test_a_sum_is_true_exactly_where_it_is(left: int, sign: str, right: int, off: int) -> None:
    value = {"+": left + right, "-": left - right, "*": left * right}[sign]
    (claim,) = assertions_in(f"so {left} {sign} {right} = {value + off}")
    assert claim.holds == (off == 0)


@given(st.text(max_size=500) | st.text("0123456789 .,()+-*/=<>^$%\\", max_size=500))
def test_any_text_is_read_in_bounded_time(text: str) -> None:
    assert all(each.text for each in assertions_in(text * 3))


async def test_exact_words_and_those_of_the_other_verifier_stand_side_by_side() -> None:
    opinion = _Opinion((0.9, 0.8, 0.7, 0.6))
    verifier: Verifier = HybridVerifier(opinion)
    path = trace("we add", "2 + 3 = 5", "5 + 1 = 7")
    (score,) = await verifier.score([path])
    assert score.per_step == (0.9, 1.0, 0.0, 0.6)
    assert (score.value, score.verdict) == (0.0, Verdict.UNKNOWN)
    assert score.reason == (
        "step 3: `5 + 1 = 7` is false; 2 of 4 steps checked exactly; the rest by steps@1: 0.75"
    )
    assert (str(score.source), score.usage) == ("hybrid:steps@1+1", Usage(verifier_tokens=3))
    assert verifier.quote([path]) == Usage(verifier_tokens=3)
    (fine,) = await verifier.score([trace("we add", "2 + 3 = 5", "5 + 1 = 6")])
    assert fine.value == pytest.approx(0.75)


class _Opinion:
    """Always thinks the same of the steps."""

    def __init__(self, values: tuple[float, ...]) -> None:
        self.values = values

    @property
    def source(self) -> Source:
        return Source("steps", "1")

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        usage = Usage(verifier_tokens=3)
        mean = sum(self.values) / len(self.values)
        return [
            Score(mean, self.source, uncertainty=0.1, per_step=self.values, usage=usage)
            for _ in trajectories
        ]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return Usage(verifier_tokens=3 * len(trajectories))


async def test_a_verdict_of_the_other_verifier_stays_its_own() -> None:
    verifier = HybridVerifier(PredicateVerifier(lambda answer: answer == "7"))
    right, wrong = await verifier.score([trace("3 + 4 = 7"), trace("3 + 4 = 7", answer="8")])
    assert (right.verdict, right.value) == (Verdict.ACCEPT, 1.0)
    assert (wrong.verdict, wrong.value) == (Verdict.REJECT, 0.0)


async def test_lines_of_a_family_are_checked_by_its_own_rules() -> None:
    product = to_problem(Multiply(47, 6))
    lines = (" 4 7 * 6", " 4 7 * 6 = 2 8 1")
    (score,) = await HybridVerifier().score([trace(*lines, answer=" 2 8 1", problem=product)])
    assert score.per_step == (1.0, 0.0, 0.5)
    assert "step 2: `4 7 * 6 = 2 8 1` is false arithmetic" in score.reason
    total = to_problem(Chain((57, 50, 1)))
    (score,) = await HybridVerifier().score([trace(" 57 + 50 = 10 left 1 10", problem=total)])
    assert score.per_step == (1.0, 0.5)


async def test_where_nothing_can_be_checked_there_is_no_opinion() -> None:
    (score,) = await HybridVerifier().score([trace("it is so", answer=" seven")])
    assert not score.is_opinion
    assert HybridVerifier().quote([]) == Usage()


async def test_a_maths_solution_needs_an_answer_and_right_sums() -> None:
    checker: Verifier = MathsChecker()
    sums, wrong, none, other = await checker.score([
        trace("2 + 3 = 5", answer=r"\boxed{5}"),
        trace("2 + 3 = 6", answer=r"\boxed{6}"),
        trace("2 + 3 = 5", answer="I do not know."),
        trace("2 + 3 = 5", problem=Problem.of("Sing.")),
    ])  # fmt: skip
    assert (sums.verdict, sums.is_opinion, sums.value) == (Verdict.UNKNOWN, True, 0.5)
    assert (wrong.verdict, wrong.value) == (Verdict.UNKNOWN, 0.0)
    assert (none.verdict, none.reason) == (Verdict.REJECT, "it gives no final answer")
    assert not other.is_opinion
    assert checker.quote([]) == Usage()
