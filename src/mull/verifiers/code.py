"""Judges programs by what they do in the sandbox. What is expected of them never enters it."""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mull.core.errors import BadInputError
from mull.core.problem import Problem
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.verifiers.finding import Finding
from mull.verifiers.sandbox import Ended, Evaluation, Limits, Run, Sandbox
from mull.verifiers.sandbox.inside.plain import same_value

VERSION: Final = "1"
MAX_PROGRAM_CHARS: Final = 100_000
_MAX_ASSERT_CHARS: Final = 10_000
_FENCE = re.compile(r"^[ \t]{0,3}```[ \t]{0,3}([A-Za-z0-9+]{0,20})[^\n`]{0,40}$", re.MULTILINE)
_DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class CallCase:
    """One expression about a program, such as a call of its function, and its value."""

    expression: str
    expected: object
    """Plain data: numbers, text, None, and lists, tuples, sets and mappings of them."""


@dataclass(frozen=True, slots=True)
class StdioCase:
    """What a program is given on standard input, and what it must print."""

    stdin: str
    expected: str
    """Compared line by line without trailing blanks, and without empty lines at the end."""


@dataclass(frozen=True, slots=True)
class UnitTest:
    """Test code about one function, as HumanEval's: it calls `candidate`, or defines `check`."""

    test: str
    entry: str
    """Name of the function under test."""
    preamble: str = ""
    """Code of the problem's author that the test relies on."""


CodeCases = Sequence[CallCase] | Sequence[StdioCase] | UnitTest


def program_in(completion: str) -> str | None:
    """The last fenced block of a completion, else the whole; None where it is too long or empty."""
    fences = list(_FENCE.finditer(completion[-MAX_PROGRAM_CHARS:]))
    text = completion
    if len(fences) >= 2:
        # An odd number: the last block was never closed, and the one before it is whole.
        opening, closing = fences[-2:] if len(fences) % 2 == 0 else fences[-3:-1]
        text = completion[-MAX_PROGRAM_CHARS:][opening.end() : closing.start()]
    return text if text.strip() and len(text) <= MAX_PROGRAM_CHARS else None


def case_in_assert(statement: str) -> CallCase | None:
    """The case that `assert expression == literal` states; None for any other statement.

    The literal is read here, by a parser that builds only plain data.
    """
    if len(statement) > _MAX_ASSERT_CHARS:
        return None
    try:
        (node,) = ast.parse(statement.strip()).body
        if not isinstance(node, ast.Assert):
            return None
        match node.test:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                return CallCase(ast.unparse(left), ast.literal_eval(right))
            case _:
                return None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def cases_in(tests: str) -> list[CallCase]:
    """The cases that lines of asserts state. BadInputError unless every line states one."""
    try:
        lines = [ast.unparse(each) for each in ast.parse(tests).body]
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise BadInputError(f"the tests are no Python: {error}") from error
    cases = [case_in_assert(line) for line in lines]
    known = [case for case in cases if case is not None]
    if not known or len(known) < len(cases):
        raise BadInputError(
            "the tests must be lines of the form `assert expression == literal`",
            hint="as in `assert double(2) == 4`",
        )
    return known


async def check_answer(
    sandbox: Sandbox, answer: str, cases: CodeCases, *, limits: Limits = _DEFAULT_LIMITS
) -> Finding:
    """Whether the program in an answer does what the cases say; see `check_program`."""
    program = program_in(answer)
    if program is None:
        return Finding.reject("it holds no program", "extraction")
    return await check_program(sandbox, program, cases, limits=limits)


async def check_program(
    sandbox: Sandbox,
    program: str,
    cases: CodeCases,
    *,
    limits: Limits = _DEFAULT_LIMITS,
    tolerance: float = 0.0,
) -> Finding:
    """Whether a program does what the cases say. Unknown where a limit or the sandbox ended it.

    `tolerance` applies to floats in call cases. The cases themselves stay in this process, but for
    the expressions, the input, and a unit test, which runs in a process of its own.
    """
    if len(program) > MAX_PROGRAM_CHARS:
        return Finding.unknown(f"the program has {len(program)} characters", "filter")
    if isinstance(cases, UnitTest):
        return await _check_unit_test(sandbox, program, cases, limits)
    calls = [case for case in cases if isinstance(case, CallCase)]
    if calls:
        return await _check_calls(sandbox, program, calls, limits, tolerance)
    for case in cases:
        if isinstance(case, StdioCase):
            finding = _judge_output(case, await sandbox.run(program, case.stdin, limits))
            if not finding.is_accepted:
                return finding
    return Finding.accept("every case holds", "sandbox") if cases else Finding.unknown("no cases")


