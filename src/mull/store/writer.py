"""Group commit: one thread, one connection, one transaction for everything that came meanwhile.

The event loop only ever puts things into a batch; it never waits for the disk. What a crash leaves
behind is a prefix of what was appended, because batches are taken whole and in order.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread
from typing import TypeVar, cast

from mull.core.errors import StoreError
from mull.store.database import store_error
from mull.store.rows import Head, Row, Title

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do in the transaction besides adding rows."""

    run: Callable[[sqlite3.Connection], object]
    """A `StoreError` it raises is its own; it must not have written anything by then."""
    done: "Future[object]"
    """Resolved once the transaction is there for all processes."""
    must_last: bool
    """Whether it must then be durable too."""


@dataclass(slots=True)
class Batch:
    """What goes into the next transaction. Filled under the writer's lock, then its thread's."""

    rows: list[Row] = field(default_factory=list[Row])
    heads: dict[str, Head] = field(default_factory=dict[str, Head])
    """By solve: where it stands once the rows are in."""
    titles: dict[str, Title] = field(default_factory=dict[str, Title])
    """By solve that starts: what it is about."""
    jobs: list[Job] = field(default_factory=list[Job])

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.rows or self.jobs)

    @property
    def _must_last(self) -> bool:
        return bool(self.rows) or any(job.must_last for job in self.jobs)

    def write(self, connection: sqlite3.Connection) -> list[object]:
        """One transaction: rows first, then jobs; the jobs' results in order."""
        # Without rows the disk is not waited for, where no job must last: whatever is durable later
        # comes behind it.
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._must_last else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", self.rows)
        connection.executemany(
            "UPDATE solves SET num_events = ?, runner = ?, stop = ?, answer = ? WHERE solve_id = ?",
            [(*head, solve_id) for solve_id, head in self.heads.items()],
        )
        connection.executemany(
            "UPDATE solves SET statement = ?, spec = ? WHERE solve_id = ?",
            [(*title, solve_id) for solve_id, title in self.titles.items()],
        )
        results = [_result(job, connection) for job in self.jobs]
        connection.execute("COMMIT")
        return results


def _result(job: Job, connection: sqlite3.Connection) -> object:
    try:
        return job.run(connection)
    except StoreError as refusal:
        return refusal


def _resolve(done: "Future[object]", result: object) -> None:
    if not done.set_running_or_notify_cancel():
        return  # whoever asked has gone
    if isinstance(result, StoreError):
        done.set_exception(result)
    else:
        done.set_result(result)


@dataclass(slots=True)
class Writer:
    """Writes to one database, from a thread of its own. Its methods belong to the event loop."""

    path: Path
    connect: Callable[[], sqlite3.Connection]
    """Called once, in the thread."""
    max_delay: float
    """Seconds that rows wait for company; nobody who awaits something waits that long."""
    _changed: Condition = field(default_factory=Condition)
    _batch: Batch = field(default_factory=Batch)
    _closing: bool = False
    _failure: StoreError | None = None
    _was_told: bool = False
    """Whether the failure has reached anybody."""
    _thread: Thread | None = None

    async def open(self) -> None:
        """Start the thread; raises what `connect` raises."""
        opened = Future[object]()
        # A daemon: a program that dies without closing the journal must not hang on it.
        self._thread = Thread(target=self._run, args=(opened,), name="journal", daemon=True)
        self._thread.start()
        try:
            await asyncio.wrap_future(opened)
        except BaseException:
            self._stop()
            raise

    @property
    def has_failed(self) -> bool:
        """Whether a transaction was lost, and with it everything after."""
        return self._failure is not None

    def append(self, rows: Sequence[Row], head: Head, title: Title | None = None) -> None:
        """Queue rows of one solve. Raises if what was queued earlier could not be written."""
        solve_id = rows[0].solve_id
        with self._changed:
            self._check_usable()
            was_empty = self._batch.is_empty
            self._batch.rows.extend(rows)
            self._batch.heads[solve_id] = head
            if title is not None:
                self._batch.titles[solve_id] = title
            if was_empty:
                self._changed.notify()

    async def call(self, run: Callable[[sqlite3.Connection], T], *, must_last: bool = True) -> T:
        """The result of `run`, once everything queued so far and its own changes are durable.

        Of what need not last, once other processes see it.
        """
        job = Job(run, Future[object](), must_last)
        with self._changed:
            self._check_usable()
            self._batch.jobs.append(job)
            self._changed.notify()
        return cast(T, await asyncio.wrap_future(job.done))

    async def flush(self) -> None:
        """Return when everything queued so far is durable."""
        await self.call(_nothing)

    async def close(self) -> None:
        """Write what is queued and end the thread. Raises a failure that nobody has heard of."""
        self._stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if not self._was_told:
            self._raise_failure()

    def _stop(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()

    def _check_usable(self) -> None:
        self._raise_failure()
        if self._closing or self._thread is None:
            raise StoreError(f"journal `{self.path}` is not open", hint="use it in `async with`")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._was_told = True
            # A new one each time: several tasks may be raising it at once.
            raise type(self._failure)(self._failure.message, hint=self._failure.hint) from (
                self._failure
            )

    # From here on: the thread

    def _run(self, opened: "Future[object]") -> None:
        try:
            connection = self.connect()
        except Exception as error:  # noqa: BLE001  (the thread's boundary: else `open` would hang)
            _resolve(opened, store_error(self.path, error))
            return
        _resolve(opened, None)
        with closing(connection):
            while not (batch := self._take()).is_empty:
                self._commit(connection, batch)

    def _take(self) -> Batch:
        """The next batch, after its delay; an empty one at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not self._batch.is_empty)
            self._changed.wait_for(lambda: self._closing or self._batch.jobs, self.max_delay)
            batch, self._batch = self._batch, Batch()
            return batch

    def _commit(self, connection: sqlite3.Connection, batch: Batch) -> None:
        try:
            results = batch.write(connection)
        except Exception as error:  # noqa: BLE001  (the thread's boundary: else callers would hang)
            self._fail(connection, batch, store_error(self.path, error))
        else:
            for job, result in zip(batch.jobs, results, strict=True):
                _resolve(job.done, result)

    def _fail(self, connection: sqlite3.Connection, batch: Batch, failure: StoreError) -> None:
        with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        jobs = batch.jobs
        if batch.rows:  # nothing may be written after what is missing now
            with self._changed:
                jobs = [*jobs, *self._batch.jobs]
                self._failure, self._was_told = failure, bool(jobs)
                self._batch = Batch()
        for job in jobs:
            _resolve(job.done, failure)


def _nothing(connection: sqlite3.Connection) -> None:
    """The job of a flush: to be in the transaction."""
