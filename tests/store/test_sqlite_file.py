"""The file: what it is, what it is not, and what happens when somebody else writes into it."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import pytest
from traces import ENDED, grown, start, trace

from mull.core.errors import JournalCorruptError, StoreError
from mull.core.events import Event, SolveEnded
from mull.store import SqliteJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


async def write(path: Path, **traces: list[Event]) -> None:
    async with SqliteJournal(path) as journal:
        for solve_id, events in traces.items():
            await journal.append(solve_id, events)


def execute(path: Path, statement: str, **values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


async def test_traces_outlive_the_journal(path: Path) -> None:
    await write(path, a=trace(4))
    async with SqliteJournal(path) as journal:
        assert list(await journal.load("a")) == trace(4)
        await journal.append("a", [ENDED])
    async with SqliteJournal(path) as journal:
        assert list(await journal.load("a")) == [*trace(4), ENDED]
        assert await journal.check() == []


async def test_a_closed_journal_leaves_one_file_and_no_runner(path: Path) -> None:
    await write(path, a=trace(4))
    assert [each.name for each in path.parent.iterdir() if each.is_file()] == [path.name]
    assert list(path.with_name("journal.db-runners").iterdir()) == []


async def test_stored_events_can_be_read_by_a_person(path: Path) -> None:
    await write(path, a=[start(), grown(1, " 13 - 9 = 4 → é")])
    ((text,),) = execute(path, "SELECT event FROM events WHERE solve_id = 'a' AND position = 1")
    assert isinstance(text, str)
    assert '"event": "node_grown"' in text
    assert '"text": " 13 - 9 = 4 → é"' in text


async def test_lines_are_the_trace_as_stored(path: Path) -> None:
    await write(path, a=trace(3))
    stored = [text for (text,) in execute(path, "SELECT event FROM events ORDER BY position")]
    async with SqliteJournal(path) as journal:
        assert await journal.lines("a") == stored


async def test_several_who_open_a_new_file_at_once_all_can(path: Path) -> None:
    async def one(number: int) -> None:
        async with SqliteJournal(path) as journal:
            await journal.append(f"solve{number}", trace(3, number))

    await asyncio.gather(*(one(number) for number in range(8)))
    async with SqliteJournal(path) as journal:
        assert len(await journal.solves()) == 8
        assert await journal.check() == []


async def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    await write(path, a=trace(2))
    async with SqliteJournal(path) as journal:
        assert list(await journal.load("a")) == trace(2)


# What cannot be a journal


async def refusal(path: Path) -> StoreError:
    with pytest.raises(StoreError) as refused:
        await SqliteJournal(path).open()
    assert f"`{path}`" in refused.value.message
    assert refused.value.hint
    return refused.value


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in (await refusal(tmp_path)).message


async def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    execute(path, "CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    assert "another program" in (await refusal(path)).message
    assert path.read_bytes() == before


async def test_a_database_with_another_owners_mark_is_refused_though_empty(path: Path) -> None:
    execute(path, "PRAGMA application_id = 7")
    assert "another program" in (await refusal(path)).message


async def test_a_text_file_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("Dear diary, " * 100)
    assert "is no journal of mull" in (await refusal(path)).message
    assert path.read_text() == "Dear diary, " * 100


async def test_a_newer_schema_is_refused_by_number(path: Path) -> None:
    await write(path, a=trace(2))
    execute(path, "PRAGMA user_version = 2")
    error = await refusal(path)
    assert "has schema 2; this mull knows schemas up to 1" in error.message
    assert "upgrade mull" in (error.hint or "")


async def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    await refusal(tmp_path / "file" / "journal.db")


async def test_a_folder_for_its_runners_that_cannot_be_is_refused(path: Path) -> None:
    path.with_name("journal.db-runners").touch()
    with pytest.raises(StoreError, match="cannot be used: File exists"):
        await SqliteJournal(path).open()


@pytest.fixture
def unprivileged() -> Generator[Path, None, None]:
    """A folder to write in, and no right to write where its mode forbids it, even for root."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        folder = Path(name) / "own"
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        folder.mkdir()
        try:
            yield folder
        finally:
            folder.chmod(0o777)
            if is_root:
                os.seteuid(0)


async def test_a_read_only_file_is_refused(unprivileged: Path) -> None:
    path = unprivileged / "journal.db"
    await write(path, a=trace(2))
    path.chmod(stat.S_IRUSR)
    async with SqliteJournal(path) as journal:
        assert list(await journal.load("a")) == trace(2)
        with pytest.raises(StoreError, match="cannot be used: attempt to write a readonly"):
            await journal.append("b", trace(1))


async def test_a_read_only_folder_is_refused(unprivileged: Path) -> None:
    unprivileged.chmod(0o555)
    assert "check that you may write" in ((await refusal(unprivileged / "j.db")).hint or "")


async def test_a_journal_that_is_not_open_says_so(path: Path) -> None:
    journal = SqliteJournal(path)
    with pytest.raises(StoreError, match="is not open"):
        await journal.append("a", trace(1))
    async with journal:
        await journal.append("a", trace(1))
    for use in (journal.flush(), journal.load("a"), journal.solves(), journal.append("a", [ENDED])):
        with pytest.raises(StoreError, match="is not open"):
            await use
    await journal.close()


# Damage


