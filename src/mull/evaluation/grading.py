"""Whether an answer is right: by its task's grader, by its tests, or as the reference's equal."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from mull.build import answer_keys
from mull.core.errors import MullError
from mull.core.problem import AnswerKind
from mull.tasks import GRADERS, Example, grade
from mull.verifiers.code import cases_in, check_answer
from mull.verifiers.finding import Finding
from mull.verifiers.sandbox import Sandbox

_KEY: Final = answer_keys()


@dataclass(slots=True)
class Grading:
    """Holds answers against references, as `async with`. Belongs to one event loop.

    A program is right where every hidden case holds; it runs in the sandbox and nowhere else.
    """

    _sandbox: Sandbox | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __aenter__(self) -> Self:
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

    async def prepare(self, examples: Sequence[Example]) -> None:
        """Find out now, before anything is spent, whether answers to these can be graded at all.

        VerifierError where programs have to run and nothing here can contain them.
        """
        if any(each.problem.answer_kind is AnswerKind.CODE for each in examples):
            await self._opened()

    async def grade(self, example: Example, completion: str) -> Finding:
        """Whether the completion, or the answer alone, is right.

        Reject for unreadable text. Unknown for a program that a limit ended or that cannot be run
        here: that is neither right nor wrong.
        """
        if example.task in GRADERS:
            return _found(is_right=grade(example, completion))
        if example.problem.answer_kind is AnswerKind.CODE:
            return await self._run(example, completion)
        wanted = _KEY(example.problem, example.reference)
        is_equal = wanted is not None and _KEY(example.problem, completion) == wanted
        return _found(is_right=is_equal)

    async def _run(self, example: Example, completion: str) -> Finding:
        try:
            sandbox = await self._opened()
            return await check_answer(sandbox, completion, cases_in(example.reference))
        except MullError as error:
            return Finding.unknown(error.message, "sandbox")

    async def _opened(self) -> Sandbox:
        async with self._opening:
            if self._sandbox is None:
                self._sandbox = await Sandbox.open()
            return self._sandbox


def _found(*, is_right: bool) -> Finding:
    return Finding.accept("right") if is_right else Finding.reject("wrong")
