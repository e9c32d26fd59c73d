"""Traces as files of JSON lines, as `docs/trace.md` describes them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from mull.core.codec import Json, parse_json
from mull.core.errors import BadInputError, JournalCorruptError
from mull.core.events import Event, event_from_json, event_to_json


def trace_line(event: Event) -> str:
    """The event as one line, without its end."""
    return json.dumps(event_to_json(event))


def read_trace(path: Path) -> list[Event]:
    """The events of a file; `mull.core.state.replay` makes the tree of them.

    Raises `BadInputError` for a file that cannot be read, and `JournalCorruptError` naming the line
    for a trace of another version or a line that is no event: what follows a gap means nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read the trace `{path}`: {error}") from error
    return list(_events(text.splitlines(), path))


def _events(lines: Iterable[str], path: Path) -> Iterable[Event]:
    for number, line in enumerate(lines, start=1):
        where = f"`{path}`, line {number}"
        try:
            data: object = parse_json(line)
        except ValueError as error:
            raise JournalCorruptError(f"{where} is no JSON: {error}") from error
        if not isinstance(data, dict):
            raise JournalCorruptError(f"{where} is no JSON object")
        try:
            yield event_from_json(cast("Mapping[str, Json]", data))
        except JournalCorruptError as error:
            raise JournalCorruptError(f"{where}: {error.message}", hint=error.hint) from error
