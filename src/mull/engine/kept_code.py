"""Machine code that one process leaves to the next.

It will be run, so it is read only where nobody but its owner can write, and only whole.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

DIGEST: Final = 32
"""Bytes of a digest, which stands before the code."""


def place(name: str) -> Path | None:
    """Where code of this name is kept; None where the user has no home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "mull" / "kernels" / name
    except RuntimeError:
        return None


def read(path: Path | None) -> bytes | None:
    """What was kept there; None if nothing was, if it is not whole, or if others could write it."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:  # what is looked at is what is read, whatever is renamed
            if not (is_ours(path.parent.stat()) and is_ours(os.fstat(file.fileno()))):
                return None
            content = file.read()
    except OSError:
        return None
    digest, code = content[:DIGEST], content[DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def write(path: Path | None, code: bytes) -> None:
    """Keep it there, if that can be written; otherwise the next process makes its own."""
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            Path(name).replace(path)  # at once: another process may be writing the same
        except OSError:
            Path(name).unlink()
            raise


def is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