@pytest.mark.parametrize(
    ("statement", "position"),
    [
        ("UPDATE events SET event = replace(event, 'step 2', 'step 9')", 2),
        ("UPDATE events SET event = ''", 2),
        ("UPDATE events SET event = X'ff00'", 2),
        ("UPDATE events SET checksum = checksum + 1", 2),
        ("UPDATE events SET checksum = 'none'", 2),
        ("UPDATE events SET position = 20", 2),
        ("DELETE FROM events", 2),
        ("UPDATE events SET solve_id = 'b', position = 9", 2),
    ],
)
async def test_an_edited_event_is_named_and_nothing_else_is_lost(
    path: Path, statement: str, position: int
) -> None:
    await write(path, a=trace(5), b=trace(4, 1))
    execute(path, f"{statement} WHERE solve_id = 'a' AND position = :position", position=position)
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalCorruptError) as damage:
            await journal.load("a")
        assert f"event {position} of solve `a` is damaged" in damage.value.message
        assert damage.value.hint
        assert str(damage.value) in [str(each) for each in await journal.check()]
        if "'b'" not in statement:
            assert list(await journal.load("b")) == trace(4, 1)
            assert len(await journal.check()) == 1


@pytest.mark.parametrize(
    ("statement", "position"),
    [
        ("DELETE FROM events WHERE position = 4", 4),
        ("UPDATE solves SET num_events = 3", 3),
        ("UPDATE solves SET num_events = 9", 5),
    ],
)
async def test_a_trace_of_the_wrong_length_is_noticed(
    path: Path, statement: str, position: int
) -> None:
    await write(path, a=trace(5))
    execute(path, statement)
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalCorruptError, match=f"event {position} of solve `a`"):
            await journal.load("a")


async def test_two_events_that_changed_places_are_noticed(path: Path) -> None:
    await write(path, a=trace(5))
    for before, after in ((1, 90), (2, 1), (90, 2)):
        execute(
            path,
            "UPDATE events SET position = :after WHERE position = :before",
            before=before,
            after=after,
        )
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalCorruptError, match="event 1 of solve `a`"):
            await journal.load("a")


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE solves SET spec = '{'",
        "UPDATE solves SET spec = NULL",
        "UPDATE solves SET stop = 'tired'",
    ],
)
async def test_a_summary_that_cannot_be_read_is_logged_and_hides_no_other(
    path: Path, edit: str, caplog: pytest.LogCaptureFixture
) -> None:
    await write(path, a=trace(5), b=trace(5, 1))
    execute(path, f"{edit} WHERE solve_id = 'a'")
    async with SqliteJournal(path) as journal:
        assert [each.solve_id for each in await journal.solves()] == ["b"]
        assert list(await journal.load("a")) == trace(5)
    assert "the summary of solve `a` is damaged" in caplog.text


async def test_a_summary_stands_with_a_damaged_trace(path: Path) -> None:
    await write(path, a=[start(3), grown(1), ENDED])
    execute(path, "DELETE FROM events")
    async with SqliteJournal(path) as journal:
        (summary,) = await journal.solves()
        assert summary.statement == start(3).problem.statement
        assert (summary.stop, summary.answer) == (ENDED.stop, "42")


async def test_a_summary_of_text_that_cannot_be_stored_escapes_it(path: Path) -> None:
    ended = SolveEnded(ENDED.stop, answer="half \ud83d")
    await write(path, a=[start(), ended])
    async with SqliteJournal(path) as journal:
        (summary,) = await journal.solves()
        assert summary.answer == "half \\ud83d"
        assert list(await journal.load("a")) == [start(), ended]


async def test_a_torn_table_of_contents_is_damage_of_the_whole_file(path: Path) -> None:
    await write(path, a=trace(2))
    raw = bytearray(path.read_bytes())
    raw[100:2000] = b"\xff" * 1900  # behind the file's header: where its tables are listed
    path.write_bytes(raw)
    with pytest.raises(JournalCorruptError, match="is damaged: database disk image is malformed"):
        await SqliteJournal(path).open()


async def test_a_torn_page_is_damage_too(path: Path) -> None:
    await write(path, a=[start(), *(grown(index, "x" * 3000) for index in range(1, 40))])
    raw = bytearray(path.read_bytes())
    page = 20 * 4096
    raw[page : page + 4096] = os.urandom(4096)
    path.write_bytes(raw)
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalCorruptError):
            await journal.load("a")
        assert len(await journal.check()) == 1


def forge(path: Path, text: str) -> None:
    """Put a text in the place of event 1 of solve `a`, with the checksum that it needs."""
    execute(
        path,
        "UPDATE events SET event = :text, checksum = :checksum WHERE position = 1",
        text=text,
        checksum=crc32(b"a 1 " + text.encode()),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"v": 99, "event": "node_grown"}', "trace version `99` is unknown"),
        ('{"v": 1, "event": "node_shrunk"}', "trace event `node_shrunk` is unknown"),
        ('{"v": 1, "event": "node_grown"}', "cannot be read"),
        ('{"v": 1, ', "Expecting property name"),
    ],
)
async def test_an_event_that_this_mull_cannot_read_is_named(
    path: Path, text: str, why: str
) -> None:
    await write(path, a=trace(2))
    forge(path, text)
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalCorruptError, match=f"event 1 of solve `a` is damaged: .*{why}"):
            await journal.load("a")
