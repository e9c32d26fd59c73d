"""Verifiers that hold something of their own: opened before a solve, let go of after it."""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from mull.core.protocols import Verifier
from mull.verifiers import HybridVerifier, SupportedVerifier


@runtime_checkable
class Openable(Protocol):
    """A verifier that can say nothing before it is opened. Opening it again does nothing."""

    async def open(self) -> None:
        """Make ready what it needs; an error here is the caller's, before anything is spent."""
        ...


@runtime_checkable
class Closable(Protocol):
    """A verifier that holds a process or a connection."""

    async def close(self) -> None:
        """Let go of it."""
        ...


def parts_of(verifiers: Iterable[Verifier]) -> Iterator[Verifier]:
    """These verifiers and those that they ask."""
    for verifier in verifiers:
        yield verifier
        if isinstance(verifier, HybridVerifier | SupportedVerifier) and verifier.rest is not None:
            yield from parts_of([verifier.rest])


async def open_verifiers(verifiers: Iterable[Verifier]) -> None:
    """Open those that need it, and those that they ask."""
    for part in parts_of(verifiers):
        if isinstance(part, Openable):
            await part.open()


async def close_verifiers(verifiers: Iterable[Verifier]) -> None:
    """End what verifiers made by name have started, and those that they ask."""
    for part in parts_of(verifiers):
        if isinstance(part, Closable):
            await part.close()
