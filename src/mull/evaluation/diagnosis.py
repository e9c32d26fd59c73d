"""Would more thinking pay? What the samples of a baseline say of searches that were not run.

All of it is read off samples that were drawn and graded anyway: what a checker or votes would make
of several of them, what more of them than were drawn would bring, whether long ones are better than
short ones, and how a token budget is best parted between long and many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mull.core.errors import BadInputError
from mull.evaluation.graded import Samples
from mull.evaluation.intervals import Floats, Interval, mean_intervals, paired_interval
from mull.evaluation.scaling_law import Fitted, fit_law

PARTS: Final = 5
"""Into which a problem's samples are parted by their length."""
CAPS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Quantiles of all lengths, which are tried as limits."""
BEYOND: Final = (4, 16)
"""Times as many samples as were drawn, for which the law speaks."""
FEWEST: Final = 10
"""Problems that tell of lengths, below which nothing is said of them."""
ALIKE: Final = 1.2
"""Times the shortest part's length below which answers are all of about one length."""
HARD: Final = 0.5
"""Chance of one sample below which a problem counts as hard."""


@dataclass(frozen=True, slots=True)
class Projected:
    """What k samples a problem would bring."""

    k: int
    tokens: float | None
    """Generated a problem; None where nobody counted."""
    tokens_stopping: float | None
    """The same, where a checker stops at the first right one."""
    checked: Interval
    """Solved, where a checker knows what is right."""
    voted: Interval | None
    """Solved, where the majority decides; None where the answers are not known."""


@dataclass(frozen=True, slots=True)
class Part:
    """The samples of one length among those of their own problem."""

    tokens: float
    right: Interval


@dataclass(frozen=True, slots=True)
class Lengths:
    """Whether longer is better: from the shortest samples of every problem to its longest.

    Only problems with right and wrong samples say anything of it, and each sample is held against
    others of its own problem: hard problems have long samples, whether or not length helps.
    """

    parts: tuple[Part, ...]
    longest_less_best: Interval
    """Accuracy of the longest part less that of the best, which is told by one half of the problems
    and measured on the other; below zero where longer is worse."""
    num_problems: int

    @property
    def best(self) -> int:
        """Which part has the most right."""
        return max(range(len(self.parts)), key=lambda each: self.parts[each].right.value)

    @property
    def too_long_hurts(self) -> bool:
        """Whether the longest are worse than the best beyond chance."""
        return self.longest_less_best.high < 0


