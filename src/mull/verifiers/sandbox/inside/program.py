"""Runs one program in this process, which is confined and about to die. Reports plain data.

The report is only ever what the program could have computed itself: nothing that decides a verdict
(expected values, hidden tests) is in this process.
"""

import builtins
import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any, Final, NamedTuple

from mull.verifiers.sandbox.inside.plain import encode, loads

_MAIN: Final = "__main__"


class ItemTimeoutError(BaseException):
    """One expression took too long. No `Exception`, so programs do not catch it by accident."""


def run_as_main(source: str) -> None:
    """Execute a program as a script; what it prints is its output."""
    exec(compile(source, "program.py", "exec"), _fresh_main())  # noqa: S102  (that is the job)


def evaluate_items(source: str, items: list[str], seconds: float, report: int) -> None:
    """Execute a program silently, then each expression or statement; one JSON line each.

    `{"value": shape}`, `{"error": type, "message": text}`. The first line is that of the program;
    if it raises, no other follows.
    """
    space = _fresh_main()
    write = _reporter(report)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        begun = _outcome(lambda: exec(compile(source, "program.py", "exec"), space), 0.0)  # noqa: S102
        write(begun)
        for item in [] if "error" in begun else items:
            write(_outcome(lambda item=item: _value_of(item, space), seconds))


def answer_calls(source: str, entry: str, requests: int, replies: int) -> None:
    """Execute a program, then answer calls of one of its functions until no more come."""
    space = _fresh_main()
    write = _reporter(replies)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        write(_outcome(lambda: exec(compile(source, "program.py", "exec"), space), 0.0))  # noqa: S102
        with os.fdopen(requests, "rb") as lines:
            for line in lines:
                arguments: Any = loads(line)
                write(_outcome(lambda given=arguments: space[entry](*given), 0.0))


class Wires(NamedTuple):
    """Descriptors of the process that tests."""

    requests: int
    replies: int
    report: int


def run_test(preamble: str, test: str, entry: str, wires: Wires) -> None:
    """Execute test code whose `candidate` lives in the other process; report how it ended.

    The candidate's answers arrive as plain data, so no object of its making is ever here. The
    preamble defines what the test takes from the statement; it too is text of the problem's author.
    """
    incoming = os.fdopen(wires.replies, "rb")

    def candidate(*arguments: object) -> object:
        os.write(wires.requests, json.dumps(encode(arguments)).encode() + b"\n")
        return _reply(incoming.readline())

    def everything() -> object:
        space = _fresh_main()
        exec(compile(preamble, "statement.py", "exec"), space)  # noqa: S102
        _reply(incoming.readline())  # how the program itself ended
        space["candidate"] = space[entry] = candidate
        exec(compile(test, "test.py", "exec"), space)  # noqa: S102
        if callable(space.get("check")):
            space["check"](candidate)
        return True

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        _reporter(wires.report)(_outcome(everything, 0.0))


class CandidateError(Exception):
    """The candidate raised an error of its own, or is gone."""


def _reply(line: bytes) -> object:
    if not line:
        raise CandidateError("the program ended before it answered")
    message: Any = json.loads(line)
    if "error" in message:
        raise _error_named(str(message["error"]), str(message["message"]))
    return loads(json.dumps(message.get("value")).encode())


def _error_named(name: str, message: str) -> Exception:
    """A test may expect a built-in error; any other arrives as `CandidateError`."""
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, Exception) and known is not AssertionError:
        with contextlib.suppress(TypeError):
            return known(message)
    return CandidateError(f"{name}: {message}")


def _fresh_main() -> dict[str, Any]:
    module = ModuleType(_MAIN)
    module.__dict__["__builtins__"] = builtins
    sys.modules[_MAIN] = module
    sys.argv = ["program.py"]
    return module.__dict__


def _value_of(item: str, space: dict[str, Any]) -> object:
    try:
        code = compile(item, "<item>", "eval")
    except SyntaxError:
        exec(compile(item, "<item>", "exec"), space)  # noqa: S102
        return True
    return eval(code, space)  # noqa: S307


def _outcome(compute: Callable[[], object], seconds: float) -> dict[str, object]:
    try:
        with _alarm(seconds):
            return {"value": encode(compute())}
    except ItemTimeoutError:
        return {"error": "TimeoutError", "message": f"took longer than {seconds} s"}
    except BaseException as error:  # noqa: BLE001  (whatever a program raises is its outcome)
        return {"error": type(error).__name__[:80], "message": _message_of(error)}


def _message_of(error: BaseException) -> str:
    try:
        return str(error)[:400]
    except Exception:  # noqa: BLE001  (its __str__ is the program's too)
        return ""


@contextlib.contextmanager
def _alarm(seconds: float) -> Any:
    """A courtesy between the items of one program; the server's clock is the limit that holds."""
    if seconds <= 0:
        yield
        return

    def give_up(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (the signal's)
        raise ItemTimeoutError

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _reporter(descriptor: int) -> Callable[[dict[str, object]], None]:
    def write(message: dict[str, object]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            data = data[os.write(descriptor, data) :]

    return write
