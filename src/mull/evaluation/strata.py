"""Problems by difficulty: quintiles of pass@1, and bands of it.

Difficulty is estimated from rollouts that no compared arm has seen. Rank problems by the samples
that are then scored, and the "hard" ones are those that were unlucky: the next look finds them
easier.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mull.evaluation.intervals import Floats

BANDS: Final[Mapping[str, tuple[float, float]]] = {
    "50-100 %": (0.5, 1.0),
    "10-50 %": (0.1, 0.5),
    "0-10 %": (0.0, 0.1),
}
"""Absolute bands of pass@1 (Liu et al. 2025), easy first: lower end in, upper end out but for 1."""
NUM_QUANTILES: Final = 5

Chosen = NDArray[np.bool_]


def strata_of(pass_at_1: Sequence[float]) -> dict[str, Chosen]:
    """Which problems belong to each stratum: five quintiles (Snell et al. 2024), then the bands.

    Quintiles are easy first; equal estimates stay in the order given, so that sizes differ by one
    at most. A band may be empty.
    """
    values = np.array(pass_at_1, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    strata = dict[str, Chosen]()
    for place, chosen in enumerate(np.array_split(order, NUM_QUANTILES), start=1):
        strata[f"quintile {place}"] = np.isin(np.arange(len(values)), chosen)
    for name, (low, high) in BANDS.items():
        strata[name] = _between(values, low, high)
    return strata


def _between(values: Floats, low: float, high: float) -> Chosen:
    return (values >= low) & ((values < high) | (high == 1.0))
