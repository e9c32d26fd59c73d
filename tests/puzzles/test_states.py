"""When two unfinished paths are at the same place."""

from collections.abc import Sequence

import pytest

from mull.core.problem import Problem
from mull.core.steps import Step, Trajectory
from mull.puzzles import state_of, to_problem
from mull.puzzles.chain import Chain
from mull.puzzles.countdown import Countdown

GAME = to_problem(Countdown((4, 9, 10, 13), 24))


def path(problem: Problem, lines: Sequence[str], *, is_final: bool = False) -> Trajectory:
    steps = [Step(line) for line in lines]
    if is_final:
        steps[-1] = Step(lines[-1], is_final=True)
    return Trajectory(problem, tuple(steps))


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        ([" 13 - 9 = 4 left 4 4 10\n"], ["13-9=4\n"], True),
        # 13 - 9 and 10 - 4 in either order
        (
            [" 13 - 9 = 4 left 4 4 10\n", " 10 - 4 = 6 left 4 6\n"],
            [" 10 - 4 = 6 left 6 9 13\n", " 13 - 9 = 4 left 4 6\n"],
            True,
        ),
        ([" 13 - 9 = 4 left 4 4 10\n"], [" 10 - 4 = 6 left 6 9 13\n"], False),
        # What breaks a rule is equal to what reads the same.
        ([" 13 - 9 = 5 left 4 5 10\n"], [" 13 - 9 = 5 left 4 5 10\n"], True),
        ([" 13 - 9 = 5 left 4 5 10\n"], [" 13 - 9 = 5 left 4 10 5\n"], False),
    ],
)
def test_countdown_paths_are_equal_that_leave_the_same_numbers(
    one: list[str], other: list[str], are_equal: bool
) -> None:
    assert (state_of(path(GAME, one)) == state_of(path(GAME, other))) == are_equal


def test_where_no_checker_rules_only_equal_words_are_equal() -> None:
    """57 + 33 = 90 is right and 57 + 33 = 91 is wrong; a search must not be told which."""
    chain = to_problem(Chain((12, 33, 57)))
    one, other = " 33 + 57 = 90 left 12 90\n", " 57 + 33 = 90 left 12 90\n"
    assert state_of(path(chain, [one])) != state_of(path(chain, [other]))
    assert state_of(path(chain, [one])) == state_of(path(chain, [one]))
    wrong = " 57 + 33 = 91 left 12 91\n"
    assert state_of(path(chain, [wrong])) == state_of(path(chain, [wrong])) is not None


@pytest.mark.parametrize(
    "unplaced",
    [
        path(GAME, []),
        path(GAME, [" 13 - 9 = 4 le"]),
        path(GAME, [" 13 - 9 = 4 left 4 4 10\n", " 24"], is_final=True),
        path(GAME, [" 13 - 9 = 4 left 4 4 10\n"], is_final=True),
    ],
    ids=["nothing yet", "in the middle of a line", "finished", "finished by a line"],
)
def test_some_paths_stand_nowhere(unplaced: Trajectory) -> None:
    assert state_of(unplaced) is None


def test_any_other_problem_has_states_too() -> None:
    problem = Problem.of("Prove it.")
    assert state_of(path(problem, ["First.\n"])) == state_of(path(problem, ["First.\n"]))
    assert state_of(path(problem, ["First.\n"])) != state_of(path(problem, ["Second.\n"]))
