"""Queries on SQLite: read-only, bounded, in a process of their own, compared by their rows."""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from mull.core.score import Verdict
from mull.verifiers.finding import Finding
from mull.verifiers.processes import WorkerPool
from mull.verifiers.template import outcome, run

MAX_QUERY_CHARS: Final = 10_000
MAX_ROWS: Final = 10_000
MAX_CELL_CHARS: Final = 100_000
MAX_RESULT_CHARS: Final = 10_000_000
MAX_SECONDS: Final = 2.0
_MEMORY_BYTES: Final = 64_000_000
_STEPS_BETWEEN_LOOKS: Final = 10_000
_ALLOWED: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_FUNCTION}
)
_REFUSED_FUNCTIONS: Final = frozenset(
    {"load_extension", "zeroblob", "randomblob", "fts3_tokenizer"}
)
"""Code from outside, and memory for the asking."""

Rows = list[tuple[object, ...]]


class QueryError(Exception):
    """The query is wrong or not allowed; the message is the reason."""


class LimitError(Exception):
    """A limit of ours ended the query; the message says which."""


def rows_of(database: sqlite3.Connection, query: str, seconds: float = MAX_SECONDS) -> Rows:
    """All rows of one SELECT. The connection is confined for good: it can only read from then on.

    Raises QueryError or LimitError.
    """
    if len(query) > MAX_QUERY_CHARS:
        raise LimitError(f"the query has {len(query)} characters")
    end = time.monotonic() + seconds
    database.set_authorizer(_authorize)
    database.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_CHARS)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    try:
        cursor = database.execute(query)
        if cursor.description is None:
            raise QueryError("it is no query")
        return _fetched(cursor)
    except sqlite3.OperationalError as error:
        if str(error) == "interrupted":
            raise LimitError(f"the query took longer than {seconds} s") from error
        kind = LimitError if _is_exhausted(error) else QueryError
        raise kind(str(error)[:200]) from error
    except sqlite3.DataError as error:
        raise LimitError(str(error)[:200]) from error
    except MemoryError as error:
        raise LimitError("the query needs too much memory") from error
    except (sqlite3.Error, ValueError, OverflowError) as error:
        # A warning is how Python says that there is more than one statement.
        raise QueryError(str(error)[:200]) from error


def _is_exhausted(error: sqlite3.OperationalError) -> bool:
    """Whether memory or, since it may write none, a temporary file ran out."""
    return error.sqlite_errorcode & 0xFF in {
        sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_TOOBIG,
    }  # fmt: skip


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    is_refused = action == sqlite3.SQLITE_FUNCTION and str(second).lower() in _REFUSED_FUNCTIONS
    reads_schema = action == sqlite3.SQLITE_READ and str(first).startswith("pragma_")
    is_allowed = action in _ALLOWED and not is_refused and not reads_schema
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _fetched(cursor: sqlite3.Cursor) -> Rows:
    rows, size = Rows(), 0
    for row in cursor:
        rows.append(row)
        size += sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in row)
        if len(rows) > MAX_ROWS or size > MAX_RESULT_CHARS:
            raise LimitError(
                f"the result has more than {MAX_ROWS} rows or {MAX_RESULT_CHARS} bytes"
            )
    return rows


def same_result(given: Rows, wanted: Rows, *, ordered: bool) -> bool:
    """Whether two results hold the same rows; in the same order only where order was asked for.

    Columns are compared by place, not by name. A whole number equals the same number as a float.
    """
    return given == wanted if ordered else Counter(given) == Counter(wanted)


def asks_for_order(query: str) -> bool:
    """Whether the outermost SELECT has an ORDER BY, as far as brackets and quotes show it."""
    depth, words, quote = 0, list[str](), ""
    word = ""
    for char in query.lower() + " ":
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"`":
            quote = char
        elif depth == 0 and (char.isalnum() or char == "_"):
            word += char
            continue
        depth += (char == "(") - (char == ")")
        if word:
            words.append(word)
            word = ""
    return any(pair == ("order", "by") for pair in pairwise(words))


def compare(request: Mapping[str, str]) -> dict[str, str]:
    """Run two queries on one database in a worker; the reference has to work."""
    found: dict[str, Rows] = {}
    for name in ("reference", "query"):
        try:
            database = _opened(request["script"], request["file"])
        except sqlite3.Error as error:
            return outcome("unknown", f"the database cannot be opened: {error}")
        try:
            found[name] = rows_of(database, request[name])
        except LimitError as error:
            return outcome("unknown", f"the {name}: {error}")
        except QueryError as error:
            verdict = "reject" if name == "query" else "unknown"
            return outcome(verdict, f"the {name} fails: {error}")
        finally:
            database.close()
    ordered = asks_for_order(request["reference"])
    if same_result(found["query"], found["reference"], ordered=ordered):
        return outcome("accept", f"the same {len(found['reference'])} rows")
    return outcome("reject", _difference(found["query"], found["reference"]))


def _difference(given: Rows, wanted: Rows) -> str:
    if len(given) != len(wanted):
        return f"{len(given)} rows, not {len(wanted)}"
    if given and wanted and len(given[0]) != len(wanted[0]):
        return f"{len(given[0])} columns, not {len(wanted[0])}"
    return "other rows" if Counter(given) != Counter(wanted) else "the same rows in another order"


def _opened(script: str, file: str) -> sqlite3.Connection:
    """The database: a file opened read-only, or one made in memory by a trusted script."""
    if file:
        uri = f"{Path(file).resolve().as_uri()}?mode=ro&immutable=1"
        database = sqlite3.connect(uri, uri=True, isolation_level=None)
    else:
        database = sqlite3.connect(":memory:", isolation_level=None)
        database.executescript(script)
    database.execute(f"PRAGMA hard_heap_limit = {_MEMORY_BYTES}")
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA temp_store = MEMORY")
    return database


@dataclass(slots=True)
class QueryPool(WorkerPool):
    """Runs queries. See `WorkerPool`."""

    MODULE: ClassVar[str] = "mull.verifiers.sql"
    PACKAGE: ClassVar[str] = "sqlite3"
    EXTRA: ClassVar[str] = "dev"
    METHOD: ClassVar[str] = "sqlite"

    seconds: float = 2 * MAX_SECONDS + 1.0


@dataclass(slots=True)
class SqlChecker:
    """Whether a query gives the rows a reference query gives, on a database of the caller's.

    Three walls: an authorizer that allows reading alone, limits inside SQLite, and a process that
    the kernel kills. Belongs to one event loop; close it at the end.
    """

    script: str = ""
    """SQL of the caller's that makes the database; trusted."""
    file: Path | None = None
    """Or a database file, opened read-only."""
    pool: QueryPool = field(default_factory=QueryPool)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the worker processes."""
        await self.pool.close()

    async def check(self, query: str, reference: str) -> Finding:
        """Whether both give the same rows; their order counts where the reference orders them."""
        if len(query) > MAX_QUERY_CHARS:
            return Finding(Verdict.UNKNOWN, f"the query has {len(query)} characters", "filter")
        file = "" if self.file is None else str(self.file)
        request = {"script": self.script, "file": file, "query": query, "reference": reference}
        return await self.pool.ask(request)


def _warm_up() -> None:
    compare({"script": "", "file": "", "query": "SELECT 1", "reference": "SELECT 1"})


if __name__ == "__main__":
    run(compare, _warm_up)
