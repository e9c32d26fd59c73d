"""One allocator setting that every long-running torch process here needs."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_TOP_PAD: Final = -2
M_MMAP_MAX: Final = -4
TOP_PAD_BYTES: Final = 64 << 20
NEVER: Final = 2**31 - 1


def keep_freed_memory() -> None:
    """Stop glibc from handing every freed tensor back to the system.

    By default each large tensor is mapped, faulted in page by page and unmapped again; training
    spent a third of its time on that. Elsewhere than on glibc this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)
    mallopt(M_TOP_PAD, TOP_PAD_BYTES)
