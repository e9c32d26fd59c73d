"""Requests that wait for room, grouped by prompt so that each prompt is read once."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from mull.engine.requests import Request


class Numbered(NamedTuple):
    """A request under the number by which it is reported."""

    number: int
    request: Request


Prompt = tuple[int, ...]


@dataclass(slots=True)
class WaitingLine:
    """First come, first served by prompt: whoever waits for the same prompt goes together.

    The batch owns it.
    """

    _lines: dict[Prompt, deque[Numbered]] = field(default_factory=dict[Prompt, deque[Numbered]])

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __contains__(self, prompt: Prompt) -> bool:
        """Whether anybody still waits for this prompt."""
        return prompt in self._lines

    def add(self, number: int, request: Request) -> None:
        """Get in line."""
        self._lines.setdefault(request.prompt, deque()).append(Numbered(number, request))

    def first(self) -> Request | None:
        """Who is next; None if nobody waits."""
        return next(iter(self._lines.values()))[0].request if self._lines else None

    def take(self) -> Numbered:
        """Remove and return who is next."""
        prompt, line = next(iter(self._lines.items()))
        taken = line.popleft()
        if not line:
            del self._lines[prompt]
        return taken

    def remove(self, numbers: Collection[int]) -> None:
        """Forget these requests, where they wait."""
        for prompt, line in list(self._lines.items()):
            left = deque(each for each in line if each.number not in numbers)
            if left:
                self._lines[prompt] = left
            else:
                del self._lines[prompt]
