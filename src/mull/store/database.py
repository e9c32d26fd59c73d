"""The journal's file: an SQLite database that says whose it is, and its errors in our words.

Two tables: `events` (one row an event, as JSON a person can read) and `solves`, their table of
contents, in the order in which solves started.
"""

import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from mull.core.errors import JournalCorruptError, StoreError, StoreFullError

APPLICATION_ID: Final = int.from_bytes(b"mull")
"""In the header of the file: tells our databases from everybody else's."""
SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 30.0
"""How long to wait for another process that is writing; it holds the file for milliseconds."""
_FULL_BYTES: Final = 1 << 16
"""SQLite calls some failures for want of space I/O errors; below this much it was want of space."""

_SCHEMA: Final = (
    """CREATE TABLE solves (
        number INTEGER PRIMARY KEY,
        solve_id TEXT NOT NULL UNIQUE,
        num_events INTEGER NOT NULL,
        runner TEXT,
        stop TEXT,
        answer TEXT,
        statement TEXT,
        spec TEXT
    )""",
    """CREATE TABLE events (
        solve_id TEXT NOT NULL,
        position INTEGER NOT NULL,
        event TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (solve_id, position)
    )""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


# One statement, hence one snapshot: another process may be creating the same file.
_IDENTITY: Final = """
    SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
    FROM pragma_application_id, pragma_user_version
"""


def open_database(path: Path) -> sqlite3.Connection:
    """The writing connection, in autocommit mode; the file and its folder are made if missing.

    A file that is not ours is left exactly as it is. `StoreError` says what is wrong with it.
    """
    with store_errors(path):
        if path.is_dir():
            raise StoreError(f"journal `{path}` is a directory", hint="name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            if _is_blank(connection, path):
                _create(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection, None, None]:
    """A connection that sees what is committed when it first looks and disturbs no writer."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with (
        store_errors(path),
        closing(sqlite3.connect(uri, timeout=BUSY_SECONDS, isolation_level=None, uri=True)) as each,
    ):
        yield each


def _is_blank(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the database is brand new; `StoreError` if it is neither that nor one of ours."""
    owner, version, num_objects = connection.execute(_IDENTITY).fetchone()
    if (owner, version, num_objects) == (0, 0, 0):
        return True
    if owner != APPLICATION_ID:
        raise StoreError(
            f"`{path}` is a database of another program, not a journal of mull",
            hint="choose another path for the journal; this file was left as it is",
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"journal `{path}` has schema {version}; this mull knows schemas up to "
            f"{SCHEMA_VERSION}",
            hint="upgrade mull, or choose another path for the journal",
        )
    return False


def _create(connection: sqlite3.Connection, path: Path) -> None:
    # The mode is a property of the file, so later connections find it set.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    if _is_blank(connection, path):  # else another process was faster
        for statement in _SCHEMA:
            connection.execute(statement)
    connection.execute("COMMIT")


@contextmanager
def store_errors(path: Path) -> Generator[None, None, None]:
    """Whatever SQLite or the file system raises in the block becomes a `StoreError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise store_error(path, error) from error


def store_error(path: Path, error: Exception) -> StoreError:
    """The error in our words, with what to do about it and itself as the cause; ours as it is."""
    if isinstance(error, StoreError):
        return error
    ours = _in_our_words(path, error)
    ours.__cause__ = error
    return ours


def _in_our_words(path: Path, error: Exception) -> StoreError:
    match error:
        case sqlite3.Error():
            return _database_error(path, error)
        case OSError():
            return _unusable(path, error.strerror or str(error))
        case _:
            return StoreError(f"journal `{path}` failed: {error!r}")


def _database_error(path: Path, error: sqlite3.Error) -> StoreError:
    # The low byte is the primary code; the rest says more than a person needs.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_IOERR if shutil.disk_usage(path.parent).free < _FULL_BYTES:
            return _full(path)
        case sqlite3.SQLITE_NOTADB:
            return StoreError(
                f"`{path}` is no journal of mull",
                hint="choose another path for the journal; this file was left as it is",
            )
        case sqlite3.SQLITE_CORRUPT:
            return JournalCorruptError(
                f"journal `{path}` is damaged: {error}",
                hint="restore it from a backup, or move it away to start a new one",
            )
        case sqlite3.SQLITE_BUSY:
            return StoreError(
                f"journal `{path}` was locked by another process for {BUSY_SECONDS:.0f} seconds",
                hint="end the process that holds it",
            )
        case _:
            return _unusable(path, str(error))


def _full(path: Path) -> StoreFullError:
    return StoreFullError(
        f"no space left for journal `{path}`",
        hint="free some space and resume the solve: all that was flushed is kept",
    )


def _unusable(path: Path, why: str) -> StoreError:
    return StoreError(
        f"journal `{path}` cannot be used: {why}",
        hint="check that you may write to the file and its folder, or choose another path",
    )
