"""Coroutines for callers who have no event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import ParamSpec, TypeVar

from mull.core.errors import BadInputError

P = ParamSpec("P")
T = TypeVar("T")


def blocking(function: Callable[P, Coroutine[None, None, T]], name: str) -> Callable[P, T]:
    """The same function, waited for. Inside a running event loop it raises `BadInputError`."""

    @wraps(function)
    def wait_for(*args: P.args, **kwargs: P.kwargs) -> T:
        if _is_in_a_loop():
            raise BadInputError(
                f"`{name}` waits for its result and would block the event loop that is running",
                hint=f"await `{function.__name__}` instead",
            )
        return asyncio.run(function(*args, **kwargs))

    wait_for.__name__ = wait_for.__qualname__ = name
    return wait_for


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
