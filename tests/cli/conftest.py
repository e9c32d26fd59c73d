import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from replies import scripted

from mull.cli import run


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


Mull = Callable[..., Ran]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `mull` keeps its solves in this test."""
    path = tmp_path / "state" / "journal.db"
    monkeypatch.setenv("MULL_JOURNAL", str(path))
    return path


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A scripted model, by name."""
    return scripted(tmp_path)


@pytest.fixture
def mull(journal: Path, capsys: pytest.CaptureFixture[str]) -> Mull:
    """The command line, in this process."""

    def mull(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return mull
