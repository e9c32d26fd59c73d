"""Runs programs that nobody trusts, at a level that can be seen, or not at all."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

from mull.core.errors import VerifierError
from mull.verifiers.sandbox.inside import seccomp
from mull.verifiers.sandbox.inside.plain import decode
from mull.verifiers.sandbox.levels import Level
from mull.verifiers.sandbox.slot import Slot

_MEMORY_EXIT: Final = 77
_PROBE: Final = """
import os, socket
refused = 0
for attempt in (os.fork, socket.socket, lambda: open("/etc/passwd"), lambda: open("/probe", "w")):
    try:
        attempt()
    except OSError:
        refused += 1
    if os.getpid() != first:
        os._exit(9)
print(refused)
"""
_PROBE_PASSED: Final = "4\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one program. A program is one process; it writes no file, so both need no number."""

    seconds: float = 5.0
    """Wall clock, from fork to exit; processor time is limited to a second more."""
    item_seconds: float = 0.0
    """Of each evaluated expression, 0 for no limit of its own. A program can defeat it, but not
    `seconds`."""
    memory_bytes: int = 512 << 20
    """Address space."""
    output_bytes: int = 64_000
    """Of standard output and of standard error, each."""
    open_files: int = 64


class Ended(StrEnum):
    """How a program ended."""

    EXITED = "exited"
    """By itself, with `exit_code`."""
    TIME = "time"
    MEMORY = "memory"
    OUTPUT = "output"
    KILLED = "killed"
    """By a signal: it crashed, or used up its processor time."""
    LOST = "lost"
    """The sandbox itself failed; nothing is known about the program."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one program."""

    ended: Ended
    exit_code: int = 0
    """Of the process; negative for the signal that killed it."""
    stdout: str = ""
    stderr: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether it exited by itself and with 0."""
        return self.ended is Ended.EXITED and self.exit_code == 0


@dataclass(frozen=True, slots=True)
class Value:
    """What one expression came to: plain data, or an error."""

    value: object = None
    error: str | None = None
    """Type and message, such as `KeyError: 'a'`; None where there is a value."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A program and the expressions evaluated after it."""

    run: Run
    program: Value
    """How the program's own text ended."""
    values: tuple[Value, ...]
    """One an expression that was reached, in order; fewer where a limit came first."""


@dataclass(slots=True)
class Sandbox:
    """A few fork-servers at one level. Belongs to one event loop; close it at the end.

    Make one with `Sandbox.open`. Programs share nothing: each runs in a fork of a server that
    never executes anything itself.
    """

    level: Level
    """What contains the programs. Show it wherever a verdict is shown."""
    _slots: list[Slot]
    _free: asyncio.Queue[Slot] = field(default_factory=asyncio.Queue[Slot])

    @classmethod
    async def open(cls, level: Level | None = None, *, num_slots: int = 2) -> Self:
        """The sandbox at this level, or at the strongest that passes its probe here.

        VerifierError, saying why for each level, where none does: programs are never run without
        one.
        """
        problems: list[str] = []
        for candidate in [level] if level else list(Level):
            sandbox = cls(candidate, [Slot(candidate, index) for index in range(num_slots)])
            for slot in sandbox._slots:
                sandbox._free.put_nowait(slot)
            try:
                await sandbox._probe()
            except (VerifierError, OSError) as error:
                problems.append(f"{candidate.value}: {error}")
                await sandbox.close()
            else:
                return sandbox
        raise VerifierError(
            f"no program can be run safely here ({'; '.join(problems)})",
            hint="install `bubblewrap`, or use a Linux kernel with Landlock (5.13 or newer)",
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the servers and everything they started."""
        for slot in self._slots:
            await slot.close()

    @property
    def num_starts(self) -> int:
        """How many servers were started: as many as slots used, while nothing went wrong."""
        return sum(slot.num_starts for slot in self._slots)

    async def run(self, program: str, stdin: str = "", limits: Limits = Limits()) -> Run:
        """Run a program as a script."""
        job = {"kind": "run", "source": program, "stdin": stdin}
        return _run_of(await self._do(job, limits))

    async def evaluate(
        self, program: str, items: Sequence[str], limits: Limits = Limits()
    ) -> Evaluation:
        """Run a program, then evaluate each expression (or execute each statement) in it.

        A statement that raises nothing has the value True. Where the program itself raises,
        nothing is evaluated. What is compared with the values must
        stay outside: the program could read anything that is inside.
        """
        job = {"kind": "evaluate", "source": program, "items": list(items)}
        answer = await self._do(job, limits)
        first, *rest = _values_of(answer) or [Value(error="the program did not end")]
        return Evaluation(_run_of(answer), first, tuple(rest[: len(items)]))

    async def test(
        self,
        program: str,
        test: str,
        entry: str,
        *,
        preamble: str = "",
        limits: Limits = Limits(),
    ) -> Value:
        """Run test code against function `entry` of a program; the value is True where it passes.

        Test and program run in two processes and exchange plain data only, so the program can
        neither see the expected values nor end, patch or imitate the test. The test calls
        `candidate` or `entry`; a function `check` in it is called with the candidate. `preamble` is
        executed before the test, beside it.
        """
        job = {
            "kind": "test", "source": program, "test": test, "entry": entry, "preamble": preamble,
        }  # fmt: skip
        answer = await self._do(job, limits)
        values = _values_of(answer)
        if values:
            return values[0]
        return Value(error=f"the test did not end: {_run_of(answer).ended.value}")

    async def _probe(self) -> None:
        if not seccomp.is_supported():
            raise VerifierError("this system or processor has no known filter of system calls")
        run = await self.run(f"first = __import__('os').getpid()\n{_PROBE}")
        if run.stdout != _PROBE_PASSED:
            raise VerifierError(
                f"the probe was not refused what it tried: {run.stdout + run.stderr}"
            )

    async def _do(self, job: dict[str, Any], limits: Limits) -> dict[str, Any] | None:
        wanted = {
            "seconds": limits.seconds, "item_seconds": limits.item_seconds,
            "memory_bytes": limits.memory_bytes, "output_bytes": limits.output_bytes,
            "open_files": limits.open_files,
        }  # fmt: skip
        async with self._slot() as slot:
            return await slot.ask({**job, **wanted}, limits.seconds)

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[Slot, None]:
        slot = await self._free.get()
        try:
            yield slot
        finally:
            self._free.put_nowait(slot)


def _run_of(answer: dict[str, Any] | None) -> Run:
    if answer is None:
        return Run(Ended.LOST)
    code = int(answer["exit"])
    ended = Ended.EXITED
    if answer["why"]:
        ended = Ended(answer["why"])
    elif code == _MEMORY_EXIT:
        ended = Ended.MEMORY
    elif code < 0:
        ended = Ended.KILLED
    return Run(ended, code, answer["stdout"], answer["stderr"])


def _values_of(answer: dict[str, Any] | None) -> list[Value]:
    """What was reported; the program may have written any of it, so it is only ever data."""
    lines = str(answer["report"]).split("\n")[:-1] if answer else []
    return [_value_of(line) for line in lines]


def _value_of(line: str) -> Value:
    try:
        message: Any = json.loads(line)
        if "error" in message:
            return Value(error=f"{message['error']}: {message['message']}")
        return Value(decode(message["value"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return Value(error="unreadable")
