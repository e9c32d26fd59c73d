"""A server that answers what a test tells it to, over real HTTP on loopback: for faults only."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Json = dict[str, Any]
Handler = Callable[[web.Request, Json], Awaitable[web.StreamResponse]]
"""Answers one request for a completion, given its body."""

MODEL = "fake-1"


@dataclass(slots=True)
class FakeServer:
    """What was asked of it, and how it answers: request number `n` by `answer(n)`."""

    answer: Callable[[int], Handler]
    bodies: list[Json] = field(default_factory=list[Json])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    url: str = ""
    num_open: int = 0
    """Requests being answered now."""
    extra: dict[str, Callable[[Json], Json]] = field(
        default_factory=dict[str, Callable[[Json], Json]]
    )
    """Further paths, and what each answers to a body (an empty one, if it was asked without)."""
    refusal: int = 0
    """Status with which everything is refused; 0: nothing is."""

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.num_open += 1
        try:
            return await self.answer(len(self.bodies) - 1)(request, body)
        finally:
            self.num_open -= 1

    async def other(self, request: web.Request) -> web.StreamResponse:
        if self.refusal:
            return web.json_response({"error": {"message": "no"}}, status=self.refusal)
        if request.path in self.extra:
            body: Json = await request.json() if request.can_read_body else {}
            return web.json_response(self.extra[request.path](body))
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": MODEL}]})
        return web.json_response({"error": {"message": "no such path"}}, status=404)


@asynccontextmanager
async def fake_server(*handlers: Handler) -> AsyncGenerator[FakeServer, None]:
    """A server that answers with each handler in turn, and from then on with the last."""
    async with served(
        FakeServer(lambda number: handlers[min(number, len(handlers) - 1)])
    ) as server:
        yield server


@asynccontextmanager
async def served(server: FakeServer) -> AsyncGenerator[FakeServer, None]:
    """Let it listen for as long as the block lasts."""
    app = web.Application()
    paths = ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1beta/models/{call}")
    for path in paths:
        app.router.add_post(path, server.complete)
    app.router.add_route("*", "/{path:.*}", server.other)
    # A client that leaves cancels its handler: how a server learns that it may stop.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


def chunk(
    text: str | None = None,
    *,
    finish: str | None = None,
    index: int = 0,
    said: Json | None = None,
) -> Json:
    """One event of a chat stream; `said` is its delta where that is more than text."""
    delta = said if said is not None else {} if text is None else {"content": text}
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def usage(completion: int, prompt: int = 5, /, **details: object) -> Json:
    """The last event of a stream whose usage was asked for."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"choices": [], "usage": {**counts, **details}}


def says(*texts: str, finish: str = "stop", reported: Json | None = None) -> Handler:
    """A whole chat stream: a piece a text, then the end and the usage."""
    last = usage(len(texts)) if reported is None else reported
    return streams([*(chunk(text) for text in texts), chunk(finish=finish), last])


def streams(events: Sequence[Json], *, is_whole: bool = True, says_done: bool = True) -> Handler:
    """Any events; not whole, the connection breaks where `[DONE]` should come."""

    async def handler(request: web.Request, body: Json) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        if is_whole:
            if says_done:
                await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        elif request.transport is not None:
            request.transport.close()
        return response

    return handler


def sends(data: bytes) -> Handler:
    """Exactly these bytes of a stream, then a broken connection."""

    async def handler(request: web.Request, body: Json) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(data)
        if request.transport is not None:
            request.transport.close()
        return response

    return handler


def refuses(status: int, message: str = "no", **headers: str) -> Handler:
    """An error as the API spells it."""

    async def handler(request: web.Request, body: Json) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response({"error": {"message": message}}, status=status, headers=named)

    return handler


def shows(text: str, content_type: str = "text/html", status: int = 200) -> Handler:
    """Whatever a proxy puts in the way."""

    async def handler(request: web.Request, body: Json) -> web.StreamResponse:
        return web.Response(text=text, content_type=content_type, status=status)

    return handler


def hangs(after: Sequence[Json] = ()) -> Handler:
    """Nothing more, for ever."""

    async def handler(request: web.Request, body: Json) -> web.StreamResponse:
        if after:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for event in after:
                await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await asyncio.Event().wait()
        raise AssertionError

    return handler


def resets() -> Handler:
    """The connection is gone before there is an answer."""

    async def handler(request: web.Request, body: Json) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return handler
