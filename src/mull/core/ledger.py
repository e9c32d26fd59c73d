"""Hard caps on spending, kept by reserving the worst case before the call.

`reserve` takes the worst case out of what is left, `settle` replaces it by what was really spent.
At every level spent + reserved never passes the cap. A ledger may have a parent (a request under
its key under its tenant), and a reservation then holds at every level or at none.

Safe under asyncio concurrency: a level takes its own share before it awaits its parent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from mull.core.errors import LedgerError, OverrunError
from mull.core.usage import Budget, Headroom, Limit, Usage, amount

_ROUNDING: Final = 1e-9
"""Relative: a sum of many small prices may differ this much from the price of the sum."""
_AXES: Final = tuple(Limit)


class Bound(StrEnum):
    """How much a quoted worst case is worth."""

    HARD = "hard"
    """No call can spend more than it quoted; one that does is a defect."""
    SOFT = "soft"
    """The provider promises no bound: spending beyond the quote is recorded, and a cap may be
    passed by it."""


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """A claim on a ledger, worth `worst`, until it is settled. Compared by identity."""

    worst: Usage
    upstream: "Reservation | None" = None
    """The same claim on the parent."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The worst case does not fit."""

    limit: Limit
    level: str
    """The name of the ledger whose limit it is."""


@dataclass(frozen=True, slots=True)
class Granted:
    """As many of a wave's worst cases as fit, from the first on."""

    reservations: tuple[Reservation, ...]
    refused: Refused | None
    """Why the next one did not fit; None if all did."""


class Account(Protocol):
    """What a ledger needs of its parent, which may live in another process."""

    async def reserve(self, worst: Usage) -> Reservation | Refused:
        """Claim the worst case of a call here and above, or nowhere."""
        ...

    async def settle(self, reservation: Reservation, actual: Usage) -> None:
        """Replace a claim by what was spent."""
        ...

    async def charge(self, actual: Usage) -> None:
        """Record spending that could not be reserved."""
        ...

    async def headroom(self) -> Headroom:
        """What may still be reserved, at the tightest level of each axis."""
        ...


