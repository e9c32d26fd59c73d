"""Growing branches: reserve, stream, record, settle.

Whatever happens (a failure, a deadline, a cancel, our own error), every reservation is settled with
what was really spent before control leaves `Growth.grow`.
"""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace

from mull.core.clock import Clock
from mull.core.errors import (
    BadInputError,
    LedgerError,
    MullError,
    OverrunError,
    PolicyError,
    StoreError,
)
from mull.core.events import BranchFailed, Charged, ChargeReason, NodeGrown
from mull.core.expansion import (
    Branch,
    BranchId,
    Call,
    Delta,
    Failed,
    Finish,
    Grown,
    Outcome,
)
from mull.core.ledger import Ledger, Refused, Reservation
from mull.core.protocols import Policy
from mull.core.steps import Step
from mull.core.usage import Headroom, Limit, Usage, amount
from mull.solver.recorder import Recorder
from mull.solver.stopwatch import Stopwatch
from mull.solver.stream import DeadlinePassedError, attributed, in_time, until


@dataclass(slots=True)
class InFlight:
    """One call being grown. Owned by the growth it is part of."""

    call: Call
    reservation: Reservation
    spent: Usage = Usage()
    num_loose: int = 0
    """Tokens streamed of a step that is not complete yet."""
    is_made: bool = False
    """Whether the policy said that it is on its way."""

    def counted(self, usage: Usage) -> Usage:
        """What an outcome spent, with the call itself counted once, on its first outcome."""
        return replace(usage, calls=0 if self.spent.calls else 1, seconds=0.0)

    def finish_of(self, grown: Grown) -> Finish | None:
        """`cut` where it was the budget, not the expansion's own limit, that ended the branch."""
        limit = self.call.branch.expansion.limits.max_tokens - self.call.drawn
        drawn = self.spent.completion_tokens + grown.usage.completion_tokens
        is_cut = self.call.max_tokens < limit and drawn >= self.call.max_tokens
        return Finish.CUT if grown.finish is Finish.LENGTH and is_cut else grown.finish


