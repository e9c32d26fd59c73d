"""Whose calls wait in a queue: what each has had, and who comes first for it."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from math import inf, log
from types import MappingProxyType
from typing import Final

FIRST_CLASS: Final = 16.0
"""Tokens up to which a program is in the first class; each class is twice the one before."""
_RATIO: Final = 2.0
ADVANCE: Final = 64.0
"""Tokens that a call counts for while it runs, on top of those that came: else a burst would look
free until its tokens come."""


class Tier(StrEnum):
    """What a caller pays for."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"


WEIGHTS: Final = MappingProxyType({Tier.INTERACTIVE: 4.0, Tier.STANDARD: 1.0, Tier.BATCH: 0.25})
"""A token of service counts one by this."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One call's place in the queue."""

    program: "Program"
    max_tokens: float
    delivered: float = 0.0
    is_running: bool = False
    is_withdrawn: bool = False


@dataclass(slots=True, eq=False)
class Program:
    """One solve in a queue, which owns its counters."""

    tenant: str
    tier: Tier
    order: int
    """Who came first."""
    service: float = 0.0
    """Tokens delivered to it."""
    fair: float = 0.0
    """Its equal share of what its tenant got, up to when it last went idle."""
    joined: float = 0.0
    """Its tenant's `shared` when it last became active."""
    waiting: deque[Ticket] = field(default_factory=deque[Ticket])
    num_running: int = 0
    kind: str = ""
    num_calls: float = 0.0
    """That those of its kind have made; 0 where none has been seen."""
    num_ended: int = 0
    """Calls that have ended."""
    ended_tokens: float = 0.0
    """What these took."""

    @property
    def is_interactive(self) -> bool:
        """Whether somebody sits before it."""
        return self.tier is Tier.INTERACTIVE

    @property
    def to_come(self) -> float:
        """Tokens that its open calls still take, if they take what its others have taken.

        Where they have had more than that, as much again as they are beyond it; infinite before one
        has ended.
        """
        if not self.num_ended or not self.num_calls:
            return inf
        num_open = max(self.num_calls - self.num_ended, self.num_running + len(self.waiting))
        had = self.service - self.ended_tokens
        return abs(num_open * self.ended_tokens / self.num_ended - had)

    @property
    def level(self) -> int:
        """Its class, from 0: of what it has had or has to come, whatever is less, by its tier."""
        had = self.service + ADVANCE * self.num_running
        ratio = min(had, self.to_come) / WEIGHTS[self.tier] / FIRST_CLASS
        return 0 if ratio < 1 else 1 + int(log(ratio, _RATIO))

    @property
    def is_active(self) -> bool:
        """Whether it has calls here."""
        return bool(self.waiting) or self.num_running > 0


@dataclass(slots=True)
class Kind:
    """What programs of one kind have made, on average; the newest count for a fiftieth or more."""

    num_seen: int = 0
    num_calls: float = 0.0

    def see(self, num_calls: int) -> None:
        """One has ended."""
        self.num_seen += 1
        self.num_calls += (num_calls - self.num_calls) / min(self.num_seen, 50)


Heap = list[tuple[float, int, Program]]
"""Programs by what orders them, then by who came first; entries may lag behind."""


@dataclass(slots=True, eq=False)
class Tenant:
    """Whoever's programs these are. The queue owns it."""

    service: float = 0.0
    """Weighted, like a program's."""
    shared: float = 0.0
    """What a program here from the beginning would have got, had all the tenant's shared alike."""
    num_waiting: int = 0
    num_active: int = 0
    """Programs with calls here."""
    was_starved: bool = False
    """Whether the call that started last was a starved program's."""
    ready: Heap = field(default_factory=Heap)
    """By class."""
    starving: Heap = field(default_factory=Heap)
    """By the value of `shared` from which on they count as starved."""


def first_of(ready: Heap) -> Program | None:
    """The program of the lowest class, brought up to date; None if nobody waits."""
    while ready:
        level, order, program = ready[0]
        if not program.waiting:
            heappop(ready)
        elif program.level != level:
            heappop(ready)
            heappush(ready, (program.level, order, program))
        else:
            return program
    return None
