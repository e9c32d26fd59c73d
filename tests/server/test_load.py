"""More asked than can be done: the quick are not kept, searches shrink, the rest is refused."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from server.serving import GAME, SUM, WRONG, Served, scripted, serving

from mull.server import Load


async def ask(served: Served, **fields: Any) -> Any:
    given: dict[str, Any] = {"model": "toy", "messages": [{"role": "user", "content": SUM}]}
    async with served.client() as client:
        create: Any = client.chat.completions.create
        return await create(**{**given, **fields})


async def test_a_quick_request_is_not_kept_by_a_search_of_64() -> None:
    """The drill in which one 64-sample request kept a quick one for 5.8 s instead of 0.2 s."""
    policy = scripted({SUM: ["4"], GAME: [WRONG]}, seconds=0.2)
    async with serving(policy, slots=16) as served:
        start = time.monotonic()
        await ask(served)
        alone = time.monotonic() - start
        search = asyncio.create_task(
            ask(served, model="bon-64-toy", messages=[{"role": "user", "content": GAME}])
        )
        await asyncio.sleep(0.1)
        start = time.monotonic()
        await ask(served, service_tier="priority")
        behind = time.monotonic() - start
        assert not search.done()
        await search
    assert behind <= 2 * alone + 0.1, f"{behind:.2f} s behind a search, {alone:.2f} s alone"


@asynccontextmanager
async def busy(served: Served) -> AsyncGenerator[None, None]:
    """A search of 90 calls on its way, for as long as the block lasts."""
    first = asyncio.create_task(ask(served, model="bon-90-toy", max_tokens=30))
    scheduler = served.gateway.solves.schedulers["toy"]
    async with asyncio.timeout(10):
        while scheduler.tokens_per_second is None:
            await asyncio.sleep(0.05)
    yield
    first.cancel()
    await asyncio.wait({first})


async def test_under_load_a_search_gets_less_before_anybody_is_refused() -> None:
    policy = scripted({SUM: ["word " * 20]}, seconds=0.2)
    load = Load(shrinks_at=0.5, refuses_at=1e9)
    async with serving(policy, slots=2, load=load) as served, busy(served):
        assert served.gateway.solves.schedulers["toy"].backlog_seconds > load.shrinks_at
        small = await ask(served, model="sc-9-toy", max_tokens=30, service_tier="priority")
    assert small.mull["stop"] == "budget_tokens"
    assert small.choices[0].finish_reason == "length"
    assert 20 <= small.usage.completion_tokens < 9 * 21


async def test_a_queue_that_is_too_long_refuses_with_the_time_to_come_back() -> None:
    policy = scripted({SUM: ["word " * 20]}, seconds=0.2)
    for load in (Load(refuses_at=0.5), Load(max_waiting=5)):
        async with serving(policy, slots=2, load=load) as served, busy(served):
            others = [asyncio.create_task(ask(served)) for _ in range(20)]
            await asyncio.sleep(0.3)
            with pytest.raises(openai.RateLimitError, match="calls wait") as caught:
                await ask(served)
            assert int(caught.value.response.headers["retry-after"]) >= 1
            for each in others:
                each.cancel()
            await asyncio.gather(*others, return_exceptions=True)


async def test_a_long_search_makes_nobody_too_many() -> None:
    """However long it would take alone: whoever comes is served before its later calls."""
    policy = scripted({SUM: ["word " * 20]}, seconds=0.2)
    async with serving(policy, slots=2, load=Load(refuses_at=2)) as served, busy(served):
        scheduler = served.gateway.solves.schedulers["toy"]
        assert scheduler.backlog_seconds > 2
        assert (await ask(served)).choices[0].finish_reason == "stop"
        assert (await ask(served, service_tier="priority")).choices[0].finish_reason == "stop"
