"""`mull serve` as its users run it: a process of its own."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mull_server(
    journal: Path, *options: str
) -> Generator[tuple[str, subprocess.Popen[str]], None, None]:
    """Its address and its process, for as long as the block lasts."""
    command = [sys.executable, "-m", "mull", "serve", "--port", "0", "--journal", str(journal)]
    process = subprocess.Popen(  # noqa: S603  (our own command)
        [*command, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    with process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert " at " in line, line + process.stderr.read()
            yield line.split(" at ")[1].strip(), process
        finally:
            process.kill()
