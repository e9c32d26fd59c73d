"""Plain requests to a model behind an OpenAI-compatible server, and searches over it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web
from server.serving import before, gateway_before
from servers.fake import (
    MODEL,
    Handler,
    chunk,
    fake_server,
    hangs,
    refuses,
    resets,
    shows,
    streams,
    usage,
)

from mull.build import open_model, read_config
from mull.server import Accounts, new_key

SUM = [{"role": "user", "content": "What is 2 + 2?"}]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def whole(message: dict[str, Any], **fields: Any) -> Handler:
    """A completion that is not streamed, byte for byte."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    body = {
        "id": "x", "object": "chat.completion", "created": 1, "model": MODEL,
        "choices": [choice], "usage": counts, **fields,
    }  # fmt: skip

    async def handler(request: web.Request, given: Any) -> web.StreamResponse:
        return web.json_response(body)

    return handler


async def ask(client: openai.AsyncOpenAI, **fields: Any) -> Any:
    create: Any = client.chat.completions.create
    return await create(**{"model": "far", "messages": SUM, **fields})


async def test_tools_formats_and_histories_reach_the_server_behind() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    history = [
        *SUM,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "4"},
    ]
    async with (
        fake_server(whole({"content": None, "tool_calls": [call]})) as upstream,
        before(upstream) as (client, _),
    ):
        answer = await ask(
            client,
            messages=history,
            tools=TOOLS,
            response_format={"type": "json_object"},
            logprobs=True,
            stop=["\n"],
            extra_body={"mull": {"tier": "interactive"}, "top_k": 5},
        )
    assert answer.choices[0].message.tool_calls[0].function.name == "add"
    body = upstream.bodies[-1]
    assert body["model"] == MODEL
    assert body["messages"] == history
    assert body["tools"] == TOOLS
    assert (body["logprobs"], body["stop"], body["top_k"]) == (True, ["\n"], 5)
    assert "mull" not in body


async def test_a_stream_is_relayed_and_its_usage_told_to_who_asks() -> None:
    events = [chunk("It "), chunk("is 4."), chunk(finish="stop"), usage(3)]
    async with fake_server(streams(events)) as upstream, before(upstream) as (client, gateway):
        plain = [c async for c in await ask(client, stream=True)]
        asked = [
            c async for c in await ask(client, stream=True, stream_options={"include_usage": True})
        ]
        assert "mull_tokens_total" in gateway.metrics.text().decode()
    assert "".join(c.choices[0].delta.content or "" for c in plain) == "It is 4."
    assert [c.usage.completion_tokens for c in asked if c.usage] == [3]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (refuses(400, "no such thing"), 400),
        (refuses(429, "slow down", Retry_After="7"), 429),
        (refuses(401, "bad key"), 502),
        (refuses(500), 503),
        (shows("<html>", status=502), 503),
        (resets(), 503),
        (shows('{"choices": [', "application/json"), 502),
        (shows('{"choices": []}', "application/json"), 502),
    ],
    ids=["400", "429", "401", "500", "html", "reset", "truncated", "empty"],
)
async def test_no_failure_of_the_server_behind_is_a_200(
    handler: Handler, status: int, is_stream: bool
) -> None:
    async with fake_server(handler) as upstream, before(upstream) as (client, _):
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(client, stream=is_stream)
    assert caught.value.status_code == status
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "7"
        assert "slow down" in str(caught.value)


async def test_a_stream_that_is_cut_anywhere_has_no_good_end() -> None:
    full = b"".join(
        b"data: " + json.dumps(each).encode() + b"\n\n"
        for each in (chunk("It is"), chunk(" 4."), chunk(finish="stop"))
    )
    cuts = [*range(0, len(full), 29), len(full)]
    body = {"model": "far", "messages": SUM, "stream": True}
    async with (
        fake_server(*(_cut(full[:end]) for end in cuts)) as upstream,
        before(upstream) as (client, _),
        aiohttp.ClientSession() as session,
    ):
        for _ in cuts:
            async with session.post(f"{client.base_url}chat/completions", json=body) as response:
                raw = await response.text()
            assert "[DONE]" not in raw
            assert "upstream_error" in raw


