"""The cases that a programming problem states itself, and the checker that runs them."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from types import TracebackType
from typing import Final, Self

from mull.core.problem import Problem
from mull.core.score import Score, Source
from mull.core.steps import Trajectory
from mull.core.usage import Usage
from mull.verifiers.code import CallCase, CodeChecker, case_in_assert
from mull.verifiers.sandbox import Limits, Sandbox

VERSION: Final = "1"
MAX_CASES: Final = 50
_MAX_READ: Final = 200
"""Of each kind: a statement may come from anybody, and parsing one takes a while."""
_PROMPT = re.compile(r"^[ \t]{0,12}>>> (.{1,2000})\n[ \t]{0,12}(\S.{0,4000})$", re.MULTILINE)
_ASSERT = re.compile(r"^[ \t]{0,12}(assert .{1,4000})$", re.MULTILINE)


def examples_in(problem: Problem) -> tuple[CallCase, ...]:
    """What a statement shows as `>>> call` with its value below, or as `assert call == value`.

    Public examples only: a problem carries no hidden test. Values that are no literals are skipped.
    """
    text = problem.statement
    cases = [_case(each[1], each[2]) for each in islice(_PROMPT.finditer(text), _MAX_READ)]
    cases += [case_in_assert(each[1]) for each in islice(_ASSERT.finditer(text), _MAX_READ)]
    return tuple(case for case in cases if case is not None)[:MAX_CASES]


def _case(call: str, value: str) -> CallCase | None:
    try:
        return CallCase(call.strip(), ast.literal_eval(value.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


@dataclass(slots=True)
class ExampleChecker:
    """Runs the program in an answer on its problem's examples, in a sandbox.

    Opens one for each call of `score`; as `async with` it keeps one open, and belongs to one event
    loop. Passing the examples is not being right: hidden tests may say otherwise. The reason of a
    rejection holds the call and the error, which is what a repair needs.
    """

    limits: Limits = field(default_factory=Limits)
    _sandbox: Sandbox | None = None

    @property
    def source(self) -> Source:
        """Its name and version. The level at which programs ran stands in every reason."""
        return Source("code", VERSION)

    async def __aenter__(self) -> Self:
        self._sandbox = await Sandbox.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await sandbox.close()

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (the seam's)
        """Nothing: running programs costs no tokens, calls or money."""
        return Usage()

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order. VerifierError where nothing here contains programs."""
        if self._sandbox is not None:
            return await self._scored(self._sandbox, trajectories)
        async with await Sandbox.open() as sandbox:
            return await self._scored(sandbox, trajectories)

    async def _scored(self, sandbox: Sandbox, trajectories: Sequence[Trajectory]) -> list[Score]:
        scores = await CodeChecker(sandbox, examples_in, self.limits).score(trajectories)
        return [
            replace(score, source=self.source, reason=f"{score.reason} [{sandbox.level.value}]")
            for score in scores
        ]
