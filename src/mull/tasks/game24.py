"""The 1,362 real Game of 24 puzzles, ordered by how long people take; for evaluation only.

From the Tree of Thoughts release (MIT; licence beside the data).
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

from mull.core.errors import UnknownNameError

NUM_GAMES: Final = 1_362
TARGET: Final = 24

SUITES: Final[Mapping[str, slice]] = MappingProxyType(
    {
        "game24": slice(0, NUM_GAMES),
        "game24-hard": slice(900, 1_000),  # the hundred games of the Tree of Thoughts paper
    }
)
"""Named slices of the games by 0-based rank."""


@cache
def game_numbers() -> tuple[tuple[int, ...], ...]:
    """The four numbers of every game, ascending; the game that people find easiest comes first."""
    table = resources.files("mull.tasks").joinpath("data/24.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines())
    return tuple(tuple(sorted(map(int, row["Puzzles"].split()))) for row in rows)


@cache
def game_multisets() -> frozenset[tuple[int, ...]]:
    """The same without order: none of them may ever be trained on."""
    return frozenset(game_numbers())


def suite_numbers(name: str) -> tuple[tuple[int, ...], ...]:
    """The games of a suite, as `game_numbers`. Raises UnknownNameError."""
    try:
        return game_numbers()[SUITES[name]]
    except KeyError:
        raise UnknownNameError("suite", name, SUITES) from None