def _cut(data: bytes) -> Handler:
    async def handler(request: web.Request, body: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(data)
        assert request.transport is not None
        request.transport.close()
        return response

    return handler


async def test_a_client_that_leaves_frees_the_server_behind_at_once() -> None:
    async with fake_server(hangs([chunk("It")])) as upstream, before(upstream) as (client, _):
        stream = await ask(client, stream=True)
        await anext(stream)
        assert upstream.num_open == 1
        await stream.close()
        async with asyncio.timeout(1):
            while upstream.num_open:
                await asyncio.sleep(0.005)


async def test_a_budget_of_seconds_ends_a_plain_request_too() -> None:
    async with fake_server(hangs()) as upstream, before(upstream) as (client, _):
        with pytest.raises(openai.APIStatusError, match=r"0\.2 seconds") as caught:
            await ask(client, extra_body={"mull": {"budget": {"seconds": 0.2}}})
    assert caught.value.status_code == 504


async def test_a_plain_request_is_on_its_tenants_account(tmp_path: Path) -> None:
    key, hashed = new_key()
    file = tmp_path / "tenants.toml"
    file.write_text(f"[tenants.red]\nkeys = ['{hashed}']\ntokens = 10\n")
    accounts = Accounts.read(file)
    async with (
        fake_server(whole({"content": "4"})) as upstream,
        before(upstream, accounts, key) as (client, _),
    ):
        await ask(client, max_tokens=8)
        ledger = accounts.named("red").account.current()
        async with asyncio.timeout(2):
            while ledger.num_open:
                await asyncio.sleep(0.005)
        assert ledger.spent.generated_tokens == 7
        with pytest.raises(openai.RateLimitError):
            await ask(client, max_tokens=8)
        assert upstream.headers[-1].get("Authorization") is None, "no client's key goes on"
    assert len(upstream.bodies) == 1


async def test_searches_over_the_same_model_are_solves() -> None:
    def says(text: str) -> Handler:
        return streams([chunk(text), chunk(finish="stop"), usage(1)])

    async with (
        fake_server(says("4"), says("5"), says("4"), says("4")) as upstream,
        before(upstream) as (client, gateway),
    ):
        voted = await ask(client, model="bon-3-far")
        assert len(await gateway.solves.journal.solves()) == 1
    assert voted.choices[0].message.content == "4"
    assert voted.usage.completion_tokens == 3
    assert voted.usage.mull["calls"] == 3


async def test_a_client_cannot_choose_where_requests_go() -> None:
    async with fake_server(whole({"content": "4"})) as upstream, before(upstream) as (client, _):
        for model in (f"openai:{upstream.url}#{MODEL}", "http://127.0.0.1:9/v1#x", "bon-2-x"):
            with pytest.raises(openai.NotFoundError):
                await ask(client, model=model)
        headers = {"x-mull-base-url": "http://127.0.0.1:9", "host": "other"}
        await ask(client, extra_headers=headers)
    assert len(upstream.bodies) == 1


async def test_model_text_that_looks_like_the_mark_of_a_good_end_is_none() -> None:
    events = [chunk("write data: [DONE] last")]
    body = {"model": "far", "messages": SUM, "stream": True}
    async with (
        fake_server(streams(events, says_done=False)) as upstream,
        before(upstream) as (client, _),
        aiohttp.ClientSession() as session,
        session.post(f"{client.base_url}chat/completions", json=body) as response,
    ):
        assert "upstream_error" in await response.text()


async def test_events_may_end_their_lines_as_windows_does() -> None:
    events = (json.dumps(each).encode() for each in (chunk("4"), chunk(finish="stop"), usage(1)))
    data = b"".join(b"data: " + each + b"\r\n\r\n" for each in (*events, b"[DONE]"))
    async with (
        fake_server(shows(data.decode(), "text/event-stream")) as upstream,
        before(upstream) as (client, gateway),
    ):
        answer = [c async for c in await ask(client, stream=True)]
        async with asyncio.timeout(2):
            while 'kind="visible",model="far"} 1.0' not in gateway.metrics.text().decode():
                await asyncio.sleep(0.005)
    assert "".join(c.choices[0].delta.content or "" for c in answer) == "4"


@pytest.mark.parametrize(
    "lengths",
    [
        {"max_completion_tokens": 9_000},
        {"max_tokens": 9_000},
        {"max_tokens": 5, "max_completion_tokens": 9_000},
        {"extra_body": {"max_tokens": None, "max_completion_tokens": 9_000}},
    ],
    ids=["new", "old", "both", "null"],
)
async def test_no_spelling_of_the_length_passes_the_budget_of_tokens(
    lengths: dict[str, Any],
) -> None:
    given = lengths.get("extra_body", {}) | {"mull": {"budget": {"tokens": 10}}}
    async with fake_server(whole({"content": "4"})) as upstream, before(upstream) as (client, _):
        await ask(client, **{**lengths, "extra_body": given})
    body = upstream.bodies[-1]
    sent = {body[name] for name in ("max_tokens", "max_completion_tokens") if name in body}
    assert sent
    assert max(sent) <= 10


@pytest.mark.parametrize(
    "fields",
    [{"max_tokens": -1}, {"max_completion_tokens": -5}, {"n": -1}, {"n": 10**9}, {"max_tokens": 0}],
    ids=str,
)
async def test_a_count_that_counts_nothing_reaches_no_server(fields: dict[str, int]) -> None:
    async with fake_server(whole({"content": "4"})) as upstream, before(upstream) as (client, _):
        with pytest.raises(openai.BadRequestError, match="must lie from 1"):
            await ask(client, **fields)
    assert not upstream.bodies


@pytest.mark.parametrize("name", ["n_predict", "best_of", "n_cmpl"])
async def test_a_servers_own_name_for_more_tokens_passes_no_budget(name: str) -> None:
    given = {name: 9_000, "mull": {"budget": {"tokens": 10}}}
    async with fake_server(whole({"content": "4"})) as upstream, before(upstream) as (client, _):
        with pytest.raises(openai.BadRequestError, match=name):
            await ask(client, extra_body=given)
        await ask(client, extra_body={name: 2})
    assert len(upstream.bodies) == 1


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_who_leaves_before_the_bill_pays_what_the_answer_may_cost(
    tmp_path: Path, is_stream: bool
) -> None:
    key, hashed = new_key()
    file = tmp_path / "tenants.toml"
    file.write_text(f"[tenants.red]\nkeys = ['{hashed}']\ntokens = 1000\n")
    accounts = Accounts.read(file)
    async with (
        fake_server(hangs()) as upstream,
        before(upstream, accounts, key) as (client, _),
    ):
        asking = asyncio.create_task(ask(client, max_tokens=80, stream=is_stream))
        async with asyncio.timeout(2):
            while not upstream.num_open:
                await asyncio.sleep(0.005)
            asking.cancel()
            ledger = accounts.named("red").account.current()
            while ledger.num_open:
                await asyncio.sleep(0.005)
    assert ledger.spent.generated_tokens == 80


async def test_a_server_that_fails_costs_its_clients_nothing(tmp_path: Path) -> None:
    key, hashed = new_key()
    file = tmp_path / "tenants.toml"
    file.write_text(f"[tenants.red]\nkeys = ['{hashed}']\ntokens = 1000\n")
    accounts = Accounts.read(file)
    async with (
        fake_server(refuses(500), resets(), shows("{", "application/json")) as upstream,
        before(upstream, accounts, key) as (client, _),
    ):
        for _ in range(3):
            with pytest.raises(openai.APIStatusError):
                await ask(client, max_tokens=80)
    assert accounts.named("red").account.current().spent.generated_tokens == 0


DEEP = b'{"choices": ' + b"[" * 200_000


def raw(body: bytes, kind: str) -> Handler:
    """These bytes."""

    async def handler(request: web.Request, given: Any) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind)

    return handler


