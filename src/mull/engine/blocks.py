"""Which blocks of the key-value memory are taken. Knows numbers, not tensors."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mull.engine.requests import BLOCK

__all__ = ["BLOCK", "SLACK", "BlockIds", "BlockPool"]

SLACK: Final = 32
"""Free blocks that a new run leaves behind it, if it can, to go on in."""

BlockIds = NDArray[np.int64]


class BlockPool:
    """Hands out blocks, at most `limit` of them. The batch owns it.

    Private blocks come from the low end, so that attention finds those of all branches side by
    side; shared ones from the high end, where possible in one run, so that a trunk is one matrix.
    `size` is how many blocks the memory holds as yet.
    """

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self.size = 0
        self.num_taken = 0
        """Blocks that somebody holds."""
        self._taken = np.zeros(0, np.bool_)

    def resize(self, size: int) -> None:
        """The memory now holds so many blocks."""
        self._taken = np.pad(self._taken, (0, size - self.size))
        self.size = size

    @property
    def taken(self) -> BlockIds:
        """What somebody holds, in ascending order."""
        return np.flatnonzero(self._taken)

    def rearrange(self, held: BlockIds, size: int) -> None:
        """These blocks are held now, and there are so many in all."""
        self._taken = np.zeros(size, np.bool_)
        self._taken[held] = True
        self.size = size

    def take_low(self, count: int) -> BlockIds:
        """The lowest free blocks, in ascending order."""
        return self._take(np.flatnonzero(~self._taken)[:count], count)

    def take_run(self, count: int, *, after: int | None = None) -> BlockIds:
        """Free blocks for a shared stretch: behind `after`, in one run, or else scattered."""
        if after is not None and after + count < self.size:
            behind = np.arange(after + 1, after + 1 + count)
            if not self._taken[behind].any():
                return self._take(behind, count)
        free = np.flatnonzero(~self._taken)
        for slack in (SLACK, 0):
            reach = count + slack - 1
            runs = np.flatnonzero(free[reach:] - free[: max(0, len(free) - reach)] == reach)
            if len(runs):
                start = int(runs[-1])
                return self._take(free[start : start + count], count)
        return self._take(free[max(0, len(free) - count) :], count)

    def free(self, blocks: BlockIds) -> None:
        """Nobody holds these any longer."""
        assert self._taken[blocks].all(), "a free block is freed"
        self._taken[blocks] = False
        self.num_taken -= len(blocks)

    def check(self, held: BlockIds) -> None:
        """Raise AssertionError unless exactly these are taken, each once, within the limit."""
        assert len(held) <= self.size <= self.limit, "the cap is passed"
        assert len(np.unique(held)) == len(held), "a block is held twice"
        assert np.array_equal(np.sort(held), np.flatnonzero(self._taken)), "a block is lost"
        assert self.num_taken == len(held), "blocks are miscounted"

    def _take(self, blocks: BlockIds, count: int) -> BlockIds:
        assert len(blocks) == count, "there are not so many blocks"
        self._taken[blocks] = True
        self.num_taken += count
        return blocks
