"""Programs judged by the examples of their own problem, and repaired by what went wrong."""

from collections.abc import AsyncGenerator
from random import Random
from time import thread_time

import pytest
import pytest_asyncio

import mull
from mull.core.errors import VerifierError
from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Verifier
from mull.core.score import Verdict
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.policies.scripted import ScriptedPolicy, by_sample
from mull.tasks import generate, write_trace
from mull.verifiers import ConsensusVerifier, ExampleChecker
from mull.verifiers.code import CallCase, cases_in, check_answer
from mull.verifiers.consensus import tests_in as asserts_in
from mull.verifiers.examples import examples_in
from mull.verifiers.sandbox import Sandbox

TWICE = Problem.of(
    "Write `twice`.\n\n>>> twice(2)\n4\n    >>> twice('a')\n    'aa'\nassert twice(0) == 0\n"
    ">>> twice(object())\n<object>\nassert twice(1)\n",
    AnswerKind.CODE,
)
RIGHT = "```python\ndef twice(x):\n    return x + x\n```"
WRONG = "```python\ndef twice(x):\n    return x * 3\n```"
BROKEN = "```python\ndef twice(x):\n    return y\n```"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def checker() -> AsyncGenerator[ExampleChecker, None]:
    try:
        opened = await ExampleChecker().__aenter__()
    except VerifierError as error:
        pytest.skip(f"this machine contains no programs: {error}")
    yield opened
    await opened.__aexit__(None, None, None)


def program(text: str) -> Trajectory:
    return Trajectory(TWICE, (Step(text, kind=StepKind.ANSWER, is_final=True),))


async def test_the_examples_of_a_statement_are_its_calls_with_plain_values() -> None:
    assert examples_in(TWICE) == (
        CallCase("twice(2)", 4), CallCase("twice('a')", "aa"), CallCase("twice(0)", 0),
    )  # fmt: skip
    assert examples_in(Problem.of("Write something.", AnswerKind.CODE)) == ()


async def test_a_statement_of_any_length_is_read_in_bounded_time() -> None:
    def seconds(num_asserts: int) -> float:
        lines = "\n".join(f"assert f({number}) == x" for number in range(num_asserts))
        problem = Problem.of(f"Write f.\n{lines}", AnswerKind.CODE)
        answer = Step(f"```python\n{lines}\n```", kind=StepKind.ANSWER, is_final=True)
        started = thread_time()
        assert examples_in(problem) == ()
        asserts_in([Trajectory(problem, (answer,))])
        return thread_time() - started

    seconds(200)
    assert seconds(20_000) < 30 * seconds(200)


async def test_a_program_is_judged_by_them_and_the_reason_says_what_happened(
    checker: ExampleChecker,
) -> None:
    verifier: Verifier = checker
    right, wrong, broken = await verifier.score([program(RIGHT), program(WRONG), program(BROKEN)])
    assert [each.verdict for each in (right, wrong, broken)] == [
        Verdict.ACCEPT, Verdict.REJECT, Verdict.REJECT,
    ]  # fmt: skip
    assert "`twice(2)` has another value" in wrong.reason
    assert "NameError: name 'y' is not defined" in broken.reason
    assert right.reason.endswith(("[bubblewrap]", "[strict]"))
    assert {str(each.source) for each in (right, wrong, broken)} == {"code@1"}
    assert verifier.quote([]) == Usage()


async def test_a_solve_repairs_a_program_with_the_error_as_feedback(
    checker: ExampleChecker,
) -> None:
    policy = ScriptedPolicy(by_sample({TWICE.statement: (BROKEN, WRONG, RIGHT)}))
    solution = await mull.solve_async(TWICE, model=policy, strategy="revise", verifier="code", n=4)
    assert (solution.answer, solution.stop) == (RIGHT, mull.StopReason.ACCEPTED)
    feedback = [branch.expansion.feedback for branch in solution.tree.branches()]
    assert "NameError" in feedback[1]
    assert "has another value" in feedback[2]
    assert checker.source.verifier == "code"


async def test_programs_of_generated_problems_pass_their_examples_and_the_hidden_calls(
    checker: ExampleChecker,
) -> None:
    (example,) = generate("code", 3, 1, seed=2, split="test")
    answer = write_trace(example, "direct", Random(0))
    step = Step(answer, kind=StepKind.ANSWER, is_final=True)
    (score,) = await checker.score([Trajectory(example.problem, (step,))])
    assert score.verdict is Verdict.ACCEPT
    cases = cases_in(example.reference)
    async with await Sandbox.open(num_slots=1) as sandbox:
        assert (await check_answer(sandbox, answer, cases)).is_accepted
        cheat = "def solve(xs):\n    return 0\n"
        assert (await check_answer(sandbox, cheat, cases)).verdict is Verdict.REJECT


async def test_programs_and_tests_of_a_wave_vouch_for_each_other(checker: ExampleChecker) -> None:
    asks = Problem.of("Write `twice`.", AnswerKind.CODE)
    tests = "Tests:\nassert twice(1) == 2\nassert twice('b') == 'bb'\n"
    replies = (f"{tests}{WRONG}", f"assert twice(3) == 6\n{RIGHT}", RIGHT, "I give up")
    policy = ScriptedPolicy(by_sample({asks.statement: replies}))
    solution = await mull.solve_async(asks, model=policy, verifier="consensus", n=4)
    assert solution.answer is not None
    assert RIGHT in solution.answer
    scores = [solution.tree.score(each.id, "consensus") for each in solution.tree.finished()]
    assert [score and score.value for score in scores] == [0.0, 1.0, 1.0, 0.0]
    assert scores[1] is not None
    assert scores[1].reason == "passes 3 of 3 tests, with 1.00 of the best agreement"
    assert checker.source.verifier == "code"


async def test_without_a_test_there_is_no_consensus() -> None:
    verifier: Verifier = ConsensusVerifier()
    alone, begun = await verifier.score([program(RIGHT), Trajectory(TWICE)])
    assert alone.is_opinion  # the statement holds an assert
    assert begun.reason == "the answer holds no program"
    bare = Trajectory(Problem.of("Write it."), program(RIGHT).steps)
    (unknown,) = await verifier.score([bare])
    assert unknown.reason == "no completion holds a test"
    (empty,) = await verifier.score([Trajectory(TWICE)])
    assert empty.reason == "there is no program"
    assert verifier.quote([]) == Usage()
