"""Listening: uvicorn in our own event loop, with our own idea of how to end."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mull.core.errors import BadInputError

MAX_HEAD: Final = 64 << 10
"""Bytes of all headers."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""
    head_seconds: float = 20.0
    """From a connection's beginning, or a request's first byte, to the end of its headers."""

    def bound(self) -> socket.socket:
        """The socket; `BadInputError` if somebody else has the place."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError as error:
            listener.close()
            raise BadInputError(
                f"cannot listen at `{self.host}:{self.port}`: {error.strerror}",
                hint="choose another with --host and --port",
            ) from error
        return listener


class _Connection(HttpToolsProtocol):
    """Closes on who takes too long to say what is wanted, or says too much of it."""

    head_seconds: float = 20.0
    head_timer: asyncio.TimerHandle | None = None
    head_size: int = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_size = 0
        if self.head_timer is None:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.head_timer is not None:  # still no end of the headers
            self.head_size += len(data)
            if self.head_size > MAX_HEAD:
                self.transport.abort()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self.head_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def listening(
    app: ASGIApp, place: Place, *, grace_seconds: float = 1.0
) -> AsyncGenerator[str, None]:
    """Serve for as long as the block lasts; yields the server's root address.

    At the end no new connection is taken, and answers under way have `grace_seconds` to end.
    """

    class Connection(_Connection):
        head_seconds = place.head_seconds

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(grace_seconds)),
    )
    listener = place.bound()
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        host, port = listener.getsockname()[:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def until_told_to_end() -> None:
    """Return at the first SIGINT or SIGTERM; a second one has its usual effect."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for each in signals:
        loop.add_signal_handler(each, told.set)
    try:
        await told.wait()
    finally:
        for each in signals:
            with contextlib.suppress(RuntimeError):
                loop.remove_signal_handler(each)
