"""Whose call goes next, decided without a clock and without waiting.

A solve (a *program*, as in Autellix, arXiv 2502.13965) makes many calls. Calls are ordered, never
requests:

1. Interactive calls go before others while they hold less than their share of the slots.
2. The tenant with the least service goes first (virtual token counters, arXiv 2401.00588); one that
   comes back starts level with the others.
3. Within a tenant a program that has had less than 1/`AGEING` of an equal share of what the tenant
   got while it was here goes first, every other time: long searches get through, however many short
   ones keep coming, and short ones however many long ones wait.
4. Else the program with the least service so far, by classes of 16, 32, 64, … tokens; in one
   class, who came first.

A call that runs may give its place to one whose program is of a lower class: `gives_way` says
whether, `pause` puts it back in line. That is for where a step ends, if the model can go on there.

Service is generated tokens, divided by what the tier's weight is. A call that starts is charged a
few tokens in advance: else a burst would look free until its tokens come.
"""

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

from mull.policies.scheduling.programs import (
    WEIGHTS,
    Heap,
    Program,
    Tenant,
    Ticket,
    Tier,
    first_of,
)

AGEING: Final = 1.5
_ADVANCE: Final = 64.0
"""Tokens that a call is charged when it starts, at most."""
_GUESS: Final = 256.0
"""Tokens of a call, before any has ended."""
_SPARE: Final = 64
"""Entries of a heap that may be out of date before it is cleared of them."""
_MEMORY: Final = 0.02
"""Weight of the newest call in the average."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """Who is next."""

    program: Program
    tenant: Tenant | None = None
    """Whose turn it is; None where an interactive call goes before all turns."""
    is_starved: bool = False


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
    _fast: Heap = field(default_factory=Heap)
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
            choice = self._next()
            if choice is None:
                break
            if choice.tenant is not None:
                choice.tenant.was_starved = choice.is_starved
            started.append(self._start(choice.program))
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
        self._stop(ticket)
        self.average += _MEMORY * (ticket.delivered - self.average)
        self._rest(ticket.program)

    def gives_way(self, ticket: Ticket) -> bool:
        """Whether a running call should be paused, now that a step of it has ended.

        That is where whoever would be next has had less, by a class: else two would take turns at
        every step.
        """
        if not self.num_waiting:
            return False
        choice = self._next(without=ticket)
        return choice is not None and choice.program.level < ticket.program.level

    def pause(self, ticket: Ticket) -> None:
        """A running call stops, and waits to go on."""
        self._stop(ticket)
        program, tenant = ticket.program, self._tenants[ticket.program.tenant]
        tenant.num_waiting += 1
        program.waiting.appendleft(ticket)
        self._count_waiting(program, 1)
        if len(program.waiting) == 1:
            self._offer(program, tenant)

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

    def _next(self, without: Ticket | None = None) -> _Choice | None:
        """Whose call starts next, if it may; `without` one that runs."""
        freed = without is not None
        num_interactive = self.num_interactive - (freed and without.program.is_interactive)
        num_others = self.num_running - freed - num_interactive
        fast = first_of(self._fast)
        has_share = num_interactive < self.interactive_share * self.slots
        if num_others >= self.slots - self.num_reserved or has_share:
            if fast is not None:
                return _Choice(fast)
            if num_others >= self.slots - self.num_reserved:
                return None
        return self._in_turn()

    def _in_turn(self) -> _Choice | None:
        """The least served tenant's, and in it who has had little."""
        waiting = [each for each in self._tenants.values() if each.num_waiting]
        if not waiting:
            return None
        tenant = min(waiting, key=lambda each: each.service)
        starved = None if tenant.was_starved else self._most_starved(tenant)
        program = starved or first_of(tenant.ready)
        return None if program is None else _Choice(program, tenant, starved is not None)

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
        ticket.expected = max(ticket.delivered, min(ticket.max_tokens, self.average, _ADVANCE))
        self._count_waiting(program, -1)
        self._tenants[program.tenant].num_waiting -= 1
        self.num_running += 1
        program.num_running += 1
        self.num_interactive += program.is_interactive
        self._charge(program, ticket.expected - ticket.delivered)
        return ticket

    def _stop(self, ticket: Ticket) -> None:
        ticket.is_running = False
        self.num_running -= 1
        ticket.program.num_running -= 1
        self.num_interactive -= ticket.program.is_interactive
        self._charge(ticket.program, min(0.0, ticket.delivered - ticket.expected))

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
        self.num_waiting_interactive += change * program.is_interactive
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
        if program.is_interactive:
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