async def test_an_answer_that_nests_without_end_is_a_failure_of_the_server_behind() -> None:
    async with (
        fake_server(raw(DEEP, "application/json")) as upstream,
        before(upstream) as (client, _),
    ):
        with pytest.raises(openai.APIStatusError) as failed:
            await ask(client)
    assert failed.value.status_code == 502
    assert "gave no completion" in str(failed.value)


async def test_an_event_that_nests_without_end_is_relayed_and_no_other_is_lost() -> None:
    deep = b"data: " + DEEP + b', "usage"\n\n'
    events = deep + b'data: {"choices": [], "usage": {"completion_tokens": 3}}\n\n'
    sent = events + b"data: [DONE]\n\n"
    async with (
        fake_server(raw(sent, "text/event-stream")) as upstream,
        before(upstream) as (client, _),
        aiohttp.ClientSession() as session,
    ):
        url = f"{client.base_url}chat/completions"
        body = {"model": "far", "messages": SUM, "stream": True}
        async with session.post(url, json=body) as response:
            told = await response.read()
    assert told == deep + b"data: [DONE]\n\n"


@pytest.mark.parametrize(("budget", "least", "most"), [(5_000, 300, 511), (40, 40, 40)])
async def test_a_limit_of_the_gateways_own_is_one_that_the_window_holds(
    budget: int, least: int, most: int
) -> None:
    async with fake_server(whole({"content": "4"})) as upstream:
        card = {"id": MODEL, "max_model_len": 512}
        upstream.extra["/v1/models"] = lambda _: {"data": [card]}
        async with before(upstream) as (client, _):
            await ask(client, extra_body={"mull": {"budget": {"tokens": budget}}})
            await ask(client, max_tokens=900)
    asked, own = (body["max_tokens"] for body in upstream.bodies)
    assert own == 900  # the client's own number is between it and the server
    assert least <= asked <= most


async def test_a_plain_request_reasons_as_its_model_is_set_to_unless_it_says(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mull.toml"
    async with fake_server(whole({"content": "4"})) as upstream:
        file.write_text(
            f'[models.far]\nmodel = "openai:{upstream.url}#{MODEL}"\n'
            'dialect = "openai"\neffort = "low"\n'
        )
        async with (
            open_model(read_config(file).model("far")) as model,
            gateway_before(model) as client,
        ):
            await ask(client)
            await ask(client, reasoning_effort="high")
    assert [body["reasoning_effort"] for body in upstream.bodies] == ["low", "high"]
