"""From results to curves: accuracy and pass@k against what was spent, with 95 % intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mull.core.clock import SystemClock
from mull.evaluation.config import BEST, VOTES, Arm, Draw, EvalConfig
from mull.evaluation.intervals import Interval, mean_intervals
from mull.evaluation.results import ArmResult, Key, Reading
from mull.puzzles import Countdown, puzzle_of
from mull.tasks import Example, blind_successes, pass_at_k

BLIND: Final = "blind legal play"
_FAIR_SAMPLES: Final = frozenset({BEST, VOTES})
"""Strategies that draw all their samples, whatever the first ones were."""


@dataclass(frozen=True, slots=True)
class Point:
    """An arm with n samples. Costs are means per problem."""

    n: int
    accuracy: Interval
    """Share of problems whose given answer is right."""
    pass_at_k: Interval | None
    """Chance that one of n samples is right, unbiased, out of all that were drawn; None for
    strategies that stop early or draw once, whose samples are no fair draw of many."""
    answered: float
    """Share of problems that got an answer at all."""
    generated_tokens: float
    prompt_tokens: float
    cached_tokens: float
    flops: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One arm over all its sample counts."""

    name: str
    label: str
    model: str | None
    """None for blind play."""
    form: str | None
    strategy: str
    verifier: str | None
    num_problems: int
    num_seeds: int
    seconds: float
    """Wall-clock time of drawing the largest n for every problem; arms with the same samples share
    it."""
    points: tuple[Point, ...]

    @property
    def is_blind(self) -> bool:
        """Whether this is the baseline without a model."""
        return self.model is None

    def at(self, n: int) -> Point | None:
        """The point with n samples, if there is one."""
        return next((point for point in self.points if point.n == n), None)


def curves_of(
    config: EvalConfig, examples: Sequence[Example], results: Mapping[Key, ArmResult]
) -> tuple[Curve, ...]:
    """The curve of every arm, then blind play's. KeyError if results are missing."""
    curves = [
        _curve(draw, arm, [_seeds(config, draw, arm, each, results) for each in examples])
        for model in config.models
        for draw in config.draws(model)
        for arm in draw.arms
    ]
    if not config.has_blind_play:
        return tuple(curves)
    blind = blind_curve(examples, ns=config.ns, num_seeds=config.num_seeds, seed=config.seed)
    return (*curves, blind)


def _seeds(
    config: EvalConfig, draw: Draw, arm: Arm, example: Example, results: Mapping[Key, ArmResult]
) -> list[ArmResult]:
    seeds = range(config.seed, config.seed + draw.num_seeds)
    return [results[arm.name, example.id, seed] for seed in seeds]


def _curve(draw: Draw, arm: Arm, problems: Sequence[Sequence[ArmResult]]) -> Curve:
    places = range(len(draw.ns))
    accuracy = _over_problems([[_right(seeds, at) for at in places] for seeds in problems])
    passes: Sequence[Interval | None] = [None for _ in places]
    if arm.strategy in _FAIR_SAMPLES:
        passes = _over_problems([[_pass_at(seeds, n) for n in draw.ns] for seeds in problems])
    lines = [line for seeds in problems for line in seeds]
    points = tuple(
        _point(n, accuracy[at], passes[at], [line.readings[at] for line in lines])
        for at, n in enumerate(draw.ns)
    )
    return Curve(
        arm.name,
        arm.label,
        arm.model,
        arm.form,
        arm.strategy,
        arm.verifier,
        len(problems),
        draw.num_seeds,
        sum(line.seconds for line in lines),
        points,
    )


def _over_problems(values: Sequence[Sequence[float]]) -> list[Interval]:
    """The mean of every column of [problems][columns], with its interval."""
    return mean_intervals(np.array(values, dtype=np.float64))


def _right(seeds: Sequence[ArmResult], place: int) -> float:
    """Share of a problem's seeds whose answer is right."""
    return sum(line.readings[place].is_right for line in seeds) / len(seeds)


def _pass_at(seeds: Sequence[ArmResult], k: int) -> float:
    """Unbiased from the samples of all seeds together: they are independent."""
    num_samples = sum(line.num_samples for line in seeds)
    return pass_at_k(num_samples, sum(line.num_right for line in seeds), k)


def _point(
    n: int, accuracy: Interval, passed: Interval | None, readings: Sequence[Reading]
) -> Point:
    count = len(readings)
    return Point(
        n,
        accuracy,
        passed,
        sum(reading.has_answer for reading in readings) / count,
        sum(reading.generated_tokens for reading in readings) / count,
        sum(reading.prompt_tokens for reading in readings) / count,
        sum(reading.cached_tokens for reading in readings) / count,
        sum(reading.flops for reading in readings) / count,
    )


def blind_curve(
    examples: Sequence[Example], *, ns: Sequence[int], num_seeds: int, seed: int
) -> Curve:
    """Uniform random legal moves with as many samples, given to the same exact grader.

    ValueError for examples that are no countdown.
    """
    puzzles = [_countdown(example) for example in examples]
    clock = SystemClock()
    start = clock.now()
    num_samples = ns[-1] * num_seeds
    counts = blind_successes(puzzles, num_samples=num_samples, seed=seed)
    seconds = clock.now() - start
    passes = _over_problems([[pass_at_k(num_samples, count, n) for n in ns] for count in counts])
    points = tuple(
        Point(n, passed, passed, 1.0, 0.0, 0.0, 0.0, 0.0)
        for n, passed in zip(ns, passes, strict=True)
    )
    return Curve(BLIND, BLIND, None, None, BLIND, None, len(puzzles), num_seeds, seconds, points)


def _countdown(example: Example) -> Countdown:
    puzzle = puzzle_of(example.problem)
    if not isinstance(puzzle, Countdown):
        raise ValueError(f"blind play knows countdown only, not `{example.problem.statement}`")  # noqa: TRY004
    return puzzle
