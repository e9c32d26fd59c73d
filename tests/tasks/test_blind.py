"""Blind legal play: the walks are legal and uniform, and solve as often as they should."""

from collections import Counter
from random import Random

import numpy as np
import pytest

from mull.core.errors import BadInputError
from mull.puzzles import Countdown, puzzle_of
from mull.tasks import (
    blind_chances,
    blind_pass_at_k,
    blind_successes,
    pass_at_k,
    rare_countdowns,
    suite_named,
)
from mull.tasks.blind import blind_finals
from mull.tasks.split import is_held_out
from mull.tasks.walk import legal_moves, random_move, random_walk


def hard_games() -> list[Countdown]:
    puzzles = [puzzle_of(example.problem) for example in suite_named("game24-hard")]
    return [puzzle for puzzle in puzzles if isinstance(puzzle, Countdown)]


def test_blind_play_solves_the_hard_games_as_often_as_was_measured_before() -> None:
    rates = blind_pass_at_k(hard_games(), (1, 16, 64, 256), num_samples=1_024, seed=0)
    for k, expected, tolerance in ((1, 0.012, 0.002), (16, 0.172, 0.02), (64, 0.476, 0.03)):
        assert rates[k] == pytest.approx(expected, abs=tolerance)
    assert rates[256] == pytest.approx(0.834, abs=0.03)


def test_a_puzzle_is_played_the_same_in_any_company() -> None:
    games = hard_games()[:6]
    counts = blind_successes(games, num_samples=256, seed=5)
    assert blind_successes(games[::-1], num_samples=256, seed=5) == counts[::-1]
    assert blind_successes(games, num_samples=256, seed=6) != counts


def _exact_distribution(numbers: tuple[int, ...]) -> dict[int, float]:
    """The chance of every end when each move is uniform over the legal ones."""
    if len(numbers) == 1:
        return {numbers[0]: 1.0}
    ends = dict[int, float]()
    moves = legal_moves(numbers)
    for move in moves:
        for end, chance in _exact_distribution(move.state).items():
            ends[end] = ends.get(end, 0.0) + chance / len(moves)
    return ends


@pytest.mark.parametrize("numbers", [(2, 3, 5), (0, 1, 7), (4, 4, 4), (30, 40, 999), (2, 3, 4, 6)])
def test_both_players_are_uniform_over_legal_moves(numbers: tuple[int, ...]) -> None:
    expected = _exact_distribution(numbers)
    num_walks = 20_000
    starts = np.tile(np.array(numbers, dtype=np.int64), (num_walks, 1))
    vectorised = Counter(int(end) for end in blind_finals(starts, np.random.default_rng(1)))
    rng = Random(1)
    plain = Counter(random_walk(numbers, rng)[-1].result for _ in range(num_walks))
    for ends in (vectorised, plain):
        assert set(ends) <= set(expected)
        for end, chance in expected.items():
            # Five standard errors.
            tolerance = 5 * (chance * (1 - chance) / num_walks) ** 0.5
            assert abs(ends[end] / num_walks - chance) <= tolerance


@pytest.mark.parametrize(
    "numbers", [(2, 3, 5), (0, 1, 7), (30, 40, 999), (2, 3, 4, 6), (1, 1, 1, 9)]
)
def test_the_chances_of_a_blind_walk_are_exact(numbers: tuple[int, ...]) -> None:
    chances, expected = blind_chances(numbers), _exact_distribution(numbers)
    assert {end for end in range(1_000) if chances[end]} == set(expected)
    for end, chance in expected.items():
        assert chances[end] == pytest.approx(chance)


def test_rare_problems_are_solved_seldom_but_can_be_solved() -> None:
    examples = rare_countdowns(6, 20, 2_048, seed=3)
    puzzles = [puzzle_of(example.problem) for example in examples]
    for example, puzzle in zip(examples, puzzles, strict=True):
        assert isinstance(puzzle, Countdown)
        assert 0 < blind_chances(puzzle.numbers)[puzzle.target] <= 1 / 2_048
        assert is_held_out(puzzle.numbers)
        assert example.reference == str(puzzle.target)
    known = [puzzle for puzzle in puzzles if isinstance(puzzle, Countdown)]
    # 20 puzzles in 512 walks each: five solved are expected at most, and more than 15 never.
    assert sum(blind_successes(known, num_samples=512, seed=0)) <= 15
    assert len({puzzle.numbers for puzzle in known}) == 20
    assert rare_countdowns(6, 4, 2_048, seed=3) == examples[:4]


@pytest.mark.parametrize(("level", "rarity"), [(2, 9), (7, 9), (6, 0)])
def test_what_is_no_level_or_rarity_is_refused(level: int, rarity: int) -> None:
    with pytest.raises(BadInputError, match=f"no countdown of level {level} and rarity {rarity}"):
        rare_countdowns(level, 1, rarity, seed=0)


def test_moves_put_the_larger_number_first_and_stay_in_bounds() -> None:
    rng = Random(0)
    for _ in range(2_000):
        values = tuple(sorted(rng.randrange(1_000) for _ in range(rng.randint(2, 6))))
        move = random_move(values, rng)
        assert move in legal_moves(values)
        assert move.left >= move.right
        assert 0 <= move.result <= 999
        assert list(move.state) == sorted(move.state)


def test_pass_at_k_is_the_unbiased_estimate() -> None:
    assert pass_at_k(4, 0, 4) == 0.0
    assert pass_at_k(4, 1, 1) == 0.25
    assert pass_at_k(4, 1, 2) == pytest.approx(0.5)
    assert pass_at_k(4, 2, 2) == pytest.approx(1 - 1 / 6)
    assert pass_at_k(4, 2, 3) == 1.0
    for k in (0, 5):
        with pytest.raises(ValueError, match="1 <= k <= 4"):
            pass_at_k(4, 1, k)
