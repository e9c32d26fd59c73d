import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mull.evaluation.calibration import auroc, brier, ece, risk_coverage

VALUES = np.array([0.1, 0.1, 0.3, 0.7, 0.9, 0.9])
TRUTHS = np.array([False, True, False, True, True, True])

Judged = tuple[NDArray[np.float64], NDArray[np.bool_]]


@st.composite
def judged(draw: st.DrawFn) -> Judged:
    values = draw(st.lists(st.sampled_from([k / 8 for k in range(9)]), min_size=2, max_size=40))
    truths = draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    return np.array(values), np.array(truths)


def test_discrimination_is_the_share_of_pairs_in_the_right_order() -> None:
    # right: .1 .7 .9 .9, wrong: .1 .3; of 8 pairs 6 are in order, one is equal, one is not
    assert auroc(VALUES, TRUTHS) == pytest.approx(6.5 / 8)


@given(judged())
def test_discrimination_by_ranks_is_that_by_counting(given: Judged) -> None:
    values, truths = given
    if truths.all() or not truths.any():
        with pytest.raises(ValueError, match="right ones and wrong ones"):
            auroc(values, truths)
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in values[truths] for b in values[~truths]]
    assert auroc(values, truths) == pytest.approx(np.mean(pairs))
    assert auroc(1.0 - values, truths) == pytest.approx(1.0 - float(np.mean(pairs)))


def test_calibration_error_by_hand() -> None:
    # ten bins of equal width; the gaps of .1 .1, of .3, of .7 and of .9 .9 are .4, .3, .3 and .1
    assert ece(VALUES, TRUTHS, equal_mass=False) == pytest.approx((0.8 + 0.3 + 0.3 + 0.2) / 6)
    # equal mass, two bins at the median .5: (.1 .1 .3 | 1/3 right) (.7 .9 .9 | all right)
    by_mass = abs(0.5 / 3 - 1 / 3) / 2 + abs(2.5 / 3 - 1) / 2
    assert ece(VALUES, TRUTHS, equal_mass=True, num_bins=2) == pytest.approx(by_mass)


@pytest.mark.parametrize("equal_mass", [False, True])
def test_values_that_are_the_truth_are_perfectly_calibrated(equal_mass: bool) -> None:
    truths = np.array([True, False, True])
    assert ece(truths.astype(np.float64), truths, equal_mass=equal_mass) == 0.0
    assert brier(truths.astype(np.float64), truths).score == 0.0


@given(judged())
def test_the_parts_of_the_brier_score_add_up(given: Judged) -> None:
    values, truths = given
    parts = brier(values, truths)
    assert parts.score == pytest.approx(((values - truths) ** 2).mean())
    assert parts.uncertainty == pytest.approx(truths.mean() * (1 - truths.mean()))
    assert 0.0 <= parts.resolution <= parts.uncertainty + 1e-12
    assert parts.reliability >= 0.0
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.spread
    assert total == pytest.approx(parts.score)


@given(judged())
def test_binning_leaves_nothing_over_where_bins_hold_one_value(given: Judged) -> None:
    # eighths fall into bins of their own
    values, truths = given
    assert brier(values, truths, num_bins=8 * 9).spread == pytest.approx(0.0, abs=1e-12)


def test_risk_grows_as_less_trusted_answers_are_given() -> None:
    curve = risk_coverage(VALUES, TRUTHS)
    assert curve.coverage == pytest.approx((2 / 6, 3 / 6, 4 / 6, 1.0))
    assert curve.risk == pytest.approx((0.0, 0.0, 1 / 4, 2 / 6))
    assert curve.area == pytest.approx(1 / 6 * 1 / 4 + 2 / 6 * 2 / 6)


@given(judged())
def test_answering_everything_costs_the_base_rate_whatever_the_values(given: Judged) -> None:
    values, truths = given
    curve = risk_coverage(values, truths)
    assert curve.coverage[-1] == 1.0
    assert curve.risk[-1] == pytest.approx(1.0 - truths.mean())
    assert curve == risk_coverage(values[::-1].copy(), truths[::-1].copy())


def test_what_cannot_be_judged_is_refused() -> None:
    for values, truths in (([], []), ([0.5], [True, False]), ([1.5], [True])):
        with pytest.raises(ValueError, match=r"fit|must lie"):
            ece(np.array(values), np.array(truths, dtype=np.bool_), equal_mass=False)
