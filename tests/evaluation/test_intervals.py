from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.evaluation import Interval, mean_intervals
from mull.tasks import pass_at_k


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_pass_at_k_is_the_share_of_all_subsets_with_a_right_sample(
    samples: list[bool], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(samples)))
    subsets = list(combinations(samples, k))
    expected = sum(map(any, subsets)) / len(subsets)
    assert pass_at_k(len(samples), sum(samples), k) == pytest.approx(expected)


@pytest.mark.parametrize(("num_right", "k"), [(0, 7), (1, 64), (3, 16), (40, 100), (256, 1)])
def test_pass_at_k_equals_the_product_of_the_paper(num_right: int, k: int) -> None:
    # Chen et al. 2021, their listing: 1 - prod over i from n - c + 1 to n of (1 - k / i).
    product = np.prod([1.0 - k / i for i in range(256 - num_right + 1, 257)])
    assert pass_at_k(256, num_right, k) == pytest.approx(1.0 - max(0.0, float(product)))


def test_the_interval_of_a_share_is_close_to_the_normal_one() -> None:
    values = np.array([[1.0]] * 120 + [[0.0]] * 280)
    (interval,) = mean_intervals(values)
    half = NormalDist().inv_cdf(0.975) * (0.3 * 0.7 / 400) ** 0.5
    assert interval.value == pytest.approx(0.3)
    assert interval.low == pytest.approx(0.3 - half, abs=0.006)
    assert interval.high == pytest.approx(0.3 + half, abs=0.006)


def test_the_interval_of_means_within_problems_is_narrower_than_that_of_coin_flips() -> None:
    steady, jumpy = [0.5] * 50, [0.0, 1.0] * 25
    narrow, wide = mean_intervals(np.array([steady, jumpy]).T)
    assert narrow == Interval(0.5, 0.5, 0.5)
    assert wide.high - wide.low > 0.2


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        # Clopper-Pearson, 95 %, none or all of 100
        (0.0, Interval(0.0, 0.0, 0.0362)),
        (1.0, Interval(1.0, 0.9638, 1.0)),
    ],
)
def test_none_or_all_solved_has_the_exact_binomial_bound(share: float, expected: Interval) -> None:
    (interval,) = mean_intervals(np.full((100, 1), share))
    assert interval.low == pytest.approx(expected.low, abs=5e-5)
    assert interval.high == pytest.approx(expected.high, abs=5e-5)


def test_columns_see_the_same_resamples_and_the_seed_decides_them() -> None:
    column = np.random.default_rng(1).random(30)
    first, second, half = mean_intervals(np.stack([column, column, column / 2], axis=1))
    assert first == second
    assert half.low == pytest.approx(first.low / 2)
    (again,) = mean_intervals(column[:, None])
    assert again.low == pytest.approx(first.low)
    (other,) = mean_intervals(column[:, None], seed=1)
    assert other.low != pytest.approx(first.low)


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(7)
    values = (rng.random((80, 400)) < 0.35).astype(np.float64)
    intervals = mean_intervals(values, num_resamples=1_000)
    covered = sum(interval.low <= 0.35 <= interval.high for interval in intervals) / 400
    assert 0.91 <= covered <= 0.98


def test_an_interval_needs_problems() -> None:
    with pytest.raises(ValueError, match="problems, columns"):
        mean_intervals(np.zeros((0, 2)))
