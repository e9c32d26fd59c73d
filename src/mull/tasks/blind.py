"""Blind legal play: what a player reaches who knows the rules and nothing else.

Each move is uniform over the legal ones (two numbers at hand, one of four operations, the larger
number first) in whole numbers from 0 to 999. It is the baseline that any policy has to beat.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from mull.core.seeds import derive_seed
from mull.puzzles import Countdown
from mull.tasks.walk import MAX_VALUE

Integers = NDArray[np.int64]


def blind_successes(puzzles: Sequence[Countdown], *, num_samples: int, seed: int) -> list[int]:
    """How many of `num_samples` blind walks solve each puzzle.

    A puzzle's walks depend on the seed and its statement alone, not on the others or their order.
    """
    return [_successes(puzzle, num_samples, seed) for puzzle in puzzles]


def blind_pass_at_k(
    puzzles: Sequence[Countdown], ks: Sequence[int], *, num_samples: int, seed: int
) -> dict[int, float]:
    """The chance that one of k blind walks solves a puzzle, on average over the puzzles, by k."""
    counts = blind_successes(puzzles, num_samples=num_samples, seed=seed)
    return {k: sum(pass_at_k(num_samples, count, k) for count in counts) / len(counts) for k in ks}


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """The unbiased estimate of the chance that one of k samples is right (Chen et al. 2021, eq. 1).

    1 - C(n - c, k) / C(n, k), with n `num_samples` and c `num_right`. Raises ValueError unless
    1 <= k <= n.
    """
    if not 1 <= k <= num_samples:
        raise ValueError(f"pass_at_k() needs 1 <= k <= {num_samples}, not {k}")
    return 1.0 - comb(num_samples - num_right, k) / comb(num_samples, k)


def _successes(puzzle: Countdown, num_samples: int, seed: int) -> int:
    rng = np.random.default_rng(derive_seed(seed, "blind", puzzle.statement))
    starts = np.tile(np.array(puzzle.numbers, dtype=np.int64), (num_samples, 1))
    return int(np.count_nonzero(blind_finals(starts, rng) == puzzle.target))


def blind_finals(starts: Integers, rng: np.random.Generator) -> Integers:
    """Play every start to its end: `[num_walks, num_numbers]` to the last numbers `[num_walks]`."""
    values = starts
    while values.shape[1] > 1:
        values = _play_one_move(values, rng)
    return values[:, 0]


def blind_chances(numbers: Sequence[int]) -> NDArray[np.float64]:
    """The chance that a blind walk ends at each number from 0 to 999, exactly."""
    states: Integers = np.sort(np.array([numbers], dtype=np.int64))
    chances = np.ones(1)
    while states.shape[1] > 1:
        states, chances = _merged(*_spread(states, chances))
    ends = np.zeros(MAX_VALUE + 1)
    np.add.at(ends, states[:, 0], chances)
    return ends


def _spread(states: Integers, chances: NDArray[np.float64]) -> tuple[Integers, NDArray[np.float64]]:
    """Every legal move from every state: states of one number fewer, ascending, and chances."""
    pairs = np.array(list(combinations(range(states.shape[1]), 2)))
    results, is_legal = _results(states, pairs)
    rows, moves = np.nonzero(is_legal)
    first, second = pairs[moves // 4].T
    places = np.arange(len(rows))
    after = states[rows]
    after[places, first] = results[rows, moves]
    after[places, second] = after[:, -1]
    return np.sort(after[:, :-1], axis=1), (chances / is_legal.sum(axis=1))[rows]


def _merged(states: Integers, chances: NDArray[np.float64]) -> tuple[Integers, NDArray[np.float64]]:
    """Equal states once, with the sum of their chances."""
    digits = (MAX_VALUE + 1) ** np.arange(states.shape[1], dtype=np.int64)
    _, first, number = np.unique(states @ digits, return_index=True, return_inverse=True)
    sums = np.zeros(len(first))
    np.add.at(sums, number, chances)
    return states[first], sums


def _play_one_move(values: Integers, rng: np.random.Generator) -> Integers:
    """One uniform legal move in every row: `[walks, n]` to `[walks, n - 1]`."""
    num_walks, size = values.shape
    pairs = np.array(list(combinations(range(size), 2)))
    results, is_legal = _results(values, pairs)
    # The move is the k-th legal one of its row, k uniform from 1 to the row's count.
    ranks: Integers = np.cumsum(is_legal, axis=1, dtype=np.int64)
    wanted: Integers = rng.integers(1, ranks[:, -1], endpoint=True)
    moves = np.argmax(ranks >= wanted[:, None], axis=1)
    rows = np.arange(num_walks, dtype=np.int64)
    first, second = pairs[moves // 4].T
    after = values.copy()
    after[rows, first] = results[rows, moves]
    after[rows, second] = after[:, -1]
    return after[:, :-1]


def _results(values: Integers, pairs: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Result and legality of every move, both `[walks, pairs * 4]`, pair by pair."""
    chosen = values[:, pairs]  # [walks, pairs, 2]
    larger, smaller = chosen.max(axis=2), chosen.min(axis=2)
    divisor = np.maximum(smaller, 1)
    results = np.stack(
        (larger + smaller, larger - smaller, larger * smaller, larger // divisor), axis=2
    )
    is_legal = results <= MAX_VALUE
    is_legal[:, :, 3] = (smaller > 0) & (larger % divisor == 0)
    num_walks = len(values)
    return results.reshape(num_walks, -1), is_legal.reshape(num_walks, -1)
