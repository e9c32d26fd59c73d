import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.errors import LedgerError, OverrunError
from mull.core.ledger import Bound, Ledger, Refused, Reservation
from mull.core.usage import Budget, Headroom, Limit, Usage, amount

TEN = Usage(visible_tokens=10, calls=1)


async def claimed(ledger: Ledger, worst: Usage) -> Reservation:
    claim = await ledger.reserve(worst)
    assert isinstance(claim, Reservation)
    return claim


async def test_a_claim_that_does_not_fit_names_the_limit_and_the_level() -> None:
    ledger = Ledger(Budget(max_tokens=15), name="request")
    await claimed(ledger, TEN)
    assert await ledger.reserve(TEN) == Refused(Limit.TOKENS, "request")


async def test_a_limit_that_is_passed_refuses_only_what_would_spend_more_of_it() -> None:
    ledger = Ledger(Budget(max_seconds=1.0, max_tokens=10))
    await ledger.charge(Usage(seconds=1.5))
    await claimed(ledger, Usage())
    assert await ledger.reserve(Usage(seconds=0.1)) == Refused(Limit.SECONDS, "solve")


async def test_settling_gives_back_what_was_not_spent() -> None:
    ledger = Ledger(Budget(max_tokens=15))
    await ledger.settle(await claimed(ledger, TEN), Usage(visible_tokens=3, calls=1))
    assert await ledger.headroom() == Headroom(tokens=12)
    assert (ledger.spent.visible_tokens, ledger.num_open) == (3, 0)
    await ledger.refund(await claimed(ledger, TEN))
    assert (await ledger.headroom()).tokens == 12


async def test_a_wave_is_cut_to_what_fits() -> None:
    granted = await Ledger(Budget(max_tokens=35)).reserve_up_to([TEN] * 5)
    assert len(granted.reservations) == 3
    assert granted.refused == Refused(Limit.TOKENS, "solve")


async def test_a_refusal_upstairs_leaves_no_claim_below() -> None:
    tenant = Ledger(Budget(max_calls=1), name="tenant")
    request = Ledger(Budget(max_tokens=100), tenant, name="request")
    await claimed(request, TEN)
    assert await request.reserve(TEN) == Refused(Limit.CALLS, "tenant")
    assert request.reserved(Limit.TOKENS) == 10
    assert await request.headroom() == Headroom(tokens=90, calls=0)
    assert (await request.headroom()).exhausted is Limit.CALLS


async def test_spending_reaches_every_level() -> None:
    tenant = Ledger(Budget(max_tokens=100), name="tenant")
    key = Ledger(Budget(max_tokens=90), tenant, name="key")
    request = Ledger(Budget(max_tokens=80), key, name="request")
    await request.settle(await claimed(request, TEN), Usage(visible_tokens=4))
    await request.charge(Usage(seconds=2.0))
    for level in (tenant, key, request):
        assert level.spent == Usage(visible_tokens=4, seconds=2.0)
        assert level.num_open == 0


async def test_a_call_beyond_its_quote_is_recorded_and_an_error_where_the_bound_is_hard() -> None:
    tenant = Ledger(Budget(max_tokens=100), name="tenant")
    ledger = Ledger(Budget(max_tokens=100), tenant)
    claim = await claimed(ledger, TEN)
    with pytest.raises(OverrunError, match="11 tokens"):
        await ledger.settle(claim, Usage(visible_tokens=11, calls=1))
    assert ledger.spent.visible_tokens == tenant.spent.visible_tokens == 11
    assert ledger.overrun.visible_tokens == 11


async def test_a_soft_bound_records_and_goes_on() -> None:
    ledger = Ledger(Budget(max_tokens=10), bound=Bound.SOFT)
    await ledger.settle(await claimed(ledger, TEN), Usage(visible_tokens=12))
    assert ledger.overrun.visible_tokens == 12
    assert (await ledger.headroom()).tokens == 0


async def test_a_claim_is_settled_once() -> None:
    ledger = Ledger()
    claim = await claimed(ledger, TEN)
    await ledger.refund(claim)
    with pytest.raises(LedgerError, match="no such open reservation"):
        await ledger.settle(claim, TEN)


async def test_check_finds_a_claim_nobody_holds() -> None:
    ledger = Ledger()
    await claimed(ledger, TEN)
    ledger.check()
    ledger._open.clear()  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(AssertionError, match=r"`tokens`: 10 reserved, 0 open"):
        ledger.check()


class SlowParent(Ledger):
    """A parent in another process: every answer takes a turn of the event loop."""

    async def reserve(self, worst: Usage) -> Reservation | Refused:
        await asyncio.sleep(0)
        return await super().reserve(worst)


async def test_a_cancel_while_the_parent_thinks_leaves_nothing_reserved() -> None:
    ledger = Ledger(Budget(max_tokens=100), SlowParent(Budget(max_tokens=100)))
    wave = asyncio.create_task(ledger.reserve_up_to([TEN] * 9))
    for _ in range(4):
        await asyncio.sleep(0)
    assert ledger.reserved(Limit.TOKENS) > 0
    wave.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wave
    assert ledger.reserved(Limit.TOKENS) == 0
    ledger.check()


usages = st.builds(
    Usage,
    visible_tokens=st.integers(0, 40),
    verifier_tokens=st.integers(0, 9),
    calls=st.integers(0, 2),
    money_usd=st.sampled_from([0.0, 0.1, 0.2, 0.7]),
)


@given(st.lists(st.tuples(st.sampled_from(["reserve", "settle", "refund"]), usages), max_size=80))
async def test_no_sequence_of_calls_passes_a_cap_at_any_level(
    calls: list[tuple[str, Usage]],
) -> None:
    tenant = SlowParent(Budget(max_tokens=150, max_money_usd=1.5), name="tenant")
    request = Ledger(Budget(max_tokens=200, max_calls=9), tenant)
    held = list[Reservation]()
    for verb, usage in calls:
        if verb == "reserve":
            claim = await request.reserve(usage)
            held += [claim] if isinstance(claim, Reservation) else []
        elif held:
            claim = held.pop()
            actual = Usage() if verb == "refund" else within(usage, claim.worst)
            await request.settle(claim, actual)
        for level in (tenant, request):
            level.check()
            assert_below_caps(level)
    assert request.num_open == tenant.num_open == len(held)


def within(usage: Usage, worst: Usage) -> Usage:
    """As much of `usage` as the worst case allows."""
    tokens = min(usage.visible_tokens, worst.visible_tokens)
    return replace(worst, visible_tokens=tokens, money_usd=min(usage.money_usd, worst.money_usd))


def assert_below_caps(level: Ledger) -> None:
    for axis in Limit:
        cap = level.budget.cap(axis)
        if cap is not None:
            assert amount(level.spent, axis) + level.reserved(axis) <= cap + 1e-9


async def test_rounding_of_many_small_prices_is_no_overrun() -> None:
    ledger = Ledger(Budget(max_money_usd=1.0))
    claim = await claimed(ledger, Usage(money_usd=15 * 0.001))
    actual = sum((Usage(money_usd=0.001) for _ in range(15)), Usage())
    assert actual.money_usd > 15 * 0.001
    await ledger.settle(claim, actual)
    assert ledger.overrun == Usage()
    assert ledger.reserved(Limit.MONEY_USD) == 0
