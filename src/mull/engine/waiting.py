"""Requests that wait for room, and who is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from mull.engine.requests import Request

Numbered = tuple[int, Request]


@dataclass(slots=True, eq=False)
class Call:
    """The requests of one `generate` that still wait."""

    waiting: deque[Numbered]
    served: int
    """Tokens that were promised to it; one that comes later begins where the others are."""


@dataclass(slots=True)
class WaitingLine:
    """Whoever has been served least is next, so that a large call does not hold up small ones.

    A virtual time a call, as in fair queueing (Demers, Keshav & Shenker 1989; for tokens, Sheng et
    al. 2024). Within a call, first come, first served. The batch owns it.
    """

    _calls: list[Call] = field(default_factory=list[Call])
    _time: int = 0
    """What the call that was last served had been served before."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, requests: Iterable[Numbered]) -> None:
        """Get in line, as one call."""
        waiting = deque(requests)
        if waiting:
            self._calls.append(Call(waiting, self._time))

    def first(self) -> Request | None:
        """Who is next; None if nobody waits."""
        return self._next().waiting[0][1] if self._calls else None

    def take(self) -> int:
        """Remove who is next; its number."""
        call = self._next()
        number, request = call.waiting.popleft()
        self._time = call.served
        call.served += len(request.prompt) + request.max_tokens
        if not call.waiting:
            self._calls.remove(call)
        return number

    def remove(self, numbers: Collection[int]) -> None:
        """Forget these requests, where they wait."""
        for call in self._calls:
            call.waiting = deque(each for each in call.waiting if each[0] not in numbers)
        self._calls = [call for call in self._calls if call.waiting]

    def _next(self) -> Call:
        return min(self._calls, key=lambda call: call.served)
