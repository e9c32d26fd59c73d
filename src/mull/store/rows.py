"""Events as rows: JSON a person can read, with a checksum that notices when it is no longer ours.

The checksum covers the solve, the position and the text, so a row that was edited, moved or copied
is noticed. It guards against accidents, not against forgery.
"""

from json import JSONDecodeError, dumps, loads
from typing import NamedTuple
from zlib import crc32

from mull.core.errors import JournalCorruptError
from mull.core.events import Event, event_from_json, event_to_json


class Row(NamedTuple):
    """One event of a trace, in the order of the table's columns."""

    solve_id: str
    position: int
    """Its place in the trace, from 0, without gaps."""
    event: str
    """JSON, as a person can read it."""
    checksum: int


def to_row(solve_id: str, position: int, event: Event) -> Row:
    """The event as it is stored."""
    data = event_to_json(event)
    text = dumps(data, ensure_ascii=False)
    try:
        raw = text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: only escapes can write it
        text = dumps(data)
        raw = text.encode()
    return Row(solve_id, position, text, _checksum(solve_id, position, raw))


def to_line(solve_id: str, position: int, event: bytes, checksum: int) -> str:
    """The JSON text of a row as found; `JournalCorruptError` if it is not what was written."""
    if checksum != _checksum(solve_id, position, event):
        raise damaged(solve_id, position, "its checksum does not fit its text")
    return event.decode()


def to_event(solve_id: str, position: int, line: str) -> Event:
    """The event in a line; `JournalCorruptError` if this mull cannot read it."""
    try:
        return event_from_json(loads(line))
    except JSONDecodeError as error:
        raise damaged(solve_id, position, str(error)) from error
    except JournalCorruptError as error:
        raise damaged(solve_id, position, error.message, hint=error.hint) from error


def damaged(
    solve_id: str, position: int, why: str, *, hint: str | None = None
) -> JournalCorruptError:
    """The error that says where a trace is not what was written, and why."""
    return JournalCorruptError(
        f"event {position} of solve `{solve_id}` is damaged: {why}",
        hint=hint or "restore the journal from a backup; its other solves are not affected",
    )


def _checksum(solve_id: str, position: int, event: bytes) -> int:
    return crc32(event, crc32(f"{solve_id} {position} ".encode()))
