"""What an engine has done since its start. Counted where it happens, a few additions a turn."""

from __future__ import annotations

from dataclasses import dataclass

from mull.engine.requests import EngineStats
from mull.engine.store import Store


@dataclass(slots=True)
class Counts:
    """Owned by what takes the turns."""

    turns: int = 0
    known_tokens: int = 0
    cached_tokens: int = 0
    drawn_tokens: int = 0
    accepted_tokens: int = 0
    refused_tokens: int = 0
    seconds: float = 0.0

    def admit(self, known_tokens: int, cached_tokens: int) -> None:
        """A request was let in with so many tokens, of which so many need not be read."""
        self.known_tokens += known_tokens
        self.cached_tokens += cached_tokens

    def turn(self, seconds: float) -> None:
        """A pass was made."""
        self.turns += 1
        self.seconds += seconds

    def stats(self, store: Store, *, num_rows: int, num_waiting: int) -> EngineStats:
        """All of it, with what memory holds now."""
        tree, pool = store.tree, store.pool
        return EngineStats(
            num_blocks=tree.num_pinned + store.num_private,
            num_shared=tree.num_pinned,
            num_idle=tree.num_blocks - tree.num_pinned,
            max_blocks=pool.limit,
            num_rows=num_rows,
            num_waiting=num_waiting,
            turns=self.turns,
            known_tokens=self.known_tokens,
            cached_tokens=self.cached_tokens,
            drawn_tokens=self.drawn_tokens,
            accepted_tokens=self.accepted_tokens,
            refused_tokens=self.refused_tokens,
            seconds=self.seconds,
        )
