"""The controller that draws until an answer is good enough, over scripted replies."""

from functools import cache
from itertools import product

import pytest
from doubles import PROBLEM, HashGuide, PredicateVerifier, solver_with
from hypothesis import given
from hypothesis import strategies as st

from mull.control import Agreement, Quality, Terms
from mull.control.beliefs import HORIZON, Misses, Scores, Votes
from mull.control.odds import majority_holds
from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.journal import MemoryJournal
from mull.core.protocols import Controller
from mull.core.solution import Solution
from mull.core.spec import Option, Spec
from mull.core.usage import Budget
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample

IS_RIGHT = PredicateVerifier(lambda answer: answer == "42")
SURE = Agreement(bias=0.0, slope=1.0, growth=0.0)
"""A majority is right as often as it has votes, nearly."""


async def solved(
    *replies: Reply | str,
    terms: Terms | None = None,
    n: int = 16,
    verifier: str | None = None,
    budget: Budget = Budget(),
    journal: MemoryJournal | None = None,
) -> Solution:
    options: dict[str, Option] = {"n": n, "verifier": verifier}
    spec = Spec("best_of_n", options)
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: replies}))
    controller: Controller = Quality(spec, terms or Terms())
    solver = solver_with(
        policy, spec, IS_RIGHT, HashGuide(), journal=journal, controller=controller
    )
    return await solver.solve(PROBLEM, budget=budget, solve_id="it")


# When it stops


async def test_the_first_accepted_answer_is_enough() -> None:
    found = await solved("1", "2", "42", "42", verifier="predicate")
    assert (found.answer, found.stop, found.confidence) == ("42", StopReason.ACCEPTED, 1.0)
    assert found.usage.calls == 3
    assert found.notes == ()


async def test_answers_are_drawn_as_wide_as_is_asked() -> None:
    found = await solved("1", "2", "42", verifier="predicate", terms=Terms(width=4))
    assert found.usage.calls == 4


async def test_four_votes_without_dissent_settle_it_at_95_percent() -> None:
    """Adaptive-Consistency's published case; nothing says whether the answer is right."""
    found = await solved("7")
    assert (found.answer, found.stop, found.usage.calls) == ("7", StopReason.SETTLED, 4)
    assert found.confidence is None
    assert "0.969; whether it is right, nothing here can say" in found.notes[-1]


async def test_votes_are_drawn_until_what_they_are_worth_is_enough() -> None:
    """(9 + 1/2) / (9 + 1) = 0.95."""
    found = await solved("7", terms=Terms(0.945, agreement=SURE), n=20)
    assert (found.answer, found.stop, found.usage.calls) == ("7", StopReason.REACHED, 9)
    assert found.confidence == pytest.approx(0.95)


async def test_dissent_makes_it_draw_more() -> None:
    found = await solved("7", "8", "7", "7", "7", "7", "7", "7")
    assert found.stop is StopReason.SETTLED
    assert found.usage.calls == 7  # 1 - (1 + 8) / 2**8 for 6 to 1, and 1 - (1 + 7) / 2**7 before


async def test_all_are_drawn_and_no_more_where_it_is_not_reached() -> None:
    found = await solved("1", "2", n=5)
    assert (found.stop, found.usage.calls) == (StopReason.COMPLETED, 5)
    assert found.answer == "1"


async def test_a_last_draw_that_could_change_nothing_is_not_made() -> None:
    found = await solved("1", "2", n=6)
    assert (found.stop, found.usage.calls) == (StopReason.GIVEN_UP, 5)


async def test_misses_that_add_up_to_too_little_hope_end_it() -> None:
    """After k misses the next draw succeeds with 1 / (k + 2), which is the price at k = 8."""
    found = await solved("1", verifier="predicate", terms=Terms(price=0.1), n=64)
    assert (found.stop, found.usage.calls) == (StopReason.GIVEN_UP, 8)
    assert found.answer is None


async def test_scores_that_do_not_improve_end_it() -> None:
    found = await solved("1", verifier="guide", terms=Terms(0.999, price=0.05), n=64)
    assert found.stop is StopReason.GIVEN_UP
    assert found.usage.calls < 64


async def test_a_score_is_no_confidence_unless_it_was_calibrated() -> None:
    replies = [str(number) for number in range(40)]
    told = await solved(*replies, verifier="guide", terms=Terms(0.9))
    assert (told.stop, told.confidence) == (StopReason.SETTLED, None)
    assert "which is no probability" in told.notes[-1]
    known = await solved(*replies, verifier="guide", terms=Terms(0.9, is_calibrated=True))
    assert known.stop is StopReason.REACHED
    assert known.confidence is not None
    assert known.confidence >= 0.9


async def test_answers_that_nobody_can_read_are_misses() -> None:
    found = await solved("", terms=Terms(price=0.1), n=64)
    assert (found.answer, found.usage.calls) == (None, 8)


# What it says


async def test_a_miss_is_said_and_its_confidence_with_it() -> None:
    found = await solved("1", "2", n=4, terms=Terms(0.9, agreement=SURE))
    assert found.answer == "1"
    assert found.confidence == pytest.approx(1.5 / 2)  # three more could not bring it to 0.9
    assert "quality 0.9 was asked for and is not reached" in found.notes[-1]


