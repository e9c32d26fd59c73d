"""What is evaluated is never trained on."""

from itertools import combinations_with_replacement
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.puzzles import Chain, Countdown, Letters, Multiply, recognise
from mull.puzzles.derivation import read_line
from mull.tasks import SUITES, TASKS, generate, is_held_out, sample_text, suite_named
from mull.tasks.game24 import game_multisets, game_numbers
from mull.tasks.split import any_held_out, in_held_out_bucket, sequence_hash


def test_the_hash_never_changes() -> None:
    """Computed by hand from the formula; trained checkpoints depend on it."""
    assert sequence_hash(()) == 0
    assert sequence_hash((4,)) == 21
    assert sequence_hash((4, 9)) == 21 * 1_000_003 + 26
    assert sequence_hash((4, 9, 10)) == ((21 * 1_000_003 + 26) * 1_000_003 + 27) % 2_147_483_647
    assert in_held_out_bucket((4, 9)) == ((21_000_089 * 48_271) % 2_147_483_647 % 20 == 0)


@given(st.lists(st.integers(0, 999), max_size=12))
def test_the_hash_fits_in_64_bits_step_by_step(values: list[int]) -> None:
    value_hash = np.zeros((), dtype=np.int64)
    with np.errstate(over="raise"):
        for value in values:
            value_hash = (value_hash * 1_000_003 + value + 17) % 2_147_483_647
        spread = (value_hash * 48_271) % 2_147_483_647
    assert sequence_hash(values) == int(value_hash)
    assert in_held_out_bucket(values) == (int(spread) % 20 == 0)


def test_every_real_game_is_held_out_in_any_order() -> None:
    assert len(game_multisets()) == len(game_numbers()) == 1_362
    for numbers in game_numbers():
        assert is_held_out(numbers)
        assert is_held_out(numbers[::-1])


def test_one_multiset_in_twenty_is_held_out_beside_the_games() -> None:
    for size in (3, 4):
        multisets = list(combinations_with_replacement(range(1, 31), size))
        held_out = sum(map(in_held_out_bucket, multisets))
        assert 0.045 < held_out / len(multisets) < 0.055


def test_states_of_two_numbers_are_never_held_out() -> None:
    assert not any(is_held_out((a, b)) for a in range(60) for b in range(60))
    assert not any_held_out([(1, 2), (3,), ()])


def _states(statement: str, completion: str) -> list[tuple[int, ...]]:
    """The start and the states of three numbers or more, read back from the text alone."""
    puzzle = recognise(statement)
    assert isinstance(puzzle, Countdown | Chain)
    lefts = [line.split(" left ")[1] for line in completion.split("\n") if " left " in line]
    states = [puzzle.numbers, *(tuple(map(int, left.split())) for left in lefts)]
    return [tuple(sorted(state)) for state in states if len(state) >= 3]


@pytest.mark.parametrize("level", TASKS["countdown"].levels)
def test_no_evaluated_countdown_is_in_training_text_as_start_or_on_the_way(level: int) -> None:
    suites = [example for suite in SUITES for example in suite_named(suite)]
    for each in TASKS["countdown"].levels:
        suites += generate("countdown", each, 300, seed=1, split="test")
    evaluated = {tuple(map(int, example.group.split())) for example in suites}
    rng, seen = Random(level), set[tuple[int, ...]]()
    for _ in range(3_000):
        seen.update(_states(*sample_text("countdown", level, "reasoning", rng)))
    assert len(seen) > 1_000
    assert not seen & evaluated
    assert not any(map(is_held_out, seen))
    assert all(map(is_held_out, evaluated))


@pytest.mark.parametrize("level", [2, 3, 4, 10])
def test_no_evaluated_chain_is_in_training_text_as_start_or_on_the_way(level: int) -> None:
    tests = [generate("chain", each, 200, seed=1, split="test") for each in (2, 3, 4, 10)]
    evaluated = {tuple(map(int, example.group.split())) for tier in tests for example in tier}
    rng, seen = Random(level), set[tuple[int, ...]]()
    for _ in range(1_000):
        seen.update(_states(*sample_text("chain", level, "reasoning", rng)))
    assert not seen & evaluated
    assert not any(map(in_held_out_bucket, seen))
    assert all(map(in_held_out_bucket, evaluated))


@pytest.mark.parametrize("level", TASKS["multiply"].levels)
def test_no_evaluated_product_is_in_training_text(level: int) -> None:
    examples = generate("multiply", level, 40, seed=1, split="test")
    evaluated = {recognise(example.problem.statement) for example in examples}
    rng = Random(level)
    for _ in range(2_000):
        puzzle = recognise(sample_text("multiply", level, "direct", rng)[0])
        assert isinstance(puzzle, Multiply)
        assert puzzle not in evaluated
        assert not in_held_out_bucket((puzzle.left, puzzle.right))


@pytest.mark.parametrize("level", TASKS["letters"].levels)
def test_no_evaluated_word_is_in_training_text(level: int) -> None:
    evaluated = {example.group for example in generate("letters", level, 300, seed=1, split="test")}
    rng = Random(level)
    for _ in range(2_000):
        puzzle = recognise(sample_text("letters", level, "direct", rng)[0])
        assert isinstance(puzzle, Letters)
        assert puzzle.word not in evaluated
        assert not in_held_out_bucket(map(ord, puzzle.word))


@given(st.lists(st.integers(1, 30), min_size=3, max_size=6))
def test_order_does_not_matter(numbers: list[int]) -> None:
    assert is_held_out(numbers) == is_held_out(sorted(numbers, reverse=True))


def test_derivation_lines_list_every_state_that_the_split_looks_at() -> None:
    """`_states` above reads states off the text; this proves that the text holds them all."""
    rng = Random(5)
    for _ in range(200):
        statement, completion = sample_text("countdown", 6, "reasoning", rng)
        remaining = [read_line(line).remaining for line in completion.split("\n")]
        assert [len(state) for state in remaining[:-1] if state] == [5, 4, 3, 2]
        assert len(_states(statement, completion)) == 4
