"""Processes in which the kernel refuses what sandboxes are made of, as many containers do."""

import subprocess
import sys
from typing import Final


def under(arrangement: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process that was first arranged to have less than this one."""
    program = f"{arrangement}\nimport asyncio\nfrom mull.core.errors import MullError\n{script}"
    return subprocess.run(  # noqa: S603  (our own interpreter)
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


REFUSE: Final = """
import errno, os, platform, struct
from mull.verifiers.sandbox.inside import seccomp
def refuse(*numbers):
    # ENOSYS for clone3 (435), so that the C library falls back to clone and threads still start.
    rows = [(0x20, 0, 0, 0), (0x15, 0, 1, 435), (0x06, 0, 0, 0x50000 | errno.ENOSYS)]
    for number in numbers:
        rows += [(0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno.EPERM)]
    rows += [(0x15, 0, 3, {"x86_64": 56, "aarch64": 220}[platform.machine()]), (0x20, 0, 0, 16),
             (0x45, 0, 1, 0x7E020000), (0x06, 0, 0, 0x50000 | errno.EPERM),
             (0x06, 0, 0, 0x7FFF0000)]
    seccomp.install(b"".join(struct.pack("=HBBI", *row) for row in rows))
UNSHARE, MOUNT = {"x86_64": (272, 165), "aarch64": (97, 40)}[platform.machine()]
"""
NOTHING_CONTAINS: Final = f"{REFUSE}\nrefuse(UNSHARE, MOUNT, 444)"
"""As on a kernel without Landlock, in a default container."""
