"""Decides whether two maths answers are the same: exactly where that is cheap, else by algebra."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from mull.core.problem import Problem
from mull.verifiers.finding import Finding
from mull.verifiers.maths.exact import Asked, answer_class, compare_exactly
from mull.verifiers.maths.extract import Extracted, Where, extract_answer
from mull.verifiers.maths.limits import MAX_ANSWER_CHARS, why_too_large
from mull.verifiers.maths.pool import AlgebraPool

_CACHE_SIZE: Final = 20_000
_UNREAD: Final = Asked()


@dataclass(slots=True)
class MathsEquality:
    """Compares maths answers. Belongs to one event loop; use it as `async with`, or `close` it.

    Hostile text is bounded before it is read, never evaluated in this process, and costs at most
    `pool.seconds`. Running out of time, memory or size is unknown, never a rejection.
    """

    pool: AlgebraPool = field(default_factory=AlgebraPool)
    _cache: OrderedDict[tuple[str, str, Asked], Finding] = field(
        default_factory=OrderedDict[tuple[str, str, Asked], Finding]
    )

    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the worker processes."""
        await self.pool.close()

    async def check(self, completion: str, reference: str, statement: str = "") -> Finding:
        """Whether the final answer of a completion is the reference.

        `statement`, where given, says which units and percentages are meant. A completion without
        a final answer is rejected. VerifierError where algebra is needed and not installed.
        """
        async with self._turn:
            await asyncio.sleep(0)  # one text a turn of the loop, however many callers wait
            found = extract_answer(completion)
        if found is None:
            return Finding.reject("it gives no final answer", "extraction")
        asked = Asked.of(statement) if statement else _UNREAD
        return await self._compare(found, _reference_of(reference), asked)

    async def same(self, first: str, second: str) -> Finding:
        """Whether two bare answers (not completions) are equal."""
        return await self._compare(_bare(first), _bare(second), _UNREAD)

    async def group(self, completions: Sequence[str]) -> list[int | None]:
        """The equality class of each completion's answer, numbered by first appearance.

        None where there is no answer. Answers that cannot be compared stay apart, so they never
        add up to a majority. An answer joins the first class whose first member it equals.
        """
        members: list[Extracted] = []
        by_key: dict[str, int] = {}
        classes: list[int | None] = []
        for completion in completions:
            async with self._turn:
                found = extract_answer(completion)
                key = None if found is None else answer_class(found.text)
            if found is None or key is None:
                classes.append(None)
                continue
            if key not in by_key:
                by_key[key] = await self._class_of(found, members)
            classes.append(by_key[key])
            await asyncio.sleep(0)
        return classes

    async def _class_of(self, found: Extracted, members: list[Extracted]) -> int:
        for index, member in enumerate(members):
            if (await self._compare(found, member, _UNREAD)).is_accepted:
                return index
        members.append(found)
        return len(members) - 1

    async def _compare(self, given: Extracted, gold: Extracted, asked: Asked) -> Finding:
        key = (given.text, gold.text, asked)
        # One caller at a time: a thousand waiting ones must not become one long turn of the loop.
        async with self._turn:
            finding = self._remembered(key) or _compare_cheaply(given.text, gold.text, asked)
        if finding is None:
            finding = await self.pool.compare(_as_input(gold), _as_input(given))
        self._remember(key, finding)
        return finding

    def _remembered(self, key: tuple[str, str, Asked]) -> Finding | None:
        if key not in self._cache:
            return None
        self._cache.move_to_end(key)
        return self._cache[key]

    def _remember(self, key: tuple[str, str, Asked], finding: Finding) -> None:
        self._cache[key] = finding
        if len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)


def _compare_cheaply(given: str, gold: str, asked: Asked) -> Finding | None:
    if given == gold and len(gold) <= MAX_ANSWER_CHARS:
        return Finding.accept("the same text", "exact")
    too_large = why_too_large(given) or why_too_large(gold)
    return (
        Finding.unknown(too_large, "filter") if too_large else compare_exactly(given, gold, asked)
    )


def maths_key(problem: Problem, text: str) -> str | None:  # noqa: ARG001  (the seam's signature)
    """The `AnswerKey` of maths answers: equal numbers share it however written, and equal texts do.

    Runs no algebra, so it is safe to call anywhere; `MathsEquality.group` also joins what only
    algebra can.
    """
    found = extract_answer(text)
    return None if found is None else answer_class(found.text)


def _bare(text: str) -> Extracted:
    return Extracted(text.strip(), Where.BOXED)


def _reference_of(reference: str) -> Extracted:
    """A reference is an answer, or a whole solution that ends in one."""
    stripped = reference.strip()
    if stripped.startswith("$") and stripped.endswith("$") and stripped.count("$") == 2:
        inner = stripped[1:-1].strip()
        if "\\boxed" not in inner:
            return Extracted(inner, Where.LAST)
    if "\\boxed" in stripped or "####" in stripped or "$" in stripped or len(stripped) > 200:
        return extract_answer(stripped) or _bare(stripped)
    return _bare(stripped)


def _as_input(answer: Extracted) -> str:
    """The answer as math-verify expects to find it: marked as maths, once."""
    text = answer.text.replace("$", "")
    return f"$\\boxed{{{text}}}$" if answer.where is Where.BOXED else f"${text}$"
