"""How good reward models are: ranking states against exact labels, and choosing answers.

The unit of every interval is the problem. Axes: P problems, S samples a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np

from mull.core.aggregation import AGGREGATIONS, Aggregation
from mull.core.seeds import derive_seed
from mull.evaluation.calibration import auroc
from mull.evaluation.intervals import Floats, Interval, mean_intervals, paired_interval
from mull.evaluation.reward_samples import Sample
from mull.verifiers.ensemble import Rule, combine

RESAMPLES: Final = 1_000
FEWEST_OF_EACH: Final = 10
"""Good and bad states without which a depth is left out."""

Problem = tuple[list[Sample], list[list[float]]]
"""The samples of a problem and the step values of each; none where there is no opinion."""


def supported(samples: list[Sample], values: Sequence[list[float]], least: float) -> Problem:
    """No opinion of samples with a token that the policy gave less than `least`."""
    pairs = zip(samples, values, strict=True)
    return samples, [said if sample.least >= least else [] for sample, said in pairs]


def left_out(samples: Iterable[Sample], least: float) -> tuple[float, float]:
    """The shares of right and of wrong answers that have such a token."""
    found = {True: [0, 0], False: [0, 0]}
    for sample in samples:
        found[sample.is_right][sample.least < least] += 1
    right, wrong = (out / max(1, kept + out) for kept, out in (found[True], found[False]))
    return right, wrong


class Ranked(NamedTuple):
    """How well states after so many steps are told apart."""

    depth: int
    num_states: int
    base_rate: float
    """Share that can still come out right."""
    auroc: Interval


def ranked(problems: Sequence[Problem], *, seed: int = 0) -> list[Ranked]:
    """AUROC against exact labels by depth; states that are reached twice count once."""
    depths = max((len(each.exact) for samples, _ in problems for each in samples), default=0)
    return [found for depth in range(1, depths + 1) if (found := _at_depth(problems, depth, seed))]


def _at_depth(problems: Sequence[Problem], depth: int, seed: int) -> Ranked | None:
    groups = [_states(problem, depth) for problem in problems]
    groups = [group for group in groups if group]
    values = np.array([value for group in groups for value, _ in group])
    truths = np.array([truth for group in groups for _, truth in group], dtype=bool)
    if min(int(truths.sum()), int((~truths).sum())) < FEWEST_OF_EACH:
        return None
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    point = auroc(values, truths)
    resampled = _resampled_aurocs(values, truths, owner, len(groups), seed)
    low, high = np.quantile(resampled, (0.025, 0.975))
    interval = Interval(point, float(low), float(high))
    return Ranked(depth, len(values), float(truths.mean()), interval)


def _states(problem: Problem, depth: int) -> list[tuple[float, bool]]:
    """The distinct states after so many steps: value and exact label."""
    samples, values = problem
    found = dict[tuple[tuple[int, ...], ...], tuple[float, bool]]()
    for sample, said in zip(samples, values, strict=True):
        if len(sample.exact) >= depth and len(said) == len(sample.exact):
            state = sample.token_ids[:depth]
            found[state] = said[depth - 1], sample.exact[depth - 1]
    return list(found.values())


def _resampled_aurocs(
    values: Floats, truths: np.ndarray, owner: np.ndarray, num_groups: int, seed: int
) -> Floats:
    """AUROC with problems drawn with replacement: each state weighs as often as its problem."""
    rng = np.random.default_rng(derive_seed(seed, "auroc"))
    _, place = np.unique(values, return_inverse=True)
    size = int(place.max()) + 1
    found = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        drawn = np.bincount(rng.integers(0, num_groups, num_groups), minlength=num_groups)
        weight = drawn[owner].astype(float)
        right = np.bincount(place, weights=weight * truths, minlength=size)
        wrong = np.bincount(place, weights=weight * ~truths, minlength=size)
        below = np.cumsum(wrong) - wrong / 2
        found[index] = (right * below).sum() / max(right.sum() * wrong.sum(), 1.0)
    return found


Choose = Callable[[Sequence[Sample], Sequence[float]], bool]
"""Whether the answer that is chosen among samples with these values is right."""


def best(samples: Sequence[Sample], values: Sequence[float]) -> bool:
    """Of the most valued answer; the first of equals."""
    if not samples:
        return False
    place = max(range(len(samples)), key=lambda at: values[at])
    return samples[place].is_right


def weighted_vote(samples: Sequence[Sample], values: Sequence[float]) -> bool:
    """Of the class of equal answers with the largest sum of values; the first of equals."""
    sums, first = dict[str, float](), dict[str, bool]()
    for sample, value in zip(samples, values, strict=True):
        if sample.key:
            sums[sample.key] = sums.get(sample.key, 0.0) + max(value, 0.0)
            first.setdefault(sample.key, sample.is_right)
    return first[max(sums, key=lambda key: sums[key])] if sums else False


CHOICES: Final[Mapping[str, Choose]] = {"best": best, "weighted vote": weighted_vote}


@dataclass(frozen=True, slots=True)
class Curve:
    """How often the chosen answer is right, by how many samples it is chosen among."""

    judge: str
    rule: str
    choice: str
    points: Mapping[int, Interval]
    last: Interval
    """What the last step of them adds: the points at the largest n less those at the one before, on
    the same problems. Below 0 it is over-optimised."""

    @classmethod
    def of(cls, judge: str, rule: str, choice: str, ns: Sequence[int], table: Floats) -> Self:
        """From how often the chosen answer is right, by problem (P) and n (N): (P, N)."""
        points = dict(zip(ns, mean_intervals(table), strict=True))
        before = max(0, len(ns) - 2)
        last = paired_interval(table, lambda means: means[:, -1] - means[:, before])
        return cls(judge, rule, choice, points, last)


def curves(
    problems: Mapping[str, Sequence[Problem]], ns: Sequence[int], card_rules: Mapping[str, str]
) -> list[Curve]:
    """Every judge under every aggregation and choice; the baselines; ensembles.

    `card_rules` names the members of the ensembles, each with its validated aggregation.
    """
    samples = [each for each, _ in next(iter(problems.values()))]
    unit = [[1.0] * len(each) for each in samples]
    found = [
        Curve.of("none", "", name, ns, _points(samples, unit, ns, choose))
        for name, choose in (("one sample", best), ("vote", weighted_vote), ("oracle", _any_right))
    ]
    for judge, judged in problems.items():
        for rule in _rules(judged):
            values = [_aggregated(said, rule) for _, said in judged]
            found += _chosen(judge, rule.value, samples, values, ns)
    if len(card_rules) > 1:
        members = [
            [_aggregated(said, Aggregation(rule)) for _, said in problems[judge]]
            for judge, rule in card_rules.items()
        ]
        for rule in Rule:
            values = [_joined(rule, problem) for problem in zip(*members, strict=True)]
            name = f"ensemble of {len(members)}"
            found += _chosen(name, rule.value, samples, values, ns)
    return found


def _chosen(
    judge: str,
    rule: str,
    samples: Sequence[Sequence[Sample]],
    values: Sequence[Sequence[float]],
    ns: Sequence[int],
) -> list[Curve]:
    return [
        Curve.of(judge, rule, name, ns, _points(samples, values, ns, choose))
        for name, choose in CHOICES.items()
    ]


def _joined(rule: Rule, members: Sequence[Sequence[float]]) -> list[float]:
    """The ensemble's values of one problem's samples."""
    columns = zip(*members, strict=True)
    return [combine(rule, [max(each, 0.0) for each in column]) for column in columns]


def _rules(judged: Sequence[Problem]) -> Sequence[Aggregation]:
    """All rules, or one where a judge has a single value (an outcome model)."""
    several = any(len(said) > 1 for _, values in judged for said in values)
    return tuple(Aggregation) if several else (Aggregation.LAST,)


def _aggregated(values: Sequence[Sequence[float]], rule: Aggregation) -> list[float]:
    """One value a sample; what nobody has an opinion of comes last."""
    return [AGGREGATIONS[rule](said) if said else -1.0 for said in values]


def _any_right(samples: Sequence[Sample], values: Sequence[float]) -> bool:  # noqa: ARG001
    return any(each.is_right for each in samples)


def _points(
    samples: Sequence[Sequence[Sample]],
    values: Sequence[Sequence[float]],
    ns: Sequence[int],
    choose: Choose,
) -> Floats:
    """By problem and n, the mean over disjoint groups of n samples: (P, N)."""
    return np.array(
        [
            [_share(problem, said, n, choose) for n in ns]
            for problem, said in zip(samples, values, strict=True)
        ]
    )


def _share(samples: Sequence[Sample], values: Sequence[float], n: int, choose: Choose) -> float:
    starts = range(0, max(1, len(samples) - n + 1), n)
    chosen = [choose(samples[at : at + n], values[at : at + n]) for at in starts]
    return sum(chosen) / len(chosen)
