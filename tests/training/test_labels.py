"""Labels by rollouts, on a toy whose states have known values."""

import asyncio
from dataclasses import dataclass, field
from math import log2
from random import Random

import pytest

from mull.training.labels import Evidence, Explored, Known, first_error, monte_carlo, omega
from mull.training.rollouts import Rollout, Steps

DEPTH = 4


@dataclass(slots=True)
class CoinSampler:
    """Each of four steps is 0 or 1 with equal chance; a completion is right if at most one is 1."""

    rng: Random = field(default_factory=lambda: Random(0))
    asked: list[Steps] = field(default_factory=list[Steps])

    async def __call__(self, start: Steps, count: int) -> list[Rollout]:
        assert start not in self.asked, "each start is to be asked once"
        self.asked.append(start)
        drawn = list[Rollout]()
        for _ in range(count):
            rest = tuple((self.rng.randrange(2),) for _ in range(DEPTH - len(start)))
            steps = (*start, *rest)
            drawn.append(Rollout(steps, sum(step[0] for step in steps) <= 1))
        return drawn


def true_value(state: Steps) -> float:
    left, ones = DEPTH - len(state), sum(step[0] for step in state)
    if ones > 1:
        return 0.0
    return (1 + (left if ones == 0 else 0)) / 2**left


def explored(seed: int, *, traces: int = 3, rollouts: int = 2) -> Explored:
    return asyncio.run(monte_carlo(CoinSampler(Random(seed)), traces=traces, rollouts=rollouts))


def test_monte_carlo_labels_are_unbiased_whichever_rollout_passed() -> None:
    sums = dict[Steps, list[Evidence]]()
    for seed in range(3_000):
        for state, evidence in explored(seed).evidence.items():
            sums.setdefault(state, []).append(evidence)
    assert len(sums) == 2 + 4 + 8 + 16
    for state, every in sums.items():
        trials = sum(each.trials for each in every)
        mean = sum(each.successes for each in every) / trials
        error = (true_value(state) * (1 - true_value(state)) / trials) ** 0.5
        assert abs(mean - true_value(state)) <= 5 * error, state


def test_a_rollout_is_evidence_from_where_it_was_begun_on_and_not_before() -> None:
    found = explored(1, traces=2, rollouts=3)
    assert found.num_drawn == 2 + 3 * (DEPTH - 1)
    first, second = found.rollouts[:2]
    root_only = first.steps[0] != second.steps[0]
    # The first step of the first trace: that trace, the second where it agrees, its own three.
    assert found.evidence[first.steps[:1]].trials == (4 if root_only else 5)
    assert sum(each.trials for state, each in found.evidence.items() if len(state) == 4) == 11


def test_without_rollouts_the_traces_alone_are_evidence() -> None:
    sampler = CoinSampler()
    found = asyncio.run(monte_carlo(sampler, traces=5, rollouts=0))
    assert sampler.asked == [()]
    assert sum(each.trials for state, each in found.evidence.items() if len(state) == 1) == 5


@dataclass(slots=True)
class DoomedSampler:
    """Right unless the start holds more than `lost_after` steps of the wrong path."""

    length: int
    lost_after: int
    num_asked: int = 0

    async def __call__(self, start: Steps, count: int) -> list[Rollout]:
        self.num_asked += 1
        is_right = len(start) < self.lost_after
        return [Rollout((*start, (7,)), is_right) for _ in range(count)]


@pytest.mark.parametrize("length", [1, 2, 3, 8, 17, 64])
def test_the_first_error_is_found_with_logarithmically_many_states(length: int) -> None:
    path: Steps = tuple((place,) for place in range(length))
    for lost_after in range(1, length + 1):
        sampler, known = DoomedSampler(length, lost_after), Known()
        found = asyncio.run(first_error(sampler, known, path, start=0, rollouts=4))
        assert found == lost_after
        assert sampler.num_asked <= log2(length) + 1
        assert len(known.drawn) == 4 * sampler.num_asked


def test_the_search_for_an_error_begins_where_the_rollout_did() -> None:
    path: Steps = tuple((place,) for place in range(8))
    known = Known()
    found = asyncio.run(first_error(DoomedSampler(8, 6), known, path, start=5, rollouts=1))
    assert found == 6
    assert all(len(state) > 5 for state in known.evidence)


def test_omega_labels_are_of_dedicated_rollouts_and_states_are_asked_once() -> None:
    sampler = CoinSampler(Random(3))
    found = asyncio.run(omega(sampler, rollouts=6, searches=10, max_drawn=60))
    assert found.num_drawn == 6 * len(sampler.asked) == len(found.rollouts)
    for state in sampler.asked:
        if state:
            assert found.evidence[state].trials == 6
    assert {each.steps for each in found.rollouts} <= set(found.evidence)
    assert any(0 < each.value < 1 for each in found.evidence.values())


def test_omega_stops_at_its_budget_and_where_nothing_is_undecided() -> None:
    for budget in (6, 12, 30):
        found = asyncio.run(omega(CoinSampler(), rollouts=6, searches=50, max_drawn=budget))
        # A search that has begun is finished: at most two more states on four steps.
        assert found.num_drawn <= budget + 2 * 6
    sampler = DoomedSampler(3, 9)
    assert asyncio.run(omega(sampler, rollouts=4, searches=9, max_drawn=99)).num_drawn == 4
    assert sampler.num_asked == 1


def known_with(*values: tuple[int, int]) -> Known:
    """States s0, s1, … with one wrong rollout each of one token, and these (successes, trials)."""
    known = Known()
    for place, (successes, trials) in enumerate(values):
        state: Steps = ((place,),)
        known.evidence[state] = Evidence(successes, trials)
        known.drawn.append((state, Rollout((*state, (9,)), is_right=False)))
    return known


def test_omega_divides_first_what_should_have_been_right() -> None:
    known = known_with((1, 8), (7, 8), (0, 8), (8, 8), (4, 8))
    order = list[int]()
    while (chosen := known.choose()) is not None:
        order.append(chosen[0][0][0])
    # States that are decided (0 of 8, 8 of 8) are never divided.
    assert order == [1, 4, 0]


def test_omega_prefers_short_rollouts_and_seldom_visited_states() -> None:
    known = known_with((4, 8), (4, 8))
    long = Rollout((*known.drawn[0][0], (9,) * 400), is_right=False)
    known.drawn[0] = (known.drawn[0][0], long)
    assert known.choose() == known.drawn[1]
    known = known_with((4, 8), (4, 8))
    known.visits[known.drawn[0][0]] = 50
    assert known.choose() == known.drawn[1]
