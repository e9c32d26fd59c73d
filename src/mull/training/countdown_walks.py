"""Random legal countdown derivations on tensors, by the million where there is a GPU.

A walk replaces two numbers by the result of a legal operation (integers 0 to 999) until one is
left. Its last number is a target it reaches, so no solver is needed: keeping the walks that end on
a wanted target samples the uniform walk's posterior. Axes: N walks, k numbers left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Final

import torch
from torch import Tensor

from mull.tasks.game24 import game_multisets
from mull.tasks.split import (
    MIN_HELD_OUT_SIZE,
    MULTIPLIER,
    NUM_BUCKETS,
    OFFSET,
    PRIME,
    SPREADER,
)
from mull.tasks.walk import MAX_VALUE

SMALL: Final = 13
LARGE: Final = 30
SMALL_SHARE: Final = 0.7
"""How many start numbers are drawn from 1 to 13, the range of the card game; the rest to 30."""
NUM_OPERATORS: Final = 4


@dataclass(frozen=True, slots=True)
class WalkStep:
    """One operation of each of N walks: `larger` op `smaller` = `result`, leaving `remaining`."""

    larger: Tensor
    operator: Tensor
    """0 add, 1 subtract, 2 multiply, 3 divide."""
    smaller: Tensor
    result: Tensor
    remaining: Tensor
    """(N, k - 1), ascending."""


@dataclass(frozen=True, slots=True)
class Walks:
    """N walks from `starts` (N, n) through n - 1 steps."""

    starts: Tensor
    steps: tuple[WalkStep, ...]
    is_trainable: Tensor
    """(N,) false where the start or any state on the way is held out for evaluation."""

    @property
    def final(self) -> Tensor:
        """(N,) the last number of each walk: a target it reaches."""
        return self.steps[-1].result


def is_held_out(states: Tensor) -> Tensor:
    """`tasks.split.is_held_out` for rows of ascending numbers (N, k)."""
    size = states.shape[1]
    if size < MIN_HELD_OUT_SIZE:
        return torch.zeros(states.shape[0], dtype=torch.bool, device=states.device)
    hashes = torch.zeros_like(states[:, 0])
    for column in states.unbind(1):
        hashes = (hashes * MULTIPLIER + column + OFFSET) % PRIME
    held_out = (hashes * SPREADER) % PRIME % NUM_BUCKETS == 0
    if size == len(next(iter(game_multisets()))):
        held_out |= torch.isin(_code(states), _game_codes(str(states.device)))
    return held_out


def _code(states: Tensor) -> Tensor:
    """Rows of numbers 0 to 999 as one integer each."""
    code = torch.zeros_like(states[:, 0])
    for column in states.unbind(1):
        code = code * (MAX_VALUE + 1) + column
    return code


@cache
def _game_codes(device: str) -> Tensor:
    return _code(torch.tensor(sorted(game_multisets()), device=device))


def draw_starts(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, size) ascending start numbers from 1 to 30, none of them held out."""
    device = generator.device
    kept = torch.empty(0, size, dtype=torch.int64, device=device)
    while kept.shape[0] < count:
        shape = (4 * count, size)
        small = torch.randint(1, SMALL + 1, shape, generator=generator, device=device)
        large = torch.randint(SMALL + 1, LARGE + 1, shape, generator=generator, device=device)
        is_small = torch.rand(shape, generator=generator, device=device) < SMALL_SHARE
        drawn = torch.where(is_small, small, large).sort(dim=1).values
        kept = torch.cat((kept, drawn[~is_held_out(drawn)]))
    return kept[:count]


def walk(starts: Tensor, generator: torch.Generator) -> Walks:
    """Walk each row of `starts` (N, n) to one number, every legal move equally likely."""
    numbers = starts
    trainable = ~is_held_out(starts)
    steps: list[WalkStep] = []
    while numbers.shape[1] > 1:
        step = _move(numbers, generator)
        trainable &= ~is_held_out(step.remaining)
        steps.append(step)
        numbers = step.remaining
    return Walks(starts, tuple(steps), trainable)


def _move(numbers: Tensor, generator: torch.Generator) -> WalkStep:
    size = numbers.shape[1]
    pairs = torch.tensor(list(combinations(range(size), 2)), device=numbers.device)
    low, high = numbers[:, pairs[:, 0]], numbers[:, pairs[:, 1]]  # (N, P), rows are ascending
    results, legal = results_of(high, low)  # (N, P, 4)
    draws = torch.rand(legal.shape, generator=generator, device=numbers.device)
    choice = (draws * legal).flatten(1).argmax(dim=1, keepdim=True)  # (N, 1)
    pair, operator = choice // NUM_OPERATORS, choice % NUM_OPERATORS
    result = results.flatten(1).gather(1, choice)
    keep = torch.ones_like(numbers, dtype=torch.bool).scatter_(1, pairs[pair[:, 0]], value=False)
    rest = numbers[keep].view(numbers.shape[0], size - 2)
    return WalkStep(
        larger=high.gather(1, pair)[:, 0],
        operator=operator[:, 0],
        smaller=low.gather(1, pair)[:, 0],
        result=result[:, 0],
        remaining=torch.cat((rest, result), dim=1).sort(dim=1).values,
    )


def results_of(high: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
    """What the operators make of high >= low, (..., 4), and which of the results are legal."""
    divisor = low.clamp(min=1)
    results = torch.stack((high + low, high - low, high * low, high // divisor), dim=-1)
    exact = (low > 0) & (high % divisor == 0)
    legal = results <= MAX_VALUE
    legal[..., 3] &= exact
    return results, legal
