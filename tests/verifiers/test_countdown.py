"""The countdown checker as a verifier: accept, reject with a reason, or unknown."""

import pytest

from mull.core.errors import UnknownNameError
from mull.core.problem import Problem
from mull.core.protocols import Verifier
from mull.core.score import Verdict
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.puzzles import Countdown, Multiply, to_problem
from mull.verifiers import VERIFIERS, CountdownChecker, verifier_named

GAME = to_problem(Countdown((4, 9, 10, 13), 24))
LINES = (" 13 - 9 = 4 left 4 4 10\n", " 10 - 4 = 6 left 4 6\n", " 6 * 4 = 24")

checker: Verifier = CountdownChecker()


def derivation(*lines: str, finished: bool = True, problem: Problem = GAME) -> Trajectory:
    steps = [
        Step(line, kind=StepKind.ANSWER, is_final=finished and index == len(lines) - 1)
        for index, line in enumerate(lines)
    ]
    return Trajectory(problem, tuple(steps))


async def verdict_of(trajectory: Trajectory) -> tuple[Verdict, str]:
    (score,) = await checker.score([trajectory])
    return score.verdict, score.reason


async def test_a_right_derivation_is_accepted_with_certainty() -> None:
    (score,) = await checker.score([derivation(*LINES)])
    assert (score.verdict, score.value, score.uncertainty) == (Verdict.ACCEPT, 1.0, 0.0)
    assert score.reason == "(10 - 4) * (13 - 9) = 24"
    assert str(score.source) == "countdown-checker@1"
    assert score.usage == Usage()


async def test_a_wrong_answer_is_rejected_with_the_reason() -> None:
    (score,) = await checker.score([derivation(*LINES[:2], " 6 + 4 = 10")])
    assert (score.verdict, score.value) == (Verdict.REJECT, 0.0)
    assert "is 10, not 24" in score.reason
    assert await verdict_of(derivation(*LINES[:2], " 6 * 4 = 25")) == (
        Verdict.REJECT,
        "`6 * 4 = 25` is false arithmetic",
    )


async def test_an_expression_after_thoughts_is_judged_by_itself() -> None:
    thought = Step("Let me see: 1 + 1 = 3\n")
    answer = Step(" ( 13 - 9 ) * ( 10 - 4 )", kind=StepKind.ANSWER, is_final=True)
    assert (await verdict_of(Trajectory(GAME, (thought, answer))))[0] is Verdict.ACCEPT


async def test_an_answer_that_was_only_thought_is_no_answer() -> None:
    thoughts = tuple(Step(line, is_final=index == 2) for index, line in enumerate(LINES))
    assert (await verdict_of(Trajectory(GAME, thoughts)))[0] is Verdict.REJECT


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ((), Verdict.UNKNOWN),
        (LINES[:1], Verdict.UNKNOWN),
        (LINES[:2], Verdict.UNKNOWN),
        ((LINES[0], " 10 - 4 = "), Verdict.UNKNOWN),
        ((" 13 * 10 = 130 left 4 9 130\n",), Verdict.UNKNOWN),
        ((" 13 - 9 = 5 left 4 5 10\n",), Verdict.REJECT),
        ((LINES[0], " 10 - 5 = 5\n", " 1"), Verdict.REJECT),
    ],
    ids=str,
)
async def test_an_unfinished_derivation_is_rejected_only_for_an_illegal_line(
    lines: tuple[str, ...], verdict: Verdict
) -> None:
    assert (await verdict_of(derivation(*lines, finished=False)))[0] is verdict


@pytest.mark.parametrize(
    "problem",
    [to_problem(Multiply(847, 293)), Problem.of("Who are you?"), Problem.of("make 24 from 1 2")],
    ids=lambda problem: problem.statement[:12],
)
async def test_what_is_no_countdown_is_unknown(problem: Problem) -> None:
    (score,) = await checker.score([derivation(*LINES, problem=problem)])
    assert score.verdict is Verdict.UNKNOWN
    assert score.reason == "the problem is no countdown"


async def test_scores_come_in_the_order_of_the_trajectories_and_cost_nothing() -> None:
    trajectories = [derivation(*LINES), derivation("24"), derivation(*LINES)]
    verdicts = [score.verdict for score in await checker.score(trajectories)]
    assert verdicts == [Verdict.ACCEPT, Verdict.REJECT, Verdict.ACCEPT]
    assert checker.quote(trajectories) == Usage()
    assert await checker.score([]) == []


def test_verifiers_are_known_by_name() -> None:
    assert verifier_named("countdown")().source == checker.source
    assert sorted(VERIFIERS) == ["assertions", "code", "consensus", "countdown", "maths", "puzzle"]
    with pytest.raises(UnknownNameError, match="no verifier `prm`"):
        verifier_named("prm")
