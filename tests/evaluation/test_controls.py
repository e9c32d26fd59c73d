"""What stands beside the real guides: one that knows nothing, and one that knows the truth."""

import asyncio
from random import Random

import numpy as np
import pytest

from mull.core.problem import Problem
from mull.core.score import Score
from mull.core.steps import Step, Trajectory
from mull.core.usage import Usage
from mull.evaluation.controls import CONTROLS, OracleGuide, RandomGuide
from mull.puzzles import Countdown, to_problem
from mull.tasks.countdown import winning_walk
from mull.tasks.walk import random_walk, write_moves

GAME = Countdown((4, 9, 10, 13), 24)


def path(text: str) -> Trajectory:
    steps = tuple(Step(line) for line in text.splitlines(keepends=True))
    return Trajectory(to_problem(GAME), steps)


def scored(guide: RandomGuide | OracleGuide, *paths: Trajectory) -> list[Score]:
    return asyncio.run(guide.score(paths))


def test_the_random_guide_is_even_and_repeats_itself() -> None:
    walks = [path(write_moves(random_walk(GAME.numbers, Random(seed)))) for seed in range(400)]
    scores = scored(RandomGuide(), *walks)
    assert scores == scored(RandomGuide(), *walks)
    distinct = {score.value for score in scores}
    assert np.mean(list(distinct)) == pytest.approx(0.5, abs=0.08)
    assert np.quantile(list(distinct), [0.25, 0.75]) == pytest.approx([0.25, 0.75], abs=0.1)
    (start,) = scored(RandomGuide(), Trajectory(walks[0].problem, walks[0].steps[:2]))
    assert scores[0].per_step[:2] == start.per_step


def test_the_oracle_knows_every_step_of_a_way_to_the_target() -> None:
    right = path(write_moves(winning_walk(GAME, Random(0))))
    (score,) = scored(OracleGuide(), right)
    assert score.per_step == (1.0, 1.0, 1.0)
    assert score.value == 1.0


def test_the_oracle_knows_where_the_way_was_lost() -> None:
    lines = (" 4 * 9 = 36 left 10 13 36\n", " 36 * 10 = 360 left 13 360\n", " 360 - 13 = 347")
    (score,) = scored(OracleGuide(), path("".join(lines)))
    assert score.per_step[1:] == (0.0, 0.0)
    (legal,) = scored(OracleGuide(), path(" 13 - 9 = 4 left 4 4 10\n"))
    (illegal,) = scored(OracleGuide(), path(" 13 - 8 = 4 left 4 4 10\n"))
    assert (legal.value, illegal.value) == (1.0, 0.0)


def test_the_oracle_has_no_opinion_of_other_problems() -> None:
    other = Trajectory(Problem.of("What is six times seven?"), (Step("42"),))
    (score,) = scored(OracleGuide(), other)
    assert not score.is_opinion


def test_controls_cost_nothing_and_go_by_the_name_they_speak_under() -> None:
    for name, make in CONTROLS.items():
        assert make().source.verifier == name
        assert make().quote([path(" 9 - 4 = 5 left 5 10 13\n")]) == Usage()