async def test_who_would_rather_have_no_answer_gets_none() -> None:
    terms = Terms(0.9, agreement=SURE, abstains=True)
    kept = await solved("1", "2", n=4, terms=terms)
    assert (kept.answer, kept.stop) == (None, StopReason.ABSTAINED)
    assert any("is not reached" in note for note in kept.notes)
    given = await solved("1", n=20, terms=terms)
    assert (given.answer, given.stop) == ("1", StopReason.REACHED)


async def test_a_budget_that_ends_below_the_quality_is_no_way_around_abstaining() -> None:
    terms, budget = Terms(0.9, agreement=SURE, abstains=True), Budget(max_calls=2)
    kept = await solved("1", n=20, terms=terms, budget=budget)
    assert (kept.answer, kept.stop) == (None, StopReason.BUDGET_CALLS)
    assert kept.confidence == pytest.approx(2.5 / 3)


async def test_a_larger_budget_goes_on_to_the_quality() -> None:
    journal = MemoryJournal()
    terms = Terms(0.945, agreement=SURE)
    short = await solved("7", terms=terms, n=20, budget=Budget(max_calls=3), journal=journal)
    assert short.stop is StopReason.BUDGET_CALLS
    spec = Spec("best_of_n", {"n": 20})
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: ["7"]}))
    solver = solver_with(policy, spec, journal=journal, controller=Quality(spec, terms))
    whole = await solver.resume("it", extra=Budget(max_calls=20))
    assert (whole.stop, whole.usage.calls) == (StopReason.REACHED, 9)


@pytest.mark.parametrize("quality", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_a_quality_that_is_none_is_refused(quality: float) -> None:
    with pytest.raises(BadInputError, match="`quality`"):
        Terms(quality)


# Its closed forms, against looking at everything that can happen


def value(top: int, second: int, quality: float) -> float:
    """Half for being right, half for being as sure as was asked."""
    chance = majority_holds(max(top, second), min(top, second))
    return 0.5 * (chance + (chance >= quality))


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 6), st.sampled_from([0.7, 0.9, 0.97]))
def test_the_gain_of_votes_is_that_over_every_sequence(
    one: int, two: int, draws: int, quality: float
) -> None:
    top, second = max(one, two), min(one, two)
    expected = 0.0
    for sequence in product((True, False), repeat=draws):
        first, other, chance = top, second, 1.0
        for is_first in sequence:
            chance *= ((first if is_first else other) + 1) / (first + other + 2)
            first, other = first + is_first, other + (not is_first)
        expected += chance * value(first, other, quality)
    already = 0.5 * majority_holds(top, second)
    found = Votes(top, second, top + second).gain(draws, quality)
    assert found == pytest.approx(expected - already, abs=1e-9)


@cache
def best(top: int, second: int, left: int, quality: float, price: float) -> float:
    """What a state is worth under the best of all policies, by dynamic programming."""
    if not left:
        return value(top, second, quality)
    share = (top + 1) / (top + second + 2)
    drawn = share * best(top + 1, second, left - 1, quality, price)
    drawn += (1 - share) * best(top, second + 1, left - 1, quality, price)
    return max(value(top, second, quality), drawn - price)


@cache
def followed(top: int, second: int, left: int, quality: float, price: float) -> float:
    """What it is worth under the controller's rule."""
    belief = Votes(max(top, second), min(top, second), top + second)
    is_enough = belief.chance >= quality or belief.index(quality, left) <= price
    if not left or is_enough:
        return value(top, second, quality)
    share = (top + 1) / (top + second + 2)
    drawn = share * followed(top + 1, second, left - 1, quality, price)
    return drawn + (1 - share) * followed(top, second + 1, left - 1, quality, price) - price


@pytest.mark.parametrize("quality", [0.8, 0.95])
@pytest.mark.parametrize("price", [0.003, 0.01, 0.03])
def test_the_rule_for_votes_is_nearly_the_best_policy(quality: float, price: float) -> None:
    """Looking ahead in blocks loses little; the best policy may also stop inside one."""
    gap = best(0, 0, 20, quality, price) - followed(0, 0, 20, quality, price)
    assert gap + 1e-12 >= 0
    assert gap <= 0.015


def test_looking_one_draw_ahead_would_stop_after_the_first_vote() -> None:
    belief = Votes(1, 0, 1)
    assert belief.gain(1, 0.95) == pytest.approx(0.0, abs=1e-12)
    assert belief.index(0.95, 10) > 0.03


@cache
def hunted(misses: int, left: int, price: float) -> float:
    """What is left to win after so many misses under the best of all policies."""
    if not left:
        return 0.0
    success = 1 / (2 + misses)
    return max(0.0, success + (1 - success) * hunted(misses + 1, left - 1, price) - price)


@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([0.021, 0.053, 0.11, 0.24]))
def test_one_draw_ahead_is_optimal_after_misses(misses: int, left: int, price: float) -> None:
    goes_on = Misses(misses).index(0.95, left) > price
    assert goes_on == (hunted(misses, left, price) > 0)


def test_scores_far_below_the_best_promise_less_than_close_ones() -> None:
    far, close = Scores((0.9, 0.1, 0.1, 0.1)), Scores((0.9, 0.8, 0.85, 0.8))
    assert far.index(0.95, 10) < close.index(0.95, 10)
    assert far.index(0.95, 0) == 0


def test_what_is_looked_ahead_is_bounded() -> None:
    belief = Votes(3, 2, 5)
    assert belief.index(0.95, 10_000) == belief.index(0.95, HORIZON)
