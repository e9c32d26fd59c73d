"""Time as an argument."""

import asyncio
import time
from dataclasses import dataclass, field
from heapq import heappush
from typing import Final, Protocol


class Clock(Protocol):
    """Tells and awaits time in seconds; only differences mean anything."""

    def now(self) -> float:
        """Seconds since some fixed moment; never falls."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once that many seconds have passed."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Real time."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for real."""
        await asyncio.sleep(seconds)


_IDLE_TURNS: Final = 8
"""Turns of the event loop that must pass without a new sleeper before virtual time jumps."""


@dataclass(slots=True)
class VirtualClock:
    """Time that jumps to the next wake-up when everybody sleeps: a test's hour takes no time.

    Owned by one test; every sleeper in it must share this clock.
    """

    time: float = 0.0
    wakes: list[float] = field(default_factory=list[float])

    def now(self) -> float:
        """Virtual seconds since the clock was made."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Return once virtual time has passed; time passes when nothing else happens."""
        wake = self.time + max(0.0, seconds)
        heappush(self.wakes, wake)
        try:
            await self._reach(wake)
        finally:
            self.wakes.remove(wake)
            self.wakes.sort()

    async def _reach(self, wake: float) -> None:
        idle = 0
        while self.time < wake:
            before = len(self.wakes), self.time
            await asyncio.sleep(0)
            idle = idle + 1 if before == (len(self.wakes), self.time) else 0
            if idle > _IDLE_TURNS and self.wakes[0] == wake:
                self.time = wake
