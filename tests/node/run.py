"""OpenAI's client for Node against the shipped model behind `mull serve`: `make test-node`."""

import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Serve, ask, and say whether all was well."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mull", "serve", "--port", "0"]
        command += ["--journal", f"{folder}/served.db", "--model", "mull-mini"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
        try:
            assert server.stderr is not None
            address = ""
            while not address:
                line = server.stderr.readline()
                assert line, "the server ended"
                address = line.partition(" at ")[2].strip()
            script = Path(__file__).with_name("client.mjs")
            asking = ["node", str(script), address]
            return subprocess.run(asking, check=False, timeout=100).returncode  # noqa: S603
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    sys.exit(main())
