"""Requests that wait for room, and who is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Weighty(Protocol):
    """What can be asked of an engine."""

    @property
    def weight(self) -> int:
        """Tokens that it may take to serve it."""
        ...


Asked = TypeVar("Asked", bound=Weighty)


@dataclass(slots=True, eq=False)
class Call(Generic[Asked]):
    """The requests of one call that still wait, by number."""

    waiting: deque[tuple[int, Asked]]
    served: int
    """Tokens that were promised to it; one that comes later begins where the others are."""


class WaitingLine(Generic[Asked]):
    """Whoever has been served least is next, so that a large call does not hold up small ones.

    A virtual time a call, as in fair queueing (Demers, Keshav & Shenker 1989; for tokens, Sheng et
    al. 2024). Within a call, first come, first served. The batch owns it.
    """

    def __init__(self) -> None:
        self._calls = list[Call[Asked]]()
        self._time = 0
        """What the call that was last served had been served before."""

    def __len__(self) -> int:
        return sum(len(call.waiting) for call in self._calls)

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, requests: Iterable[tuple[int, Asked]]) -> None:
        """Get in line, as one call."""
        waiting = deque(requests)
        if waiting:
            self._calls.append(Call(waiting, self._time))

    def first(self) -> Asked | None:
        """Who is next; None if nobody waits."""
        return self._next().waiting[0][1] if self._calls else None

    def take(self) -> int:
        """Remove who is next; its number."""
        call = self._next()
        number, request = call.waiting.popleft()
        self._time = call.served
        call.served += request.weight
        if not call.waiting:
            self._calls.remove(call)
        return number

    def remove(self, numbers: Collection[int]) -> None:
        """Forget these requests, where they wait."""
        for call in self._calls:
            call.waiting = deque(each for each in call.waiting if each[0] not in numbers)
        self._calls = [call for call in self._calls if call.waiting]

    def _next(self) -> Call[Asked]:
        return min(self._calls, key=lambda call: call.served)
