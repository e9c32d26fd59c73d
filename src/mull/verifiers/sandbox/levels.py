"""How strongly programs are contained here, and the command that starts a server at each level."""

import os
import shutil
import stat
import sys
import sysconfig
from enum import StrEnum
from pathlib import Path
from typing import Final

_INSIDE: Final = Path(__file__).resolve().parent / "inside"
_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_DEVICES: Final = ("/dev/null", "/dev/urandom")
_FIRST_USER: Final = 61_000
"""Users of the slots: limits of processes count by user, so no two slots share one."""
_NOBODY: Final = "65534"


class Level(StrEnum):
    """What stands between a program and the machine. There is no level without containment."""

    BUBBLEWRAP = "bubblewrap"
    """Own file system, process, network, IPC and host names; and everything `strict` has."""
    STRICT = "strict"
    """Landlock and seccomp alone, where namespaces are refused as in default containers. A program
    sees that files exist elsewhere, but can open none."""


def server_command(level: Level, slot: int) -> list[str]:
    """The command line of one fork-server. FileNotFoundError where `bwrap` is missing."""
    if level is Level.BUBBLEWRAP:
        return _bubblewrap(slot)
    user = str(_FIRST_USER + slot) if _is_root() and _others_can_read_python() else "-"
    return [*_python(str(_INSIDE / "boot.py")), user, "shared", *_readable()]


def _bubblewrap(slot: int) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise FileNotFoundError("`bwrap` is not installed")
    if _is_root():
        # As root no user namespace is needed: the server keeps what it takes to become the slot's
        # user and to end its processes, and nothing else.
        who = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        who += ["--cap-add", "CAP_KILL"]
    else:
        who = ["--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY]
    user = str(_FIRST_USER + slot) if _is_root() else "-"
    spaces = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    guard = ["--unshare-cgroup-try", "--die-with-parent", "--as-pid-1", "--new-session"]
    paths = [path for path in _readable() if path not in _DEVICES]
    above = dict.fromkeys(str(p) for path in paths for p in [*Path(path).parents][-2::-1])
    # Without this a directory above has the mode it has outside, as 0700 of somebody's home.
    files = [part for path in above for part in ("--perms", "0755", "--dir", path)]
    files += [part for path in paths for part in _bound(path)]
    devices = [part for path in _DEVICES for part in ("--dev-bind", path, path)]
    rest = ["--ro-bind", str(_INSIDE), "/inside", "--remount-ro", "/", "--chdir", "/", "--clearenv"]
    hashing = ["--setenv", "PYTHONHASHSEED", "0"]
    command = [*_python("/inside/boot.py"), user, "own", *_readable()]
    return [program, *who, *spaces, *guard, *files, *devices, *rest, *hashing, "--", *command]


def _bound(path: str) -> list[str]:
    if Path(path).is_symlink():
        return ["--symlink", os.readlink(path), path]  # noqa: PTH115  (the text, not a path)
    return ["--ro-bind", path, path]


def _python(script: str) -> list[str]:
    """A bare interpreter: no site, no user site, no script directory, no byte code written."""
    return [_executable(), "-P", "-s", "-S", "-B", script]


def _executable() -> str:
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def _readable() -> list[str]:
    """What a program may read: the interpreter, its standard library, shared libraries."""
    library = sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix})
    shared = Path(sys.base_prefix) / "lib"
    paths = [_executable(), *_LIBRARIES, str(shared), library, *_DEVICES]
    return [path for path in dict.fromkeys(paths) if Path(path).exists()]


def _is_root() -> bool:
    return os.geteuid() == 0


def _others_can_read_python() -> bool:
    """Whether another user reaches the standard library; else a job keeps root's name, not rights.

    It then has no capability of use: the filter refuses every call that would need one.
    """
    library = Path(sysconfig.get_path("stdlib"))
    return all(path.stat().st_mode & stat.S_IXOTH for path in (library, *library.parents))
