import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.evaluation.matched import Curves, accuracy_at, cost_at, match


def row(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([values])


CURVE = Curves(row(10, 100, 1000), row(0.2, 0.4, 0.8))


@pytest.mark.parametrize(
    ("cost", "accuracy"),
    [
        (10, 0.2),
        (100, 0.4),
        (1000, 0.8),
        (31.6227766, 0.3),  # half way between 10 and 100 on a log axis
        (316.227766, 0.6),
        (5, 0.1),  # half way from nothing
        (5000, 0.8),  # nothing is read beyond what was measured
    ],
)
def test_accuracy_is_read_off_over_the_logarithm_of_cost(cost: float, accuracy: float) -> None:
    assert accuracy_at(CURVE, np.array([cost])) == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("accuracy", "cost"),
    [(0.2, 10), (0.3, 31.6227766), (0.8, 1000), (0.1, 5), (0.0, 0), (0.9, 1000)],
)
def test_cost_is_the_least_that_reaches_an_accuracy(accuracy: float, cost: float) -> None:
    assert cost_at(CURVE, np.array([accuracy])) == pytest.approx(cost)


def test_a_curve_that_falls_is_taken_at_its_best_so_far() -> None:
    falling = Curves(row(1, 10, 100), row(0.5, 0.7, 0.3))
    assert cost_at(falling, np.array([0.6])) == pytest.approx(10**0.5)
    assert accuracy_at(falling, np.array([100.0])) == pytest.approx(0.3)


@given(
    st.lists(st.floats(1.05, 10), min_size=2, max_size=6),
    st.lists(st.floats(0.01, 0.1), min_size=6, max_size=6),
    st.floats(0.01, 0.99),
)
def test_cost_and_accuracy_undo_each_other(
    factors: list[float], rises: list[float], share: float
) -> None:
    costs = np.exp(np.cumsum(np.log(np.array(factors, dtype=np.float64))))[None]
    right = np.cumsum(np.array(rises[: len(factors)], dtype=np.float64))[None]
    curves = Curves(costs, right)
    cost = np.array([share * costs[0, -1]])
    assert cost_at(curves, accuracy_at(curves, cost)) == pytest.approx(cost, rel=1e-6)


def test_many_rows_are_read_as_each_alone() -> None:
    other = Curves(row(1, 2, 4), row(0.0, 0.5, 0.6))
    both = Curves(
        np.concatenate((CURVE.costs, other.costs)), np.concatenate((CURVE.right, other.right))
    )
    wanted = np.array([50.0, 3.0])
    alone = [accuracy_at(each, wanted[[i]])[0] for i, each in enumerate((CURVE, other))]
    assert list(accuracy_at(both, wanted)) == pytest.approx(alone)


def problems(accuracy: tuple[float, ...], cost: tuple[float, ...], count: int = 400) -> Curves:
    """Curves of problems solved from left to right: the first share of them at each budget."""
    place = (np.arange(count)[:, None] + 0.5) / count
    right = (place < np.array(accuracy)[None]).astype(np.float64)
    return Curves(np.tile(np.array(cost, dtype=np.float64), (count, 1)), right)


def test_an_arm_that_needs_half_the_cost_saves_a_factor_of_two() -> None:
    arm = problems((0.4, 0.6), (5, 10))
    other = problems((0.4, 0.6), (10, 20))
    compared = match(arm, 1, other)
    assert compared.saving.value == pytest.approx(2.0)
    assert compared.saving.low == pytest.approx(2.0)  # the same problems solved: no noise is left
    assert compared.gain.value == pytest.approx(0.2)  # at 10 the other has 0.4
    assert compared.gain.low > 0.1
    assert compared.is_covered
    assert compared.is_reached


def test_an_arm_against_itself_gains_and_saves_nothing() -> None:
    arm = problems((0.3, 0.5, 0.7), (10, 20, 40))
    for budget in range(3):
        compared = match(arm, budget, arm)
        assert compared.gain.value == compared.gain.low == compared.gain.high == 0.0
        assert compared.saving.value == pytest.approx(1.0)


def test_pairing_narrows_the_interval_of_a_difference() -> None:
    arm, other = problems((0.55,), (10,)), problems((0.5,), (10,))
    paired = match(arm, 0, other).gain
    shuffled = Curves(other.costs, np.random.default_rng(0).permutation(other.right))
    unpaired = match(arm, 0, shuffled).gain
    assert paired.value == pytest.approx(unpaired.value)
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_what_was_never_measured_is_marked_as_a_bound() -> None:
    arm, other = problems((0.9,), (80,)), problems((0.4, 0.6), (10, 20))
    compared = match(arm, 0, other)
    assert not compared.is_covered
    assert not compared.is_reached
    assert compared.saving.value == pytest.approx(20 / 80)
    assert compared.gain.value == pytest.approx(0.3)
