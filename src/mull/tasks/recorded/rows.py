"""Rows of data files: JSON lines or CSV, plain or `.gz`, one at a time.

What a row must look like is a frozen dataclass; a row that does not is named and left out.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, TypeVar, cast

from mull.core.codec import Json, decode, parse_json
from mull.core.errors import BadInputError

T = TypeVar("T")

RawRow = Mapping[str, Json]
Shape = Callable[[RawRow], RawRow]
"""Puts a row's keys the way a dataclass can name them; may raise as it likes for a bad row."""


def as_it_is(row: RawRow) -> RawRow:
    """The shape of rows whose keys are names already."""
    return row


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read."""

    file: str
    line: int
    """From 1, the header of a CSV file included."""
    reason: str


@dataclass(slots=True)
class Rows:
    """Reads the files of one data set, and keeps what was wrong with them."""

    folder: Path
    bad: list[BadRow] = field(default_factory=list[BadRow])
    num_good: int = 0
    _place: tuple[str, int] = ("", 0)
    """File and line of the last row."""

    def reject(self, reason: str) -> None:
        """Name the last row as bad, for a reason that its shape does not show."""
        self.bad.append(BadRow(*self._place, reason))
        self.num_good -= 1

    def json_lines(self, name: str, kind: type[T], *, shape: Shape = as_it_is) -> Iterator[T]:
        """The rows of a file as values of `kind`; keys that `kind` lacks are ignored.

        `BadInputError` for a file that cannot be read to its end.
        """
        with _open(self.folder / name) as file:
            for number, line in enumerate(file, start=1):
                yield from self._decoded(name, number, kind, lambda: shape(_parsed(line)))  # noqa: B023

    def csv_lines(self, name: str, kind: type[T]) -> Iterator[T]:
        """The same for CSV; every field of `kind` is text."""
        with _open(self.folder / name) as file:
            reader = csv.DictReader(_texts(file))
            for row in reader:
                yield from self._decoded(name, reader.line_num, kind, lambda: row)  # noqa: B023

    def _decoded(
        self, name: str, line: int, kind: type[T], parse: Callable[[], RawRow]
    ) -> Iterator[T]:
        try:
            row = parse()
            wanted = [each.name for each in fields(cast("type[BadRow]", kind))]
            value = decode(kind, {key: row[key] for key in wanted if key in row})
        except (ValueError, TypeError, LookupError) as error:
            self.bad.append(BadRow(name, line, f"{type(error).__name__}: {error}"))
            return
        self.num_good += 1
        self._place = name, line
        yield value


def _parsed(line: bytes) -> RawRow:
    value: object = parse_json(line.decode("utf-8"))
    if not isinstance(value, dict):
        raise TypeError("the line is no object")
    return cast("RawRow", value)


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    return (line.decode("utf-8", "replace") for line in lines)


@contextmanager
def _open(path: Path) -> Generator[IO[bytes], None, None]:
    try:
        with cast(
            "IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb")
        ) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise BadInputError(f"cannot read the data `{path}`: {error}") from error
