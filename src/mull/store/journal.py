"""The journal on SQLite: one file, many processes, every solve with one runner at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from mull.core.errors import BadInputError, StoreError
from mull.core.events import Event, SolveEnded, SolveStarted
from mull.core.protocols import SolveSummary
from mull.store.database import open_database, store_errors
from mull.store.reader import read_damage, read_lines, read_summaries, read_trace
from mull.store.rows import to_head, to_row, to_title
from mull.store.runner import Runner
from mull.store.writer import Writer


@dataclass(slots=True)
class SqliteJournal:
    """A `Journal` in one file, open between `async with` and its end.

    Appends are queued and committed in groups by a thread; what is committed survives a crash of
    the process and, as far as the disk keeps its word, of the machine. Several processes may use
    one file, and several journals one process.

    A solve belongs to whoever appends to it, until `SolveEnded`, `close` or the end of the process.
    To append to one that somebody alive is running, or that has grown since it was loaded here, is
    a `StoreError` that names it. After a failed write everything but reading raises that failure,
    until the journal is opened anew.
    """

    path: Path
    """Made, with its folder, if missing. Beside it lie `-wal`, `-shm` and the folder `-runners`."""
    max_delay: float = 0.01
    """Seconds that events may wait for company before they are committed."""
    _writer: Writer = field(init=False)
    _runner: Runner | None = field(init=False, default=None)
    _heads: dict[str, int] = field(init=False, default_factory=dict[str, int])
    """The solves that belong to this journal, with the position of their next event."""
    _loaded: dict[str, int] = field(init=False, default_factory=dict[str, int])
    """How many events the solves had that were loaded here and do not belong to it."""

    def __post_init__(self) -> None:
        self._writer = Writer(self.path, lambda: open_database(self.path), self.max_delay)

    async def open(self) -> None:
        """Open the file, once. `StoreError` says why it cannot be a journal."""
        await self._writer.open()
        try:
            self._runner = await asyncio.to_thread(self._start_runner)
        except StoreError:
            await self._writer.close()
            raise

    def _start_runner(self) -> Runner:
        with store_errors(self.path):
            return Runner.start(self.path.with_name(f"{self.path.name}-runners"))

    async def close(self) -> None:
        """Write what is queued and hand back all solves; raises a failure nobody has heard of."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            if self._heads and not self._writer.has_failed:
                await self._hand_back(runner, *self._heads)
        finally:
            try:
                await self._writer.close()
            finally:
                await asyncio.to_thread(runner.end)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # Writing

    async def append(self, solve_id: str, events: Sequence[Event]) -> None:
        """Add events to the end of a solve's trace; all of them or, where one may not be, none.

        The first append to a solve waits until the file says that it is this journal's.
        """
        runner = self._open_runner()
        if not events:
            return
        head = self._heads.get(solve_id)
        if head is None:
            head = await self._own(runner, solve_id)
        for position, event in enumerate(events, start=head):
            if isinstance(event, SolveStarted) != (position == 0):
                raise BadInputError(f"solve `{solve_id}` must be started once, and first")
        rows = [to_row(solve_id, head + offset, event) for offset, event in enumerate(events)]
        first, last, end = events[0], events[-1], head + len(rows)
        title = to_title(first) if isinstance(first, SolveStarted) else None
        self._writer.append(rows, to_head(end, last, runner.name), title)
        if isinstance(last, SolveEnded):
            self._forget(solve_id)
        else:
            self._heads[solve_id] = end

    async def flush(self) -> None:
        """Return when everything appended so far would survive a crash."""
        await self._writer.flush()

    async def _own(self, runner: Runner, solve_id: str) -> int:
        """Make a solve this journal's; the position of its next event."""
        if not solve_id.isprintable():
            raise BadInputError(f"solve id {solve_id!r} has characters that cannot be printed")
        seen = self._loaded.get(solve_id)
        # A claim guards against processes that live, and a machine's crash leaves none.
        head = await self._writer.call(
            lambda connection: runner.claim(connection, solve_id), must_last=False
        )
        # Another task may have done the same meanwhile, and gone on.
        head = self._heads.setdefault(solve_id, head)
        if seen is not None and seen != head:
            await self._hand_back(runner, solve_id)
            raise StoreError(
                f"solve `{solve_id}` had {seen} events when it was loaded and has {head} now",
                hint="another process went on with it; load it again",
            )
        return head

    async def _hand_back(self, runner: Runner, *solve_ids: str) -> None:
        await self._writer.call(lambda connection: runner.hand_back(connection, solve_ids))
        for solve_id in solve_ids:
            self._forget(solve_id)

    def _forget(self, solve_id: str) -> None:
        self._heads.pop(solve_id, None)
        self._loaded.pop(solve_id, None)

    def _open_runner(self) -> Runner:
        if self._runner is None:
            raise StoreError(f"journal `{self.path}` is not open", hint="use it in `async with`")
        return self._runner

    # Reading: what was appended here is waited for, what others are about to commit is not

    async def load(self, solve_id: str) -> Sequence[Event]:
        """The trace so far. `UnknownSolveError`, or `JournalCorruptError` if it is damaged."""
        await self._settle()
        events = await asyncio.to_thread(read_trace, self.path, solve_id)
        if solve_id not in self._heads:
            self._loaded[solve_id] = len(events)
        return events

    async def lines(self, solve_id: str) -> Sequence[str]:
        """The trace so far as it is stored, one JSON text an event; errors as of `load`."""
        await self._settle()
        return await asyncio.to_thread(read_lines, self.path, solve_id)

    async def solves(self) -> Sequence[SolveSummary]:
        """Every solve, newest first; a damaged entry is logged and left out."""
        await self._settle()
        return await asyncio.to_thread(read_summaries, self.path)

    async def check(self) -> Sequence[StoreError]:
        """Read everything: the damage found, one error a damaged solve."""
        await self._settle()
        return await asyncio.to_thread(read_damage, self.path)

    async def _settle(self) -> None:
        self._open_runner()
        if not self._writer.has_failed:
            await self.flush()
