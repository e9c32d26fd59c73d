"""Every error mull raises on purpose.

    MullError                        message and, where there is a remedy, a hint
    ├── BadInputError                the caller's to fix; the command line exits with 2
    │   ├── UnknownNameError         no model, strategy, verifier or task of that name
    │   ├── ProblemNotUnderstoodError   outside what the built-in families know
    │   ├── BudgetError              a limit of zero or less, or not a number
    │   ├── CheckpointError          model files missing, truncated or of another shape
    │   └── UnknownSolveError        the journal holds no solve of that id
    ├── PolicyError                  the model or its server failed; may be `retryable`
    ├── VerifierError                a verifier failed (a rejection is no error, but a score)
    ├── StoreError                   the journal cannot be read or written
    │   ├── JournalCorruptError      what is stored is not what was written
    │   └── StoreFullError           no space left for it
    ├── EngineError                  the inference process broke its contract or died
    └── LedgerError                  our own bookkeeping was misused
        └── OverrunError             a call spent more than the worst case it had quoted

One type a boundary: whoever talks to the outside wraps the call in `boundary`, so that what escapes
is attributed to that outside. Running out of budget is not an error but a stop reason.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from difflib import get_close_matches
from typing import Protocol


class MullError(Exception):
    """The root. `str(error)` is the message alone; `hint` says what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInputError(MullError):
    """What the caller passed cannot be used; nothing was started and nothing is lost."""


class UnknownNameError(BadInputError):
    """No thing of this kind has that name; says what exists and what was likely meant."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        nearest = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        super().__init__(
            f"no {kind} `{name}`; known: {', '.join(names) or 'none'}",
            hint=f"did you mean `{nearest[0]}`?" if nearest else None,
        )
        self.kind = kind
        self.name = name


class ProblemNotUnderstoodError(BadInputError):
    """The text is no problem that mull's built-in families can state exactly."""


class BudgetError(BadInputError):
    """A limit is zero, negative or not a number."""


class CheckpointError(BadInputError):
    """Model files are missing, unreadable, truncated or of another architecture."""


class UnknownSolveError(BadInputError):
    """The journal holds no solve of that id."""


class PolicyError(MullError):
    """The policy failed to grow a branch."""

    def __init__(self, message: str, *, retryable: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class VerifierError(MullError):
    """A verifier failed. That it rejects a candidate is a score, not an error."""


class StoreError(MullError):
    """The journal cannot be read or written."""


class JournalCorruptError(StoreError):
    """What the journal holds is not a trace that mull wrote."""


class StoreFullError(StoreError):
    """There is no space left to write to; what was written stays valid."""


class EngineError(MullError):
    """The inference process broke its contract or died."""


class LedgerError(MullError):
    """A reservation was settled twice, or by a ledger that never made it."""


class OverrunError(LedgerError):
    """A call spent more than the worst case that was reserved for it."""


class ErrorFactory(Protocol):
    """Makes the error of one boundary from a message: an error class, or a partial of one."""

    def __call__(self, message: str) -> MullError: ...


@asynccontextmanager
async def boundary(error: ErrorFactory, what: str) -> AsyncGenerator[None, None]:
    """Attribute whatever escapes the block to `what`.

    Our own errors pass unchanged; any other exception becomes `error(message)` with the original
    as its cause. Cancellation is never touched.
    """
    try:
        yield
    except MullError:
        raise
    except Exception as escaped:
        raise error(f"{what} failed: {type(escaped).__name__}: {escaped}") from escaped
