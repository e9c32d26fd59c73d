"""Who runs a solve: its runner is alive as long as the kernel keeps the lock on the runner's file.

Process ids come back and clocks jump, but a lock goes exactly when its process does, however it
ends. So a dead process's solves can be taken over at once, and a living one's never.
"""

import fcntl
import os
import re
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from mull.core.errors import StoreError

_NAME: Final = re.compile(r"(\d+)-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Runner:
    """One open journal, as other journals on the same file see it. Owned by that journal."""

    name: str
    """`<process id>-<random>`."""
    folder: Path
    """Where the runners of one journal file keep theirs."""
    descriptor: int
    """Open, and with it the lock held, until `end`."""

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Come alive. OSError if the folder cannot be written."""
        folder.mkdir(exist_ok=True)
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return cls(name, folder, descriptor)

    def end(self) -> None:
        """Count as dead from now on, and leave nothing behind."""
        (self.folder / self.name).unlink(missing_ok=True)
        os.close(self.descriptor)

    def claim(self, connection: sqlite3.Connection, solve_id: str) -> int:
        """Become the runner of a solve, new or not, and return how many events it has.

        `StoreError` if another one is alive. Needs the database's write lock: two who ask about
        the same dead one at once would take each other for it.
        """
        found = connection.execute(
            "SELECT num_events, runner FROM solves WHERE solve_id = ?", (solve_id,)
        ).fetchone()
        if found is None:
            connection.execute(
                "INSERT INTO solves (solve_id, num_events, runner) VALUES (?, 0, ?)",
                (solve_id, self.name),
            )
            return 0
        num_events, holder = found
        if holder not in {None, self.name} and self._is_alive(holder):
            raise StoreError(
                f"solve `{solve_id}` is being run by process {holder.partition('-')[0]}",
                hint="wait until it ends, or end that process and resume the solve",
            )
        connection.execute("UPDATE solves SET runner = ? WHERE solve_id = ?", (self.name, solve_id))
        return num_events

    def hand_back(self, connection: sqlite3.Connection, solve_ids: Iterable[str]) -> None:
        """Leave solves to whoever wants them; those that never started vanish."""
        mine = [(solve_id, self.name) for solve_id in solve_ids]
        connection.executemany(
            "DELETE FROM solves WHERE solve_id = ? AND runner = ? AND num_events = 0", mine
        )
        connection.executemany(
            "UPDATE solves SET runner = NULL WHERE solve_id = ? AND runner = ?", mine
        )

    def _is_alive(self, name: str) -> bool:
        if not _NAME.fullmatch(name):  # not ours; as a path it could be anything
            return False
        path = self.folder / name
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)
