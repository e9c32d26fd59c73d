"""The two streams: data on standard output, everything else on standard error.

Text that a model or a file brings along goes through `printable` first: it must not move the
cursor, change colours or hide itself.
"""

import json
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mull.core.codec import Json

WIDTH_OF_FILES = 1_000
"""Characters; a table is only as wide as what is in it."""
JSON_VERSION = 1
"""Of every document that `--json` prints; it changes when a field changes its meaning."""


def output_console() -> Console:
    """Standard output. Made when needed, so that it writes to the stream that is there now."""
    return Console(highlight=False, soft_wrap=True, emoji=False)


def message_console() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def show_table(table: Table) -> None:
    """A table of data: cut to the width of a terminal, and whole in a file or pipe."""
    console = output_console()
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    console.print(table)


def printable(text: str) -> str:
    """The text with everything that a terminal could act on spelled out; newlines stay."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )


def show(text: str | Text = "", *, style: str = "") -> None:
    """A line of data for people."""
    output_console().print(_plain(text), style=style)


def say(text: str | Text, *, style: str = "") -> None:
    """A line beside the data: what goes on, and what went wrong."""
    message_console().print(_plain(text), style=style)


def _plain(text: str | Text) -> Text:
    return Text(printable(text)) if isinstance(text, str) else text


def show_json(kind: str, content: Mapping[str, Json]) -> None:
    """One JSON document for programs: `version`, `kind` and the content."""
    document = {"version": JSON_VERSION, "kind": kind, **content}
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def write_line(text: str) -> None:
    """One line for programs, exactly as it is."""
    sys.stdout.write(f"{text}\n")


def is_watched() -> bool:
    """Whether a person looks at standard error, so that a moving display makes sense."""
    return message_console().is_terminal
