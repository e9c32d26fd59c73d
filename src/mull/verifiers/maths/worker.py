"""The process that runs the algebra, and the template it is forked from. No event loop, no threads.

Started as `python -I -m mull.verifiers.maths.worker FD`. The template imports the algebra once, in
2 s, and then forks a worker in milliseconds whenever it is handed a socket. A worker arms a
real-time alarm whose action is the kernel's default, death, before it looks at a text: no
computation, in C or holding the interpreter, can outlive it, whatever became of the parent.
"""

import contextlib
import importlib
import json
import logging
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

MAX_LINE_BYTES: Final = 64_000
_MEMORY_BYTES: Final = 1 << 30
_WARM_UP: Final = (("$\\frac{1}{2}$", "0.5"), ("$(1,2)$", "(1, 2)"), ("$x^2+1$", "$1+x^2$"))


def compare(gold: str, given: str) -> dict[str, str]:
    """Whether math-verify takes `given` for `gold`: `{"verdict": …, "reason": …}`."""
    algebra: Any = importlib.import_module("math_verify")
    # Their own time limits are signals with handlers, which wait for C code to return; ours do not.
    try:
        references = algebra.parse(gold, parsing_timeout=None, raise_on_error=True)
        answers = algebra.parse(given, parsing_timeout=None, raise_on_error=True)
        if not references or not answers:
            return _outcome(
                "unknown", f"the {'answer' if references else 'reference'} is not understood"
            )
        # A relation and the interval it describes are one answer, whichever way round.
        same = algebra.verify(
            references,
            answers,
            timeout_seconds=None,
            raise_on_error=True,
            allow_set_relation_comp=True,
        )
    except MemoryError:
        return _outcome("unknown", "the comparison needs too much memory")
    except Exception as error:  # noqa: BLE001  (the boundary to the algebra: its errors are any)
        return _outcome("unknown", f"the comparison failed: {type(error).__name__}")
    return (
        _outcome("accept", "equal by algebra") if same else _outcome("reject", "unequal by algebra")
    )


def _outcome(verdict: str, reason: str) -> dict[str, str]:
    return {"verdict": verdict, "reason": reason}


def serve(connection: socket.socket, compare_texts: Callable[[str, str], dict[str, str]]) -> None:
    """Answer one line a comparison until the other end closes; says its process id first."""
    with connection.makefile("rwb") as stream:
        stream.write(json.dumps({"pid": os.getpid()}).encode() + b"\n")
        stream.flush()
        while line := stream.readline(MAX_LINE_BYTES):
            request = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, float(request["seconds"]))
            outcome = compare_texts(request["gold"], request["given"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            stream.write(json.dumps(outcome).encode() + b"\n")
            stream.flush()


def _become_worker(connection: socket.socket) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        serve(connection, compare)
    os._exit(0)


def _fork_workers(control: socket.socket) -> None:
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
            live.add(_fork_worker(control, descriptors[0]))
        elif int(message) in live:
            # Not reaped yet, so the id cannot have passed to another process.
            os.kill(int(message), signal.SIGKILL)
    for pid in live:
        os.kill(pid, signal.SIGKILL)


def _fork_worker(control: socket.socket, descriptor: int) -> int:
    pid = os.fork()
    if pid == 0:
        control.close()
        _become_worker(socket.socket(fileno=descriptor))
    os.close(descriptor)
    return pid


def _reap(live: set[int]) -> set[int]:
    return {pid for pid in live if os.waitpid(pid, os.WNOHANG)[0] == pid}


def main() -> None:
    """Import the algebra, warm it up, say so, and fork workers until the parent is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    logging.getLogger("math_verify").setLevel(
        logging.CRITICAL
    )  # it warns of each limit we take over
    for gold, given in _WARM_UP:
        compare(gold, given)
    control.send(b"ready\n")
    _fork_workers(control)


if __name__ == "__main__":
    main()
