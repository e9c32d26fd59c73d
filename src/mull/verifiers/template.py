"""Workers that may be killed, and the template they are forked from. No event loop, no threads.

A module that is run as `python -I -m MODULE FD` calls `run`. The template imports its library once,
in seconds, and then forks a worker in milliseconds whenever it is handed a socket. A worker arms a
real-time alarm whose action is the kernel's default, death, before it looks at a text: no
computation, in C or holding the interpreter, can outlive it, whatever became of the parent.
"""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

MAX_LINE_BYTES: Final = 64_000
_MEMORY_BYTES: Final = 1 << 30

Answer = Callable[[Mapping[str, str]], dict[str, str]]
"""From a request to `{"verdict": …, "reason": …}`; whatever it raises ends its worker."""


def outcome(verdict: str, reason: str) -> dict[str, str]:
    """An answer in the shape that goes over the wire."""
    return {"verdict": verdict, "reason": reason}


def serve(connection: socket.socket, answer: Answer) -> None:
    """Answer one line a request until the other end closes; says its process id first."""
    with connection.makefile("rwb") as stream:
        stream.write(json.dumps({"pid": os.getpid()}).encode() + b"\n")
        stream.flush()
        while line := stream.readline(MAX_LINE_BYTES):
            asked = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, float(asked["seconds"]))
            found = answer(asked["request"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            stream.write(json.dumps(found).encode() + b"\n")
            stream.flush()


def _become_worker(connection: socket.socket, answer: Answer) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        serve(connection, answer)
    os._exit(0)


def _fork_workers(control: socket.socket, answer: Answer) -> None:
    """Fork a worker for each socket, kill the worker whose id comes, end with the parent."""
    live: set[int] = set()
    while True:
        live -= _reap(live)
        if not select.select([control], [], [], 1.0)[0]:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if not message:
            break
        if descriptors:
            live.add(_fork_worker(control, descriptors[0], answer))
        elif int(message) in live:
            # Not reaped yet, so the id cannot have passed to another process.
            os.kill(int(message), signal.SIGKILL)
    for pid in live:
        os.kill(pid, signal.SIGKILL)


def _fork_worker(control: socket.socket, descriptor: int, answer: Answer) -> int:
    pid = os.fork()
    if pid == 0:
        control.close()
        _become_worker(socket.socket(fileno=descriptor), answer)
    os.close(descriptor)
    return pid


def _reap(live: set[int]) -> set[int]:
    return {pid for pid in live if os.waitpid(pid, os.WNOHANG)[0] == pid}


def run(answer: Answer, warm_up: Callable[[], object]) -> None:
    """Warm the library up, say so, and fork workers until the parent is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    warm_up()
    control.send(b"ready\n")
    _fork_workers(control, answer)
