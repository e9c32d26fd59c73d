"""Where traces outlive their process."""

from mull.store.journal import SqliteJournal

__all__ = ["SqliteJournal"]
