"""Every attack at every level offered here: nothing read, written, sent or left running."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from refusal import NOTHING_CONTAINS, REFUSE, under

from mull.core.errors import VerifierError
from mull.verifiers.sandbox import Ended, Level, Limits, Sandbox

ATTACKS: Final[list[dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parent / "attacks" / "attacks.toml").read_text()
)["attack"]
PATIENT: Final = Limits(seconds=10.0, memory_bytes=256 << 20)
HASTY: Final = Limits(seconds=0.4, memory_bytes=256 << 20)
MARKED: Final = "MULL_TEST_SECRET"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(Level))
async def sandbox(request: pytest.FixtureRequest) -> AsyncGenerator[Sandbox, None]:
    os.environ[MARKED] = "swordfish"
    try:
        opened = await Sandbox.open(request.param, num_slots=1)
    except VerifierError as error:
        pytest.skip(f"this machine offers no `{request.param}`: {error}")
    async with opened:
        yield opened
    del os.environ[MARKED]


@dataclass(frozen=True, slots=True)
class Outside:
    """What an attack could reach on the host."""

    directory: Path
    listeners: tuple[socket.socket, socket.socket]

    @property
    def port(self) -> int:
        return self.listeners[0].getsockname()[1]

    def num_contacts(self) -> int:
        contacts = 0
        for listener in self.listeners:
            try:
                listener.recv(1) if listener.type is socket.SOCK_DGRAM else listener.accept()
            except BlockingIOError:
                continue
            contacts += 1
        return contacts


@pytest.fixture
def outside(tmp_path: Path) -> Generator[Outside, None, None]:
    tmp_path.chmod(0o777)
    (tmp_path / "secret").write_text("swordfish")
    (tmp_path / "secret").chmod(0o666)
    with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        stream.bind(("127.0.0.1", 0))
        stream.listen()
        datagram.bind(stream.getsockname())
        stream.settimeout(0)
        datagram.settimeout(0)
        yield Outside(tmp_path, (stream, datagram))


def servers_and_jobs() -> set[int]:
    """Fork-servers of this process, and forks of one however they were detached."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().split(") ")[1].split()[1]
                )
                if b"boot.py" in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
        except OSError:
            continue
    return {pid for pid in found if is_ours(pid, parents)}


def is_ours(pid: int, parents: dict[int, int]) -> bool:
    """Below this process, or below nobody any more; the sandboxes of others do not count."""
    ancestors = [pid]
    while ancestors[-1] > 1:
        ancestors.append(parents.get(ancestors[-1], 0))
    return os.getpid() in ancestors or len(ancestors) == 2


async def left_running(before: set[int]) -> set[int]:
    deadline = time.monotonic() + 2.0
    while (left := servers_and_jobs() - before) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return left


async def test_there_are_enough_attacks() -> None:
    assert len({attack["name"] for attack in ATTACKS}) == len(ATTACKS) >= 28


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack["name"])
async def test_the_attack_is_contained(
    sandbox: Sandbox, outside: Outside, attack: dict[str, Any]
) -> None:
    program = attack["program"].replace("{tmp}", str(outside.directory))
    program = program.replace("{port}", str(outside.port))
    before, num_starts = servers_and_jobs(), sandbox.num_starts

    ends = attack.get("ends", ["exited"])
    run = await sandbox.run(program, limits=HASTY if "time" in ends else PATIENT)

    assert "BREACH" not in run.stdout + run.stderr.replace(program, ""), run
    assert "swordfish" not in run.stdout + run.stderr
    assert run.ended.value in ends, run
    assert [path.name for path in outside.directory.iterdir()] == ["secret"]
    assert (outside.directory / "secret").read_text() == "swordfish"
    assert outside.num_contacts() == 0
    assert await left_running(before) == set()
    # The next program neither notices nor pays.
    assert (await sandbox.run("print(6 * 7)")).stdout == "42\n"
    assert sandbox.num_starts == num_starts


async def test_a_program_that_cannot_be_judged_is_never_clean(sandbox: Sandbox) -> None:
    for ended, program in [(Ended.TIME, "while True: pass"), (Ended.MEMORY, "'x' * 10**9")]:
        run = await sandbox.run(program, limits=HASTY)
        assert (run.ended, run.is_clean) == (ended, False)


OPEN: Final = """
from mull.verifiers.sandbox import Sandbox
async def main():
    try:
        async with await Sandbox.open(num_slots=1) as sandbox:
            print(sandbox.level.value, (await sandbox.run("print(6 * 7)")).stdout)
    except MullError as error:
        print("refused:", error, error.hint)
asyncio.run(main())
"""


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.02, 0.04])
async def test_who_leaves_while_a_server_starts_leaves_none_behind(seconds: float) -> None:
    before = servers_and_jobs()
    opening = asyncio.create_task(Sandbox.open(Level.STRICT, num_slots=1))
    async with asyncio.timeout(10):
        while not servers_and_jobs() - before:
            await asyncio.sleep(0.001)
    await asyncio.sleep(seconds)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert await left_running(before) == set()


async def test_where_namespaces_are_refused_the_strict_level_is_taken() -> None:
    """As in a default container: no unshare, no mount, no new namespaces."""
    ended = under(f"{REFUSE}\nrefuse(UNSHARE, MOUNT)", OPEN)
    assert ended.stdout.split() == ["strict", "42"], ended


async def test_where_nothing_contains_no_program_runs() -> None:
    """As on a kernel without Landlock, in a default container."""
    ended = under(NOTHING_CONTAINS, OPEN)
    assert ended.stdout.startswith("refused: no program can be run safely here"), ended
    assert "bubblewrap" in ended.stdout
    assert "Landlock" in ended.stdout


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests ran as an ordinary user already")
async def test_every_attack_is_contained_for_an_ordinary_user_too() -> None:
    as_user = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if subprocess.run([*as_user, "true"], capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("this machine offers no `user namespace`")
    test = f"{__file__}::test_the_attack_is_contained"
    ended = subprocess.run(  # noqa: S603  (our own interpreter)
        [*as_user, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-4_000:]
    assert " passed" in ended.stdout.splitlines()[-1]
