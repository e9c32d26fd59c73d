"""The solver against brute force, and against the known counts of the real games."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mull.puzzles import Countdown
from mull.tasks import Arithmetic, CountdownSolver
from mull.tasks.game24 import game_numbers
from mull.tasks.walk import legal_moves


def brute_force_values(numbers: Sequence[Fraction]) -> set[Fraction]:
    """Every end of exact play, by playing every move."""
    if len(numbers) == 1:
        return {numbers[0]}
    ends = set[Fraction]()
    for first, second in combinations(range(len(numbers)), 2):
        rest = [number for index, number in enumerate(numbers) if index not in (first, second)]
        a, b = numbers[first], numbers[second]
        results = [a + b, a - b, b - a, a * b]
        results += [a / b] if b else []
        results += [b / a] if a else []
        for result in results:
            ends |= brute_force_values([*rest, result])
    return ends


def brute_force_states(numbers: tuple[Fraction, ...]) -> set[tuple[Fraction, ...]]:
    """The start and every state of exact play, ascending."""
    states = {tuple(sorted(numbers))}
    for first, second in combinations(range(len(numbers)), 2):
        rest = [number for index, number in enumerate(numbers) if index not in (first, second)]
        for result in brute_force_values((numbers[first], numbers[second])):
            states |= brute_force_states((*rest, result))
    return states


def brute_force_whole_values(numbers: tuple[int, ...]) -> set[int]:
    """Every end of legal play in whole numbers, by playing every move."""
    if len(numbers) == 1:
        return set(numbers)
    return {end for move in legal_moves(numbers) for end in brute_force_whole_values(move.state)}


def test_every_game_is_solvable_and_1346_are_in_whole_numbers() -> None:
    exact, whole = CountdownSolver(), CountdownSolver(Arithmetic.WHOLE)
    assert sum(exact.reachable(numbers, 24) for numbers in game_numbers()) == 1_362
    assert sum(whole.reachable(numbers, 24) for numbers in game_numbers()) == 1_346


@settings(max_examples=25, deadline=None)
@given(st.lists(st.fractions(-9, 9, max_denominator=3), min_size=1, max_size=3))
def test_exact_answers_are_those_of_brute_force(numbers: list[Fraction]) -> None:
    solver, ends = CountdownSolver(), brute_force_values(numbers)
    candidates = ends | {Fraction(n, d) for n in range(-12, 13) for d in (1, 2)}
    for target in candidates:
        assert solver.reachable(numbers, target) == (target in ends)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=4, max_size=4))
def test_exact_answers_for_four_numbers_are_those_of_brute_force(numbers: list[int]) -> None:
    solver, ends = CountdownSolver(), brute_force_values([Fraction(number) for number in numbers])
    assert all(solver.reachable(numbers, end) for end in ends)
    assert not any(solver.reachable(numbers, n) for n in range(-50, 200) if n not in ends)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_whole_answers_are_those_of_brute_force(numbers: list[int]) -> None:
    solver, ends = CountdownSolver(Arithmetic.WHOLE), brute_force_whole_values(tuple(numbers))
    for target in range(1_000):
        assert solver.reachable(numbers, target) == (target in ends)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=5, max_size=5), st.integers(0, 150))
def test_five_numbers_reach_what_some_move_can_still_reach(numbers: list[int], target: int) -> None:
    """The backward search agrees with the tables one move further on."""
    for arithmetic in Arithmetic:
        solver = CountdownSolver(arithmetic)
        after = solver.successors(numbers)
        can_go_on = any(solver.reachable(state, target) for state in after)
        assert CountdownSolver(arithmetic).reachable(numbers, target) == can_go_on


@pytest.mark.parametrize(
    ("numbers", "target", "exact", "whole"),
    [
        ((3, 3, 8, 8), 24, True, False),
        ((1, 1, 1, 1), 24, False, False),
        ((1, 1, 1, 1, 1, 1), 95, False, False),
        ((3, 6, 25, 50, 75, 100), 952, True, True),
        ((0, 0, 0, 0, 0), 0, True, True),
        ((5, 0, 7, 11, 13, 999), 0, True, True),
        ((7,), 7, True, True),
        ((7,), 8, False, False),
    ],
    ids=str,
)
def test_known_cases(numbers: tuple[int, ...], target: int, exact: bool, whole: bool) -> None:
    assert CountdownSolver().reachable(numbers, target) == exact
    assert CountdownSolver(Arithmetic.WHOLE).reachable(numbers, target) == whole


def test_values_outside_whole_play_reach_nothing_there() -> None:
    solver = CountdownSolver(Arithmetic.WHOLE)
    assert not solver.reachable([Fraction(1, 2), 2], 1)
    assert not solver.reachable([-1, 5], 4)
    assert not solver.reachable([1_000, 1], 1_000)
    assert CountdownSolver().reachable([Fraction(1, 2), 2], 1)
    with pytest.raises(ValueError, match="at least one number"):
        solver.reachable([], 24)


@pytest.mark.parametrize("arithmetic", Arithmetic)
def test_every_solution_is_right_and_different(arithmetic: Arithmetic) -> None:
    solver = CountdownSolver(arithmetic)
    for numbers in [*game_numbers()[::150], (3, 3, 8, 8), (0, 4, 6, 24), (0, 5, 5, 24)]:
        puzzle = Countdown(tuple(sorted(numbers)), 24)
        solutions = list(solver.solutions(numbers, 24))
        assert bool(solutions) == solver.reachable(numbers, 24)
        assert all(puzzle.check_answer(text).accepted for text in solutions)
        assert len({puzzle.answer_key(text) for text in solutions}) == len(solutions)


def test_the_solutions_of_one_game_are_all_found() -> None:
    found = set(CountdownSolver().solutions((3, 3, 8, 8), 24))
    assert found == {"8 / (3 - (8 / 3))"}
    assert CountdownSolver().solution((1, 1, 1, 1), 24) is None
    assert CountdownSolver().solution((7,), 8) is None
    assert len(set(CountdownSolver().solutions((4, 9, 10, 13), 24))) == 3


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=5, max_size=6), st.integers(1, 300))
def test_one_solution_of_many_numbers_is_right(numbers: list[int], target: int) -> None:
    solver = CountdownSolver()
    text = solver.solution(numbers, target)
    assert (text is not None) == solver.reachable(numbers, target)
    if text is not None:
        assert Countdown(tuple(sorted(numbers)), target).check_answer(text).accepted


def test_every_state_of_a_game_is_labelled_and_labels_agree_with_play() -> None:
    numbers = (4, 9, 10, 13)
    labels = CountdownSolver().label_states(numbers, 24)
    start = tuple(map(Fraction, numbers))
    assert labels[start]
    assert labels[(Fraction(24),)]
    assert not labels[(Fraction(23),)]
    assert labels[(Fraction(4), Fraction(4), Fraction(10))]
    for state, label in labels.items():
        if len(state) <= 2:
            assert label == (24 in brute_force_values(state))
    assert set(labels) == brute_force_states(start)
    whole = CountdownSolver(Arithmetic.WHOLE).label_states(numbers, 24)
    assert set(whole) < set(labels)
    assert whole[start]


def test_lines_are_labelled_until_the_first_illegal_one() -> None:
    numbers = (4, 9, 10, 13)
    lines = ["13 - 9 = 4 left 4 4 10", "10 - 4 = 6 left 4 6", "6 * 4 = 24"]
    solver = CountdownSolver()
    assert solver.label_lines(numbers, 24, lines) == [True, True, True]
    assert solver.label_lines(numbers, 24, [*lines[:2], "6 + 4 = 10"]) == [True, True, False]
    assert solver.label_lines(numbers, 24, ["13 * 10 = 130 left 4 9 130"]) == [False]
    assert solver.label_lines(numbers, 24, ["13 - 9 = 5", *lines[1:]]) == [False, False, False]
    assert solver.label_lines(numbers, 24, []) == []


def test_a_full_memory_is_emptied_and_changes_no_answer() -> None:
    solver = CountdownSolver(max_tables=10)
    answers = [solver.reachable(numbers, 24) for numbers in game_numbers()[:20]]
    assert all(answers)
    assert solver.num_tables < 60
