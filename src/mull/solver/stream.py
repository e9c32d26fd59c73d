"""Streams of outcomes: whose fault their errors are, and when their time is up."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import TypeVar

from mull.core.clock import Clock
from mull.core.errors import PolicyError, boundary

T = TypeVar("T")


class DeadlinePassedError(Exception):
    """Time was up before the stream was. Never leaves the solver."""


async def attributed(stream: AsyncGenerator[T, None], what: str) -> AsyncGenerator[T, None]:
    """The stream's items; what it raises that is no error of ours is a `PolicyError` of `what`."""
    async with boundary(PolicyError, what), aclosing(stream):
        async for item in stream:
            yield item


async def until(
    stream: AsyncGenerator[T, None], clock: Clock, seconds: float | None
) -> AsyncGenerator[T, None]:
    """The stream's items, until `seconds` have passed by `clock`; then `DeadlinePassedError`.

    None is no deadline. An item that is ready when the deadline passes is still delivered. The
    stream is not closed: its owner does that.
    """
    if seconds is None:
        async for item in stream:
            yield item
        return
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        while True:
            item = asyncio.ensure_future(anext(stream))
            try:
                await asyncio.wait({item, alarm}, return_when=asyncio.FIRST_COMPLETED)
                if not item.done():
                    raise DeadlinePassedError
                yield item.result()
            except StopAsyncIteration:
                return
            finally:
                await ended(item)
    finally:
        await ended(alarm)


async def in_time(
    work: "Coroutine[None, None, T] | asyncio.Task[T]", clock: Clock, seconds: float
) -> T:
    """The result of some work; if it takes longer it is cancelled, and `DeadlinePassedError`."""
    task, alarm = asyncio.ensure_future(work), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise DeadlinePassedError
        return task.result()
    finally:
        await ended(task)
        await ended(alarm)


async def ended(task: "asyncio.Future[T] | asyncio.Future[None]") -> None:
    """Cancel the task and wait until it has ended; what it returned or raised is dropped."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
