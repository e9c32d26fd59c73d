from pathlib import Path

import pytest

from mull.cli.places import default_journal


def test_the_journal_lies_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for name in ("MULL_JOURNAL", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_journal() == Path("/home/somebody/.local/state/mull/journal.db")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_journal() == Path("/state/mull/journal.db")
    monkeypatch.setenv("MULL_JOURNAL", "elsewhere.db")
    assert default_journal() == Path("elsewhere.db")
