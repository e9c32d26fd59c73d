"""Where things lie on this machine, as the environment says."""

import os
from pathlib import Path


def default_journal() -> Path:
    """`$MULL_JOURNAL`, or `mull/journal.db` in the user's state folder (XDG)."""
    if given := os.environ.get("MULL_JOURNAL"):
        return Path(given)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "mull" / "journal.db"
