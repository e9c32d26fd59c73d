"""Whose call goes next, decided without a clock and without waiting.

A solve (a *program*, as in Autellix, arXiv 2502.13965) makes many calls. Calls are ordered, never
requests:

1. Interactive calls go before others while they hold less than their share of the slots.
2. The tenant with the least service goes first (virtual token counters, arXiv 2401.00588); one that
   comes back starts level with the others.
3. Within a tenant a program that has had less than 1/`AGEING` of an equal share of what the tenant
   got while it was here goes first, every other time: long searches get through, however many short
   ones keep coming, and short ones however many long ones wait.
4. Else the program with the least service so far, by classes of 64, 256, 1,024, … tokens; in one
   class, who came first.

Service is generated tokens, divided by what the tier's weight is. A call that starts is charged
what calls have cost on average, and what it really cost when it ends: else a burst would look free
until its tokens come.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heapify, heappop, heappush
from math import log
from types import MappingProxyType
from typing import Final

AGEING: Final = 1.5
FIRST_CLASS: Final = 64.0
"""Tokens up to which a program is in the first class; each class is four times the one before."""
_RATIO: Final = 4.0
_GUESS: Final = 256.0
"""Tokens of a call, before any has ended."""
_SPARE: Final = 64
"""Entries of a heap that may be out of date before it is cleared of them."""
_MEMORY: Final = 0.02
"""Weight of the newest call in the average."""


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
    expected: float = 0.0
    """What its program was charged when it started."""
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
    """Tokens delivered to it, and those expected of its running calls."""
    fair: float = 0.0
    """Its equal share of what its tenant got, up to when it last went idle."""
    joined: float = 0.0
    """Its tenant's `shared` when it last became active."""
    waiting: deque[Ticket] = field(default_factory=deque[Ticket])
    num_running: int = 0

    @property
    def weighted(self) -> float:
        """Its service, as its tier counts it."""
        return self.service / WEIGHTS[self.tier]

    @property
    def level(self) -> int:
        """Its class of service, from 0."""
        ratio = self.weighted / FIRST_CLASS
        return 0 if ratio < 1 else 1 + int(log(ratio, _RATIO))

    @property
    def is_active(self) -> bool:
        """Whether it has calls here."""
        return bool(self.waiting) or self.num_running > 0


_Heap = list[tuple[float, int, Program]]
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
    ready: _Heap = field(default_factory=_Heap)
    """By class."""
    starving: _Heap = field(default_factory=_Heap)
    """By the value of `shared` from which on they count as starved."""


