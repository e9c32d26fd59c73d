"""From results to curves: accuracy and pass@k against what was spent, with 95 % intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mull.core.clock import SystemClock
from mull.evaluation.intervals import Floats, Interval, mean_intervals, paired_interval
from mull.evaluation.results import Result
from mull.evaluation.sheets import Axis, Sheet
from mull.puzzles import Countdown, puzzle_of
from mull.tasks import Example, blind_successes, pass_at_k

BLIND: Final = "blind legal play"


@dataclass(frozen=True, slots=True)
class Point:
    """An arm with n samples' worth. Costs are means per problem."""

    n: int
    accuracy: Interval
    """Share of problems whose given answer is right."""
    pass_at_k: Interval | None = None
    """Chance that one of n samples is right, unbiased, out of all that were drawn; None for
    strategies whose answers are no fair draw of many."""
    answered: float = 1.0
    """Share of problems that got an answer at all."""
    generated_tokens: float = 0.0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    flops: float = 0.0
    seconds: float = 0.0
    recall: Interval | None = None
    """Of the solves that reached a right answer, the share that gave it; None where none did."""
    value: float | None = None
    """What the arm's own judge thought of the answers it gave: the proxy, beside the accuracy."""
    duplicates: tuple[float, ...] = ()
    """By depth, the share of states that another node of that depth stands in already."""
    false_prunes: Interval | None = None
    """Of the states that were given up, the share from which the target could be reached."""

    def cost(self, axis: Axis) -> float:
        """What a problem cost."""
        costs = {Axis.TOKENS: self.generated_tokens, Axis.FLOPS: self.flops}
        return costs.get(axis, self.seconds)


@dataclass(frozen=True, slots=True)
class Curve:
    """One arm over all its budgets."""

    name: str
    label: str
    model: str | None
    """None for blind play."""
    form: str | None
    strategy: str
    verifier: str | None
    guide: str | None
    num_problems: int
    num_seeds: int
    seconds: float
    """Wall-clock time of the largest budget, all problems together; arms with the same samples
    share it."""
    points: tuple[Point, ...]
    num_ungraded: int = 0
    """Answers of the largest budget that the grader could not judge; they count as not right."""
    why_ungraded: str = ""
    """The most frequent reason."""

    @property
    def is_blind(self) -> bool:
        """Whether this is the baseline without a model."""
        return self.model is None

    def at(self, n: int) -> Point | None:
        """The point with n samples' worth, if there is one."""
        return next((point for point in self.points if point.n == n), None)


def curve_of(sheet: Sheet) -> Curve:
    """The curve of an arm."""
    arm = sheet.arm
    accuracy, passes = mean_intervals(sheet.right()), sheet.passes()
    passed: Sequence[Interval | None] = (
        [None for _ in sheet.budgets] if passes is None else mean_intervals(passes)
    )
    points = tuple(
        _point(n, accuracy[place], passed[place], sheet.results[place])
        for place, n in enumerate(sheet.budgets)
    )
    largest = [result for seeds in sheet.results[-1] for result in seeds]
    seconds = sum(result.spent.seconds for result in largest)
    ungraded = Counter(reason for result in largest for reason in result.ungraded)
    return Curve(
        arm.name,
        arm.label,
        arm.model,
        arm.form,
        arm.strategy,
        arm.verifier,
        arm.guide,
        sheet.num_problems,
        sheet.num_seeds,
        seconds,
        points,
        ungraded.total(),
        ungraded.most_common(1)[0][0] if ungraded else "",
    )


def _point(
    n: int, accuracy: Interval, passed: Interval | None, problems: Sequence[Sequence[Result]]
) -> Point:
    results = [result for seeds in problems for result in seeds]
    values = [result.value for result in results if result.value is not None]
    return Point(
        n,
        accuracy,
        passed,
        _mean([result.has_answer for result in results]),
        _mean([result.spent.generated_tokens for result in results]),
        _mean([result.spent.prompt_tokens for result in results]),
        _mean([result.spent.cached_tokens for result in results]),
        _mean([result.spent.flops for result in results]),
        _mean([result.spent.seconds for result in results]),
        _ratio([_recalled(seeds) for seeds in problems]),
        _mean(values) if values else None,
        _duplicates(results),
        _ratio([_pruned(seeds) for seeds in problems]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _recalled(seeds: Sequence[Result]) -> tuple[float, float]:
    """Solves that gave a right answer, and solves that could have."""
    return (
        float(sum(result.is_right for result in seeds)),
        float(sum(result.num_right > 0 for result in seeds)),
    )


def _pruned(seeds: Sequence[Result]) -> tuple[float, float]:
    """States given up that were solvable, and all that were given up."""
    pruned = [result.pruning for result in seeds if result.pruning is not None]
    return float(sum(each.num_solvable for each in pruned)), float(
        sum(each.num_states for each in pruned)
    )


def _ratio(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """The sum of the firsts over the sum of the seconds, which must not be zero."""
    values = np.array(pairs, dtype=np.float64)
    if not values[:, 1].any():
        return None

    def of_means(means: Floats) -> Floats:
        # A resample without any of what is counted says nothing: it takes the whole's ratio.
        whole = values[:, 0].sum() / values[:, 1].sum()
        below = np.maximum(means[:, 1], 1e-12)
        return np.where(means[:, 1] > 0, means[:, 0] / below, whole)

    return paired_interval(values, of_means)


def _duplicates(results: Sequence[Result]) -> tuple[float, ...]:
    depth = max((len(result.levels) for result in results), default=0)
    rates = list[float]()
    for place in range(depth):
        levels = [result.levels[place] for result in results if place < len(result.levels)]
        num_distinct = sum(level.num_distinct for level in levels)
        rates.append(1.0 - num_distinct / sum(level.num_states for level in levels))
    return tuple(rates)


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
    passes = np.array([[pass_at_k(num_samples, count, n) for n in ns] for count in counts])
    points = tuple(
        Point(n, passed, passed) for n, passed in zip(ns, mean_intervals(passes), strict=True)
    )
    return Curve(
        BLIND, BLIND, None, None, BLIND, None, None, len(puzzles), num_seeds, seconds, points
    )


def _countdown(example: Example) -> Countdown:
    puzzle = puzzle_of(example.problem)
    if not isinstance(puzzle, Countdown):
        raise ValueError(f"blind play knows countdown only, not `{example.problem.statement}`")  # noqa: TRY004
    return puzzle
