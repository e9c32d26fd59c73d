"""A policy around a policy: calls wait for their turn among those of all other solves."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from mull.core.errors import BadInputError, LedgerError, MullError, PolicyError
from mull.core.expansion import (
    BranchId,
    Call,
    Delta,
    ExpansionKind,
    Failed,
    Grown,
    NodeId,
    Outcome,
)
from mull.core.protocols import Capabilities, Policy
from mull.core.usage import Usage
from mull.policies.scheduling.programs import Program, Ticket
from mull.policies.scheduling.scheduler import Scheduler


@dataclass(slots=True, eq=False)
class Leg:
    """Calls that grow together, from their turn to their end or a pause. Its `expand` owns it."""

    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True)
class Flight:
    """A call that waits or runs. Owned by its `expand`."""

    call: Call
    """From where it stands now."""
    ticket: Ticket
    leg: Leg | None = None
    """None while it waits."""
    num_loose: int = 0
    """Tokens streamed of a step that is not complete yet."""
    num_lost: int = 0
    """Tokens drawn beyond the step it was paused at, which no outcome has counted yet."""

    def grow_on(self, grown: Grown) -> None:
        """The call is to go on behind this step."""
        drawn = grown.usage.completion_tokens
        self.call = replace(
            self.call,
            grown=(*self.call.grown, grown.step),
            drawn=self.call.drawn + drawn,
            max_tokens=self.call.max_tokens - drawn,
        )

    def lose(self, outcome: Outcome) -> None:
        """What came of a leg after its pause is thrown away; its tokens leave the call fewer."""
        if isinstance(outcome, Delta):
            num_lost = outcome.num_tokens
            self.num_loose += num_lost
        else:
            num_lost = max(0, outcome.usage.generated_tokens - self.num_loose)
            self.num_loose = 0
        self.num_lost += num_lost
        self.call = replace(self.call, max_tokens=self.call.max_tokens - num_lost)

    def with_losses(self, outcome: Grown | Failed) -> Outcome:
        """The outcome, and what was lost before it."""
        if not self.num_lost:
            return outcome
        lost, self.num_lost = Usage(discarded_tokens=self.num_lost), 0
        return replace(outcome, usage=outcome.usage + lost)


_News = tuple[Leg, Outcome] | Ticket | BadInputError | LedgerError


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One solve's view of a shared policy.

    A call gives its place, at the end of a step, to one of a solve that has had less, if the policy
    can go on there for nothing: what it then generates is what it would have generated.
    """

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

    def close(self) -> None:
        """The solve makes no more calls."""
        self.scheduler.queue.close(self.program)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Grow every call when its turn comes; those whose turn comes together go together."""
        expanding = _Expanding(self.policy, self.scheduler, can_pause=self._can_pause(calls))
        async with aclosing(expanding.outcomes(self.program, calls)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    def _can_pause(self, calls: Sequence[Call]) -> bool:
        """Whether calls can be taken up in the middle; a prompt that costs money is read once."""
        goes_on = ExpansionKind.TOKENS in self.policy.capabilities.kinds
        return goes_on and not any(self.policy.quote(call).money_usd for call in calls[:1])


@dataclass(slots=True)
class _Expanding:
    """One `expand` under way."""

    policy: Policy
    scheduler: Scheduler
    can_pause: bool
    news: asyncio.Queue[_News] = field(default_factory=asyncio.Queue[_News])
    flights: dict[BranchId, Flight] = field(default_factory=dict[BranchId, Flight])
    legs: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """Those that run, or are being cancelled."""

    async def outcomes(
        self, program: Program, calls: Sequence[Call]
    ) -> AsyncGenerator[Outcome, None]:
        """What the calls come to."""
        for call in calls:
            ticket = self.scheduler.submit(program, call.max_tokens, self.news.put_nowait)
            self.flights[call.branch.id] = Flight(call, ticket)
        self.scheduler.pump()
        try:
            while self.flights:
                for leg, outcome in await self._take():
                    if self._is_wanted(leg, outcome):
                        yield self._counted(outcome, self.flights[outcome.branch_id])
        finally:
            for task in self.legs:
                task.cancel()
            await asyncio.gather(*self.legs, return_exceptions=True)
            for flight in self.flights.values():
                self.scheduler.leave(flight.ticket)

    async def _take(self) -> list[tuple[Leg, Outcome]]:
        """Everything that is there, as soon as something is; whose turn it is starts at once."""
        taken, tickets = list[tuple[Leg, Outcome]](), set[Ticket]()
        each = await self.news.get()
        while True:
            if isinstance(each, Ticket):
                tickets.add(each)
            elif isinstance(each, MullError):
                raise each
            else:
                taken.append(each)
            if self.news.empty():
                break
            each = self.news.get_nowait()
        wanted = [each for each in taken if self._is_wanted(*each)]
        if tickets:
            self._start([each for each in self.flights.values() if each.ticket in tickets])
        return wanted

    def _is_wanted(self, leg: Leg, outcome: Outcome) -> bool:
        """Whether it is of a call's present leg; what is of an earlier one is lost."""
        flight = self.flights.get(outcome.branch_id)
        if flight is None:
            model = self.policy.capabilities.model
            raise PolicyError(f"policy `{model}` sent what it was not asked for: {outcome}")
        if flight.leg is not leg:
            flight.lose(outcome)
        return flight.leg is leg

    def _start(self, ready: Sequence[Flight]) -> None:
        """Grow together what need not be paused apart."""
        for group in [[each] for each in ready] if self.can_pause else [ready]:
            leg = Leg()
            for flight in group:
                flight.leg, flight.num_loose = leg, 0
            task = asyncio.create_task(self._grow(leg, [flight.call for flight in group]))
            leg.task = task
            self.legs.add(task)
            task.add_done_callback(self.legs.discard)

    def _counted(self, outcome: Outcome, flight: Flight) -> Outcome:
        """Count what was delivered; end or pause the call where that is due."""
        if isinstance(outcome, Delta):
            flight.num_loose += outcome.num_tokens
            self.scheduler.deliver(flight.ticket, outcome.num_tokens)
            return outcome
        generated = outcome.usage.generated_tokens
        self.scheduler.deliver(flight.ticket, max(0, generated - flight.num_loose))
        flight.num_loose = 0
        if isinstance(outcome, Failed) or outcome.finish is not None:
            del self.flights[outcome.branch_id]
            self.scheduler.leave(flight.ticket)
        else:
            self._pause_if_due(flight, outcome)
        return flight.with_losses(outcome)

    def _pause_if_due(self, flight: Flight, grown: Grown) -> None:
        task = flight.leg.task if flight.leg else None
        if not self.can_pause or task is None:
            return
        flight.grow_on(grown)
        is_near_end = task.done() or flight.call.max_tokens < 1
        if not is_near_end and self.scheduler.queue.gives_way(flight.ticket):
            task.cancel()
            flight.leg = None
            self.scheduler.pause(flight.ticket)

    async def _grow(self, leg: Leg, calls: Sequence[Call]) -> None:
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
                    self.news.put_nowait((leg, outcome))
            message, retryable = f"{what} ended its stream early", True
        except (BadInputError, LedgerError) as error:
            self.news.put_nowait(error)
            return
        except Exception as error:  # noqa: BLE001  (what breaks for some must not break all)
            known = isinstance(error, MullError)
            message = error.message if known else f"{what} failed: {type(error).__name__}: {error}"
            retryable = isinstance(error, PolicyError) and error.retryable
        for branch_id in open_ids:
            self.news.put_nowait((leg, Failed(branch_id, message, retryable=retryable)))
