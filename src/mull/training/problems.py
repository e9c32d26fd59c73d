"""Problems that reward models are trained on, all of the training split."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Final

from mull.puzzles import Chain, Countdown, Multiply, Puzzle
from mull.tasks import chain, countdown, multiply
from mull.tasks.exact import whole_solver
from mull.tasks.split import MIN_HELD_OUT_SIZE, in_held_out_bucket, is_held_out

COUNTDOWN_LEVELS: Final = (3, 4, 4, 5, 5, 6, 6, 6)
"""Drawn from uniformly."""
CARD_SHARE: Final = 0.3
"""How many countdowns of four numbers are for 24, from small numbers where they can be."""
CARD_TARGET: Final = 24
SMALL: Final = 13
CHAIN_LEVELS: Final = (3, 4, 5, 6, 7, 8)
MULTIPLY_LEVELS: Final = (2, 3, 4)

_LEFT = re.compile(r" left((?: [0-9]{1,9})+)")


def draw_problem(family: str, rng: Random) -> Puzzle:
    """A problem of the training split."""
    return SOURCES[family](rng)


def _countdown(rng: Random) -> Countdown:
    level = rng.choice(COUNTDOWN_LEVELS)
    if level == 4 and rng.random() < CARD_SHARE:
        return _card_game(rng)
    numbers, moves = countdown.draw_walk(level, rng, "train")
    return Countdown(numbers, moves[-1].result)


def _card_game(rng: Random) -> Countdown:
    """Four numbers that make 24 and are no real game: at least one is above 13."""
    while True:
        numbers = [1 + int(rng.random() * SMALL) for _ in range(3)]
        numbers.append(1 + int(rng.random() * countdown.MAX_NUMBER))
        if not is_held_out(numbers) and whole_solver().reachable(numbers, CARD_TARGET):
            return Countdown(tuple(sorted(numbers)), CARD_TARGET)


def _chain(rng: Random) -> Chain:
    return Chain(chain.draw_numbers(rng.choice(CHAIN_LEVELS), rng, "train"))


def _multiply(rng: Random) -> Multiply:
    return Multiply(*multiply.draw_operands(rng.choice(MULTIPLY_LEVELS), rng, "train"))


SOURCES: Final[Mapping[str, Callable[[Random], Puzzle]]] = MappingProxyType(
    {"countdown": _countdown, "chain": _chain, "multiply": _multiply}
)
"""How to draw a problem of each family that states are labelled of."""


def shows_held_out(puzzle: Puzzle, line: str) -> bool:
    """Whether a line, legal or not, states numbers left that are held out for evaluation."""
    for match in _LEFT.finditer(line):
        numbers = [int(word) for word in match[1].split()]
        if len(numbers) < MIN_HELD_OUT_SIZE:
            continue
        is_countdown = isinstance(puzzle, Countdown)
        if is_held_out(numbers) if is_countdown else in_held_out_bucket(sorted(numbers)):
            return True
    return False
