"""A solve's trace as a file of JSON lines."""

import json
from collections.abc import Iterable
from pathlib import Path

from mull.core.errors import BadInputError
from mull.core.events import Event, event_to_json


def check_writable(path: Path) -> None:
    """Make the file, empty; `BadInputError` if that is impossible, before anything is spent."""
    write_trace(path, ())


def write_trace(path: Path, events: Iterable[Event]) -> None:
    """Replace the file's content by the events, one a line."""
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(event_to_json(event)) + "\n" for event in events)
    except OSError as error:
        raise BadInputError(f"cannot write the trace `{path}`: {error.strerror}") from error
