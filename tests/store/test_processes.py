"""Several processes, some of which die: what was flushed stays, no solve is run twice."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random

import pytest
from traces import ENDED, grown, start, trace

from mull.core.errors import BadInputError, StoreError, UnknownSolveError
from mull.core.events import Extended
from mull.core.usage import Budget
from mull.store import SqliteJournal

WRITING = Path(__file__).parent / "writing.py"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@asynccontextmanager
async def writing(
    path: Path, seed: int, *solve_ids: str
) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """A process that writes until the block ends; then it is killed, if it still lives."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WRITING),
        str(path),
        str(seed),
        *solve_ids,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(WRITING.parent.parent)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def reports(
    process: asyncio.subprocess.Process, at_most: int | None = None
) -> dict[str, int]:
    """The newest of the next reports: how many events of each solve are flushed."""
    assert process.stdout is not None
    flushed = dict[str, int]()
    while at_most is None or at_most > 0:
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            break
        solve_id, number = line.split()
        flushed[solve_id.decode()] = int(number)
        at_most = None if at_most is None else at_most - 1
    return flushed


async def kill_while_writing(path: Path, chance: Random, *solve_ids: str) -> dict[str, int]:
    """Kill a writer at a random moment; how many events it had said were flushed."""
    async with writing(path, chance.randrange(1000), *solve_ids) as process:
        flushed = await reports(process, at_most=chance.randrange(1, 12))
        await asyncio.sleep(chance.random() * 0.03)
        process.kill()
        return flushed | await reports(process)


@pytest.mark.parametrize("seed", range(4))
async def test_a_killed_writer_leaves_a_prefix_with_all_it_had_flushed(
    path: Path, seed: int
) -> None:
    """Killed twice over, the second one having gone on where the first one was stopped."""
    chance = Random(seed)
    for _ in range(2):
        flushed = await kill_while_writing(path, chance, "a", "b")
        assert flushed
        async with SqliteJournal(path) as journal:
            for number, solve_id in enumerate(("a", "b")):
                try:
                    kept = list(await journal.load(solve_id))
                except UnknownSolveError:
                    kept = []
                assert kept == trace(len(kept), number)
                assert len(kept) >= flushed.get(solve_id, 0)
            assert await journal.check() == []


async def test_two_processes_write_to_one_journal_at_once(path: Path) -> None:
    async with (
        SqliteJournal(path) as journal,
        writing(path, 1, "theirs", "too") as process,
    ):
        await reports(process, at_most=1)
        for index in range(200):
            await journal.append("ours", trace(200)[index : index + 1])
            await journal.flush()
        assert list(await journal.load("ours")) == trace(200)
        theirs = await journal.load("theirs")
        assert list(theirs) == trace(len(theirs))
        process.kill()
        flushed = await reports(process)
    async with SqliteJournal(path) as journal:
        assert len(await journal.load("theirs")) >= flushed["theirs"]
        assert await journal.check() == []


async def test_a_solve_that_another_process_runs_is_refused_until_that_dies(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        async with writing(path, 2, "a") as process:
            await reports(process, at_most=1)
            with pytest.raises(
                StoreError, match=f"solve `a` is being run by process {process.pid}"
            ):
                await journal.append("a", [grown(1)])
            with pytest.raises(StoreError, match="`a`"):
                await journal.append("a", [start()])
            await journal.append("b", [start()])
        seen = list(await journal.load("a"))
        await journal.append("a", [ENDED])
        assert list(await journal.load("a")) == [*trace(len(seen)), ENDED]
    assert list(path.with_name("journal.db-runners").iterdir()) == []


# Two journals of one process are as foreign to each other as two processes


async def test_an_ended_solve_is_anybodys(path: Path) -> None:
    async with SqliteJournal(path) as one, SqliteJournal(path) as other:
        await one.append("a", [start(), ENDED])
        await one.flush()
        await other.append("a", [Extended(Budget(max_tokens=9))])
        with pytest.raises(StoreError, match=f"is being run by process {os.getpid()}"):
            await one.append("a", [Extended(Budget(max_tokens=9))])


async def test_a_closed_journals_open_solves_are_anybodys(path: Path) -> None:
    async with SqliteJournal(path) as other:
        async with SqliteJournal(path) as one:
            await one.append("a", [start()])
            with pytest.raises(StoreError, match="is being run"):
                await other.append("a", [grown(1)])
        await other.append("a", [grown(1)])
        assert list(await other.load("a")) == [start(), grown(1)]


async def test_a_solve_that_grew_since_it_was_loaded_must_be_loaded_again(path: Path) -> None:
    async with SqliteJournal(path) as one, SqliteJournal(path) as other:
        await one.append("a", [start()])
        await one.flush()
        await other.load("a")
        await one.append("a", [grown(1), ENDED])
        await one.flush()
        with pytest.raises(StoreError, match="`a` had 1 events when it was loaded and has 3 now"):
            await other.append("a", [grown(1)])
        await other.load("a")
        await other.append("a", [Extended(Budget(max_tokens=9))])
        assert len(await one.load("a")) == 4


async def test_a_solve_that_never_started_is_in_nobodys_way(path: Path) -> None:
    async with SqliteJournal(path) as one, SqliteJournal(path) as other:
        with pytest.raises(BadInputError):
            await one.append("a", [grown(1)])
        assert await other.solves() == []
        with pytest.raises(UnknownSolveError):
            await other.load("a")


def _set_runner(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE solves SET runner = ?", (name,))


async def test_a_runner_whose_name_is_no_runners_is_dead(path: Path, tmp_path: Path) -> None:
    """What stands in the file is never taken for a path to lock or to delete."""
    treasure = tmp_path / "treasure"
    treasure.touch()
    async with SqliteJournal(path) as journal:
        await journal.append("a", [start()])
    _set_runner(path, "../treasure")
    async with SqliteJournal(path) as journal:
        await journal.append("a", [grown(1)])
    assert treasure.exists()


async def test_a_runner_without_a_file_is_dead(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await journal.append("a", [start()])
    _set_runner(path, "1-0123456789abcdef")
    async with SqliteJournal(path) as journal:
        await journal.append("a", [grown(1)])


async def test_an_id_that_cannot_be_stored_is_refused_before_anything_is(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        with pytest.raises(BadInputError, match="cannot be printed"):
            await journal.append("half \ud83d", [start()])
        await journal.append("a", [start()])
