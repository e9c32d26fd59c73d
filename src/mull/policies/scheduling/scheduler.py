"""The queue in front of one model on a clock: who waits, since when, and how long one would."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mull.core.clock import Clock, SystemClock
from mull.policies.scheduling.programs import Program, Ticket, Tier
from mull.policies.scheduling.queue import CallQueue

_RATE_SECONDS = 30.0
"""How far back the measured rate looks, roughly."""


@dataclass(slots=True)
class _Stay:
    """A call's time in the queue and on its slot. The scheduler owns it."""

    start: Callable[[Ticket], None]
    since: float
    """When it came, started or was paused, whatever was last."""
    waited: float = 0.0
    ran: float = 0.0


@dataclass(slots=True)
class Scheduler:
    """The queue in front of one model, and who waits in it. Shared by all its solves."""

    queue: CallQueue
    clock: Clock = SystemClock()
    tokens_per_second: float | None = None
    """What the model has delivered lately while it was busy; None before it was."""
    on_end: "Callable[[Ticket, float, float], None] | None" = None
    """Told of a call that has ended, with the seconds it waited and ran."""
    _stays: dict[Ticket, _Stay] = field(default_factory=dict[Ticket, _Stay])
    _mark: float = 0.0
    _since_mark: float = 0.0

    def submit(self, program: Program, max_tokens: int, start: Callable[[Ticket], None]) -> Ticket:
        """Queue a call; `start` is called whenever it may run (after `pump`)."""
        ticket = self.queue.submit(program, max_tokens)
        self._stays[ticket] = _Stay(start, self.clock.now())
        return ticket

    def pump(self) -> None:
        """Start what may start now."""
        if not self.queue.num_running:
            self._mark, self._since_mark = self.clock.now(), 0.0
        for ticket in self.queue.dispatch():
            stay, now = self._stays[ticket], self.clock.now()
            stay.waited, stay.since = stay.waited + now - stay.since, now
            stay.start(ticket)

    def pause(self, ticket: Ticket) -> None:
        """A running call stops where it is, until its turn comes again."""
        stay, now = self._stays[ticket], self.clock.now()
        stay.ran, stay.since = stay.ran + now - stay.since, now
        self.queue.pause(ticket)
        self.pump()

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
        stay = self._stays.pop(ticket)
        if ticket.is_running:
            ran = stay.ran + self.clock.now() - stay.since
            self.queue.finish(ticket)
            if self.on_end is not None:
                self.on_end(ticket, stay.waited, ran)
        else:
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
