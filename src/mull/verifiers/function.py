"""A plain function as a verifier."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from mull.core.problem import Problem
from mull.core.score import Score, Source, Verdict
from mull.core.steps import Trajectory
from mull.core.usage import Usage

Judgement = bool | float | None
"""Right or wrong; how likely right, from 0 to 1; or no opinion."""
Check = Callable[[Problem, str], Judgement | Awaitable[Judgement]]
"""Given the problem and the answer as the model wrote it; may be a coroutine function."""


@dataclass(frozen=True, slots=True)
class FunctionVerifier:
    """Asks `check(problem, answer)` about every answer. An error in it is no opinion of that one.

    A plain function runs in a thread, so that it may take its time; nothing ends it, though.
    """

    check: Check
    name: str
    version: str = "1"
    """Changes with what the function does."""

    @property
    def source(self) -> Source:
        """The function's name and version."""
        return Source(self.name, self.version)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:  # noqa: ARG002  (the seam's signature)
        """Nothing: whatever the function spends is its own."""
        return Usage()

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """See `Verifier`."""
        return list(await asyncio.gather(*(self._score(each) for each in trajectories)))

    async def _score(self, trajectory: Trajectory) -> Score:
        answer = trajectory.answer_text
        if not answer:
            return Score.unknown(self.source, "there is no answer yet")
        try:
            judgement = await self._ask(trajectory.problem, answer)
        except Exception as error:  # noqa: BLE001  (whatever the author's code does)
            return Score.unknown(
                self.source, f"`{self.name}` failed: {type(error).__name__}: {error}"
            )
        return self._read(judgement)

    async def _ask(self, problem: Problem, answer: str) -> object:
        if inspect.iscoroutinefunction(self.check):
            return await self.check(problem, answer)
        judgement = await asyncio.to_thread(self.check, problem, answer)
        return await judgement if inspect.isawaitable(judgement) else judgement

    def _read(self, judgement: object) -> Score:
        if isinstance(judgement, bool):
            verdict = Verdict.ACCEPT if judgement else Verdict.REJECT
            return Score(float(judgement), self.source, verdict)
        if isinstance(judgement, int | float) and 0 <= judgement <= 1:
            return Score(float(judgement), self.source)
        if judgement is None:
            return Score.unknown(self.source, f"`{self.name}` has no opinion")
        return Score.unknown(
            self.source,
            f"`{self.name}` gave {judgement!r}, which is no bool nor a number in [0, 1]",
        )
