"""The 1,362 real Game of 24 puzzles, ordered by how long people take; for evaluation only.

From the Tree of Thoughts release (MIT; licence beside the data).
"""

import csv
from functools import cache
from importlib import resources
from typing import Final

NUM_GAMES: Final = 1_362
TARGET: Final = 24


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
