import asyncio

from mull.core.clock import Clock, SystemClock, VirtualClock


async def test_virtual_time_jumps_in_order() -> None:
    clock, order = VirtualClock(), list[tuple[float, float]]()

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        order.append((seconds, clock.now()))
        await clock.sleep(10.0)

    await asyncio.gather(*(sleeper(seconds) for seconds in (3.0, 1.0, 2.0, 1.0)))
    assert order == [(1.0, 1.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]
    assert clock.now() == 13.0


async def test_a_cancelled_sleeper_does_not_hold_time_back() -> None:
    clock = VirtualClock()
    early = asyncio.create_task(clock.sleep(1.0))
    await asyncio.sleep(0)
    early.cancel()
    await clock.sleep(5.0)
    assert clock.now() == 5.0


async def test_system_time_passes_by_itself() -> None:
    clock: Clock = SystemClock()
    before = clock.now()
    await clock.sleep(0.002)
    assert clock.now() - before >= 0.002
