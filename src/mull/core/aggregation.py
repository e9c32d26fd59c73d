"""How the values of a path's steps become the value of the path."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from math import fsum, prod
from types import MappingProxyType
from typing import Final


class Aggregation(StrEnum):
    """The rules in use.

    Which one is right depends on the labels a verifier was trained on: `last` for soft Monte-Carlo
    values (Snell et al. 2024), `product` or `min` for hard ones (Lightman et al. 2023).
    """

    LAST = "last"
    MIN = "min"
    PRODUCT = "product"
    MEAN = "mean"


AGGREGATIONS: Final[Mapping[Aggregation, Callable[[Sequence[float]], float]]] = MappingProxyType(
    {
        Aggregation.LAST: lambda values: values[-1],
        Aggregation.MIN: min,
        Aggregation.PRODUCT: prod,
        Aggregation.MEAN: lambda values: fsum(values) / len(values),
    }
)
"""Each takes one value in [0, 1] a step, at least one, and gives one in [0, 1]."""
