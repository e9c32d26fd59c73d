"""Calibration maps against brute force, known answers and their own promises."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from math import exp, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.errors import CheckpointError
from mull.verifiers.calibration import (
    Calibration,
    Isotonic,
    Platt,
    calibration_error,
    calibration_of,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    log_loss,
    pool_adjacent_violators,
)

CASES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.4, 0.5, 0.8, 1.0]), st.booleans()),
    min_size=1,
    max_size=7,
)


def best_monotone_error(pairs: Sequence[tuple[float, float]]) -> float:
    """The least squared error of any cut of the distinct values into rising blocks."""
    distinct = sorted({value for value, _ in pairs})
    best = float("inf")
    for size in range(len(distinct)):
        for cuts in combinations(range(1, len(distinct)), size):
            edges = [0, *cuts, len(distinct)]
            blocks = [distinct[a:b] for a, b in pairwise(edges)]
            groups = [[y for x, y in pairs if x in block] for block in blocks]
            levels = [sum(group) / len(group) for group in groups]
            if levels == sorted(levels):
                error = sum(
                    (y - level) ** 2
                    for group, level in zip(groups, levels, strict=True)
                    for y in group
                )
                best = min(best, error)
    return best


@given(CASES)
def test_pooling_gives_the_best_of_all_monotone_fits(cases: list[tuple[float, bool]]) -> None:
    pairs = [(value, float(outcome)) for value, outcome in cases]
    blocks = pool_adjacent_violators(*zip(*pairs, strict=True))
    levels = [block.level for block in blocks]
    assert levels == sorted(levels)
    assert sum(block.weight for block in blocks) == pytest.approx(len(pairs))
    # A block's squared error is its weight times level * (1 - level), as outcomes are 0 or 1.
    error = sum(block.weight * block.level * (1 - block.level) for block in blocks)
    assert error == pytest.approx(best_monotone_error(pairs), abs=1e-9)


@given(CASES, st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_every_map_is_monotone_and_stays_in_range(
    cases: list[tuple[float, bool]], asked: list[float]
) -> None:
    values, outcomes = [x for x, _ in cases], [float(y) for _, y in cases]
    isotonic = fit_isotonic(values, outcomes)
    for fitted in (isotonic, Platt(2.0, -1.0), fit_temperature(values, outcomes)):
        told = [fitted(value) for value in sorted(asked)]
        assert all(a <= b + 1e-12 for a, b in pairwise(told))
        assert all(0.0 <= each <= 1.0 for each in told)


def test_an_isotonic_map_rises_everywhere_so_that_a_ranking_survives() -> None:
    fitted = fit_isotonic([0.1, 0.2, 0.6, 0.8], [0.0, 0.0, 1.0, 1.0])
    asked = [0.0, 0.15, 0.3, 0.5, 0.55, 0.8, 0.9, 1.0]
    told = [fitted(value) for value in asked]
    assert all(a < b for a, b in pairwise(told))
    assert told[1] == pytest.approx(0.0, abs=0.001)
    assert told[3] == pytest.approx((0.5 - 0.15) / (0.7 - 0.15), abs=0.001)
    assert told[-2] == pytest.approx(1.0, abs=0.001)


def drawn(slope: float, shift: float, count: int = 4_000) -> tuple[list[float], list[float]]:
    """Values whose outcomes follow a Platt curve."""
    rng = Random(5)
    values = [0.02 + 0.96 * rng.random() for _ in range(count)]
    truth = Platt(slope, shift)
    return values, [float(rng.random() < truth(value)) for value in values]


def test_platt_recovers_the_curve_that_made_the_data() -> None:
    values, outcomes = drawn(0.6, 0.8)
    fitted = fit_platt(values, outcomes)
    assert fitted.slope == pytest.approx(0.6, abs=0.08)
    assert fitted.shift == pytest.approx(0.8, abs=0.1)


def test_temperature_recovers_the_sharpness_and_leaves_one_half_alone() -> None:
    fitted = fit_temperature(*drawn(2.5, 0.0))
    assert fitted.slope == pytest.approx(2.5, rel=0.08)
    assert fitted(0.5) == 0.5


def test_a_fit_is_never_worse_than_no_map_at_all() -> None:
    values, outcomes = drawn(0.4, -1.0)
    before = log_loss(values, outcomes)
    for fit in (fit_platt, fit_temperature, fit_isotonic):
        fitted = fit(values, outcomes)
        told = [fitted(value) for value in values]
        assert log_loss(told, outcomes) < before
    assert calibration_error(values, outcomes) > 0.1
    platt = fit_platt(values, outcomes)
    told = [platt(value) for value in values]
    assert calibration_error(told, outcomes) < 0.03


def test_separable_outcomes_have_a_finite_slope() -> None:
    fitted = fit_platt([0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0])
    assert 0 < fitted.slope < 20
    assert fit_platt([0.3, 0.4], [1.0, 1.0])(0.35) > 0.5


def test_log_loss_and_calibration_error_by_hand() -> None:
    assert log_loss([0.8, 0.4], [1.0, 0.0]) == pytest.approx(-(log(0.8) + log(0.6)) / 2)
    # Two bins of two: |(0.1 + 0.3) - 1| and |(0.6 + 0.8) - 1|, over four cases.
    error = calibration_error([0.1, 0.3, 0.6, 0.8], [0.0, 1.0, 0.0, 1.0], bins=2)
    assert error == pytest.approx((0.6 + 0.4) / 4)


@pytest.mark.parametrize("fitted", [Platt(1.5, -0.25), Isotonic((0.2, 0.7), (0.1, 0.9))])
def test_a_map_survives_the_checkpoint(fitted: Calibration) -> None:
    assert calibration_of(fitted.to_json()) == fitted


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"kind": "platt", "slope": "steep"},
        {"kind": "isotonic", "centres": [], "levels": []},
        {"kind": "isotonic", "centres": [0.1, 0.2], "levels": [0.5]},
    ],
)
def test_a_damaged_map_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="calibration map"):
        calibration_of(raw)


def test_a_platt_map_is_a_logistic_curve_of_the_logit() -> None:
    assert Platt(2.0, 0.5)(0.8) == pytest.approx(1 / (1 + exp(-(2 * log(4) + 0.5))))
    assert Platt()(0.3) == pytest.approx(0.3)
