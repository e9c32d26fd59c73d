"""`docs/remote.md`, followed as it stands: its server, its checker, its commands, its settings."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from socket import socket

import pytest
from cli.conftest import Mull

from mull.cli import run

PAGE = (Path(__file__).parents[2] / "docs" / "remote.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def block(language: str, mark: str) -> str:
    return next(text for kind, text in BLOCKS if kind == language and mark in text)


def commands(mark: str) -> list[list[str]]:
    """The arguments of the `mull` lines that hold a mark."""
    lines = [line for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("mull ") and mark in line]


def free_port() -> int:
    with socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_the_page_leads_to_a_checked_best_of_eight(
    mull: Mull, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    port = str(free_port())
    (exporting,) = commands("export gguf")
    assert run(exporting) == 0
    Path("serve.py").write_text(block("py", "xllamacpp").replace("8080", port))
    Path("check.py").write_text(block("py", "def check"))
    with subprocess.Popen([sys.executable, "serve.py"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert port in server.stdout.readline().decode()
            asking = [[each.replace("8080", port) for each in words] for words in commands("8080")]
            assert len(asking) == 2
            voted, checked = [mull(*words, "--json").document for words in asking]
            assert voted["usage"]["calls"] == checked["usage"]["calls"] == 8
            assert checked["readable_answer"] == str(847 * 293)
            assert checked["confidence"] == 1.0
            Path("mull.toml").write_text(block("toml", "models.mine").replace("8080", port))
            (last,) = commands("312")
            assert mull(*last, "--json").document["readable_answer"] == str(312 * 45)
        finally:
            server.terminate()


def test_every_setting_on_the_page_is_one(mull: Mull, tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(block("toml", "prices"))
    assert mull("--config", path, "runs").code == 0
