import pytest

from mull.cli.exits import ExitCode, exit_code_for, exit_code_of
from mull.core.errors import (
    CheckpointError,
    EngineError,
    JournalCorruptError,
    MullError,
    PolicyError,
    StoreFullError,
    UnknownNameError,
    VerifierError,
)
from mull.core.events import StopReason
from mull.core.problem import Problem
from mull.core.solution import Solution
from mull.core.tree import SearchTree
from mull.core.usage import Usage


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownNameError("model", "x", ()), ExitCode.BAD_INPUT),
        (CheckpointError("truncated"), ExitCode.BAD_INPUT),
        (JournalCorruptError("torn"), ExitCode.BAD_INPUT),
        (StoreFullError("full"), ExitCode.BAD_INPUT),
        (PolicyError("away", retryable=True), ExitCode.FAILURE),
        (EngineError("dead"), ExitCode.FAILURE),
        (VerifierError("confused"), ExitCode.FAILURE),
    ],
)
def test_what_a_person_can_put_right_is_2_and_what_failed_is_3(
    error: MullError, code: ExitCode
) -> None:
    assert exit_code_of(error) is code


@pytest.mark.parametrize(
    ("stop", "answer", "code"),
    [
        (StopReason.ACCEPTED, "42", ExitCode.OK),
        (StopReason.BUDGET_TOKENS, "42", ExitCode.OK),
        (StopReason.COMPLETED, None, ExitCode.NO_ANSWER),
        (StopReason.FAILED, None, ExitCode.FAILURE),
    ],
)
def test_a_solve_ends_with_the_code_of_its_outcome(
    stop: StopReason, answer: str | None, code: ExitCode
) -> None:
    tree = SearchTree(Problem.of("?"), "m", 0)
    solution = Solution("id", answer, None, stop, None, Usage(), tree)
    assert exit_code_for(solution) is code
