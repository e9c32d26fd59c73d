"""Two arms at matched compute: accuracy at equal cost, and cost at equal accuracy.

A curve is a row of mean costs and a row of mean accuracies, by ascending budget. Between two
budgets accuracy is read off a straight line over the logarithm of cost; below the smallest one, off
the line from nothing spent and nothing solved. Nothing is read beyond the largest budget: there a
curve keeps its last accuracy, and what it never reaches counts at its largest cost. `Match` says
where that was so.

All functions take many curves at once (`[rows, budgets]`), so that a bootstrap is one call.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mull.evaluation.intervals import Floats, Interval, paired_interval

Places = NDArray[np.intp]

_TINY: Final = 1e-12
"""Keeps logarithms and quotients finite where nothing was spent."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Costs and accuracies, `[rows, budgets]` each: a row is a problem, or a mean over problems."""

    costs: Floats
    right: Floats

    def of(self, problems: NDArray[np.bool_]) -> "Curves":
        """The curves of some problems alone."""
        return Curves(self.costs[problems], self.right[problems])


@dataclass(frozen=True, slots=True)
class Match:
    """One budget of an arm against the whole curve of another, on the same problems."""

    gain: Interval
    """Its accuracy less the other's at the same cost, in shares."""
    is_covered: bool
    """Whether the other was measured up to that cost. If not, `gain` is an upper bound."""
    saving: Interval
    """The other's cost for the same accuracy over its own: above 1 it is cheaper."""
    is_reached: bool
    """Whether the other reaches that accuracy at all. If not, `saving` is a lower bound."""


def accuracy_at(curves: Curves, cost: Floats) -> Floats:
    """The accuracy of every row's curve at that row's cost: [rows]."""
    costs, right = _from_nothing(curves.costs), _from_nothing(curves.right)
    place = _piece(costs, cost)
    low, high = _at(costs, place), _at(costs, place + 1)
    over_logs = (_log(cost) - _log(low)) / np.maximum(_log(high) - _log(low), _TINY)
    share = np.where(place == 0, cost / np.maximum(high, _TINY), over_logs)
    start, end = _at(right, place), _at(right, place + 1)
    return start + np.clip(share, 0.0, 1.0) * (end - start)


def cost_at(curves: Curves, accuracy: Floats) -> Floats:
    """The least cost at which a row's curve reaches that row's accuracy: [rows].

    The largest cost where it never does. A curve that falls is taken at its best so far: nobody has
    to spend more to get less.
    """
    costs, best = _from_nothing(curves.costs), _from_nothing(curves.right)
    best = np.maximum.accumulate(best, axis=1)
    place = _piece(best, accuracy)
    start, end = _at(best, place), _at(best, place + 1)
    share = np.clip((accuracy - start) / np.maximum(end - start, _TINY), 0.0, 1.0)
    low, high = _at(costs, place), _at(costs, place + 1)
    over_logs = np.exp(_log(low) + share * (_log(high) - _log(low)))
    return np.where(place == 0, share * high, over_logs)


def match(arm: Curves, budget: int, other: Curves) -> Match:
    """Compare column `budget` of `arm` with all of `other`, paired over problems (their rows)."""
    size = other.costs.shape[1]
    own = (arm.costs[:, [budget]], arm.right[:, [budget]])
    values = np.concatenate((*own, other.costs, other.right), axis=1)

    def others(means: Floats) -> Curves:
        return Curves(means[:, 2 : 2 + size], means[:, 2 + size :])

    def gain(means: Floats) -> Floats:
        return means[:, 1] - accuracy_at(others(means), means[:, 0])

    def saving(means: Floats) -> Floats:
        return cost_at(others(means), means[:, 1]) / np.maximum(means[:, 0], _TINY)

    cost, accuracy = own[0].mean(), own[1].mean()
    return Match(
        paired_interval(values, gain),
        bool(cost <= other.costs.mean(axis=0).max()),
        paired_interval(values, saving),
        bool(accuracy <= other.right.mean(axis=0).max()),
    )


def _from_nothing(grid: Floats) -> Floats:
    """With a first column of zeros: nothing spent, nothing solved."""
    return np.concatenate((np.zeros((len(grid), 1)), grid), axis=1)


def _piece(grid: Floats, value: Floats) -> Places:
    """The piece of every row's rising grid in which its value lies; beyond it, the last one."""
    return (grid[:, 1:-1] < value[:, None]).sum(axis=1).astype(np.intp)


def _at(grid: Floats, place: Places) -> Floats:
    return grid[np.arange(len(grid)), place]


def _log(values: Floats) -> Floats:
    return np.log(np.maximum(values, _TINY))
