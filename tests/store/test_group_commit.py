"""What the writer's thread promises: order, groups, no waiting, failures heard once."""

import asyncio
import resource
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from traces import ENDED, grown, start, trace

from mull.core.errors import StoreError, StoreFullError
from mull.core.events import Event
from mull.store import SqliteJournal
from mull.store.database import open_database, store_error
from mull.store.reader import read_trace
from mull.store.rows import Head, Row, to_row
from mull.store.writer import Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def rows(first: int, last: int) -> list[Row]:
    """Events [first, last) of solve `a`."""
    events = trace(last)
    return [to_row("a", index, events[index]) for index in range(first, last)]


def put(writer: Writer, first: int, last: int) -> None:
    """Queue events [first, last)."""
    writer.append(rows(first, last), Head(last, None, None, None))


def start_solve(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO solves (solve_id, num_events) VALUES ('a', 0)")


def stored(path: Path) -> int:
    """How many events another reader sees."""
    return len(read_trace(path, "a"))


async def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


async def test_what_nobody_waits_for_is_committed_after_the_delay(path: Path) -> None:
    async with SqliteJournal(path, max_delay=0.2) as journal:
        await journal.append("a", trace(1))
        await journal.flush()
        await journal.append("a", trace(2)[1:])
        assert stored(path) == 1
        await wait_until(lambda: stored(path) == 2)


async def test_a_flush_does_not_wait_for_the_delay(path: Path) -> None:
    async with SqliteJournal(path, max_delay=3600) as journal:
        await journal.append("a", trace(3))
        await journal.flush()
        assert stored(path) == 3
        await journal.append("a", trace(4)[3:])  # and neither does closing
    assert stored(path) == 4


async def test_many_appends_share_a_transaction(path: Path) -> None:
    frames = list[int]()
    async with SqliteJournal(path, max_delay=3600) as journal:
        await journal.append("a", [start()])
        for group in (1, 200):
            for index in range(group):
                await journal.append("a", [grown(index)])
            before = path.with_name("journal.db-wal").stat().st_size
            await journal.flush()
            frames.append((path.with_name("journal.db-wal").stat().st_size - before) // 4096)
    assert stored(path) == 202
    # 200 commits of their own would each write at least the three pages that one append changes.
    assert frames[1] < 100, frames


async def test_the_disk_is_waited_for_by_rows_and_by_what_must_last(path: Path) -> None:
    levels = list[int]()

    def look(connection: sqlite3.Connection) -> None:
        levels.append(connection.execute("PRAGMA synchronous").fetchone()[0])

    writer = Writer(path, lambda: open_database(path), 3600)
    await writer.open()
    await writer.call(look, must_last=False)
    await writer.call(look)
    await writer.call(start_solve, must_last=False)
    put(writer, 0, 1)
    await writer.call(look, must_last=False)
    await writer.close()
    normal, full = 1, 2
    assert levels == [normal, full, full]


async def test_the_event_loop_never_waits_for_the_disk(path: Path) -> None:
    """Another process holds the file for a while; appending goes on, flushing waits."""
    async with SqliteJournal(path) as journal:
        await journal.append("a", [start()])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begin = time.perf_counter()
        for index in range(1, 50):
            await journal.append("a", [grown(index)])
        flush = asyncio.create_task(journal.flush())
        await asyncio.sleep(0.1)
        assert not flush.done()
        assert time.perf_counter() - begin < 1.0
        other.close()
        await flush
    assert stored(path) == 50


async def test_a_flush_that_is_cancelled_takes_nothing_with_it(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await journal.append("a", [start()])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await journal.append("a", [grown(1)])
        flush = asyncio.create_task(journal.flush())
        await asyncio.sleep(0.05)
        flush.cancel()
        await asyncio.wait({flush})
        assert flush.cancelled()
        other.close()
        await journal.append("a", [grown(2)])
    assert stored(path) == 3


async def test_one_journal_serves_one_event_loop_after_another(path: Path) -> None:
    journal = SqliteJournal(path)

    def run_all() -> None:
        asyncio.run(journal.open())
        for index in range(3):
            asyncio.run(journal.append("a", trace(index + 1)[-1:]))
        asyncio.run(journal.close())

    await asyncio.to_thread(run_all)
    assert stored(path) == 3


# A disk that is full


def small_disk(path: Path, num_pages: int) -> Callable[[], sqlite3.Connection]:
    """SQLite itself refuses to grow the file beyond that, with the error of a full disk."""

    def connect() -> sqlite3.Connection:
        connection = open_database(path)
        connection.execute(f"PRAGMA max_page_count = {num_pages}")
        return connection

    return connect


async def fill(writer: Writer) -> int:
    """Append and flush until the disk is full; how many events were flushed."""
    await writer.call(start_solve)
    for index in range(1000):
        put(writer, index, index + 1)
        try:
            await writer.flush()
        except StoreFullError:
            return index
    raise AssertionError("the disk has no end")


async def test_a_full_disk_loses_nothing_that_was_flushed(path: Path) -> None:
    writer = Writer(path, small_disk(path, 12), 0.0)
    await writer.open()
    num_flushed = await fill(writer)
    assert writer.has_failed
    await writer.close()
    assert num_flushed > 10
    assert read_trace(path, "a") == trace(num_flushed)


async def test_after_a_full_disk_nothing_is_written_behind_the_gap(path: Path) -> None:
    writer = Writer(path, small_disk(path, 12), 0.0)
    await writer.open()
    num_flushed = await fill(writer)
    with pytest.raises(StoreFullError, match="no space left for journal"):
        put(writer, num_flushed, num_flushed + 1)
    with pytest.raises(StoreFullError) as error:
        await writer.flush()
    assert "free some space" in (error.value.hint or "")
    await writer.close()  # told already: says nothing more
    assert stored(path) == num_flushed


async def test_a_full_disk_that_nobody_heard_of_is_told_at_the_close(path: Path) -> None:
    writer = Writer(path, small_disk(path, 12), 0.0)
    await writer.open()
    await writer.call(start_solve)
    put(writer, 0, 2)
    await writer.flush()
    put(writer, 2, 1000)
    with pytest.raises(StoreFullError):
        await writer.close()
    assert read_trace(path, "a") == trace(2)


async def test_everybody_who_waits_hears_of_a_full_disk(path: Path) -> None:
    writer = Writer(path, small_disk(path, 12), 3600)
    await writer.open()
    await writer.call(start_solve)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    put(writer, 0, 1000)
    first = asyncio.create_task(writer.flush())
    await asyncio.sleep(0.1)  # its transaction waits for the other one
    put(writer, 1000, 1001)
    second = asyncio.create_task(writer.flush())
    await asyncio.sleep(0)
    other.close()
    heard = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(each) for each in heard] == [StoreFullError, StoreFullError]
    await writer.close()


async def test_an_io_error_where_nothing_is_free_is_a_full_disk() -> None:
    """SQLite gives that error when it cannot make its shared-memory file on a full disk."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    full = Path("/proc/journal.db")
    assert shutil.disk_usage(full.parent).free == 0
    assert isinstance(store_error(full, error), StoreFullError)


async def test_a_file_that_stays_locked_says_so(path: Path) -> None:
    def impatient() -> sqlite3.Connection:
        open_database(path).close()
        return sqlite3.connect(path, timeout=0.01, isolation_level=None)

    writer = Writer(path, impatient, 0.0)
    await writer.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="was locked by another process"):
            await writer.flush()
    await writer.flush()
    await writer.close()


@contextmanager
def files_of_at_most(num_bytes: int) -> Generator[None, None, None]:
    """The kernel refuses to let this process make files longer than that."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


async def write_on(journal: SqliteJournal, flushed: list[Event]) -> None:
    """Append and flush until something stops it; `flushed` keeps what was."""
    for event in trace(1000):
        await journal.append("a", [event])
        await journal.flush()
        flushed.append(event)


async def test_when_the_disk_fails_what_is_durable_can_still_be_read(path: Path) -> None:
    flushed = list[Event]()
    async with SqliteJournal(path) as journal:
        with files_of_at_most(200_000):
            with pytest.raises(StoreError, match="cannot be used: disk I/O error"):
                await write_on(journal, flushed)
            assert list(await journal.load("a")) == flushed
            with pytest.raises(StoreError, match="disk I/O error"):
                await journal.flush()
    assert len(flushed) > 10
    async with SqliteJournal(path) as journal:
        await journal.append("a", [ENDED])
        assert list(await journal.load("a")) == [*flushed, ENDED]


# Errors that are not the disk's


async def test_a_refusal_touches_nobody_else(path: Path) -> None:
    def refuse(connection: sqlite3.Connection) -> None:
        raise StoreError("no")

    writer = Writer(path, lambda: open_database(path), 3600)
    await writer.open()
    await writer.call(start_solve)
    put(writer, 0, 2)
    answers = await asyncio.gather(writer.call(refuse), writer.flush(), return_exceptions=True)
    assert [type(each) for each in answers] == [StoreError, type(None)]
    assert stored(path) == 2
    await writer.close()


async def test_a_failure_that_loses_no_event_is_no_end(path: Path) -> None:
    writer = Writer(path, lambda: open_database(path), 0.0)
    await writer.open()
    await writer.call(start_solve)
    with pytest.raises(StoreError, match="UNIQUE"):
        await writer.call(start_solve)
    assert not writer.has_failed
    put(writer, 0, 2)
    await writer.close()
    assert stored(path) == 2


async def test_what_is_no_error_of_ours_reaches_the_caller_as_one(path: Path) -> None:
    def stumble(connection: sqlite3.Connection) -> None:
        raise RuntimeError("oops")

    def stumble_at_once() -> sqlite3.Connection:
        raise RuntimeError("oops")

    with pytest.raises(StoreError, match=r"RuntimeError\('oops'\)"):
        await Writer(path, stumble_at_once, 0.0).open()
    writer = Writer(path, lambda: open_database(path), 0.0)
    await writer.open()
    with pytest.raises(StoreError, match=r"RuntimeError\('oops'\)") as error:
        await writer.call(stumble)
    assert isinstance(error.value.__cause__, RuntimeError)
    await writer.close()


async def test_a_writer_that_never_opened_closes(path: Path) -> None:
    await Writer(path, lambda: open_database(path), 0.0).close()
    assert not path.exists()
