"""The result as rows of text, for the terminal and for the report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mull.evaluation.curves import Curve, Point
from mull.evaluation.intervals import Interval

COLUMNS: Final = (
    "arm",
    "n",
    "solved",
    "95 %",
    "pass@n",
    "95 %",
    "generated tokens",
    "prompt tokens",
    "GFLOPs",
)
"""Costs are means per problem; `prompt tokens` are those that cost compute."""
NUM_TEXT_COLUMNS: Final = 1
"""The first column is text and the rest are numbers."""
NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One arm with one sample count."""

    cells: tuple[str, ...]
    """One a column."""
    starts_arm: bool
    """The first row of its arm."""


def rows_of(curves: Sequence[Curve]) -> Iterator[Row]:
    """A row a point; the arm's label stands in its first row alone."""
    for curve in curves:
        for place, point in enumerate(curve.points):
            label = curve.label if place == 0 else ""
            yield Row((label, *_cells(curve, point)), starts_arm=place == 0)


def _cells(curve: Curve, point: Point) -> tuple[str, ...]:
    costs = (NOTHING, NOTHING, NOTHING) if curve.is_blind else _costs(point)
    return (f"{point.n}", *percent(point.accuracy), *percent(point.pass_at_k), *costs)


def _costs(point: Point) -> tuple[str, str, str]:
    read = point.prompt_tokens - point.cached_tokens
    flops = f"{point.flops / 1e9:,.2f}" if point.flops else NOTHING
    return f"{point.generated_tokens:,.0f}", f"{read:,.0f}", flops


def percent(interval: Interval | None) -> tuple[str, str]:
    """`94.0 %` and `[89.0, 98.0]`, or two dashes."""
    if interval is None:
        return NOTHING, NOTHING
    return (
        f"{interval.value * 100:.1f} %",
        f"[{interval.low * 100:.1f}, {interval.high * 100:.1f}]",
    )
