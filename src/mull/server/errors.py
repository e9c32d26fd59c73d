"""Errors as clients of an API see them: a status, a kind, a message and what it is about."""

import re
from typing import Final

from mull.core.errors import (
    BadInputError,
    MullError,
    PolicyError,
    StoreError,
    UnknownNameError,
    UnknownSolveError,
)

_PLACES: Final = re.compile(
    r"`?https?://[^\s`'\"]+`?"
    r"|\[(?:Errno|Multiple exceptions|Connect call failed)[^\]]*\]?"
    r"|\bhost \S+:\d+(?: ssl:\S+)?"
    r"|(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?"
)
"""Where something is on the owner's network, as errors of clients spell it."""


def without_places(text: str) -> str:
    """What failed, in the words of an error, but not where: that is the owner's business."""
    return " ".join(_PLACES.sub("its server", text).split())


class ApiError(MullError):
    """A request that cannot be answered, in the terms that OpenAI's and Anthropic's clients share.

    No message holds a secret or more than a line of what the caller sent.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.kind = kind
        self.param = param
        """The field of the request that it is about."""
        self.code = code
        self.retry_after = retry_after
        """Seconds after which another try makes sense."""

    @property
    def text(self) -> str:
        """The message, and what to do about it."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


def refuse(param: str, why: str, *, hint: str | None = None) -> ApiError:
    """The error for a field that this server cannot honour: nothing is ignored in silence."""
    return ApiError(400, f"`{param}`: {why}", param=param, code="unsupported_value", hint=hint)


def upstream_failed(message: str, *, retryable: bool) -> ApiError:
    """The error for a model that failed: never the caller's fault, and never an answer."""
    return ApiError(
        503 if retryable else 502,
        without_places(message),
        kind="upstream_error",
        code="upstream_failed",
        retry_after=1.0 if retryable else None,
    )


def api_error_of(error: Exception) -> ApiError:
    """Any error as a client sees it; what is no error of ours shows nothing of its inside."""
    match error:
        case ApiError():
            told = error
        case UnknownSolveError():
            told = ApiError(404, error.message, code="solve_not_found")
        case UnknownNameError(kind="model"):
            code = "model_not_found"
            told = ApiError(404, error.message, param="model", code=code, hint=error.hint)
        case BadInputError():
            told = ApiError(400, error.message, hint=error.hint)
        case PolicyError():
            told = upstream_failed(error.message, retryable=error.retryable)
        case StoreError():
            told = ApiError(503, error.message, kind="server_error", code="store_failed")
        case _:
            told = ApiError(500, "the server failed; its log says why", kind="server_error")
    return told
