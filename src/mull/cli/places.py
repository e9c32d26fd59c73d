"""Where things lie on this machine, as the environment says."""

import os
from pathlib import Path


def default_journal() -> Path:
    """`$MULL_JOURNAL`, or `mull/journal.db` in the user's state folder (XDG)."""
    if given := os.environ.get("MULL_JOURNAL"):
        return Path(given)
    return _state() / "journal.db"


def default_served_journal() -> Path:
    """`mull/served.db` in the user's state folder: a server's solves, apart from one's own."""
    return _state() / "served.db"


def _state() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "mull"
