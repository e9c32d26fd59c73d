"""A policy around a policy: calls wait for their turn among those of all other solves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from mull.core.clock import Clock, SystemClock
from mull.core.errors import BadInputError, LedgerError, MullError, PolicyError
from mull.core.expansion import BranchId, Call, Delta, Failed, Grown, NodeId, Outcome
from mull.core.protocols import Capabilities, Policy
from mull.core.usage import Usage
from mull.policies.scheduling.queue import CallQueue, Program, Ticket, Tier

_RATE_SECONDS = 30.0
"""How far back the measured rate looks, roughly."""


@dataclass(slots=True)
class Scheduler:
    """The queue in front of one model, and who waits in it. Shared by all its solves."""

    queue: CallQueue
    clock: Clock = SystemClock()
    tokens_per_second: float | None = None
    """What the model has delivered lately while it was busy; None before it was."""
    on_end: "Callable[[Ticket, float, float], None] | None" = None
    """Told of a call that has ended, with the seconds it waited and ran."""
    _marks: dict[Ticket, float] = field(default_factory=dict[Ticket, float])
    """When a waiting call came, and when a running one started."""
    _waits: dict[Ticket, float] = field(default_factory=dict[Ticket, float])
    """Seconds that a running call has waited."""
    _starts: dict[Ticket, Callable[[Ticket], None]] = field(
        default_factory=dict[Ticket, Callable[[Ticket], None]]
    )
    _mark: float = 0.0
    _since_mark: float = 0.0

    def policy_for(self, policy: Policy, *, tenant: str, tier: Tier) -> "Scheduled":
        """The policy as one solve is to use it."""
        return Scheduled(policy, self, self.queue.program(tenant, tier))

    def submit(self, program: Program, max_tokens: int, start: Callable[[Ticket], None]) -> Ticket:
        """Queue a call; `start` is called once it may run (after `pump`)."""
        ticket = self.queue.submit(program, max_tokens)
        self._starts[ticket], self._marks[ticket] = start, self.clock.now()
        return ticket

    def pump(self) -> None:
        """Start what may start now."""
        if not self.queue.num_running:
            self._mark, self._since_mark = self.clock.now(), 0.0
        for ticket in self.queue.dispatch():
            now = self.clock.now()
            self._waits[ticket], self._marks[ticket] = now - self._marks[ticket], now
            self._starts.pop(ticket)(ticket)

    def deliver(self, ticket: Ticket, tokens: int) -> None:
        """A call has generated tokens."""
        self.queue.deliver(ticket, tokens)
        self._since_mark += tokens
        elapsed = self.clock.now() - self._mark
        if elapsed >= 1.0:
            rate, before = self._since_mark / elapsed, self.tokens_per_second
            share = min(1.0, elapsed / _RATE_SECONDS)
            self.tokens_per_second = rate if before is None else before + share * (rate - before)
            self._mark, self._since_mark = self.clock.now(), 0.0

    def leave(self, ticket: Ticket) -> None:
        """A call has ended, or is not wanted any more."""
        mark = self._marks.pop(ticket)
        if ticket.is_running:
            waited, ran = self._waits.pop(ticket), self.clock.now() - mark
            self.queue.finish(ticket)
            if self.on_end is not None:
                self.on_end(ticket, waited, ran)
        else:
            del self._starts[ticket]
            self.queue.withdraw(ticket)
        self.pump()

    @asynccontextmanager
    async def turn(self, program: Program, max_tokens: int) -> AsyncGenerator[Ticket, None]:
        """Wait until it is a call's turn, and hold its place for as long as the block lasts."""
        begun = asyncio.Event()
        ticket = self.submit(program, max_tokens, lambda _: begun.set())
        self.pump()
        try:
            await begun.wait()
            yield ticket
        finally:
            self.leave(ticket)

    def wait_seconds(self, tier: Tier) -> float:
        """How long the first call of a new solve would wait; 0 while nothing is known."""
        return self._seconds(self.queue.ahead_of(tier))

    @property
    def backlog_seconds(self) -> float:
        """How long all calls that wait now will take; 0 while nothing is known."""
        return self._seconds(self.queue.backlog)

    def _seconds(self, tokens: float) -> float:
        return tokens / self.tokens_per_second if self.tokens_per_second else 0.0


