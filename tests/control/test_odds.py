"""Closed forms against enumeration, and against the numbers that were published."""

from fractions import Fraction
from functools import cache
from itertools import product
from math import comb, sqrt
from random import Random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.control.odds import (
    MANY,
    at_least,
    beta_binomial,
    expected_improvement,
    majority_holds,
    success_within,
)

votes = st.integers(0, 12)
whole = st.integers(1, 6)


def urn(draws: tuple[bool, ...], successes: int, failures: int) -> Fraction:
    """The chance of one sequence of draws from Polya's urn, which is p ~ Beta(a, b)."""
    chance = Fraction(1)
    for is_success in draws:
        total = successes + failures
        chance *= Fraction(successes if is_success else failures, total)
        successes, failures = successes + is_success, failures + (not is_success)
    return chance


def test_four_votes_without_dissent_are_the_published_threshold() -> None:
    """Adaptive-Consistency stops at 0.95, "after 4 equal answers"."""
    assert majority_holds(3, 0) < 0.95 <= majority_holds(4, 0)
    assert majority_holds(4, 0) == 1 - 0.5**5


@given(votes, votes)
def test_a_majority_holds_as_the_integral_says(top: int, second: int) -> None:
    def density(p: Fraction) -> Fraction:
        return p**top * (1 - p) ** second

    # Of a polynomial, expanded: the share of its mass above 1/2.
    def mass(low: Fraction, high: Fraction) -> Fraction:
        terms = (
            comb(second, power)
            * (-1) ** power
            * (high ** (top + power + 1) - low ** (top + power + 1))
            / (top + power + 1)
            for power in range(second + 1)
        )
        return Fraction(sum(terms))

    assert density(Fraction(1, 2)) > 0
    share = mass(Fraction(1, 2), Fraction(1)) / mass(Fraction(0), Fraction(1))
    assert majority_holds(top, second) == pytest.approx(float(share), abs=1e-12)


@pytest.mark.parametrize("lead", [0, 3, 7, 12, 20])
def test_many_votes_are_as_good_as_normal(lead: int) -> None:
    """Their sum is long, and nobody may wait for one search to weigh ten thousand votes."""
    second = MANY // 2
    top = second + lead
    trials = top + second + 1
    fewer = sum(comb(trials, count) for count in range(second + 1))
    assert majority_holds(top, second) == pytest.approx(1 - fewer / 2**trials, abs=0.002)


@given(st.integers(0, 7), whole, whole)
def test_draws_succeed_as_often_as_from_the_urn(draws: int, alpha: int, beta: int) -> None:
    found = beta_binomial(draws, alpha, beta)
    for hits in range(draws + 1):
        ways = (each for each in product((True, False), repeat=draws) if sum(each) == hits)
        wanted = sum((urn(each, alpha, beta) for each in ways), Fraction(0))
        assert found[hits] == pytest.approx(float(wanted), rel=1e-9)
    assert success_within(draws, alpha, beta) == pytest.approx(1 - found[0], abs=1e-12)


def test_the_next_success_is_as_likely_as_published() -> None:
    """alpha / (alpha + beta + k) after k failures; Laplace's rule for a flat prior."""
    assert success_within(1, 1, 1 + 8) == pytest.approx(1 / 10)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.05, 0.4))
def test_an_improvement_is_what_sampling_finds(best: float, mean: float, deviation: float) -> None:
    rng = Random(1)
    drawn = [rng.gauss(mean, deviation) for _ in range(20_000)]
    gain, reached = (
        fmean(max(0.0, each - best) for each in drawn),
        fmean(each >= best for each in drawn),
    )
    slack = 5 * deviation / sqrt(len(drawn))
    assert expected_improvement(best, mean, deviation) == pytest.approx(gain, abs=slack)
    assert at_least(best, mean, deviation) == pytest.approx(reached, abs=0.02)


@cache
def box(offer: Fraction, boxes: int, cost: Fraction) -> Fraction:
    """The best that can be had of so many boxes of a two-point value, by dynamic programming."""
    if not boxes:
        return offer
    opened = box(max(offer, Fraction(1)), boxes - 1, cost) + box(offer, boxes - 1, cost)
    return max(offer, opened / 2 - cost)


@given(st.integers(0, 20), st.integers(1, 6), st.integers(1, 19))
def test_a_box_is_opened_exactly_where_its_improvement_exceeds_its_cost(
    offer: int, boxes: int, cost: int
) -> None:
    """Weitzman's rule, for boxes alike: one step ahead is enough."""
    held, price = Fraction(offer, 20), Fraction(cost, 40)
    assert (box(held, boxes, price) > held) == ((1 - held) / 2 > price)
