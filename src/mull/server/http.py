"""One HTTP request and its answer, on bare ASGI: streams cost a `send` an event and no more."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from mull.server.accounts import Caller
from mull.server.errors import ApiError, ClientLeftError

T = TypeVar("T")

_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
DONE: Final = b"data: [DONE]\n\n"
PING: Final = b": ping\n\n"
PING_SECONDS: Final = 15.0
"""Silence after which a stream shows that it is alive; proxies close what says nothing."""


@dataclass(slots=True)
class Exchange:
    """One request being answered. Owned by its endpoint."""

    scope: Scope
    receive: Receive
    send: Send
    caller: Caller
    max_body: int = 4 << 20
    """Bytes of a request body; a larger one is refused before it is read to its end."""
    body_seconds: float = 60.0
    """In which a request body must have come."""
    headers: Headers = field(init=False)
    extra_headers: dict[str, str] = field(default_factory=dict[str, str])
    """What the answer carries beside its own."""
    status: int = 0
    """Of the answer; 0 where there is none."""
    has_begun: bool = False
    """Whether the answer's status is on its way."""
    streams: bool = False
    first_text: float | None = None
    """When text of a streamed answer was first on its way, by `time.perf_counter`."""
    is_over: bool = False

    def __post_init__(self) -> None:
        self.headers = Headers(scope=self.scope)

    @property
    def path_params(self) -> Mapping[str, str]:
        """The variable parts of the path."""
        params: Mapping[str, str] = self.scope.get("path_params", {})
        return params

    async def body(self) -> bytes:
        """The whole request body. ApiError 413 if it is too large, 408 if it does not come."""
        try:
            async with asyncio.timeout(self.body_seconds):
                return await self._body()
        except TimeoutError:
            message = f"the request's body did not come within {self.body_seconds:g} seconds"
            raise ApiError(408, message, kind="timeout_error", code="slow_body") from None

    async def _body(self) -> bytes:
        parts, size = list[bytes](), 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            part: bytes = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > self.max_body:
                raise ApiError(
                    413, f"the request has more than {self.max_body} bytes", code="too_large"
                )
            if not message.get("more_body", False):
                return b"".join(parts)

    async def unless_left(self, work: Coroutine[object, object, T]) -> T:
        """The result of `work`; it is cancelled, and `ClientLeftError` raised, if the client goes.

        Only after the body has been read.
        """
        task, gone = asyncio.create_task(work), asyncio.create_task(self._left())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ClientLeftError
        finally:
            for each in (task, gone):
                each.cancel()
            await asyncio.wait({task, gone})
            if not task.cancelled():
                task.exception()  # looked at, so that nobody complains

    async def _left(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    # Answering

    async def send_json(self, value: object, *, status: int = 200) -> None:
        """The whole answer as JSON."""
        await self.send_bytes(msgspec.json.encode(value), (_JSON,), status=status)

    async def send_bytes(
        self, body: bytes, headers: Sequence[tuple[bytes, bytes]], *, status: int = 200
    ) -> None:
        """The whole answer."""
        length = (b"content-length", str(len(body)).encode())
        await self._begin(status, (*headers, length))
        self.is_over = True
        await self.send({"type": "http.response.body", "body": body})

    async def _begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        extra = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in self.extra_headers.items()
        ]
        self.has_begun, self.status = True, status
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [*headers, *extra]}
        )

    @asynccontextmanager
    async def event_stream(self) -> AsyncGenerator[None, None]:
        """Answer with server-sent events, by `send_events` in the block; then end the answer."""
        self.streams = True
        await self._begin(200, _EVENTS)
        yield
        await self.end()

    async def send_events(self, data: bytes) -> None:
        """Events, ready made."""
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """Nothing more follows."""
        if not self.is_over:
            self.is_over = True
            await self.send({"type": "http.response.body", "body": b""})


def event(value: object, *, name: str = "", number: int | None = None) -> bytes:
    """One server-sent event with a JSON value as its data."""
    head = f"event: {name}\n".encode() if name else b""
    mark = f"id: {number}\n".encode() if number is not None else b""
    return b"".join((mark, head, b"data: ", msgspec.json.encode(value), b"\n\n"))
