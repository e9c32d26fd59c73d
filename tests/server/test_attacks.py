"""What a client may not do to the server, its owner or another client."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai
import pytest
from server.serving import GAME, RIGHT, SUM, WRONG, Served, before, scripted, serving
from servers.fake import fake_server, refuses, resets

from mull.core.journal import MemoryJournal
from mull.server import Load

ASKED = [{"role": "user", "content": SUM}]


async def raw(served: Served, *parts: bytes, pause: float) -> bytes:
    """What comes back when a request comes in pieces."""
    place = urlsplit(served.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("parts", [(), (b"GET /health HTT",), (b"GET / HTTP/1.1\r\nx: ", b"y")])
async def test_a_head_that_does_not_end_loses_its_connection(parts: tuple[bytes, ...]) -> None:
    async with serving(scripted({}), head_seconds=0.2) as served:
        assert await raw(served, *parts, pause=0.15) == b""


async def test_a_head_without_bounds_loses_its_connection() -> None:
    lines = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(100))
    async with serving(scripted({})) as served:
        assert await raw(served, b"GET /health HTTP/1.1\r\n", lines, pause=0.01) == b""


async def test_a_connection_that_asks_again_in_time_is_kept() -> None:
    asked = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    async with serving(scripted({}), head_seconds=0.3) as served:
        last = asked.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        answers = await raw(served, asked, asked, last, pause=0.25)
    assert answers.count(b"200 OK") == 3


async def test_a_body_that_does_not_come_is_refused() -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 100\r\n\r\n{"
    async with serving(scripted({}), load=Load(body_seconds=0.1)) as served:
        answer = await raw(served, head, pause=0.2)
    assert b" 408 " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "slow_body"


@pytest.mark.parametrize("path", ["chat/completions", "messages", "responses", "verify"])
async def test_json_of_any_depth_is_answered(path: str) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = b'{"model":"toy","max_tokens":9,"messages":%s,"input":%s,"tools":%s}' % ((deep,) * 3)
    async with (
        serving(scripted({SUM: ["4"]})) as served,
        aiohttp.ClientSession() as session,
        session.post(f"{served.url}/v1/{path}", data=body) as response,
    ):
        assert response.status == 400


@pytest.mark.parametrize("model", ["far", "bon-2-far"])
@pytest.mark.parametrize("fault", ["resets", "refuses"])
async def test_no_error_says_where_the_model_stands(model: str, fault: str) -> None:
    faults = {"resets": resets(), "refuses": refuses(500, "at http://10.1.2.3:80/v1 I broke")}
    async with fake_server(faults[fault]) as upstream, before(upstream) as (client, gateway):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model=model, messages=ASKED)  # pyright: ignore[reportArgumentType]
        told = [caught.value.response.text]
        for summary in await gateway.solves.journal.solves():
            root = str(client.base_url).rstrip("/")
            for path in ("", "/events", "/tree"):
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"{root}/solves/{summary.solve_id}{path}") as response,
                ):
                    told.append(await response.text())
        place = urlsplit(upstream.url).netloc
    for text in told:
        assert place not in text
        assert "127.0.0.1" not in text
        assert "10.1.2.3" not in text


async def test_of_two_who_extend_at_once_one_is_told_that_it_was_too_late() -> None:
    replies = {GAME: [WRONG] * 50}
    fields = {"strategy": "early_stop", "width": 1, "n": 30, "budget": {"tokens": 9}}
    async with (
        serving(scripted(replies, seconds=0.01)) as served,
        served.client() as client,
        aiohttp.ClientSession() as session,
    ):
        create: Any = client.chat.completions.create
        short = await create(
            model="toy",
            messages=[{"role": "user", "content": GAME}],
            extra_body={"mull": fields},
        )
        url = f"{served.url}/v1/solves/{short.mull['solve_id']}"

        async def extend() -> int:
            more = {"budget": {"tokens": 40}}
            async with session.post(f"{url}/extend", json=more) as response:
                return response.status

        assert sorted(await asyncio.gather(*(extend() for _ in range(4)))) == [200, 409, 409, 409]
        async with session.get(url) as response:
            assert (await response.json())["budget"]["tokens"] == 49


async def test_a_key_that_is_used_for_another_request_wakes_nothing() -> None:
    """The first request's solve stays as its server left it."""
    journal, headers = MemoryJournal(), {"idempotency-key": "once"}
    policy = scripted({SUM: ["a line\n" * 30], GAME: [RIGHT]}, seconds=0.02)
    async with serving(policy, journal=journal) as served, served.client() as client:
        create: Any = client.chat.completions.create
        asking = asyncio.create_task(create(model="toy", messages=ASKED, extra_headers=headers))
        await asyncio.sleep(0.2)
        await served.gateway.solves.drain(0)
        with pytest.raises(openai.InternalServerError):
            await asking
    (summary,) = await journal.solves()
    num_kept = len(await journal.load(summary.solve_id))
    async with serving(policy, journal=journal) as served, served.client() as client:
        with pytest.raises(openai.UnprocessableEntityError, match="Idempotency-Key"):
            await client.chat.completions.create(
                model="toy", messages=[{"role": "user", "content": GAME}], extra_headers=headers
            )
        assert not served.gateway.solves.live
    assert len(await journal.load(summary.solve_id)) == num_kept


async def test_answers_are_judged_in_turn() -> None:
    """A few of one client's thousand, then who came later with one."""
    done = list[int]()
    async with serving(scripted({})) as served, aiohttp.ClientSession() as session:

        async def verify(number: int) -> None:
            body = {"problem": GAME, "answers": [RIGHT, WRONG] * (number // 2), "verifier": "auto"}
            async with session.post(f"{served.url}/v1/verify", json=body) as response:
                verdicts = (await response.json())["verdicts"]
            assert [each["verdict"] for each in verdicts[:2]] == ["accept", "reject"]
            assert len(verdicts) == number
            done.append(number)

        many = [asyncio.create_task(verify(1024)) for _ in range(6)]
        await asyncio.sleep(0.02)
        await asyncio.gather(verify(2), *many)
        queue = served.gateway.checks.queue
        assert (queue.num_running, queue.num_waiting) == (0, 0)
    assert done[0] == 2


async def test_answers_are_refused_where_too_many_wait() -> None:
    load = Load(max_waiting=0)
    async with serving(scripted({}), load=load) as served, aiohttp.ClientSession() as session:
        body = {"problem": GAME, "answers": [RIGHT]}
        async with session.post(f"{served.url}/v1/verify", json=body) as response:
            assert response.status == 429
            assert int(response.headers["retry-after"]) >= 1
