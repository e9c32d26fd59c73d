"""A fake server in a thread of its own, for clients that block theirs."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager

from servers.fake import FakeServer, served


@contextmanager
def running(server: FakeServer) -> Generator[FakeServer, None, None]:
    """Let it listen for as long as the block lasts."""
    listens, loop, leave = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with served(server):
            listens.set()
            await leave.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert listens.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(10)
        loop.close()
