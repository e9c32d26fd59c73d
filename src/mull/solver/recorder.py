"""Where events go: into the state, into the journal, to whoever watches."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mull.core.events import Event
from mull.core.expansion import Delta
from mull.core.protocols import Journal
from mull.core.state import SolveState

Observer = Callable[[Event | Delta], None]
"""Sees every event of a solve, and text as it streams, in the order of arrival. Must not block."""


def ignore(event: Event | Delta) -> None:
    """The observer that does not look."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """The one writer of a solve's state: nothing changes that is not an event of its trace."""

    solve_id: str
    state: SolveState
    journal: Journal
    observer: Observer = ignore

    async def record(self, event: Event) -> None:
        """Apply an event, journal it, show it."""
        self.state.apply(event)
        await self.journal.append(self.solve_id, (event,))
        self.observer(event)

    def show(self, delta: Delta) -> None:
        """Pass on streamed text; it is no event, the step that completes it is."""
        self.observer(delta)

    @asynccontextmanager
    async def flushing(self) -> AsyncGenerator[None, None]:
        """What is recorded by now is durable when the block ends, which does not wait for it."""
        flush = asyncio.ensure_future(self.journal.flush())
        try:
            yield
        finally:
            await flush
