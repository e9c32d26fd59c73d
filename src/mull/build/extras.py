"""What an install may lack: parts that live behind an extra, reached only when they are wanted."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from mull.core.errors import BadInputError

PACKAGES: Final = frozenset(
    {
        *("numpy", "gguf", "jinja2", "llvmlite", "safetensors", "tokenizers", "torch"),
        *("httptools", "msgspec", "prometheus_client", "starlette", "uvicorn", "uvloop"),
        *("genai_prices", "opentelemetry"),
    }
)
"""What the extras add that mull imports."""


class MissingExtraError(BadInputError):
    """The command or call needs an extra that this install was made without."""


@contextmanager
def needs_extra(extra: str, what: str) -> Generator[None, None, None]:
    """Turn a failed import in the block into an error that names the extra.

    Other failed imports are defects of an install (or of mull) and pass unchanged.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in PACKAGES:
            raise
        raise MissingExtraError(
            f"{what} needs the package `{error.name}`, which is not installed",
            hint=f"pip install 'mull[{extra}]'",
        ) from error
