"""One fork-server process and the frames that go to it and come back."""

import asyncio
import contextlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from mull.core.errors import VerifierError
from mull.verifiers.sandbox.levels import Level, server_command

_START_SECONDS: Final = 20.0
_GRACE_SECONDS: Final = 3.0
"""How much longer than a job's own limit its server may stay silent before it is replaced."""
_MAX_FRAME_BYTES: Final = 32_000_000


@dataclass(slots=True)
class Slot:
    """One job at a time. Whoever took it from the sandbox owns it until it is given back."""

    level: Level
    index: int
    _process: asyncio.subprocess.Process | None = None
    num_starts: int = field(default=0)
    """How often its server was started: 1 while nothing went wrong."""

    async def ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """The server's answer; None where it died or stayed silent, and is replaced next time."""
        process = await self._running()
        try:
            return await asyncio.wait_for(_exchange(process, job), seconds + _GRACE_SECONDS)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError):
            await self.close()
            return None
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """End the server and with it everything it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await self._start()
        return self._process

    async def _start(self) -> asyncio.subprocess.Process:
        self.num_starts += 1
        process = await asyncio.create_subprocess_exec(
            *server_command(self.level, self.index),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PYTHONHASHSEED": "0"},
            cwd="/",
            limit=_MAX_FRAME_BYTES,
        )
        try:
            await asyncio.wait_for(_receive(process), _START_SECONDS)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise VerifierError(await _why_not_started(process, self.level)) from error
        except asyncio.CancelledError:  # nobody would ever end it: the event loop holds its pipes
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        return process


async def _why_not_started(process: asyncio.subprocess.Process, level: Level) -> str:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    _, complaint = await process.communicate()
    words = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["no word from it"]
    return f"the sandbox level `{level}` does not start: {words[0][:200]}"


async def _exchange(process: asyncio.subprocess.Process, job: dict[str, Any]) -> dict[str, Any]:
    if process.stdin is None:
        raise OSError("the server has no input")
    body = json.dumps(job).encode()
    process.stdin.write(struct.pack("!I", len(body)) + body)
    await process.stdin.drain()
    return await _receive(process)


async def _receive(process: asyncio.subprocess.Process) -> dict[str, Any]:
    if process.stdout is None:
        raise OSError("the server has no output")
    (size,) = struct.unpack("!I", await process.stdout.readexactly(4))
    if size > _MAX_FRAME_BYTES:
        raise ValueError(f"the server sent a frame of {size} bytes")
    return json.loads(await process.stdout.readexactly(size))
