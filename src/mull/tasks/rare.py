"""Countdown that blind play hardly ever solves: what is hard whichever model is asked."""

from itertools import count as counting
from random import Random
from typing import Final

from mull.core.errors import BadInputError
from mull.core.seeds import derive_seed
from mull.puzzles import Countdown
from mull.tasks.blind import blind_chances
from mull.tasks.countdown import LEVELS, MAX_TARGET, MIN_TARGET, draw_walk
from mull.tasks.example import Example, example_of

STARTS_PER_PROBLEM: Final = 256
"""Starts looked at for one with such a target, before a level is said to have none."""


def rare_countdowns(level: int, count: int, rarity: int, seed: int) -> list[Example]:
    """Held-out problems that a blind walk solves at most once in `rarity`, each of other numbers.

    The target is any one of the start's that are as rare. More of them begin with those of fewer.
    Raises BadInputError where a level has hardly any.
    """
    if level not in LEVELS or rarity < 1:
        raise BadInputError(f"there is no countdown of level {level} and rarity {rarity}")
    found, seen = list[Example](), set[tuple[int, ...]]()
    for number in counting():
        if len(found) == count:
            return found
        if number > STARTS_PER_PROBLEM * (len(found) + 4):
            break
        rng = Random(derive_seed(seed, "rare", level, number))
        numbers, _ = draw_walk(level, rng, "test")
        if numbers not in seen:
            seen.add(numbers)
            targets = _targets(numbers, rarity)
            found += [_example(numbers, rng.choice(targets))] if targets else []
    raise BadInputError(
        f"level {level} has hardly a problem that blind play solves at most once in {rarity:,}",
        hint="ask for more numbers, or for a smaller rarity",
    )


def _targets(numbers: tuple[int, ...], rarity: int) -> list[int]:
    chances = blind_chances(numbers)
    return [
        target
        for target in range(MIN_TARGET, MAX_TARGET + 1)
        if 0.0 < chances[target] * rarity <= 1.0
    ]


def _example(numbers: tuple[int, ...], target: int) -> Example:
    return example_of(
        Countdown(numbers, target),
        reference=target,
        level=len(numbers),
        split="test",
        group=" ".join(map(str, numbers)),
    )
