"""Listening: uvicorn in our own event loop, with our own idea of how to end."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from mull.core.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""

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
    config = uvicorn.Config(
        app,
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
