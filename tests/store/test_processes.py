"""Several processes, some of which die: what was flushed stays, no solve is run twice."""

import os
import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen

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


@contextmanager
def writing(path: Path, seed: int, *solve_ids: str) -> Generator[Popen[str], None, None]:
    """A process that writes until the block ends; then it is killed, if it still lives."""
    command = [sys.executable, str(WRITING), str(path), str(seed), *solve_ids]
    environment = {**os.environ, "PYTHONPATH": str(WRITING.parent.parent)}
    with Popen(command, stdout=PIPE, text=True, env=environment) as process:  # noqa: S603
        try:
            yield process
        finally:
            process.kill()


def reports(process: Popen[str], at_most: int | None = None) -> dict[str, int]:
    """The newest of the next reports: how many events of each solve are flushed."""
    assert process.stdout is not None
    lines = islice(process.stdout, at_most)
    pairs = (line.split() for line in lines if line.endswith("\n"))
    return {solve_id: int(number) for solve_id, number in pairs}


def kill_while_writing(path: Path, chance: Random, *solve_ids: str) -> dict[str, int]:
    """Kill a writer at a random moment; how many events it had said were flushed."""
    with writing(path, chance.randrange(1000), *solve_ids) as process:
        flushed = reports(process, at_most=chance.randrange(1, 12))
        time.sleep(chance.random() * 0.03)
        process.kill()
        return flushed | reports(process)


@pytest.mark.parametrize("seed", range(4))
async def test_a_killed_writer_leaves_a_prefix_with_all_it_had_flushed(
    path: Path, seed: int
) -> None:
    """Killed twice over, the second one having gone on where the first one was stopped."""
    chance = Random(seed)
    for _ in range(2):
        flushed = kill_while_writing(path, chance, "a", "b")
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
    with writing(path, 1, "theirs", "too") as process:
        reports(process, at_most=1)
        async with SqliteJournal(path) as journal:
            for event in trace(200):
                await journal.append("ours", [event])
                await journal.flush()
            assert list(await journal.load("ours")) == trace(200)
            theirs = await journal.load("theirs")
            assert list(theirs) == trace(len(theirs))
        process.kill()
        flushed = reports(process)
    async with SqliteJournal(path) as journal:
        assert len(await journal.load("theirs")) >= flushed["theirs"]
        assert await journal.check() == []


async def test_a_solve_that_another_process_runs_is_refused_until_that_dies(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        with writing(path, 2, "a") as process:
            reports(process, at_most=1)
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
        await other.flush()
        assert len(await one.load("a")) == 4


async def test_a_solve_that_never_started_is_in_nobodys_way(path: Path) -> None:
    async with SqliteJournal(path) as one, SqliteJournal(path) as other:
        with pytest.raises(BadInputError):
            await one.append("a", [grown(1)])
        assert await other.solves() == []
        with pytest.raises(UnknownSolveError):
            await other.load("a")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM solves").fetchall() == []


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