@dataclass(slots=True)
class CallQueue:
    """The calls that run and those that wait, on `slots` places. Owned by one scheduler."""

    slots: int
    num_reserved: int = 0
    """Slots that interactive calls alone may take: who comes for a word need not wait for a slot
    that runs a page."""
    interactive_share: float = 0.5
    """Of the slots: up to it interactive calls go first."""
    average: float = _GUESS
    """Tokens a call takes, lately."""
    num_running: int = 0
    num_interactive: int = 0
    """Of the running ones."""
    num_waiting: int = 0
    num_waiting_interactive: int = 0
    """Of the waiting ones."""
    num_waiting_programs: int = 0
    """Programs whose calls these are."""
    _tenants: dict[str, Tenant] = field(default_factory=dict[str, Tenant])
    _fast: _Heap = field(default_factory=_Heap)
    """Interactive programs, whoever's they are, by class."""
    _num_programs: int = 0

    def program(self, tenant: str, tier: Tier = Tier.STANDARD) -> Program:
        """A new solve, without calls."""
        self._num_programs += 1
        return Program(tenant, tier, self._num_programs)

    def submit(self, program: Program, max_tokens: float) -> Ticket:
        """A call that wants to run."""
        ticket = Ticket(program, max_tokens)
        tenant = self._tenants.setdefault(program.tenant, Tenant())
        if not program.is_active:
            program.joined = tenant.shared
            tenant.num_active += 1
        if not tenant.num_waiting:
            self._lift(tenant)
        tenant.num_waiting += 1
        program.waiting.append(ticket)
        self._count_waiting(program, 1)
        if len(program.waiting) == 1:
            self._offer(program, tenant)
        return ticket

    def dispatch(self) -> list[Ticket]:
        """Start calls until the slots are full or nobody waits; those that were started."""
        started = list[Ticket]()
        while self.num_running < self.slots and self.num_waiting:
            program = self._next()
            if program is None:
                break
            started.append(self._start(program))
        return started

    def deliver(self, ticket: Ticket, tokens: float) -> None:
        """A running call has generated so many more tokens."""
        if tokens <= 0:
            return
        before = max(ticket.expected, ticket.delivered)
        ticket.delivered += tokens
        self._charge(ticket.program, max(ticket.expected, ticket.delivered) - before)
        tenant = self._tenants[ticket.program.tenant]
        tenant.shared += tokens / tenant.num_active

    def finish(self, ticket: Ticket) -> None:
        """A running call has ended, however."""
        program = ticket.program
        ticket.is_running = False
        self.num_running -= 1
        program.num_running -= 1
        self.num_interactive -= program.tier is Tier.INTERACTIVE
        self._charge(program, min(0.0, ticket.delivered - ticket.expected))
        self.average += _MEMORY * (ticket.delivered - self.average)
        self._rest(program)

    def withdraw(self, ticket: Ticket) -> None:
        """A waiting call is not wanted any more."""
        ticket.is_withdrawn = True
        ticket.program.waiting.remove(ticket)
        self._tenants[ticket.program.tenant].num_waiting -= 1
        self._count_waiting(ticket.program, -1)
        self._rest(ticket.program)

    @property
    def backlog(self) -> float:
        """Tokens that those who wait will take, by what calls have taken lately."""
        return self.num_waiting * self.average

    def ahead_of(self, tier: Tier) -> float:
        """Tokens that are about to be worked on before the first call of a new program.

        Of the interactive ones all; before any other program each that waits gets one call.
        """
        if tier is Tier.INTERACTIVE:
            return self.num_waiting_interactive * self.average
        return self.num_waiting_programs * self.average

    # Choosing

    def _next(self) -> Program | None:
        fast = _first(self._fast)
        if self.num_running - self.num_interactive >= self.slots - self.num_reserved:
            return fast
        if fast is not None and self.num_interactive < self.interactive_share * self.slots:
            return fast
        waiting = (each for each in self._tenants.values() if each.num_waiting)
        tenant = min(waiting, key=lambda each: each.service)
        starved = None if tenant.was_starved else self._most_starved(tenant)
        tenant.was_starved = starved is not None
        return starved or _first(tenant.ready)

    def _most_starved(self, tenant: Tenant) -> Program | None:
        heap = tenant.starving
        while heap and heap[0][0] <= tenant.shared:
            _, _, program = heap[0]
            threshold = self._threshold(program)
            if program.waiting and threshold <= tenant.shared:
                return program
            heappop(heap)
            if program.waiting:
                heappush(heap, (threshold, program.order, program))
        return None

    def _threshold(self, program: Program) -> float:
        """`shared` at which the program has had 1/AGEING of its share, and a call is due to it."""
        return program.joined - program.fair + AGEING * (program.service + self.average)

    def _start(self, program: Program) -> Ticket:
        ticket = program.waiting.popleft()
        ticket.is_running = True
        ticket.expected = min(ticket.max_tokens, self.average)
        self._count_waiting(program, -1)
        self._tenants[program.tenant].num_waiting -= 1
        self.num_running += 1
        program.num_running += 1
        self.num_interactive += program.tier is Tier.INTERACTIVE
        self._charge(program, ticket.expected)
        return ticket

    # Counting

    def _charge(self, program: Program, tokens: float) -> None:
        program.service += tokens
        self._tenants[program.tenant].service += tokens / WEIGHTS[program.tier]

    def _lift(self, tenant: Tenant) -> None:
        """Who was away has saved up nothing."""
        others = [each.service for each in self._tenants.values() if each.num_waiting]
        if others:
            tenant.service = max(tenant.service, min(others))

    def _count_waiting(self, program: Program, change: int) -> None:
        """After a call has joined those of its program that wait, or left them."""
        self.num_waiting += change
        self.num_waiting_interactive += change * (program.tier is Tier.INTERACTIVE)
        if len(program.waiting) == (1 if change > 0 else 0):
            self.num_waiting_programs += change

    def _rest(self, program: Program) -> None:
        if not program.is_active:
            tenant = self._tenants[program.tenant]
            program.fair += tenant.shared - program.joined
            tenant.num_active -= 1

    def _offer(self, program: Program, tenant: Tenant) -> None:
        most = _SPARE + 4 * self.num_waiting_programs
        for heap in (tenant.ready, tenant.starving, self._fast):
            if len(heap) > most:  # what waits no more sinks, and would stay there for ever
                heap[:] = [each for each in heap if each[2].waiting]
                heapify(heap)
        entry = (program.level, program.order, program)
        heappush(tenant.ready, entry)
        if program.tier is Tier.INTERACTIVE:
            heappush(self._fast, entry)
        heappush(tenant.starving, (self._threshold(program), program.order, program))

    def check(self) -> None:
        """Raise AssertionError if the counters contradict each other."""
        programs = {entry[2] for tenant in self._tenants.values() for entry in tenant.ready}
        waiting = sum(len(program.waiting) for program in programs)
        if waiting != self.num_waiting:
            raise AssertionError(f"{self.num_waiting} calls wait, but {waiting} can be found")
        if sum(bool(program.waiting) for program in programs) != self.num_waiting_programs:
            raise AssertionError(f"not {self.num_waiting_programs} programs wait")
        active = sum(tenant.num_active for tenant in self._tenants.values())
        if self.num_running + self.num_waiting < active:
            raise AssertionError(f"{active} programs are active without calls")
        if not 0 <= self.num_running <= self.slots:
            raise AssertionError(f"{self.num_running} calls run on {self.slots} slots")
        num_open = self.slots - self.num_reserved
        is_open = self.num_running - self.num_interactive < num_open
        if is_open and self.num_running < self.slots and self.num_waiting:
            raise AssertionError("a slot is free while a call waits")


def _first(ready: _Heap) -> Program | None:
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
