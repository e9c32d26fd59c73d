"""Landlock: which files a process may open, whatever its user. `linux/landlock.h`."""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_NUM_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights over files each version of the interface knows; later ones know as many as 5."""
_TCP_RIGHTS: Final = 0b11
_SCOPES: Final = 0b11  # abstract sockets, signals


def version() -> int:
    """The interface version the kernel offers; 0 where it has no Landlock."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG))


def read_only_ruleset(readable: Iterable[str]) -> int:
    """A descriptor of the rules "read beneath these paths, nothing else". OSError if refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    offered = version()
    attributes = struct.pack(
        "QQQ",
        (1 << _NUM_FILE_RIGHTS.get(offered, 16)) - 1,
        _TCP_RIGHTS if offered >= 4 else 0,
        _SCOPES if offered >= 6 else 0,
    )
    # Older kernels refuse a structure that is longer than theirs.
    size = 24 if offered >= 6 else 16 if offered >= 4 else 8
    ruleset = libc.syscall(_CREATE_RULESET, attributes, size, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused the rules")
    for path in readable:
        _allow_reading(libc, ruleset, path)
    return ruleset


def _allow_reading(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        rights = _READ_FILE | _READ_DIR if is_directory else _READ_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0):
            raise OSError(ctypes.get_errno(), f"Landlock refused the rule for `{path}`")
    finally:
        os.close(descriptor)


def restrict(ruleset: int) -> None:
    """Bind this process to the rules, for good. OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(_RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "Landlock refused to restrict the process")
