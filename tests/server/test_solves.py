"""Solves as things of their own: looked at, followed, cancelled, extended, resumed, drained."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from server.serving import GAME, RIGHT, SUM, WRONG, Served, scripted, serving

from mull.core.events import NodeGrown
from mull.core.journal import MemoryJournal
from mull.store import SqliteJournal

LONG = "a line\n" * 30


async def call(served: Served, method: str, path: str, **options: Any) -> tuple[int, Any]:
    url = f"{served.url}/v1/solves/{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, **options) as response,
    ):
        return response.status, await response.json()


async def started(served: Served, **fields: Any) -> str:
    """Begin a solve by a stream that is then left open; its id."""
    url = f"{served.url}/v1/chat/completions"
    body = {"model": "toy", "stream": True, "messages": [{"role": "user", "content": SUM}]}
    session = aiohttp.ClientSession()
    response = await session.post(url, json={**body, **fields})
    _open.append((session, response))
    return response.headers["x-mull-solve"]


_open: list[tuple[aiohttp.ClientSession, aiohttp.ClientResponse]] = []


@pytest.fixture(autouse=True)
async def closed() -> Any:
    yield
    while _open:
        session, response = _open.pop()
        response.close()
        await session.close()


async def test_a_solve_can_be_looked_at_while_it_runs_and_when_it_has_ended() -> None:
    async with serving(scripted({SUM: [LONG]}, seconds=0.01)) as served:
        solve_id = await started(served)
        await asyncio.sleep(0.05)
        status, running = await call(served, "GET", solve_id)
        assert (status, running["status"], running["stop"]) == (200, "running", None)
        await served.gateway.solves.live[solve_id].solution()
        await asyncio.sleep(0)
        _, ended = await call(served, "GET", solve_id)
        _, tree = await call(served, "GET", f"{solve_id}/tree")
    assert (ended["status"], ended["stop"], ended["branches"]) == ("ended", "completed", 1)
    assert ended["usage"]["calls"] == 1
    assert len(tree["nodes"]) == ended["nodes"] == 32
    assert tree["nodes"][1]["inputs"] == [tree["nodes"][0]["id"]]


async def test_an_unknown_solve_is_a_404() -> None:
    async with serving(scripted({SUM: ["4"]})) as served:
        for method, path in (("GET", "x"), ("GET", "x/events"), ("POST", "x/cancel")):
            status, body = await call(served, method, path)
            assert (status, body["error"]["code"]) == (404, "solve_not_found")


def read_events(raw: str) -> list[tuple[int, str, Any]]:
    found = list[tuple[int, str, Any]]()
    for block in raw.strip().split("\n\n"):
        if block.startswith(":"):
            continue
        number, name, data = (line.partition(": ")[2] for line in block.split("\n"))
        found.append((int(number), name, json.loads(data)))
    return found


async def test_the_events_of_a_solve_are_all_told_once_in_order_whenever_one_comes() -> None:
    journal = MemoryJournal()
    async with serving(scripted({SUM: [LONG]}, seconds=0.005), journal=journal) as served:
        solve_id = await started(served)
        await asyncio.sleep(0.05)
        url = f"{served.url}/v1/solves/{solve_id}/events"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                midway = read_events(await response.text())
            async with session.get(url) as response:
                after = read_events(await response.text())
            async with session.get(url, headers={"last-event-id": "4"}) as response:
                rest = read_events(await response.text())
    assert [number for number, _, _ in midway] == list(range(len(journal.traces[solve_id])))
    assert midway == after
    assert rest == after[5:]
    assert [after[0][1], after[-1][1]] == ["solve_started", "solve_ended"]


async def test_a_cancelled_solve_ends_with_the_best_it_has() -> None:
    replies = {GAME: [RIGHT, LONG]}
    async with serving(scripted(replies, seconds=0.02)) as served:
        game = [{"role": "user", "content": GAME}]
        solve_id = await started(served, model="bon-2-toy", messages=game)
        await asyncio.sleep(0.2)
        _, solve = await call(served, "POST", f"{solve_id}/cancel")
        assert (solve["status"], solve["stop"]) == ("ended", "cancelled")
        assert solve["answer"] == f"{RIGHT} = 24"
        _, again = await call(served, "POST", f"{solve_id}/cancel")
        assert again["stop"] == "cancelled"
        assert not served.gateway.solves.live


async def test_a_solve_that_ran_out_of_budget_goes_on_with_more() -> None:
    replies = {GAME: [WRONG, WRONG, RIGHT]}
    journal = MemoryJournal()
    async with serving(scripted(replies), journal=journal) as served, served.client() as client:
        fields = {"strategy": "early_stop", "width": 1, "n": 9, "budget": {"tokens": 9}}
        short: Any = await client.chat.completions.create(
            model="toy",
            messages=[{"role": "user", "content": GAME}],
            extra_body={"mull": fields},
        )
        solve_id = short.mull["solve_id"]
        assert short.mull["stop"] == "budget_tokens"
        status, refused = await call(
            served, "POST", f"{solve_id}/extend", json={"budget": {"money": 1}}
        )
        assert (status, refused["error"]["param"]) == (400, "budget.money")
        _, solve = await call(served, "POST", f"{solve_id}/extend", json={"budget": {"tokens": 99}})
        assert solve["budget"]["tokens"] == 108
        async with asyncio.timeout(5):
            while (await call(served, "GET", solve_id))[1]["status"] == "running":
                await asyncio.sleep(0.01)
        _, solve = await call(served, "GET", solve_id)
    assert (solve["stop"], solve["answer"]) == ("accepted", f"{RIGHT} = 24")
    first = [each for each in journal.traces[solve_id] if isinstance(each, NodeGrown)]
    assert len(first) == solve["nodes"] - 1, "nothing was grown twice"


async def test_a_server_that_ends_leaves_its_solves_to_the_next_one(tmp_path: Path) -> None:
    """The next server's answer is that of a server that was never interrupted."""
    policy = scripted({SUM: [LONG]}, seconds=0.01)
    path = tmp_path / "served.db"
    headers = {"idempotency-key": "once"}

    async def ask(client: openai.AsyncOpenAI) -> Any:
        return await client.chat.completions.create(
            model="toy", messages=[{"role": "user", "content": SUM}], extra_headers=headers, seed=1
        )

    async with (
        SqliteJournal(path) as journal,
        serving(policy, journal=journal) as served,
        served.client() as client,
    ):
        asking = asyncio.create_task(ask(client))
        while not served.gateway.solves.live:  # a busy machine takes its time to connect
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.25)
        await served.gateway.solves.drain(0)
        with pytest.raises(openai.InternalServerError, match="shut down") as caught:
            await asking
        assert caught.value.response.headers["retry-after"] == "5"
        with pytest.raises(openai.InternalServerError, match="shutting down"):
            await ask(client)
        (summary,) = await journal.solves()
        assert summary.stop is None
        num_kept = len(await journal.load(summary.solve_id))
    async with (
        SqliteJournal(path) as journal,
        serving(policy, journal=journal) as served,
        served.client() as client,
    ):
        assert await served.gateway.solves.resume_open() == 1
        answer = await ask(client)
        (summary,) = await journal.solves()
        events = await journal.load(summary.solve_id)
    assert answer.choices[0].message.content == LONG.strip()
    assert summary.stop == "completed"
    nodes = [each.grown.index for each in events if isinstance(each, NodeGrown)]
    assert nodes == list(range(31)), "every step once"
    assert num_kept > 5


async def test_a_number_of_an_event_that_nobody_can_count_to_is_refused() -> None:
    async with serving(scripted({SUM: ["4"]})) as served, served.client() as client:
        answer: Any = await client.chat.completions.create(
            model="bon-1-toy", messages=[{"role": "user", "content": SUM}]
        )
        headers = {"last-event-id": "9" * 5_000}
        path = f"{answer.mull['solve_id']}/events"
        status, told = await call(served, "GET", path, headers=headers)
    assert (status, told["error"]["param"]) == (400, "last-event-id")
