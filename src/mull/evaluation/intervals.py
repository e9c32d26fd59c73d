"""Means over problems with 95 % intervals.

The unit is the problem: seeds are averaged within a problem before they come here, and problems are
resampled, not samples. All columns of one table see the same resamples, so that their intervals
belong together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mull.core.seeds import derive_seed

Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.95
NUM_RESAMPLES: Final = 10_000
_TAILS: Final = ((1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0)
_CHUNK_CELLS: Final = 4_000_000
"""Draws held at once: bounds the memory of a bootstrap over many problems."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


def mean_intervals(
    values: Floats, *, seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> list[Interval]:
    """The mean of every column of `values` [problems, columns], with a percentile bootstrap.

    A column that is all 0 or all 1 leaves a bootstrap nothing to see; its open end is then the
    exact binomial (Clopper-Pearson) bound. ValueError without problems.
    """
    resampled = resampled_means(values, seed=seed, num_resamples=num_resamples)
    low, high = np.quantile(resampled, _TAILS, axis=0)  # [columns] each
    return [
        _at_the_edge(Interval(float(mean), float(low[column]), float(high[column])), len(values))
        for column, mean in enumerate(values.mean(axis=0))
    ]


def paired_interval(
    values: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Any statistic of column means: a difference, a ratio, a value read off a curve.

    `statistic` maps rows of means [rows, columns] to [rows]. Columns are paired: every resample
    takes whole problems, so that what two arms share cancels. Where the statistic is NaN in more
    than the tail of the resamples, so are the bounds.
    """
    resampled = statistic(resampled_means(values, seed=seed, num_resamples=num_resamples))
    point = statistic(values.mean(axis=0)[None])
    low, high = np.quantile(resampled, _TAILS)
    return Interval(float(point[0]), float(low), float(high))


def resampled_means(values: Floats, *, seed: int = 0, num_resamples: int = NUM_RESAMPLES) -> Floats:
    """Column means of as many problems drawn with replacement: [num_resamples, columns].

    The draws depend on the seed and the number of problems alone, so that every table of one set of
    problems sees the same ones. ValueError without problems.
    """
    if values.ndim != 2 or not len(values):
        raise ValueError(f"a bootstrap needs [problems, columns], not {values.shape}")
    chunks = _resampled_counts(len(values), seed, num_resamples)
    # The cast lets the product use BLAS.
    return np.concatenate([counts.astype(np.float64) @ values for counts in chunks]) / len(values)


# A report asks for the draws of its problems and of their strata again and again; those of a
# thousand problems take 20 MB.
@lru_cache(maxsize=8)
def _resampled_counts(
    num_problems: int, seed: int, num_resamples: int
) -> tuple[NDArray[np.uint16], ...]:
    """How often each draw holds each problem, in chunks [draws, problems]."""
    rng = np.random.default_rng(derive_seed(seed, "bootstrap", num_problems))
    chunk = max(1, min(num_resamples, _CHUNK_CELLS // num_problems))
    chunks = list[NDArray[np.uint16]]()
    for start in range(0, num_resamples, chunk):
        num_draws = min(chunk, num_resamples - start)
        drawn = rng.integers(num_problems, size=(num_draws, num_problems))
        cells = drawn + np.arange(num_draws)[:, None] * num_problems
        counts = np.bincount(cells.ravel(), minlength=num_draws * num_problems)
        chunks.append(counts.reshape(num_draws, num_problems).astype(np.uint16))
    return tuple(chunks)


def _at_the_edge(interval: Interval, num_problems: int) -> Interval:
    """Nothing failed, or nothing worked: how far from that the truth may lie (exact binomial)."""
    bound = _TAILS[0] ** (1.0 / num_problems)
    if interval.low == interval.high == 1.0:
        return Interval(1.0, bound, 1.0)
    if interval.low == interval.high == 0.0:
        return Interval(0.0, 0.0, 1.0 - bound)
    return interval
