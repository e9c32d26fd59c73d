"""Worker processes for computations that must be killable: hands out work, replaces what dies."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import ClassVar, Final

from mull.core.errors import BadInputError, VerifierError
from mull.core.score import Verdict
from mull.verifiers.finding import Finding

_START_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 0.5
"""How much later than the worker's own alarm the parent kills it."""
_JOBS_PER_WORKER: Final = 500
"""Caches of such libraries only grow: a worker that has done this much is replaced."""


class MissingPackageError(VerifierError, BadInputError):
    """A verifier needs a package that this install was made without."""


@dataclass(slots=True)
class _Worker:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pid: int
    jobs: int = 0


@dataclass(slots=True)
class WorkerPool:
    """Worker processes of one kind. Belongs to one event loop; `close` it at the end.

    A text that hangs or kills its worker costs that worker and nobody else: its finding is unknown.
    """

    MODULE: ClassVar[str]
    """What a template runs: it calls `template.run`."""
    PACKAGE: ClassVar[str]
    """What it cannot do without."""
    EXTRA: ClassVar[str]
    METHOD: ClassVar[str]
    """What findings say decided."""

    size: int = 2
    seconds: float = 1.5
    """Wall-clock limit of one request, after which the kernel kills the worker."""
    _template: subprocess.Popen[bytes] | None = None
    _control: socket.socket | None = None
    _slots: asyncio.Semaphore | None = None
    _idle: list[_Worker] = field(default_factory=list[_Worker])
    _starting: asyncio.Lock | None = None

    async def ask(self, request: Mapping[str, str]) -> Finding:
        """What a worker finds; unknown past the limit.

        VerifierError where the package is missing or does not start.
        """
        if self._slots is None:
            self._slots = asyncio.Semaphore(self.size)
        async with self._slots:
            worker = self._idle.pop() if self._idle else await self._hire()
            started = time.monotonic()
            try:
                outcome = await asyncio.wait_for(
                    self._exchange(worker, request), self.seconds + _GRACE_SECONDS
                )
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                self._dismiss(worker)
                return self._undecided(time.monotonic() - started)
            except asyncio.CancelledError:
                self._dismiss(worker)
                raise
            self._retain(worker)
        return Finding(Verdict(outcome["verdict"]), outcome["reason"], self.METHOD)

    async def start(self) -> None:
        """Make the template ready now (seconds) instead of at the first request."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._template is None or self._template.poll() is not None:
                await self._start_template()

    async def close(self) -> None:
        """End every process. The pool may be used again, and then starts anew."""
        for worker in self._idle:
            self._dismiss(worker)
        self._idle.clear()
        if self._control is not None:
            self._control.close()
        if self._template is not None:
            # It ends by itself when its control socket closes, and takes its workers along.
            await asyncio.to_thread(self._template.wait)
        self._template = self._control = self._slots = self._starting = None

    async def _start_template(self) -> None:
        if find_spec(self.PACKAGE) is None:
            raise MissingPackageError(
                f"the package `{self.PACKAGE}` is not installed",
                hint=f"install it with `pip install 'mull[{self.EXTRA}]'`",
            )
        # One packet a message, so that two never arrive as one.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003  (its name says it)
        command = [sys.executable, "-I", "-m", self.MODULE, str(theirs.fileno())]
        if self._control is not None:
            self._control.close()
        starting = asyncio.ensure_future(asyncio.to_thread(_start_process, command, theirs))
        try:
            template = await asyncio.shield(starting)
        except asyncio.CancelledError:
            ours.close()
            template = await starting
            template.kill()
            await asyncio.to_thread(template.wait)
            raise
        self._template, self._control = template, ours
        loop = asyncio.get_running_loop()
        try:
            ready = await asyncio.wait_for(loop.sock_recv(ours, 16), _START_SECONDS)
        except TimeoutError:
            ready = b""
        if not ready:
            template.kill()
            raise VerifierError(f"the worker did not start: `{self.PACKAGE}` cannot be imported")

    async def _hire(self) -> _Worker:
        await self.start()
        if self._control is None:
            raise VerifierError("the workers are closed")
        ours, theirs = socket.socketpair()
        writer: asyncio.StreamWriter | None = None
        try:
            with theirs:
                socket.send_fds(self._control, [b"fork"], [theirs.fileno()])
            reader, writer = await asyncio.open_connection(sock=ours)
            line = await asyncio.wait_for(reader.readuntil(b"\n"), _START_SECONDS)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            (writer or ours).close()
            raise VerifierError("no worker could be started") from error
        except asyncio.CancelledError:
            (writer or ours).close()  # which ends the worker: it reads the other end
            raise
        return _Worker(reader, writer, pid=json.loads(line)["pid"])

    async def _exchange(self, worker: _Worker, request: Mapping[str, str]) -> dict[str, str]:
        timed = {"request": dict(request), "seconds": self.seconds}
        worker.writer.write(json.dumps(timed).encode() + b"\n")
        line = await worker.reader.readuntil(b"\n")
        return json.loads(line)

    def _undecided(self, elapsed: float) -> Finding:
        if elapsed < 0.9 * self.seconds:
            return Finding.unknown("it crashed its worker", self.METHOD)
        return Finding.unknown(f"not decided within {self.seconds} s", self.METHOD)

    def _retain(self, worker: _Worker) -> None:
        worker.jobs += 1
        if worker.jobs < _JOBS_PER_WORKER:
            self._idle.append(worker)
        else:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        worker.writer.close()
        if self._control is not None:
            with contextlib.suppress(OSError):  # a template that is gone took its workers along
                self._control.send(str(worker.pid).encode())


def _start_process(command: list[str], theirs: socket.socket) -> subprocess.Popen[bytes]:
    with theirs:
        return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
        )
