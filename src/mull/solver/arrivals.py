"""Looking at a wave while it grows."""

import asyncio
from collections.abc import Awaitable, Callable

from mull.core.ledger import Refused
from mull.solver.growth import Growth
from mull.solver.stream import ended


async def grow_watched(growth: Growth, is_enough: Callable[[], Awaitable[bool]]) -> Refused | None:
    """Grow, and ask whenever a branch is over; once it is enough, stop in the middle of the rest.

    `is_enough` may take its time: branches grow on meanwhile, and those that end are looked at
    together. It is asked first of all, for what an earlier process saw.
    """
    if await is_enough():
        return None
    growing = asyncio.ensure_future(_grow(growth))
    try:
        while True:
            await growth.arrived.wait()
            growth.arrived.clear()
            if growing.done():
                return growing.result()
            if await is_enough():
                break
    finally:
        await ended(growing)
    if not growing.cancelled():
        growing.result()  # it may have broken meanwhile
    return None


async def _grow(growth: Growth) -> Refused | None:
    try:
        return await growth.grow()
    finally:
        growth.arrived.set()
