"""Recorded tree searches: every thought that was proposed from every place, and its value."""

from collections.abc import Mapping
from dataclasses import dataclass

from mull.core.problem import Message


@dataclass(frozen=True, slots=True)
class Thought:
    """One proposal."""

    text: str
    """The step alone, its line end included."""
    value: float
    """What the recorded evaluator thought of the path that ends with it, in [0, 1]."""
    is_final: bool = False
    """It ends the answer."""


@dataclass(frozen=True, slots=True)
class RecordedSearches:
    """The searches of one model over several problems."""

    model: str
    version: str
    """Digest of the content: whatever changes the proposals."""
    thoughts: Mapping[tuple[Message, ...], Mapping[str, tuple[Thought, ...]]]
    """By problem and by the text of the path they continue; no text twice from one place."""
