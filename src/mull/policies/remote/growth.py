"""Growing samples: requests, what counts as their failure, and when to try again."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from logging import getLogger
from typing import Final

from mull.core.clock import Clock, SystemClock
from mull.core.expansion import Call, NodeId, Outcome
from mull.core.ledger import Bound
from mull.core.seeds import derive_seed
from mull.policies.remote.client import CallError, Client
from mull.policies.remote.pieces import Broken, Ended, Ending, Item, Kept, Piece, Reported
from mull.policies.remote.reader import LINE_END, StepReader
from mull.policies.remote.sample import Sample
from mull.policies.remote.wires import Prompt, Renderer, Request, Wire, guessed_tokens

_LOG: Final = getLogger(__name__)

Emit = Callable[[Outcome], None]
Blocks = tuple[Mapping[str, str], ...]
"""Signed thoughts and the like, as the server spells them."""

_Event = Outcome | asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently a failed request is made again."""

    attempts: int = 5
    """Requests in all for one sample."""
    first_delay: float = 0.25
    """Seconds; doubles with every further attempt, and is drawn between half and all of it."""
    longest_delay: float = 20.0
    longest_retry_after: float = 60.0
    """A server that asks for more than this has failed for now."""

    def delay(self, attempt: int, error: CallError, seed: int) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 0); None: give up."""
        if not error.retryable or attempt + 1 >= self.attempts:
            return None
        if error.retry_after is not None and error.retry_after > self.longest_retry_after:
            return None
        most = min(self.longest_delay, self.first_delay * 2**attempt)
        luck = derive_seed(seed, "retry", attempt) / 2**63
        return max(error.retry_after or 0.0, most * (1 + luck) / 2)


@dataclass(slots=True)
class Notices:
    """What a server does otherwise than it claims. One policy owns it; each is logged once."""

    texts: dict[str, None] = field(default_factory=dict[str, None])

    def add(self, text: str) -> None:
        """Remember and log it, unless it is known."""
        if text not in self.texts:
            self.texts[text] = None
            _LOG.warning("%s", text)


async def streamed(
    growing: Iterable[Callable[[Emit], Coroutine[None, None, None]]],
) -> AsyncGenerator[Outcome, None]:
    """Grow everything at once and pass on what it emits; closing it cancels what still grows."""
    events, arrived = deque[_Event](), asyncio.Event()

    def put(event: _Event) -> None:
        events.append(event)
        arrived.set()

    tasks = [asyncio.create_task(grow(put)) for grow in growing]
    for task in tasks:
        task.add_done_callback(put)
    try:
        running = len(tasks)
        while running:
            await arrived.wait()
            arrived.clear()
            while events:
                event = events.popleft()
                if isinstance(event, asyncio.Task):
                    running -= 1
                    event.result()
                else:
                    yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Grower:
    """Grows samples over one server."""

    client: Client
    bound: Bound
    """Whether a request's limit bounds everything that is billed."""
    wire: Wire
    renderer: Renderer | None = None
    """For wires that want a prompt."""
    retries: Retries = Retries()
    clock: Clock = SystemClock()
    notices: Notices = field(default_factory=Notices)
    memory: dict[NodeId, Blocks] = field(default_factory=dict[NodeId, Blocks])
    """What the server wants to be shown again, by the node that ends its turn."""
    window: int = 0
    """Tokens of prompt and answer together; 0 where nobody knows."""

    async def grow(self, calls: Sequence[Call], emit: Emit, *, keeps_steps: bool) -> None:
        """Grow equal calls in one request, and what that leaves open one by one."""
        samples = [Sample(call, keeps_steps) for call in calls]
        if len(samples) == 1:
            await self._grow_alone(samples[0], emit)
            return
        try:
            await self._request(samples, emit)
        except CallError as error:
            delay = self.retries.delay(0, error, calls[0].branch.seed)
            open_samples = [each for each in samples if self._restarted(each, emit)]
            if delay is None:
                for each in open_samples:
                    emit(each.fail(error.message, retryable=error.retryable))
                return
            await self.clock.sleep(delay)
            async with asyncio.TaskGroup() as group:
                for each in open_samples:
                    group.create_task(self._grow_alone(each, emit, first=1))

    def _restarted(self, sample: Sample, emit: Emit) -> bool:
        """Whether the sample is still open; if so it is ready for another request."""
        if sample.is_settled:
            return False
        for outcome in sample.restart():
            emit(outcome)
        return True

    async def _grow_alone(self, sample: Sample, emit: Emit, *, first: int = 0) -> None:
        attempt = first
        while True:
            try:
                await self._request([sample], emit)
            except CallError as error:
                for outcome in sample.restart():
                    emit(outcome)
                delay = self.retries.delay(attempt, error, sample.call.branch.seed)
                if delay is None or sample.call.max_tokens < 1:
                    emit(sample.fail(error.message, retryable=error.retryable))
                    return
                await self.clock.sleep(delay)
                attempt += 1
            else:
                return

    async def _request(self, samples: Sequence[Sample], emit: Emit) -> None:
        """One request. Settles the samples it ends; `CallError` if it leaves any open."""
        first = samples[0]
        prompt = Prompt()
        if self.renderer is not None:
            thinking = first.call.branch.expansion.thinking
            prompt = await self.renderer.prompt(first.call.trajectory, thinking)
        for sample in samples:
            sample.reader = StepReader(prompt.thinks)
        first.prompt_tokens = len(prompt.token_ids)
        call = self._within(first.call, len(prompt.token_ids))
        request = Request(call, prompt, len(samples), LINE_END if first.ends_with_line else "")
        reports = list[Reported]()
        failure: CallError | None = None
        try:
            told = self.client.events(self.wire.path, self.wire.body(request))
            async with aclosing(told) as events:
                async for event in events:
                    for item in self.wire.read(event):
                        self._take(item, samples, reports, emit)
                    if all(each.has_outrun for each in samples):
                        break
        except CallError as error:
            failure = error  # what ended before it is still an answer
        self._settle(samples, reports, emit)
        if not all(each.is_settled for each in samples):
            raise failure or self._incomplete(samples)

    def _within(self, call: Call, num_prompt: int) -> Call:
        """The call with no more tokens than its prompt leaves of the window.

        Where the prompt's tokens are not known they are guessed, and a guess refuses nothing.
        """
        if not self.window:
            return call
        left = self.window - (num_prompt or guessed_tokens(call.trajectory))
        if left < 1 and num_prompt:
            taken = f"{num_prompt} tokens leave no room in the window of {self.window}"
            raise CallError(f"{taken} of {self._what}", retryable=False)
        return call.cut_to(left) if left > 0 else call

    def _take(
        self, item: Item, samples: Sequence[Sample], reports: list[Reported], emit: Emit
    ) -> None:
        if isinstance(item, Reported):
            reports.append(item)
            return
        if item.choice >= len(samples):
            return  # more than was asked for
        sample = samples[item.choice]
        match item:
            case Piece():
                for outcome in sample.feed(item):
                    emit(outcome)
            case Ended():
                if item.ending is Ending.TURN and not sample.has_content:
                    sample.is_empty = True
                else:
                    sample.end(item.ending)
            case Kept():
                sample.keep(item)
            case Broken():
                sample.broken = f"{self._what} gave no answer: {item.reason}"

    def _settle(self, samples: Sequence[Sample], reports: Sequence[Reported], emit: Emit) -> None:
        shares = _shares(samples, reports)
        for number, sample in enumerate(samples):
            reported = shares[number]
            if sample.broken:
                total = self._total(sample, reported)
                for outcome in sample.give_up(total, reported, message=sample.broken):
                    emit(outcome)
            elif sample.ending is not None:
                if sample.has_outrun:
                    self.notices.add(f"{self._what} went on beyond a limit or stop it was given")
                for outcome in sample.settle(self._total(sample, reported), reported):
                    emit(outcome)
                if sample.kept:
                    last = sample.call.branch.node_id(len(sample.call.grown))
                    self.memory[last] = tuple(sample.kept.values())

    def _total(self, sample: Sample, reported: Reported | None) -> int:
        """Tokens a sample took: counted by ids, else as reported where that can be true."""
        counted = sample.reader.num_tokens
        if sample.reader.is_counted or reported is None:
            return counted
        told = reported.completion_tokens
        too_many = self.bound is Bound.HARD and told > sample.call.max_tokens
        if told < counted or too_many:
            self.notices.add(
                f"{self._what} reports token counts that cannot be true; pieces are counted instead"
            )
            return counted
        return told

    def _incomplete(self, samples: Sequence[Sample]) -> CallError:
        if any(each.is_empty for each in samples):
            return CallError(f"{self._what} ended a turn without any content")
        num_silent = sum(each.ending is None and not each.has_content for each in samples)
        if num_silent == len(samples):
            return CallError(f"{self._what} answered without a choice")
        if num_silent:
            self.notices.add(f"{self._what} gives fewer samples than `n` asks for")
        return CallError(f"{self._what} broke its answer off in the middle")

    @property
    def _what(self) -> str:
        return f"`{self.client.address.url}`"


