"""The fork-server: one confined process a job, watched from outside it. Started by `boot.py`.

Frames on standard input and output are a length (4 bytes, big-endian) and JSON. A job is answered
once, after its processes are dead.
"""

import ctypes
import fcntl
import importlib
import json
import os
import platform
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from mull.verifiers.sandbox.inside import landlock, program, seccomp

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_MAX_REPORT_BYTES: Final = 4_000_000
_CHUNK: Final = 65_536
# Imported once here, so that a program's own import of them costs nothing.
_PRELOADED: Final = (
    "abc", "array", "ast", "base64", "bisect", "calendar", "cmath", "collections", "copy", "csv",
    "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "hashlib",
    "heapq", "inspect", "io", "itertools", "json", "math", "numbers", "operator", "pprint", "queue",
    "random", "re", "statistics", "string", "struct", "textwrap", "threading", "time", "traceback",
    "typing", "unicodedata", "unittest", "uuid", "zlib",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """What every job of this server shares."""

    user: int | None
    """The user and group a job becomes; None to stay what the server is."""
    ruleset: int | None
    """Landlock rules; None where the file system is already a private one."""
    filter_bytes: bytes
    owns_namespace: bool
    """The server is process 1: whatever is left after a job is the job's."""


@dataclass(slots=True)
class _Process:
    """One confined process and the pipes it writes to."""

    pid: int
    readers: dict[int, bytearray]
    """Read end → what has arrived."""
    limits: dict[int, int]
    """Read end → the most bytes that may arrive."""
    status: int = 0
    finished: set[int] = field(default_factory=set[int])
    """Read ends that nobody writes to any more, or that are over their limit."""

    def open_ends(self) -> list[int]:
        """Read ends that may still bring something."""
        return [end for end in self.readers if end not in self.finished]

    def take(self, end: int) -> bool:
        """Read what is there; whether it is still within the limit."""
        chunk = os.read(end, _CHUNK)
        room = self.limits[end] - len(self.readers[end])
        self.readers[end] += chunk[:room]
        if not chunk or len(chunk) > room:
            self.finished.add(end)
        return len(chunk) <= room


@dataclass(slots=True)
class _Pipes:
    """Pipes of one process: what the child keeps and what the server reads."""

    kept: dict[int, int] = field(default_factory=dict[int, int])
    """Descriptor in the child → the pipe's end."""
    readers: dict[str, int] = field(default_factory=dict[str, int])

    def output(self, name: str, number: int) -> None:
        """A pipe that the child writes as `number`."""
        self.readers[name], self.kept[number] = os.pipe()


def serve() -> NoReturn:
    """Answer jobs until standard input closes. Arguments: user (or `-`), namespace flag, paths."""
    user, namespace, *readable = sys.argv[1:]
    for name in _PRELOADED:
        importlib.import_module(name)
    has_landlock = landlock.version() > 0
    if namespace == "shared" and not has_landlock:
        _exit_with("no Landlock, and no namespace instead")
    settings = Settings(
        user=None if user == "-" else int(user),
        ruleset=landlock.read_only_ruleset(readable) if has_landlock else None,
        filter_bytes=seccomp.program_filter(platform.machine()),
        owns_namespace=namespace == "own",
    )
    _send({"ready": True, "landlock": landlock.version()})
    while (job := _receive()) is not None:
        answer = _do(job, settings)
        if settings.owns_namespace:
            _sweep()
        _send(answer)
    _exit_with("")


def _exit_with(message: str) -> NoReturn:
    if message:
        sys.stderr.write(message + "\n")
    os._exit(1 if message else 0)


def _receive() -> dict[str, Any] | None:
    header = _read_exactly(4)
    return json.loads(_read_exactly(struct.unpack("!I", header)[0])) if header else None


def _read_exactly(count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = os.read(0, count - len(data))
        if not chunk:
            return b""
        data += chunk
    return bytes(data)


def _send(message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    data = memoryview(struct.pack("!I", len(body)) + body)
    while data:
        data = data[os.write(1, data) :]


def _do(job: dict[str, Any], settings: Settings) -> dict[str, Any]:
    if job["kind"] == "test":
        return _do_test(job, settings)
    pipes = _Pipes()
    pipes.output("stdout", 1)
    pipes.output("stderr", 2)
    pipes.output("report", 3)
    source, items = job["source"], job.get("items", [])

    def work() -> None:
        if job["kind"] == "run":
            program.run_as_main(source)
        else:
            program.evaluate_items(source, items, job["item_seconds"], 3)

    given = _input_of(job.get("stdin", ""))
    process = _start(work, {**pipes.kept, 0: given}, pipes, job, settings)
    os.close(given)
    why = _watch([process], process, job["seconds"])
    return _answer(process, pipes, why)


def _input_of(text: str) -> int:
    """A descriptor that reads this text: a file in memory, so that no writer has to wait."""
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    os.write(descriptor, text.encode("utf-8", "surrogatepass"))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _do_test(job: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The program answers calls in one process, the test asks and judges in another."""
    request_read, request_write = os.pipe()
    reply_read, reply_write = os.pipe()
    silent, tester = _Pipes(), _Pipes()
    tester.output("report", 3)
    nothing = os.open(os.devnull, os.O_RDWR)
    base = {0: nothing, 1: nothing, 2: nothing}

    def answer() -> None:
        program.answer_calls(job["source"], job["entry"], 3, 4)

    def ask() -> None:
        program.run_test(job["preamble"], job["test"], job["entry"], program.Wires(5, 4, 3))

    candidate = _start(answer, {**base, 3: request_read, 4: reply_write}, silent, job, settings)
    os.close(request_read)
    os.close(reply_write)
    judge = _start(
        ask, {**base, **tester.kept, 4: reply_read, 5: request_write}, tester, job, settings
    )
    for descriptor in (request_write, reply_read, nothing):
        os.close(descriptor)
    why = _watch([judge, candidate], judge, job["seconds"])
    return _answer(judge, tester, why)


def _start(
    work: Callable[[], None],
    descriptors: dict[int, int],
    pipes: _Pipes,
    job: dict[str, Any],
    settings: Settings,
) -> _Process:
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_job(work, descriptors, job, settings, server)
    for end in pipes.kept.values():
        os.close(end)
    names = pipes.readers
    limits = {
        end: _MAX_REPORT_BYTES if name == "report" else int(job["output_bytes"])
        for name, end in names.items()
    }
    return _Process(pid, {end: bytearray() for end in names.values()}, limits)


def _become_job(
    work: Callable[[], None],
    descriptors: dict[int, int],
    job: dict[str, Any],
    settings: Settings,
    server: int,
) -> NoReturn:
    code = 1
    try:
        rules = _keep_only(descriptors, settings.ruleset)
        _confine(job, settings, rules, server)
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            _try_to_write(2, stop.code)
    except MemoryError:
        _try_to_write(2, "MemoryError")
        code = 77
    except BaseException:  # noqa: BLE001  (the program's own; its traceback is its output)
        _try_to_write(2, sys.modules["traceback"].format_exc(limit=-8))
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
        os._exit(code & 0xFF)


def _try_to_write(descriptor: int, text: str) -> None:
    with suppress(OSError, MemoryError):
        os.write(descriptor, text[-4_000:].encode("utf-8", "replace"))


def _keep_only(descriptors: dict[int, int], ruleset: int | None) -> int | None:
    """Give the process these descriptors under these numbers and no others; where the rules are."""
    high = {number: _lifted(end) for number, end in descriptors.items()}
    rules = None if ruleset is None else _lifted(ruleset)
    for number, end in high.items():
        os.dup2(end, number)
    first_free = max(high) + 1
    kept = None if rules is None else os.dup2(rules, first_free)
    os.closerange(first_free + (kept is not None), 4_096)
    sys.stdin = os.fdopen(0, "r", errors="replace")
    sys.stdout = os.fdopen(1, "w", errors="replace")
    sys.stderr = os.fdopen(2, "w", errors="replace", buffering=1)
    return kept


def _lifted(descriptor: int) -> int:
    """A copy out of the way of the low numbers that are about to be assigned."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64)


def _confine(job: dict[str, Any], settings: Settings, rules: int | None, server: int) -> None:
    """Everything that cannot be undone, in the order in which each still works."""
    os.setsid()
    os.chdir("/")
    if settings.user is not None:
        os.setgroups([])
        os.setresgid(settings.user, settings.user, settings.user)
        os.setresuid(settings.user, settings.user, settings.user)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:
        os._exit(1)
    for which, soft in (
        (resource.RLIMIT_AS, int(job["memory_bytes"])),
        (resource.RLIMIT_CPU, int(job["seconds"]) + 1),
        (resource.RLIMIT_NOFILE, int(job["open_files"])),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (soft, soft))
    if rules is not None:
        landlock.restrict(rules)
        os.close(rules)
    seccomp.install(settings.filter_bytes)


def _watch(processes: Sequence[_Process], last: _Process, seconds: float) -> str:
    """Collect what they write until `last` ends or a limit is reached; then end them."""
    deadline = time.monotonic() + seconds
    ended = os.pidfd_open(last.pid)
    why = ""
    while not why:
        ends = [end for process in processes for end in process.open_ends()]
        ready, _, _ = select.select([ended, *ends], [], [], max(0.0, deadline - time.monotonic()))
        if ended in ready:
            break
        why = "" if ready else "time"
        for process in processes:
            mine = [end for end in ready if end in process.readers]
            why = why if all(process.take(end) for end in mine) else "output"
    os.close(ended)
    for process in processes:
        _end(process)
    return why


def _end(process: _Process) -> None:
    """Kill the process if it still lives, and take what is left in its pipes."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    _, process.status = os.waitpid(process.pid, 0)
    for end in process.open_ends():
        while process.take(end) and end in process.open_ends():
            pass
    for end in process.readers:
        os.close(end)


def _answer(process: _Process, pipes: _Pipes, why: str) -> dict[str, Any]:
    texts = {
        name: bytes(process.readers[end]).decode("utf-8", "replace")
        for name, end in pipes.readers.items()
    }
    return {
        "why": why,
        "exit": os.waitstatus_to_exitcode(process.status),
        "stdout": texts.get("stdout", ""),
        "stderr": texts.get("stderr", ""),
        "report": texts.get("report", ""),
    }


def _sweep() -> None:
    """Kill and reap whatever a job left behind: here every other process is one."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(-1, signal.SIGKILL)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
