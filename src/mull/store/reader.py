"""Reading a journal's file, on a connection of its own: no writer waits for it, nor it for one.

Damage is told by solve and event, and keeps nobody from reading the rest.
"""

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mull.core.errors import JournalCorruptError, StoreError, UnknownSolveError
from mull.core.events import Event
from mull.core.protocols import SolveSummary
from mull.store.database import reading
from mull.store.rows import damaged, to_event, to_line, to_summary

_log = logging.getLogger(__name__)

_HEAD = "SELECT num_events FROM solves WHERE solve_id = ? AND num_events > 0"
# Events come as the bytes they are: what is no longer UTF-8 must reach the checksum.
_TRACE = """
    SELECT position, CAST(event AS BLOB), checksum
    FROM events WHERE solve_id = ? ORDER BY position
"""
_IDS = "SELECT solve_id FROM solves WHERE num_events > 0 ORDER BY number"
_SUMMARIES = """
    SELECT solve_id, stop, answer, statement, spec
    FROM solves WHERE num_events > 0 ORDER BY number DESC
"""


def read_lines(path: Path, solve_id: str) -> list[str]:
    """The trace as stored, one JSON text an event, every checksum verified.

    `UnknownSolveError`, or `JournalCorruptError` at the first event that is not as it was written.
    """
    with reading(path) as connection:
        connection.execute("BEGIN")  # head and rows of one moment
        head = connection.execute(_HEAD, (solve_id,)).fetchone()
        if head is None:
            raise UnknownSolveError(
                f"no solve `{solve_id}` in journal `{path}`", hint="`mull runs` lists them"
            )
        return list(_lines(connection, solve_id, head[0]))


def _lines(connection: sqlite3.Connection, solve_id: str, num_events: int) -> Iterator[str]:
    position = 0
    try:
        for found, event, checksum in connection.execute(_TRACE, (solve_id,)):
            if found != position:
                raise damaged(solve_id, position, "it is missing")
            yield to_line(solve_id, position, event, checksum)
            position += 1
    except sqlite3.DatabaseError as error:  # a torn page, met on the way
        raise damaged(solve_id, position, str(error)) from error
    if position != num_events:
        raise damaged(solve_id, min(position, num_events), f"{num_events} events were written")


def read_trace(path: Path, solve_id: str) -> list[Event]:
    """The events of `read_lines`."""
    lines = read_lines(path, solve_id)
    return [to_event(solve_id, position, line) for position, line in enumerate(lines)]


def read_summaries(path: Path) -> list[SolveSummary]:
    """Every solve, newest first, without its trace; a damaged entry is logged and left out."""
    summaries = list[SolveSummary]()
    with reading(path) as connection:
        for solve_id, *columns in connection.execute(_SUMMARIES):
            try:
                summaries.append(to_summary(solve_id, columns))
            except JournalCorruptError as error:
                _log.warning("%s", error)
    return summaries


def read_damage(path: Path) -> list[StoreError]:
    """What is wrong with each solve that cannot be read; empty for a sound journal."""
    with reading(path) as connection:
        solve_ids = [solve_id for (solve_id,) in connection.execute(_IDS)]
    found = list[StoreError]()
    for solve_id in solve_ids:
        try:
            read_trace(path, solve_id)
        except StoreError as error:
            found.append(error)
    return found
