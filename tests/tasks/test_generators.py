"""Generated examples: reproducible, different, of the level that was asked."""

import pytest

from mull.core.errors import BadInputError, UnknownNameError
from mull.puzzles import Chain, Countdown, Letters, Multiply, puzzle_of
from mull.tasks import SUITES, TASKS, CountdownSolver, generate, suite_named, task_named
from mull.tasks.countdown_solver import Arithmetic


@pytest.mark.parametrize("name", sorted(TASKS))
def test_equal_seeds_give_equal_lists_and_longer_ones_start_with_shorter_ones(name: str) -> None:
    level = TASKS[name].levels[-1]
    long = generate(name, level, 30, seed=7, split="test")
    assert generate(name, level, 12, seed=7, split="test") == long[:12]
    assert generate(name, level, 30, seed=8, split="test") != long
    assert generate(name, level, 30, seed=7, split="train") != long


@pytest.mark.parametrize("name", sorted(TASKS))
def test_examples_of_one_list_are_of_different_groups(name: str) -> None:
    examples = generate(name, TASKS[name].levels[-1], 200, seed=1, split="test")
    assert len({example.group for example in examples}) == 200
    assert len({example.id for example in examples}) == 200
    assert all(example.problem.metadata["family"] == name for example in examples)
    assert all(example.problem.metadata["split"] == "test" for example in examples)


@pytest.mark.parametrize("level", TASKS["countdown"].levels)
def test_countdowns_are_solvable_and_have_as_many_numbers_as_their_level(level: int) -> None:
    solver = CountdownSolver(Arithmetic.WHOLE)
    for example in generate("countdown", level, 20, seed=2, split="test"):
        puzzle = puzzle_of(example.problem)
        assert isinstance(puzzle, Countdown)
        assert len(puzzle.numbers) == level
        assert all(1 <= number <= 30 for number in puzzle.numbers)
        assert 10 <= puzzle.target <= 100
        assert example.reference == str(puzzle.target)
        assert solver.reachable(puzzle.numbers, puzzle.target)


def test_few_numbers_are_used_again_with_other_targets_once_they_run_out() -> None:
    examples = generate("countdown", 3, 400, seed=2, split="test")
    groups = {example.group for example in examples}
    assert 200 < len(groups) < 260
    assert len({example.id for example in examples}) == 400


def test_products_have_the_digits_of_their_level() -> None:
    digits = {1: (2, 1), 2: (2, 2), 3: (3, 2), 4: (3, 3)}
    for level, expected in digits.items():
        for example in generate("multiply", level, 20, seed=2):
            puzzle = puzzle_of(example.problem)
            assert isinstance(puzzle, Multiply)
            assert (len(str(puzzle.left)), len(str(puzzle.right))) == expected
            assert example.reference == str(puzzle.left * puzzle.right)


def test_chains_have_one_number_more_than_steps() -> None:
    for level in TASKS["chain"].levels:
        for example in generate("chain", level, 10, seed=2):
            puzzle = puzzle_of(example.problem)
            assert isinstance(puzzle, Chain)
            assert len(puzzle.numbers) == level + 1
            assert example.reference == str(sum(puzzle.numbers) % 97)


def test_words_have_the_length_of_their_level_and_counts_vary() -> None:
    for level, shortest, longest in ((1, 4, 7), (2, 8, 12)):
        counts = set[str]()
        for example in generate("letters", level, 200, seed=2):
            puzzle = puzzle_of(example.problem)
            assert isinstance(puzzle, Letters)
            assert shortest <= len(puzzle.word) <= longest
            assert example.reference == str(puzzle.word.count(puzzle.letter))
            counts.add(example.reference)
        assert {"0", "1", "2", "3"} <= counts


def test_more_problems_than_there_are_is_refused_with_how_many_there_are() -> None:
    with pytest.raises(BadInputError, match="only 47 different test problems") as error:
        generate("multiply", 1, 48, seed=1, split="test")
    assert error.value.hint == "ask for at most 47, or for a higher level"
    assert len(generate("multiply", 1, 47, seed=1, split="test")) == 47


def test_the_suites_are_the_real_games_in_their_order() -> None:
    games = suite_named("game24")
    assert len(games) == 1_362
    assert games[0].problem.statement == "Use 1, 1, 4 and 6 once each with + - * / to make 24."
    hard = suite_named("game24-hard")
    assert hard == games[900:1_000]
    assert hard[0].problem.statement == "Use 4, 5, 6 and 10 once each with + - * / to make 24."
    assert {example.reference for example in games} == {"24"}
    assert sorted(SUITES) == ["game24", "game24-hard"]


def test_unknown_suites_and_tasks_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError) as error:
        suite_named("game-24")
    assert error.value.hint == "did you mean `game24`?"
    with pytest.raises(
        UnknownNameError, match="known: chain, code, constraint, countdown, entailment"
    ):
        task_named("sudoku")
