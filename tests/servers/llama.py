"""Starting and stopping a real llama.cpp server."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PROCESS = Path(__file__).with_name("llama_process.py")


@contextmanager
def llama_server(model: Path, *, slots: int = 16) -> Generator[str, None, None]:
    """Its root address, for as long as the block lasts."""
    process = subprocess.Popen(  # noqa: S603  (our own script)
        [sys.executable, str(PROCESS), str(model), str(slots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
