"""The installed command in a process of its own, as a shell runs it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli.conftest import Ran
from replies import EXPRESSION, GAME, scripted

from mull import __version__
from mull.core.events import NodeGrown
from mull.store import SqliteJournal

BARE = (
    "import sys; sys.modules.update(dict.fromkeys("
    "('numpy', 'torch', 'tokenizers', 'safetensors', 'uvloop')));"
    "from mull.cli import run; sys.exit(run(sys.argv[1:]))"
)
"""Runs a command where only the base install is."""


@dataclass(frozen=True, slots=True)
class Shell:
    """Starts processes of this interpreter with one journal."""

    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "journal.db"

    def start(self, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603  (our own interpreter)
            [sys.executable, *arguments],
            env={**os.environ, "MULL_JOURNAL": str(self.journal), "COLUMNS": "100"},
            cwd=self.folder,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, stdout: int = subprocess.PIPE) -> Ran:
        process = self.start(*arguments, stdout=stdout)
        out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out or "", err)

    def mull(self, *arguments: str, stdout: int = subprocess.PIPE) -> Ran:
        return self.run("-m", "mull", *arguments, stdout=stdout)

    def begin(self, model: str) -> subprocess.Popen[str]:
        """A solve of several seconds, once its first steps are in the journal."""
        arguments = ("--model", model, "--strategy", "early_stop", "--n", "8", "--json")
        process = self.start("-m", "mull", "solve", GAME, *arguments)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if self.journal.exists() and num_steps(self.journal) >= 2:
                return process
            time.sleep(0.05)
        raise AssertionError(f"no solve began: {process.communicate()}")

    def only_run(self) -> str:
        (run,) = self.mull("runs", "--json").document["runs"]
        assert run["is_open"]
        return run["solve_id"]


def num_steps(path: Path) -> int:
    """Steps in the journal, of every solve."""

    async def count() -> int:
        async with SqliteJournal(path) as journal:
            traces = [await journal.load(each.solve_id) for each in await journal.solves()]
        return sum(isinstance(event, NodeGrown) for trace in traces for event in trace)

    return asyncio.run(count())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_the_command_and_the_module_are_the_same(shell: Shell) -> None:
    script = str(Path(sys.executable).with_name("mull"))
    assert shell.run(script, "--version").out == f"{__version__}\n"
    assert shell.mull("--version").out == f"{__version__}\n"


def test_a_solve_in_a_pipe_has_no_colour_and_clean_data(shell: Shell, tmp_path: Path) -> None:
    ran = shell.mull("solve", GAME, "--model", scripted(tmp_path), "--n", "2")
    assert ran.code == 0
    assert EXPRESSION in ran.out
    assert "\x1b" not in ran.out + ran.err


def test_a_base_install_lists_its_commands_and_solves(shell: Shell, tmp_path: Path) -> None:
    assert "eval" in shell.run("-c", BARE, "--help").out
    ran = shell.run("-c", BARE, "solve", GAME, "--model", scripted(tmp_path), "--n", "2")
    assert ran.code == 0
    assert EXPRESSION in ran.out


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("solve", GAME, "--model", "."), "local"),
        (("train", "policy", "--out", "run"), "train"),
        (("eval", "countdown"), "eval"),
        (("demo",), "local"),
        (("serve", "--port", "0"), "serve"),
    ],
    ids=["local", "train", "eval", "demo", "serve"],
)
def test_a_missing_extra_is_named_with_the_way_to_get_it(
    shell: Shell, arguments: tuple[str, ...], extra: str
) -> None:
    ran = shell.run("-c", BARE, *arguments)
    assert ran.code == 2
    assert "which is not installed" in ran.err
    assert f"hint: pip install 'mull[{extra}]'" in ran.err


def test_an_interrupt_is_clean_and_says_how_to_go_on(shell: Shell, tmp_path: Path) -> None:
    process = shell.begin(scripted(tmp_path, seconds_per_step=2.5))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    solve_id = shell.only_run()
    assert process.returncode == 130
    assert out == ""
    assert err == f"interrupted; every finished step is kept\nto go on: mull resume {solve_id}\n"
    resumed = shell.mull("resume", solve_id, "--json")
    assert resumed.code == 0
    assert resumed.document["stop"] == "accepted"


def test_a_killed_solve_goes_on_to_the_same_answer(shell: Shell, tmp_path: Path) -> None:
    process = shell.begin(scripted(tmp_path, seconds_per_step=2.5))
    process.kill()
    process.communicate(timeout=60)
    resumed = shell.mull("resume", shell.only_run(), "--json")
    assert resumed.document["readable_answer"] == EXPRESSION
    assert resumed.document["usage"]["calls"] <= 3  # two attempts, one of them in two goes


def test_output_that_nobody_reads_is_no_error(shell: Shell) -> None:
    process = shell.start("-m", "mull", "models", "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_output_that_cannot_be_written_is_said(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        ran = shell.mull("models", "--json", stdout=full.fileno())
    assert ran.code == 2
    assert ran.err == "error: cannot write the output: No space left on device\n"
