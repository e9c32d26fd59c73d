"""Whatever is done in whatever order: others see a prefix that holds all that was flushed."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from traces import trace

from mull.core.errors import UnknownSolveError
from mull.store import SqliteJournal
from mull.store.reader import read_damage, read_trace

Action = tuple[str, str, int]
"""What is done, to which solve, with how many events (of which only `append` takes notice)."""

SOLVES: Final[tuple[str, ...]] = ("a", "b", "c")
LONG = {solve_id: trace(200, number) for number, solve_id in enumerate(SOLVES)}

actions = st.tuples(
    st.sampled_from(["append", "append", "append", "flush", "reopen", "load", "pause"]),
    st.sampled_from(SOLVES),
    st.integers(1, 5),
)


class Run:
    """A journal and what it must hold, changed one action at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = SqliteJournal(path)
        self.appended: dict[str, int] = dict.fromkeys(SOLVES, 0)
        self.flushed: dict[str, int] = dict.fromkeys(SOLVES, 0)

    async def act(self, name: str, solve_id: str, count: int) -> None:
        match name:
            case "append":
                start = self.appended[solve_id]
                await self.journal.append(solve_id, LONG[solve_id][start : start + count])
                self.appended[solve_id] += count
            case "flush":
                await self.journal.flush()
                self.flushed |= self.appended
            case "reopen":
                await self.journal.close()
                self.flushed |= self.appended
                self.journal = SqliteJournal(self.path)
                await self.journal.open()
            case "load":
                if self.appended[solve_id]:
                    loaded = list(await self.journal.load(solve_id))
                    assert loaded == LONG[solve_id][: self.appended[solve_id]]
            case _:
                await asyncio.sleep(0.003)

    def check(self) -> None:
        for solve_id in SOLVES:
            try:
                seen = read_trace(self.path, solve_id)
            except UnknownSolveError:
                seen = []
            assert seen == LONG[solve_id][: len(seen)]
            assert self.flushed[solve_id] <= len(seen) <= self.appended[solve_id]
        assert read_damage(self.path) == []


async def interleave(path: Path, sequence: list[Action]) -> None:
    run = Run(path)
    await run.journal.open()
    for action in sequence:
        await run.act(*action)
        run.check()
    await run.journal.close()
    run.flushed |= run.appended
    run.check()


@settings(max_examples=30, deadline=None)
@given(st.lists(actions, max_size=25))
def test_a_reader_sees_a_prefix_with_all_that_was_flushed(
    sequence: list[Action],
) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(interleave(Path(folder) / "journal.db", sequence))