def _shares(samples: Sequence[Sample], reports: Sequence[Reported]) -> list[Reported | None]:
    """The report of each sample; one for all is parted: the prompt is the first sample's."""
    if len(samples) == len(reports) == 1:
        return [None if reports[0].choice else reports[0]]
    own = {
        each.choice: _without_prompt(each) if each.choice else each
        for each in reports
        if each.choice is not None
    }
    if own or not reports:
        return [own.get(number) for number in range(len(samples))]
    whole, count = _latest(reports), len(samples)
    counted = [each.reader.num_tokens for each in samples]
    extra = max(0, whole.completion_tokens - sum(counted))
    return [
        Reported(
            0 if number else whole.prompt_tokens,
            0 if number else whole.cached_tokens,
            # A whole below what was counted stays below, to be found out.
            min(counted[number], whole.completion_tokens) + _part(extra, number, count),
            _part(whole.reasoning_tokens, number, count),
            written_tokens=0 if number else whole.written_tokens,
        )
        for number in range(count)
    ]


def _without_prompt(reported: Reported) -> Reported:
    return replace(reported, prompt_tokens=0, cached_tokens=0, written_tokens=0)


def _latest(reports: Sequence[Reported]) -> Reported:
    """Counts only grow; some servers say of the prompt first and of the rest at the end."""
    return Reported(
        max(each.prompt_tokens for each in reports),
        max(each.cached_tokens for each in reports),
        max(each.completion_tokens for each in reports),
        max(each.reasoning_tokens for each in reports),
        written_tokens=max(each.written_tokens for each in reports),
    )


def _part(amount: int, number: int, count: int) -> int:
    """Part `number` of an amount in `count` parts that differ by one at most."""
    return amount * (number + 1) // count - amount * number // count