async def _check_unit_test(
    sandbox: Sandbox, program: str, case: UnitTest, limits: Limits
) -> Finding:
    outcome = await sandbox.test(
        program, case.test, case.entry, preamble=case.preamble, limits=limits
    )
    if outcome.value is True:
        return Finding.accept("the test passes", "sandbox")
    if outcome.error is not None and outcome.error.startswith("the test did not end"):
        return Finding.unknown(outcome.error, "sandbox")
    return Finding.reject(outcome.error or "the test does not pass", "sandbox")


async def _check_calls(
    sandbox: Sandbox,
    program: str,
    cases: Sequence[CallCase],
    limits: Limits,
    tolerance: float,
) -> Finding:
    evaluation = await sandbox.evaluate(program, [case.expression for case in cases], limits)
    if evaluation.program.error is not None:
        return _stopped(evaluation.run) or _failed("the program", evaluation.program.error)
    for case, outcome in zip(cases, evaluation.values, strict=False):
        if outcome.error is not None:
            return _failed(f"`{case.expression[:200]}`", outcome.error)
        if not same_value(outcome.value, case.expected, tolerance=tolerance):
            return Finding.reject(f"`{case.expression[:200]}` has another value", "sandbox")
    if len(evaluation.values) == len(cases):
        return Finding.accept("every case holds", "sandbox")
    return _not_all_reached(evaluation)


def _failed(what: str, error: str) -> Finding:
    """Unknown where a limit of ours raised the error, or what looks like one."""
    reason = f"{what} raises {error}".rstrip(": ")
    if error.startswith(("TimeoutError: took longer", "MemoryError")):
        return Finding.unknown(reason, "sandbox")
    return Finding.reject(reason, "sandbox")


def _not_all_reached(evaluation: Evaluation) -> Finding:
    missing = "the program ended before every case was reached"
    return _stopped(evaluation.run) or Finding.reject(missing, "sandbox")


def _stopped(run: Run) -> Finding | None:
    """Unknown where a limit of ours ended the program, or the sandbox failed."""
    if run.ended is Ended.EXITED:
        return None
    return Finding.unknown(f"the program was stopped: {run.ended.value}", "sandbox")


def _judge_output(case: StdioCase, run: Run) -> Finding:
    stopped = _stopped(run)
    if stopped is not None:
        return stopped
    if run.exit_code != 0:
        last = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.exit_code}"]
        return Finding.reject(f"it fails: {last[0][:400]}", "sandbox")
    if _lines(run.stdout) != _lines(case.expected):
        return Finding.reject(f"another output for the input `{case.stdin[:100]}`", "sandbox")
    return Finding.accept("the output is right", "sandbox")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


@dataclass(frozen=True, slots=True)
class CodeChecker:
    """Judges the program in an answer by cases that the problem itself states.

    `cases_of` names them (public examples, never a hidden test); where it names none the score is
    unknown. A program stopped by a limit is unknown too. Generates no tokens.
    """

    sandbox: Sandbox
    cases_of: Callable[[Problem], CodeCases]
    limits: Limits = _DEFAULT_LIMITS

    @property
    def source(self) -> Source:
        """Its name and version, and the level at which programs ran."""
        return Source(f"code-checker/{self.sandbox.level.value}", VERSION)

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order."""
        return [await self._score(trajectory) for trajectory in trajectories]

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (the seam's)
        """Nothing: checking costs no tokens, calls or money."""
        return Usage()

    async def _score(self, trajectory: Trajectory) -> Score:
        cases = self.cases_of(trajectory.problem)
        if not trajectory.is_finished:
            return Score.unknown(self.source, "the answer is not finished")
        if not cases:
            return Score.unknown(self.source, "the problem states no cases")
        answer = trajectory.answer_text
        finding = await check_answer(self.sandbox, answer, cases, limits=self.limits)
        if finding.verdict is Verdict.UNKNOWN:
            return Score.unknown(self.source, finding.reason)
        value = float(finding.is_accepted)
        return Score(value, self.source, finding.verdict, reason=finding.reason)