@dataclass(slots=True)
class Flight:
    """A call that waits or runs. Owned by its `expand`."""

    call: Call
    ticket: Ticket
    num_loose: int = 0
    """Tokens streamed of a step that is not complete yet."""


_News = Outcome | Ticket | BadInputError | LedgerError


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One solve's view of a shared policy. Made by `Scheduler.policy_for`."""

    policy: Policy
    scheduler: Scheduler
    program: Program

    @property
    def capabilities(self) -> Capabilities:
        """Those of the policy behind."""
        return self.policy.capabilities

    def quote(self, call: Call) -> Usage:
        """That of the policy behind."""
        return self.policy.quote(call)

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """Passed on."""
        await self.policy.release(node_ids)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Grow every call when its turn comes; those whose turn comes together go together."""
        news = asyncio.Queue[_News]()
        flights = dict[BranchId, Flight]()
        for call in calls:
            ticket = self.scheduler.submit(self.program, call.max_tokens, news.put_nowait)
            flights[call.branch.id] = Flight(call, ticket)
        self.scheduler.pump()
        running = set[asyncio.Task[None]]()
        try:
            while flights:
                outcomes, tickets = await _take(news)
                if tickets:
                    ready = [each.call for each in flights.values() if each.ticket in tickets]
                    running.add(asyncio.create_task(self._grow(ready, news.put_nowait)))
                for outcome in outcomes:
                    if isinstance(outcome, MullError):
                        raise outcome
                    self._count(outcome, flights)
                    yield outcome
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for flight in flights.values():
                self.scheduler.leave(flight.ticket)

    def _count(self, outcome: Outcome, flights: dict[BranchId, Flight]) -> None:
        """What was delivered, and whether a slot is free again."""
        flight = flights[outcome.branch_id]
        if isinstance(outcome, Delta):
            flight.num_loose += outcome.num_tokens
            self.scheduler.deliver(flight.ticket, outcome.num_tokens)
            return
        generated = outcome.usage.generated_tokens
        self.scheduler.deliver(flight.ticket, max(0, generated - flight.num_loose))
        flight.num_loose = 0
        if isinstance(outcome, Failed) or outcome.finish is not None:
            del flights[outcome.branch_id]
            self.scheduler.leave(flight.ticket)

    async def _grow(self, calls: Sequence[Call], tell: Callable[[_News], None]) -> None:
        """Grow calls whose turn has come; a policy that breaks fails those not ended yet."""
        open_ids = {call.branch.id for call in calls}
        what = f"policy `{self.policy.capabilities.model}`"
        try:
            async with aclosing(self.policy.expand(calls)) as outcomes:
                async for outcome in outcomes:
                    if isinstance(outcome, Failed) or (
                        isinstance(outcome, Grown) and outcome.finish is not None
                    ):
                        open_ids.discard(outcome.branch_id)
                    tell(outcome)
            message, retryable = f"{what} ended its stream early", True
        except (BadInputError, LedgerError) as error:
            tell(error)
            return
        except Exception as error:  # noqa: BLE001  (what breaks for some must not break all)
            known = isinstance(error, MullError)
            message = error.message if known else f"{what} failed: {type(error).__name__}: {error}"
            retryable = isinstance(error, PolicyError) and error.retryable
        for branch_id in open_ids:
            tell(Failed(branch_id, message, retryable=retryable))


async def _take(
    news: asyncio.Queue[_News],
) -> tuple[list[Outcome | BadInputError | LedgerError], set[Ticket]]:
    """Everything that is there, as soon as something is."""
    outcomes, tickets = list[Outcome | BadInputError | LedgerError](), set[Ticket]()
    each = await news.get()
    while True:
        if isinstance(each, Ticket):
            tickets.add(each)
        else:
            outcomes.append(each)
        if news.empty():
            return outcomes, tickets
        each = news.get_nowait()
