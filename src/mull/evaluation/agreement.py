"""What votes are worth: how often a majority is right, by its share and the number of votes.

Found out on problems whose answers are known, for one model and one kind of problem; see
`control.Agreement` for the map. What is fitted on some problems is judged on others.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mull.build import answer_keys
from mull.build.controllers import kind_of
from mull.control import Agreement
from mull.core.errors import BadInputError
from mull.core.seeds import derive_seed
from mull.core.tree import SearchTree
from mull.evaluation.intervals import Interval, mean_intervals
from mull.evaluation.recorded.measures import Drawn, draw, is_right
from mull.tasks.recorded import RecordedProblem, RecordedSet

ORDERS: Final = 8
"""In which the samples of a problem are looked at."""
COUNTS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Votes after which a majority is looked at."""
CEILINGS: Final = tuple(step / 20 for step in range(20, 7, -1))
"""Of which the likeliest is taken; the highest of equals."""
RIDGE: Final = 1e-3
"""Holds weights where the data would have them infinite."""
EDGE: Final = 1e-9
"""Keeps logarithms finite."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ballots:
    """The samples of one problem, in order."""

    keys: tuple[str | None, ...]
    """What each votes for; None where it cannot be read."""
    right: tuple[bool, ...]

    def shuffled(self, rng: Random) -> "Ballots":
        """The same in another order."""
        order = rng.sample(range(len(self.keys)), len(self.keys))
        keys = tuple(self.keys[at] for at in order)
        return Ballots(keys, tuple(self.right[at] for at in order))

    def after(self, draws: int) -> tuple[int, int, bool] | None:
        """Votes of the majority, all votes, and whether it is right; None without a vote."""
        cast = [key for key in self.keys[:draws] if key is not None]
        if not cast:
            return None
        (winner, top), *_ = Counter(cast).most_common(1)  # the first of equals
        return top, len(cast), self.right[self.keys.index(winner)]


def ballots_of(drawn: Drawn) -> list[Ballots]:
    """What was drawn of recorded samples, as votes."""
    pairs = zip(drawn.recorded.problems, drawn.trees, strict=True)
    return [_ballots(drawn.recorded, problem, tree) for problem, tree in pairs]


def _ballots(recorded: RecordedSet, problem: RecordedProblem, tree: SearchTree) -> Ballots:
    keys, right, key = list[str | None](), list[bool](), answer_keys()
    for branch in tree.branches():
        chain = tree.chain(branch.id)
        last = chain[-1] if chain else None
        is_finished = last is not None and last.step is not None and last.step.is_final
        if last is None or not is_finished:
            keys.append(None)
            right.append(False)
            continue
        keys.append(key(tree.problem, tree.trajectory(last.id).answer_text))
        right.append(is_right(recorded, problem, tree, last.id))
    return Ballots(tuple(keys), tuple(right))


def fit(problems: Sequence[Ballots], *, seed: int = 0) -> Agreement:
    """The likeliest map, every problem with one weight, by likelihood.

    BadInputError where nothing can be learned: fewer than 10 problems with a vote.
    """
    rows = [list(_points(each, seed)) for each in problems]
    rows = [each for each in rows if each]
    if len(rows) < 10:
        raise BadInputError(
            f"{len(rows)} problems with a readable answer are too few to say what votes are worth",
            hint="give more problems, or look at why their answers cannot be read",
        )
    weights = np.concatenate([np.full(len(each), 1 / len(each)) for each in rows])
    points = np.array([point for each in rows for point in each], dtype=np.float64)
    inputs = np.column_stack([np.ones(len(points)), points[:, :2]])
    fits = [_likeliest(inputs, points[:, 2], weights, ceiling) for ceiling in CEILINGS]
    best = max(range(len(fits)), key=lambda each: fits[each][1])
    bias, slope, growth = map(float, fits[best][0])
    return Agreement(bias, slope, growth, CEILINGS[best])


def _points(problem: Ballots, seed: int) -> Iterator[tuple[float, float, float]]:
    rng = Random(derive_seed(seed, "ballots"))
    for _ in range(ORDERS):
        order = problem.shuffled(rng)
        for draws in COUNTS:
            if draws <= len(order.keys) and (found := order.after(draws)) is not None:
                top, votes, right = found
                yield (*Agreement.features(top, votes), float(right))


def _likeliest(
    inputs: Floats, right: Floats, weights: Floats, ceiling: float
) -> tuple[Floats, float]:
    """The weights of greatest likelihood under a ceiling, by Fisher scoring, and its logarithm."""
    found = np.zeros(inputs.shape[1])
    for _ in range(100):
        share = 1 / (1 + np.exp(-inputs @ found))
        told = np.clip(ceiling * share, EDGE, 1 - EDGE)
        rise = ceiling * share * (1 - share) / (told * (1 - told))
        slope = inputs.T @ (weights * (right - told) * rise) - RIDGE * found
        curve = (inputs * (weights * told * (1 - told) * rise**2)[:, None]).T @ inputs
        step = np.linalg.solve(curve + RIDGE * np.eye(len(found)), slope)
        found = found + step * min(1.0, 1.0 / float(np.abs(step).max() + EDGE))
        if np.abs(step).max() < 1e-6:
            break
    told = np.clip(ceiling / (1 + np.exp(-inputs @ found)), EDGE, 1 - EDGE)
    likelihood = weights @ (right * np.log(told) + (1 - right) * np.log(1 - told))
    return found, float(likelihood) - 0.5 * RIDGE * float(found @ found)


@dataclass(frozen=True, slots=True)
class Reached:
    """What became of one wanted quality, over problems that nothing was fitted on."""

    quality: float
    met: float
    """Share of problems on which it was believed to be reached."""
    right: Interval | None
    """Share of those whose answer was right; None where there are none."""
    draws: float
    """A problem, on average."""


def reached(
    problems: Sequence[Ballots], qualities: Sequence[float], *, seed: int = 0
) -> list[Reached]:
    """Two halves of the problems in turn: fitted on the one, drawn one at a time on the other."""
    halves = problems[::2], problems[1::2]
    maps = fit(halves[1], seed=seed), fit(halves[0], seed=seed)
    stopped = {quality: list[tuple[int, bool, bool]]() for quality in qualities}
    for half, agreement in zip(halves, maps, strict=True):
        for problem in half:
            for quality in qualities:
                stopped[quality].append(_stop(problem, agreement, quality))
    return [_reached(quality, found) for quality, found in stopped.items()]


def _stop(problem: Ballots, agreement: Agreement, quality: float) -> tuple[int, bool, bool]:
    """Draws until the quality is believed to be reached; whether it was; whether it is right."""
    for draws in range(1, len(problem.keys) + 1):
        found = problem.after(draws)
        if found is not None and agreement(found[0], found[1]) >= quality:
            return draws, True, found[2]
    return len(problem.keys), False, False


def _reached(quality: float, found: Sequence[tuple[int, bool, bool]]) -> Reached:
    right = np.array([[float(right)] for _, is_met, right in found if is_met])
    return Reached(
        quality,
        sum(is_met for _, is_met, _ in found) / len(found),
        mean_intervals(right)[0] if len(right) else None,
        sum(draws for draws, _, _ in found) / len(found),
    )


async def ballots_by_kind(recorded: RecordedSet) -> dict[str, list[Ballots]]:
    """The samples as votes, by what the problems are; see `build.controllers.kind_of`."""
    found = dict[str, list[Ballots]]()
    drawn = await draw(recorded)
    for problem, ballots in zip(recorded.problems, ballots_of(drawn), strict=True):
        found.setdefault(kind_of(problem.example.problem), []).append(ballots)
    return found
