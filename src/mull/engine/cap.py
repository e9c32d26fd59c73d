"""One cap on the memory of all models of a process, for whoever needs it now.

Each model has its own blocks and its own prefix tree; what they share is room. Who needs more takes
what has been idle longest, with whatever model it is. Knows bytes, not blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from math import inf
from typing import Final, Protocol

CHUNK: Final = 16
"""Memory changes hands in sixteenths of the cap, since who gives it packs what is left."""


class Holder(Protocol):
    """One model's blocks."""

    @property
    def needed_bytes(self) -> int:
        """That branches hold, or were promised."""
        ...

    @property
    def size_bytes(self) -> int:
        """That its memory takes now."""
        ...

    @property
    def oldest(self) -> float:
        """When what it can best do without was last used: 0 where room is free, inf for nothing."""
        ...

    def give(self, num_bytes: int, older: float) -> None:
        """Make the memory smaller by so much, or by less where that is no longer `older`."""
        ...


class Cap:
    """Never passed, neither by what is promised nor by the memory that there is."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes: Final = max_bytes
        self.clock: Final[Iterator[int]] = count(1)
        """Of all prefix trees, so that uses can be compared."""
        self._holders = list[Holder]()
        self._first: Holder | None = None

    def join(self, holder: Holder) -> None:
        """From now on it holds a part."""
        self._holders.append(holder)

    @property
    def spare_bytes(self) -> int:
        """That could be promised."""
        return self.max_bytes - sum(each.needed_bytes for each in self._holders)

    def room(self, holder: Holder) -> int:
        """Bytes that its memory may take as long as the others keep theirs."""
        return self.max_bytes - sum(each.size_bytes for each in self._others(holder))

    def make_room(self, holder: Holder, num_bytes: int, older: float) -> bool:
        """Take memory from another that can do without what is `older`; whether there was one."""
        giver = min(self._others(holder), key=lambda each: each.oldest, default=None)
        if giver is None or giver.oldest >= older:
            return False
        giver.give(max(num_bytes, self.max_bytes // CHUNK), older)
        return True

    def may_admit(self, holder: Holder) -> bool:
        """Whether nobody else was refused before it: room that comes free is for that one."""
        return self._first is None or self._first is holder

    def refuse(self, holder: Holder) -> None:
        """It wants to admit somebody for whom there is no room."""
        self._first = self._first or holder

    def content(self, holder: Holder) -> None:
        """It has admitted somebody, or nobody waits there any longer."""
        if self._first is holder:
            self._first = None

    def check(self) -> None:
        """Raise AssertionError if it is passed."""
        assert self.spare_bytes >= 0, "more is promised than there is"
        assert sum(each.size_bytes for each in self._holders) <= self.max_bytes, "the cap is passed"

    def _others(self, holder: Holder) -> list[Holder]:
        return [each for each in self._holders if each is not holder]


NEVER: Final = inf
"""When what cannot be spared was last used."""
