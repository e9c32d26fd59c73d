"""Whose call goes next, decided without a clock and without waiting.

A solve (a *program*, as in Autellix, arXiv 2502.13965) makes many calls. Calls are ordered, never
requests:

1. Interactive calls go before others while they hold less than their share of the slots.
2. A program that has had too little of an equal share of what its tenant got while it was here
   goes first, every other time (`LAG`, `PATIENCE`, `MAX_LAG`): long searches get through, however
   many short ones keep coming, and short ones however many long ones wait.
3. Else the program of the lowest class: of what it has had, or of what its open and coming calls
   will take if they take what its others took, whatever is less; classes are 16, 32, 64, … tokens.
   So who may be short is tried, and who is nearly done is let go. How many calls will come
   is what others of its kind have made; how long they are, only its own calls tell: the average of
   all is wrong for most.
4. This holds between tenants that have had about the same: one that is more than `LEAD` tokens
   ahead of another that waits is left out (virtual token counters, arXiv 2401.00588). In one class
   the less served tenant goes first, then who came first. A tenant that comes back starts level.

A call that runs may give its place to one whose program is of a lower class: `gives_way` says
whether, `pause` puts it back in line. That is for where a step ends, if the model can go on there.

Service is generated tokens, divided by what the tier's weight is.
"""

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

from mull.policies.scheduling.programs import (
    WEIGHTS,
    Heap,
    Kind,
    Program,
    Tenant,
    Ticket,
    Tier,
    first_of,
)

LAG: Final = 3.0
"""Times what it has had that a program may be behind an equal share,"""
PATIENCE: Final = 1500.0
"""and so many tokens more;"""
MAX_LAG: Final = 36_000.0
"""but never so many."""
LEAD: Final = 4096.0
"""Tokens by which a tenant may be ahead of another that waits, if its solve is of a lower class."""
_GUESS: Final = 256.0
"""Tokens of a call, before any has ended."""
_MAX_KINDS: Final = 1024
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
    _kinds: dict[str, Kind] = field(default_factory=dict[str, Kind])
    """The one that was seen last at the end."""

    def program(self, tenant: str, tier: Tier = Tier.STANDARD, *, kind: str = "") -> Program:
        """A new solve, without calls; others of its `kind` tell how many it will make."""
        self._num_programs += 1
        known = self._kinds.get(kind, Kind()).num_calls
        return Program(tenant, tier, self._num_programs, kind=kind, num_calls=known)

    def close(self, program: Program) -> None:
        """The solve makes no more calls."""
        if program.kind and program.num_ended:
            kind = self._kinds.pop(program.kind, Kind())
            kind.see(program.num_ended)
            self._kinds[program.kind] = kind
            if len(self._kinds) > _MAX_KINDS:
                del self._kinds[next(iter(self._kinds))]

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
        program, tenant = ticket.program, self._tenants[ticket.program.tenant]
        ticket.delivered += tokens
        program.service += tokens
        tenant.service += tokens / WEIGHTS[program.tier]
        tenant.shared += tokens / tenant.num_active

    def finish(self, ticket: Ticket) -> None:
        """A running call has ended, however."""
        self._stop(ticket)
        ticket.program.num_ended += 1
        ticket.program.ended_tokens += ticket.delivered
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
        """Who has fallen behind; else, of tenants that are not far ahead, who is of least class."""
        waiting = [each for each in self._tenants.values() if each.num_waiting]
        waiting.sort(key=lambda each: each.service)
        if not waiting:
            return None
        least = waiting[0]
        starved = None if least.was_starved else self._most_starved(least)
        if starved is not None:
            return _Choice(starved, least, is_starved=True)
        near = (each for each in waiting if each.service <= least.service + LEAD)
        first = [(each, program) for each in near if (program := first_of(each.ready)) is not None]
        if not first:
            return None
        tenant, program = min(first, key=lambda each: each[1].level)
        return _Choice(program, tenant)

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
        """`shared` at which the program is too far behind its equal share."""
        lag = min(LAG * program.service + PATIENCE, MAX_LAG)
        return program.joined - program.fair + program.service + lag

    def _start(self, program: Program) -> Ticket:
        ticket = program.waiting.popleft()
        ticket.is_running = True
        self._count_waiting(program, -1)
        self._tenants[program.tenant].num_waiting -= 1
        self.num_running += 1
        program.num_running += 1
        self.num_interactive += program.is_interactive
        return ticket

    def _stop(self, ticket: Ticket) -> None:
        ticket.is_running = False
        self.num_running -= 1
        ticket.program.num_running -= 1
        self.num_interactive -= ticket.program.is_interactive

    # Counting

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
