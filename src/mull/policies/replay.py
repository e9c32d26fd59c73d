"""Recorded samples as a policy: sample k of a problem is its record k, at the recorded cost."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from mull.core.clock import Clock
from mull.core.errors import BadInputError
from mull.core.expansion import (
    Call,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    NodeId,
    Outcome,
)
from mull.core.protocols import Capabilities
from mull.core.recording import Record, Recording
from mull.core.steps import Step
from mull.core.usage import Usage


@dataclass(frozen=True, slots=True)
class ReplayPolicy:
    """Gives every record once and none twice: beyond the last one a branch fails.

    A branch that may not take as many tokens as its record took fails as well: what the model would
    have said under another limit is not known. A budget that falls short cuts the sample, and a
    larger one gives the rest. Where the tokens lie in the text is not recorded: they are taken to
    be spread evenly over its characters, after the hidden ones.
    """

    recording: Recording
    clock: Clock | None = None
    """Every sample comes after its recorded seconds of this clock; None: at once."""

    @property
    def capabilities(self) -> Capabilities:
        """Whole answers, of one model and one recording."""
        return Capabilities(
            f"replay:{self.recording.model}@{self.recording.version}",
            frozenset({ExpansionKind.FINISH}),
        )

    def quote(self, call: Call) -> Usage:
        """Every token the call may draw, and the price of the dearest record of its problem."""
        records = self.recording.samples.get(call.bases[0].problem.messages, ())
        dearest = max((each.money_usd for each in records), default=0.0)
        return Usage(visible_tokens=call.max_tokens, money_usd=dearest)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Give each call's record; see `Policy.expand`.

        Raises `BadInputError` for a problem of which nothing is recorded.
        """
        timetable = sorted(
            ((self._record(call), call) for call in calls),
            key=lambda each: each[0].seconds if each[0] else 0.0,  # stable: else as they were asked
        )
        start = self.clock.now() if self.clock else 0.0
        for record, call in timetable:
            if self.clock and record:
                await self.clock.sleep(max(0.0, start + record.seconds - self.clock.now()))
            for outcome in self._outcomes(call, record):
                yield outcome
            await asyncio.sleep(0)  # many solves share the loop, and nothing else here waits

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """There is nothing to free."""

    def _record(self, call: Call) -> Record | None:
        problem = call.bases[0].problem
        records = self.recording.samples.get(problem.messages)
        if records is None:
            raise BadInputError(
                f"`{self.recording.name}` has no sample of the problem `{problem.statement[:80]}`",
                hint="problems are found by their exact words",
            )
        return records[call.branch.sample] if call.branch.sample < len(records) else None

    def _outcomes(self, call: Call, record: Record | None) -> Iterator[Outcome]:
        branch, name = call.branch, f"`{self.recording.name}`"
        if branch.expansion.kind is not ExpansionKind.FINISH or call.bases[0].steps:
            yield Failed(branch.id, f"{name} holds whole samples; it cannot grow from within one")
        elif record is None:
            num = len(self.recording.samples[call.bases[0].problem.messages])
            asked = f"number {branch.sample + 1} was asked for"
            yield Failed(branch.id, f"{name} has {num} samples of this problem; {asked}")
        elif record.error:
            yield Failed(branch.id, record.error, _lost(record, call))
        elif record.tokens + record.hidden_tokens > branch.expansion.limits.max_tokens:
            took = f"this sample took {record.tokens + record.hidden_tokens} tokens"
            limit = f"its limit of {branch.expansion.limits.max_tokens} (`max_tokens`)"
            yield Failed(branch.id, f"{name}: {took}, more than {limit}")
        else:
            yield from _steps(call, record)


def _lost(record: Record, call: Call) -> Usage:
    spent = min(record.tokens + record.hidden_tokens, call.max_tokens)
    return replace(record.usage, visible_tokens=0, hidden_tokens=0, discarded_tokens=spent)


def _steps(call: Call, record: Record) -> Iterator[Grown]:
    """The steps the call adds to its branch, and why the last of them is the last."""
    begun = Usage() if call.drawn else replace(record.usage, visible_tokens=0, hidden_tokens=0)
    parts = list(_parts(call, record))
    for number, (step, spent) in enumerate(parts):
        usage = spent if number else spent + begun
        end = Finish.STOP if step.is_final else Finish.LENGTH
        finish = end if number == len(parts) - 1 else None
        yield Grown(call.branch.id, len(call.grown) + number, step, usage, finish)


def _parts(call: Call, record: Record) -> Iterator[tuple[Step, Usage]]:
    """Each next step as far as the call's tokens reach, with what it takes of them."""
    said = sum(len(step.text) for step in call.grown)
    place, limit = call.drawn, call.drawn + call.max_tokens
    for step, end in _places(record):
        text = step.text[said:]
        is_said = not (text or step.is_final)
        said = max(0, said - len(step.text))
        if is_said:
            continue
        if place == limit < end:
            return
        stop = max(place, min(end, limit))
        first_visible = max(place, record.hidden_tokens)
        if end > limit:
            num_chars = len(text) * max(0, limit - first_visible) // max(1, end - first_visible)
            yield replace(step, text=text[:num_chars], is_final=False), _usage(record, place, stop)
        else:
            yield replace(step, text=text), _usage(record, place, stop)
        place = stop


def _places(record: Record) -> Iterator[tuple[Step, int]]:
    """Each step, and how many tokens of the sample are drawn when it ends."""
    steps = record.steps
    num_chars, said = sum(len(step.text) for step in steps), 0
    for step in steps:
        said += len(step.text)
        share = record.tokens if step.is_final else record.tokens * said // num_chars
        yield step, record.hidden_tokens + share


def _usage(record: Record, begin: int, end: int) -> Usage:
    """What the tokens from `begin` to `end` are."""
    hidden = min(end, record.hidden_tokens) - min(begin, record.hidden_tokens)
    return Usage(visible_tokens=end - begin - hidden, hidden_tokens=hidden)