@dataclass(frozen=True, slots=True)
class Growth:
    """Grows the open branches of one solve."""

    policy: Policy
    ledger: Ledger
    recorder: Recorder
    stopwatch: Stopwatch
    clock: Clock
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a branch is over; cleared by whoever waits for that."""

    @property
    def _what(self) -> str:
        return f"policy `{self.policy.capabilities.model}`"

    async def grow(self) -> Refused | None:
        """Grow every open branch until it ends, in as many goes as the budget needs.

        Returns what refused to let it go on, or None when no branch is open any more. A solve that
        cannot reserve a whole branch gets the last tokens as a shorter one.
        """
        while pending := self.recorder.state.tree.pending():
            seconds = await self.stopwatch.seconds_left()
            if seconds is not None and seconds <= 0:
                return Refused(Limit.SECONDS, self.ledger.name)
            calls = await self._with_tokens_left(pending)
            try:
                flight, seconds = await self._reserve_in_time(calls, seconds)
            except DeadlinePassedError:
                return Refused(Limit.SECONDS, self.ledger.name)
            if isinstance(flight, Refused):
                return flight
            if flight and not await self._fly(flight, seconds):
                return Refused(Limit.SECONDS, self.ledger.name)
        return None

    async def _reserve_in_time(
        self, calls: Sequence[Call], seconds: float | None
    ) -> "tuple[dict[BranchId, InFlight] | Refused, float | None]":
        """What is reserved, and the time left after it: who pays may have others to wait for."""
        if seconds is None:
            return await self._reserve(calls), None
        since, reserving = self.clock.now(), asyncio.ensure_future(self._reserve(calls))
        try:
            flight = await in_time(reserving, self.clock, seconds)
        except BaseException:
            await self._give_back(reserving)
            raise
        return flight, max(0.0, seconds - (self.clock.now() - since))

    async def _give_back(
        self, reserving: "asyncio.Task[dict[BranchId, InFlight] | Refused]"
    ) -> None:
        """What was granted in the very turn in which nobody wanted it any more."""
        if not reserving.done() or reserving.cancelled() or reserving.exception() is not None:
            return
        granted = reserving.result()
        if not isinstance(granted, Refused):
            for each in granted.values():
                await self.ledger.refund(each.reservation)

    async def _with_tokens_left(self, branches: Sequence[Branch]) -> list[Call]:
        """The branches as calls; those that a crash caught exactly at their limit end here."""
        calls = [self.recorder.state.tree.call(branch) for branch in branches]
        for call in calls:
            if call.max_tokens <= 0:
                end = Grown(call.branch.id, len(call.grown), Step(""), Usage(), Finish.LENGTH)
                await self.recorder.record(NodeGrown(end))
        return [call for call in calls if call.max_tokens > 0]

    async def _reserve(self, calls: Sequence[Call]) -> "dict[BranchId, InFlight] | Refused":
        """As many of the calls as fit in the budget, or one of them cut to what is left."""
        granted = await self.ledger.reserve_up_to([self._quote(call) for call in calls])
        if granted.reservations or granted.refused is None:
            return {
                call.branch.id: InFlight(call, reservation)
                for call, reservation in zip(calls, granted.reservations, strict=False)
            }
        tokens = self._affordable(calls[0], await self.ledger.headroom())
        if not tokens:
            return granted.refused
        cut = calls[0].cut_to(tokens)
        claim = await self.ledger.reserve(self._quote(cut))
        return claim if isinstance(claim, Refused) else {cut.branch.id: InFlight(cut, claim)}

    def _affordable(self, call: Call, headroom: Headroom) -> int:
        """The tokens that the call may generate at most for what is left, of every kind."""

        def is_too_much(tokens: int) -> bool:
            worst = self._quote(call.cut_to(tokens))
            lefts = ((axis, headroom.on(axis)) for axis in Limit)
            return any(left is not None and amount(worst, axis) > left for axis, left in lefts)

        return bisect_left(range(1, call.max_tokens + 1), x=True, key=is_too_much)

    def _quote(self, call: Call) -> Usage:
        return replace(self.policy.quote(call), calls=1, seconds=0.0)

    async def _fly(self, flight: dict[BranchId, InFlight], seconds: float | None) -> bool:
        """Take in all that the calls yield; False if time was up before."""
        calls = [each.call for each in flight.values()]
        stream = attributed(self.policy.expand(calls), self._what)
        try:
            async with aclosing(until(stream, self.clock, seconds)) as outcomes:
                await self._take_in(outcomes, flight)
        except DeadlinePassedError:
            return False
        except (BadInputError, LedgerError, StoreError):
            raise
        except MullError as error:
            if _is_cancelled():  # and this is what the policy makes of it
                raise asyncio.CancelledError from error
            await self._fail_rest(flight, error)
        finally:
            try:
                with suppress(PolicyError):  # nothing is lost that was asked for
                    await stream.aclose()
            finally:
                await self._discard(flight)
        return True

    async def _take_in(
        self, outcomes: AsyncGenerator[Outcome, None], flight: dict[BranchId, InFlight]
    ) -> None:
        what = self._what
        while flight:
            outcome = await anext(outcomes, None)
            if outcome is None:
                raise PolicyError(f"{what} ended its stream early", retryable=True)
            each = flight.get(outcome.branch_id)
            if each is None or not self._is_next(outcome):
                raise PolicyError(f"{what} sent what it was not asked for: {outcome}")
            if await self._take(outcome, each):
                del flight[outcome.branch_id]
                await self.ledger.settle(each.reservation, each.spent)
                self.arrived.set()

    def _is_next(self, outcome: Outcome) -> bool:
        tree = self.recorder.state.tree
        return not isinstance(outcome, Grown) or outcome.index == len(tree.chain(outcome.branch_id))

    async def _take(self, outcome: Outcome, each: InFlight) -> bool:
        """Record one outcome; True if its call is over."""
        match outcome:
            case Delta():
                each.num_loose += outcome.num_tokens
                each.is_made = True
                if outcome.text:
                    self.recorder.show(outcome)
                return False
            case Grown():
                counted = each.counted(outcome.usage)
                finish = each.finish_of(outcome)
                each.num_loose = 0
                await self.recorder.record(
                    NodeGrown(replace(outcome, usage=counted, finish=finish))
                )
                is_over = finish is not None
            case Failed():
                counted = each.counted(outcome.usage)
                await self.recorder.record(BranchFailed(replace(outcome, usage=counted)))
                is_over = True
        each.spent += counted
        return is_over

    async def _fail_rest(self, flight: dict[BranchId, InFlight], error: MullError) -> None:
        """The stream broke: each branch it left open has failed."""
        retryable = isinstance(error, PolicyError) and error.retryable
        for branch_id, each in list(flight.items()):
            lost = self._lost(each)
            await self._take(Failed(branch_id, error.message, lost, retryable), each)
            del flight[branch_id]
            await self.ledger.settle(each.reservation, each.spent)

    async def _discard(self, flight: dict[BranchId, InFlight]) -> None:
        """The calls were cut off: settle them with what streamed; their branches stay open."""
        losses = list[Usage]()
        for each in flight.values():
            losses.append(each.counted(self._lost(each)))
            with suppress(OverrunError):  # it stays on record in the ledger
                await self.ledger.settle(each.reservation, each.spent + losses[-1])
        flight.clear()
        for lost in losses:
            await self.recorder.record(Charged(lost, ChargeReason.DISCARDED))

    def _lost(self, each: InFlight) -> Usage:
        """What streamed of a step that will never be complete, at the price that was quoted.

        A call that was made and has said nothing yet costs its prompt.
        """
        if not each.is_made:
            return Usage()
        money = self._quote(each.call.cut_to(each.num_loose)).money_usd
        if each.spent.calls:  # a step was reported, and with it the price of the prompt
            money -= self._quote(each.call.cut_to(0)).money_usd
        return Usage(discarded_tokens=each.num_loose, money_usd=money)


def _is_cancelled() -> bool:
    """Whether this task was told to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
