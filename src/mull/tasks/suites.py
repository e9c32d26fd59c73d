"""Fixed sets of evaluation problems by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mull.core.errors import UnknownNameError
from mull.puzzles import Countdown
from mull.tasks.example import Example, example_of
from mull.tasks.game24 import NUM_GAMES, TARGET, game_numbers

SUITES: Final[Mapping[str, slice]] = MappingProxyType(
    {
        "game24": slice(0, NUM_GAMES),
        "game24-hard": slice(900, 1_000),  # the hundred games of the Tree of Thoughts paper
    }
)
"""Slices of the real games by 0-based rank."""


def suite_named(name: str) -> list[Example]:
    """The examples of a suite, easiest for people first. Raises UnknownNameError."""
    if name not in SUITES:
        raise UnknownNameError("suite", name, SUITES)
    return [_game_example(numbers) for numbers in game_numbers()[SUITES[name]]]


def _game_example(numbers: tuple[int, ...]) -> Example:
    group = " ".join(map(str, numbers))
    puzzle = Countdown(numbers, TARGET)
    return example_of(puzzle, reference=TARGET, level=len(numbers), split="test", group=group)