@dataclass(frozen=True, slots=True)
class Parted:
    """A budget of tokens a problem, parted between the length of an answer and their number.

    The limit is chosen on one half of the problems and judged on the other, in turn.
    """

    budget: float
    caps: tuple[int, int]
    """Tokens an answer may take, as either half of the problems has it."""
    k: float
    """Answers that the budget then buys."""
    solved: Interval
    solved_uncut: Interval
    """With answers as long as they come."""
    gain: Interval


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the samples say."""

    num_problems: int
    num_samples: int
    """Of a problem; the fewest where they differ."""
    always: float
    """Share of problems with right samples only."""
    easy: float
    """Share of the others that are right in half of the samples or more."""
    hard: Interval
    """Share of problems that are right now and then, but less than half the time: here more samples
    and a way to choose among them pay most."""
    never: float
    """Share of problems without a right sample."""
    projected: tuple[Projected, ...]
    law: Fitted | None
    """None where a problem has one sample only."""
    beyond: tuple[tuple[int, Interval], ...]
    """Samples that were not drawn, and the share that a checker would find solved by the law."""
    lengths: Lengths | None
    parted: tuple[Parted, ...]

    @property
    def by_checker(self) -> float:
        """Points more with all samples and a checker."""
        return self.projected[-1].checked.value - self.projected[0].checked.value

    @property
    def by_votes(self) -> float | None:
        """Points more with all samples and votes."""
        voted = self.projected[-1].voted
        return None if voted is None else voted.value - self.projected[0].checked.value


def diagnose(problems: Sequence[Samples], *, seed: int = 0) -> Diagnosis:
    """Read off graded samples what test-time compute would bring.

    BadInputError without problems, or for one without samples.
    """
    if not problems or not all(each.right for each in problems):
        raise BadInputError(
            "there are no graded samples to look at", hint="give every problem at least one"
        )
    num_samples = min(len(each.right) for each in problems)
    shares = np.array([each.num_right / len(each.right) for each in problems])
    law = fit_law([(len(each.right), each.num_right) for each in problems], seed=seed) if (
        num_samples > 1
    ) else None  # fmt: skip
    is_counted = all(each.is_counted for each in problems)
    (hard,) = mean_intervals(((shares > 0) & (shares < HARD)).astype(np.float64)[:, None])
    return Diagnosis(
        len(problems),
        num_samples,
        float((shares == 1).mean()),
        float(((shares >= HARD) & (shares < 1)).mean()),
        hard,
        float((shares == 0).mean()),
        tuple(_projected(problems, k) for k in _powers(num_samples)),
        law,
        tuple((num_samples * times, law.solved(num_samples * times)) for times in BEYOND)
        if law and shares.any()
        else (),
        _lengths(problems) if is_counted else None,
        tuple(_budgets(problems, num_samples)) if is_counted and num_samples > 1 else (),
    )


def _powers(most: int) -> list[int]:
    """1, 2, 4 and so on, and the most."""
    found = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*found, most]


def _projected(problems: Sequence[Samples], k: int) -> Projected:
    columns = [[each.checked(k) for each in problems]]
    if all(each.keys for each in problems):
        columns.append([each.voted(k) for each in problems])
    found = mean_intervals(np.array(columns).T)
    tokens = stopping = None
    if all(each.is_counted for each in problems):
        means = [float(np.mean(each.tokens)) for each in problems]
        tokens = k * float(np.mean(means))
        draws = [each.draws(k) for each in problems]
        stopping = float(np.mean([mean * num for mean, num in zip(means, draws, strict=True)]))
    return Projected(k, tokens, stopping, found[0], found[1] if len(found) > 1 else None)


def _lengths(problems: Sequence[Samples]) -> Lengths | None:
    """By a problem's own order of lengths.

    None where too few problems say anything, or all samples are of about one length.
    """
    telling = [
        each
        for each in problems
        if 0 < each.num_right < len(each.right)
        and len(each.right) >= PARTS
        and len(set(each.tokens)) > 1
    ]
    if len(telling) < FEWEST:
        return None
    rows = [_by_length(each) for each in telling]
    right, tokens = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    sizes, best = tokens.mean(axis=0), _by_halves(right.T)[1]
    if sizes[-1] < ALIKE * sizes[0]:
        return None
    parts = zip(sizes, mean_intervals(right), strict=True)
    return Lengths(
        tuple(Part(float(size), share) for size, share in parts),
        _mean(right[:, -1] - best),
        len(telling),
    )


def _by_halves(values: Floats) -> tuple[tuple[int, int], Floats]:
    """The best row of [rows, problems] by one half of the problems, as the other half has it."""
    is_even: NDArray[np.bool_] = np.array([place % 2 == 0 for place in range(values.shape[1])])
    first = int(values[:, ~is_even].mean(axis=1).argmax())
    second = int(values[:, is_even].mean(axis=1).argmax())
    parted = values[second].copy()
    parted[is_even] = values[first][is_even]
    return (first, second), parted


def _mean(values: Floats) -> Interval:
    """Of what may be below zero."""
    return paired_interval(values[:, None], lambda means: means[:, 0])


def _by_length(samples: Samples) -> tuple[list[float], list[float]]:
    """Share of right ones and mean length of each part; samples of one length are not ranked."""
    order = np.argsort(samples.tokens, kind="stable")
    tokens, right = np.array(samples.tokens)[order], np.array(samples.right, dtype=float)[order]
    for size in np.unique(tokens):
        right[tokens == size] = right[tokens == size].mean()
    pieces = np.array_split(np.arange(len(order)), PARTS)
    return [float(right[each].mean()) for each in pieces], [
        float(tokens[each].mean()) for each in pieces
    ]


@dataclass(frozen=True, slots=True)
class _Cuts:
    """All samples under every limit, the last of which cuts none."""

    caps: tuple[int, ...]
    problems: tuple[tuple[Samples, ...], ...]
    """[limits, problems]"""
    costs: tuple[float, ...]
    """Tokens of an answer under each limit."""
    num_samples: int

    def answers(self, cap: int, budget: float) -> float:
        """What a budget buys under limit number `cap`, but no more than were drawn."""
        return min(self.num_samples, budget / max(1.0, self.costs[cap]))

    def solved(self, budget: float) -> Floats:
        """Chance of a right answer [limits, problems]."""
        return np.array(
            [
                [each.bought(self.answers(cap, budget)) for each in row]
                for cap, row in enumerate(self.problems)
            ],
            dtype=np.float64,
        )


def _budgets(problems: Sequence[Samples], num_samples: int) -> list[Parted]:
    """Of a budget of one answer, of two, of four, as long as the samples reach."""
    pooled = np.concatenate([each.tokens for each in problems])
    caps = tuple(sorted({int(each) for each in np.quantile(pooled, CAPS)}))
    cut = tuple(tuple(each.within(cap) for each in problems) for cap in caps)
    costs = tuple(float(np.mean([np.mean(each.tokens) for each in row])) for row in cut)
    cuts = _Cuts(caps, cut, costs, num_samples)
    return [
        _parted(cuts, costs[-1] * k)
        for k in _powers(num_samples)
        if k < num_samples and len(problems) > 1
    ]


def _parted(cuts: _Cuts, budget: float) -> Parted:
    solved = cuts.solved(budget)
    (first, second), value = _by_halves(solved)
    chosen, uncut = mean_intervals(np.stack([value, solved[-1]], axis=1))
    answers = (cuts.answers(first, budget) + cuts.answers(second, budget)) / 2
    caps = (cuts.caps[first], cuts.caps[second])
    return Parted(budget, caps, answers, chosen, uncut, _mean(value - solved[-1]))
