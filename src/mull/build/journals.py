"""From a place on disk to a journal."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from mull.core.journal import MemoryJournal
from mull.core.protocols import Journal
from mull.store import SqliteJournal


@asynccontextmanager
async def open_journal(where: str | Path | Journal | None) -> AsyncGenerator[Journal, None]:
    """A journal for as long as the block lasts.

    A path is an SQLite file, made with its folders where it does not exist; None is a journal that
    forgets with the block; a journal of one's own passes through and stays open.
    """
    if where is None:
        yield MemoryJournal()
    elif isinstance(where, (str, Path)):
        async with SqliteJournal(Path(where).expanduser()) as journal:
            yield journal
    else:
        yield where
