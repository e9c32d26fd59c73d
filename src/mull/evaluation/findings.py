"""What a set of sheets says: arms against baselines, by difficulty, and small models against large.

Every budget that was asked for is compared, on every axis; nothing is picked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mull.evaluation.arms import BEST, GREEDY, VOTES, Arm
from mull.evaluation.intervals import Interval, mean_intervals
from mull.evaluation.matched import Match, match
from mull.evaluation.sheets import Axis, Sheet, strata_for
from mull.evaluation.strata import Chosen

BASELINES: Final = (BEST, "early_stop", VOTES)
"""What every arm is held against, where the evaluation has it."""
MIN_PROBLEMS: Final = 10
"""Of a stratum: below, an interval says nothing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm at one budget against the whole curve of another, on the same problems."""

    axis: Axis
    arm: str
    """Label."""
    n: int
    accuracy: float
    cost: float
    other: str
    """The baseline's title: it is of the same model."""
    result: Match


@dataclass(frozen=True, slots=True)
class Stratum:
    """Problems of one difficulty, by pass@1 on samples that no compared budget saw."""

    name: str
    model: str
    """Whose pass@1."""
    num_problems: int
    rows: tuple["StratumRow", ...]


@dataclass(frozen=True, slots=True)
class StratumRow:
    """An arm at one budget within a stratum."""

    arm: str
    n: int
    accuracy: Interval
    generated_tokens: float
    flops: float


@dataclass(frozen=True, slots=True)
class Rivalry:
    """A model that searches against a larger one that answers once, at matched FLOPs."""

    stratum: str
    num_problems: int
    large: str
    """Label of the greedy arm."""
    small: str
    """Label of the searching arm."""
    large_accuracy: float
    gain: Interval
    """Of the small one at the large one's FLOPs."""
    cost: Interval
    """FLOPs at which the small one is as good, over the large one's: the crossover. Below 1 the
    small one is the cheaper way to that accuracy."""
    is_reached: bool
    """Whether it gets there at all; if not, `cost` is a lower bound."""


def comparisons_of(sheets: Sequence[Sheet], budgets: Sequence[int]) -> tuple[Comparison, ...]:
    """Every arm at every budget asked for, against the baselines of its model and form."""
    return tuple(
        Comparison(
            axis,
            sheet.arm.label,
            n,
            float(sheet.right()[:, place].mean()),
            float(sheet.cost(axis)[:, place].mean()),
            other.arm.title,
            match(sheet.curves(axis), place, other.curves(axis)),
        )
        for axis in Axis
        for sheet in sheets
        for other in _baselines(sheets, sheet.arm)
        for place, n in _asked(sheet, budgets)
        if _spends(sheet, axis) and _spends(other, axis)
    )


def _baselines(sheets: Sequence[Sheet], arm: Arm) -> Iterator[Sheet]:
    for sheet in sheets:
        is_rival = (sheet.arm.model, sheet.arm.form) == (arm.model, arm.form)
        if is_rival and sheet.arm.text in BASELINES and sheet.arm.text != arm.text:
            yield sheet


def _asked(sheet: Sheet, budgets: Sequence[int]) -> list[tuple[int, int]]:
    """Places and budgets of a sheet that somebody asked for."""
    has_one = len(sheet.budgets) == 1
    return [(place, n) for place, n in enumerate(sheet.budgets) if has_one or n in budgets]


def _spends(sheet: Sheet, axis: Axis) -> bool:
    """Whether the arm's model counts on that axis (a remote one has no FLOPs)."""
    return bool(sheet.cost(axis).any())


def strata_results(sheets: Sequence[Sheet], budgets: Sequence[int]) -> tuple[Stratum, ...]:
    """Every arm by difficulty for its own model.

    A budget that saw the samples which sorted the problems is left out.
    """
    models = dict.fromkeys(sheet.arm.model for sheet in sheets)
    return tuple(
        Stratum(
            name, model, int(chosen.sum()), tuple(_stratum_rows(sheets, model, chosen, budgets))
        )
        for model in models
        for name, chosen in strata_for(sheets, model).items()
        if chosen.sum() >= MIN_PROBLEMS
    )


def _stratum_rows(
    sheets: Sequence[Sheet], model: str, chosen: Chosen, budgets: Sequence[int]
) -> Iterator[StratumRow]:
    for sheet in (each for each in sheets if each.arm.model == model):
        accuracy = mean_intervals(sheet.right()[chosen])
        tokens, flops = sheet.cost(Axis.TOKENS)[chosen], sheet.cost(Axis.FLOPS)[chosen]
        for place, n in _asked(sheet, budgets):
            if sheet.arm.rule.is_replayed and 2 * n > sheet.budgets[-1]:
                continue
            yield StratumRow(
                sheet.arm.label,
                n,
                accuracy[place],
                float(tokens[:, place].mean()),
                float(flops[:, place].mean()),
            )


def rivalries_of(sheets: Sequence[Sheet]) -> tuple[Rivalry, ...]:
    """Every model that searches against every larger one's greedy answer, by difficulty.

    Difficulty is that for the large model. Larger is what spends more FLOPs on one answer.
    """
    return tuple(
        _rivalry(name, chosen, large, small)
        for large in (sheet for sheet in sheets if sheet.arm.strategy == GREEDY)
        for small in sheets
        if _is_smaller_search(small, large)
        for name, chosen in _with_all(sheets, large)
        if chosen.sum() >= MIN_PROBLEMS
    )


def _is_smaller_search(small: Sheet, large: Sheet) -> bool:
    if small.arm.model == large.arm.model or small.arm.form != large.arm.form:
        return False
    cheapest = small.cost(Axis.FLOPS)[:, 0].mean()
    return len(small.budgets) > 1 and bool(0 < cheapest < large.cost(Axis.FLOPS).mean())


def _with_all(sheets: Sequence[Sheet], large: Sheet) -> Iterator[tuple[str, Chosen]]:
    yield "all", large.right()[:, 0] >= 0.0
    yield from strata_for(sheets, large.arm.model).items()


def _rivalry(stratum: str, chosen: Chosen, large: Sheet, small: Sheet) -> Rivalry:
    answer, search = large.curves(Axis.FLOPS).of(chosen), small.curves(Axis.FLOPS).of(chosen)
    found = match(answer, 0, search)
    gain = Interval(-found.gain.value, -found.gain.high, -found.gain.low)
    return Rivalry(
        stratum,
        int(chosen.sum()),
        large.arm.label,
        small.arm.label,
        float(answer.right.mean()),
        gain,
        found.saving,
        found.is_reached,
    )
