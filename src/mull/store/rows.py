"""Events and summaries as rows: text a person can read.

Of events, a checksum notices when they are no longer ours. It covers the solve, the position and
the text, so a row that was edited, moved or copied is noticed. It guards against accidents, not
against forgery.
"""

from collections.abc import Mapping, Sequence
from json import dumps
from typing import NamedTuple, cast
from zlib import crc32

from mull.core.codec import Json, decode, encode, parse_json
from mull.core.errors import JournalCorruptError
from mull.core.events import (
    Event,
    SolveEnded,
    SolveStarted,
    StopReason,
    event_from_json,
    event_to_json,
)
from mull.core.protocols import SolveSummary
from mull.core.spec import SolveSpec


class Row(NamedTuple):
    """One event of a trace, in the order of the table's columns."""

    solve_id: str
    position: int
    """Its place in the trace, from 0, without gaps."""
    event: str
    """JSON, as a person can read it."""
    checksum: int


class Head(NamedTuple):
    """Where a solve stands, in the order of the table's columns."""

    num_events: int
    runner: str | None
    stop: str | None
    """Set while the last event is the solve's end, as is its answer."""
    answer: str | None


class Title(NamedTuple):
    """What a solve is about, in the order of the table's columns."""

    statement: str
    spec: str
    """JSON."""


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
        return event_from_json(cast("Mapping[str, Json]", parse_json(line)))
    except ValueError as error:
        raise damaged(solve_id, position, str(error)) from error
    except JournalCorruptError as error:
        raise damaged(solve_id, position, error.message, hint=error.hint) from error


def to_head(num_events: int, last: Event, runner: str) -> Head:
    """Where a solve stands after its last event. Once it has ended, nobody runs it."""
    if isinstance(last, SolveEnded):
        answer = None if last.answer is None else _storable(last.answer)
        return Head(num_events, None, last.stop.value, answer)
    return Head(num_events, runner, None, None)


def to_title(started: SolveStarted) -> Title:
    """What a solve is about, from its first event."""
    spec = dumps(encode(started.spec), ensure_ascii=False)
    return Title(_storable(started.problem.statement), _storable(spec))


def to_summary(solve_id: str, row: Sequence[str | None]) -> SolveSummary:
    """The summary in the columns stop, answer, statement, spec."""
    stop, answer, statement, spec = row
    try:
        return SolveSummary(
            solve_id,
            statement or "",
            decode(SolveSpec, parse_json(spec or "")),
            None if stop is None else StopReason(stop),
            answer,
        )
    except ValueError as error:
        raise JournalCorruptError(f"the summary of solve `{solve_id}` is damaged: {error}") from (
            error
        )


def _storable(text: str) -> str:
    """Half a surrogate pair cannot be stored as text; for a summary its escape will do."""
    return text.encode(errors="backslashreplace").decode()


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
