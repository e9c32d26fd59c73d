"""A solve's trace as a file of JSON lines."""

import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from mull.core.errors import BadInputError
from mull.core.events import Event, event_to_json


def check_writable(path: Path) -> None:
    """Make the file if it is missing; `BadInputError` if it cannot be written.

    What it holds stays until there is a trace to replace it.
    """
    with _writing(path):
        path.open("a", encoding="utf-8").close()


def write_trace(path: Path, events: Iterable[Event]) -> None:
    """Replace the file's content by the events, one a line."""
    with _writing(path), path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(event_to_json(event)) + "\n" for event in events)


@contextmanager
def _writing(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise BadInputError(f"cannot write the trace `{path}`: {error.strerror}") from error