@dataclass(slots=True)
class Ledger:
    """What one level has spent and promised. Its solve (or tenant) owns it; others only read."""

    budget: Budget = Budget()
    parent: Account | None = None
    name: str = "solve"
    bound: Bound = Bound.HARD
    spent: Usage = Usage()
    overrun: Usage = Usage()
    """The part of `spent` by calls that spent more than they had reserved."""
    _reserved: dict[Limit, float] = field(default_factory=lambda: dict.fromkeys(Limit, 0))
    _num_claims: int = 0
    """Open reservations and those that still wait for the parent's answer."""
    _open: set[Reservation] = field(default_factory=set[Reservation])

    def reserved(self, limit: Limit) -> float:
        """What open reservations may still spend on one axis."""
        return self._reserved[limit]

    @property
    def num_open(self) -> int:
        """Reservations neither settled nor refunded."""
        return len(self._open)

    async def headroom(self) -> Headroom:
        """What may still be reserved, at the tightest level of each axis."""
        own = Headroom(
            **{
                axis.value: None if left is None else max(0.0, left - self._reserved[axis])
                for axis in Limit
                for left in (self.budget.left_after(self.spent).on(axis),)
            }
        )
        return own if self.parent is None else own.meet(await self.parent.headroom())

    async def reserve(self, worst: Usage) -> Reservation | Refused:
        """Claim the worst case here and at every level above, or nowhere."""
        short = self._short_of(worst)
        if short is not None:
            return Refused(short, self.name)
        # Claimed before the parent is awaited: meanwhile nobody else can be granted the same room.
        self._claim(worst, sign=1)
        answer: Reservation | Refused | None = None
        try:
            answer = await self._reserve_above(worst)
            return answer
        finally:
            if isinstance(answer, Reservation):
                self._open.add(answer)
            else:  # refused above, or cancelled while the parent was thinking
                self._claim(worst, sign=-1)

    async def _reserve_above(self, worst: Usage) -> Reservation | Refused:
        if self.parent is None:
            return Reservation(worst)
        upstream = await self.parent.reserve(worst)
        return upstream if isinstance(upstream, Refused) else Reservation(worst, upstream)

    async def reserve_up_to(self, worsts: Sequence[Usage]) -> Granted:
        """Claim a wave's worst cases from the first on, until one does not fit."""
        reservations, granted = list[Reservation](), None
        try:
            granted = await self._reserve_each(worsts, reservations)
            return granted
        finally:
            if granted is None:  # cancelled: nobody will ever settle what was granted so far
                for reservation in reservations:
                    await self.refund(reservation)

    async def _reserve_each(self, worsts: Sequence[Usage], into: list[Reservation]) -> Granted:
        for worst in worsts:
            answer = await self.reserve(worst)
            if isinstance(answer, Refused):
                return Granted(tuple(into), answer)
            into.append(answer)
        return Granted(tuple(into), None)

    async def settle(self, reservation: Reservation, actual: Usage) -> None:
        """Replace a claim by what was spent.

        Spending beyond the claim is recorded in full and added to `overrun`; if the bound is hard
        it then raises `OverrunError`. Settling twice raises `LedgerError`.
        """
        if reservation not in self._open:
            raise LedgerError(f"ledger `{self.name}` holds no such open reservation")
        self._open.remove(reservation)
        self._claim(reservation.worst, sign=-1)
        self.spent += actual
        beyond = [axis for axis in self.budget.limited if _beyond(actual, reservation.worst, axis)]
        if beyond:
            self.overrun += actual
        if self.parent is not None and reservation.upstream is not None:
            await self.parent.settle(reservation.upstream, actual)
        if beyond and self.bound is Bound.HARD:
            axis = beyond[0]
            raise OverrunError(
                f"a call spent {amount(actual, axis)} {axis.value}, but had reserved only "
                f"{amount(reservation.worst, axis)}"
            )

    async def refund(self, reservation: Reservation) -> None:
        """Give a claim back of which nothing was spent."""
        await self.settle(reservation, Usage())

    async def charge(self, actual: Usage) -> None:
        """Record what could not be reserved: time that has passed."""
        self.spent += actual
        if self.parent is not None:
            await self.parent.charge(actual)

    def check(self) -> None:
        """Raise AssertionError if claims and open reservations disagree."""
        for axis in Limit:
            open_sum = sum(amount(claim.worst, axis) for claim in self._open)
            scale = max(1.0, open_sum, amount(self.spent, axis))
            if abs(open_sum - self._reserved[axis]) > _ROUNDING * scale:
                raise AssertionError(f"`{axis}`: {self._reserved[axis]} reserved, {open_sum} open")

    def _short_of(self, worst: Usage) -> Limit | None:
        """The first axis on which the worst case passes the cap."""
        for axis in self.budget.limited:
            left = (self.budget.cap(axis) or 0) - amount(self.spent, axis) - self._reserved[axis]
            # Time may have passed its cap; that must not refuse what costs nothing.
            if amount(worst, axis) > max(0.0, left):
                return axis
        return None

    def _claim(self, worst: Usage, *, sign: int) -> None:
        self._num_claims += sign
        for axis in _AXES:
            # Floats do not cancel exactly, but without a claim the sum is zero by definition.
            held = self._reserved[axis] + sign * amount(worst, axis)
            self._reserved[axis] = held if self._num_claims else 0


def _beyond(actual: Usage, worst: Usage, axis: Limit) -> bool:
    """Time is charged as it passes, never reserved, so it cannot overrun a claim."""
    worst_amount = amount(worst, axis) * (1 + _ROUNDING)
    return axis is not Limit.SECONDS and amount(actual, axis) > worst_amount
