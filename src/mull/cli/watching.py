"""Long work on the command line: a bar or lines of progress, and interrupts that lose nothing."""

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event
from time import monotonic
from types import FrameType
from typing import Final

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from mull.cli.output import is_watched, message_console, say

SECONDS_BETWEEN_LINES: Final = 30.0
"""Of progress, where nobody watches a bar."""

Shown = Callable[[float, str], None]
"""Told the share that is done, in [0, 1], and where things stand in words."""


@contextmanager
def interrupts() -> Generator[Event, None, None]:
    """Hold the first interrupt back until somebody looks; a second one is as always."""
    interrupted = Event()

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (a handler's signature)
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def shown(what: str) -> Generator[Shown, None, None]:
    """A bar for a person who watches; else a line now and then, for a log."""
    if not is_watched():
        yield _Lines().show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=message_console()) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share, words: bar.update(task, completed=share, description=words)


class _Lines:
    """Progress for a log: a line now and then."""

    def __init__(self) -> None:
        self.last = monotonic() - SECONDS_BETWEEN_LINES

    def show(self, share: float, words: str) -> None:
        """Say where things stand, unless it was said a moment ago."""
        if monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.last = monotonic()
            say(f"{share:4.0%}  {words}")
