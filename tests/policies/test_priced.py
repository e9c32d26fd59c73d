import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
from doubles import calls_for, grown, solver_with
from hypothesis import given
from hypothesis import strategies as st
from servers.fake import MODEL, chunk, fake_server, streams, usage

from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.expansion import (
    BranchId,
    Call,
    Expansion,
    ExpansionKind,
    Finish,
    Grown,
    Limits,
    Outcome,
)
from mull.core.ledger import Bound, Ledger
from mull.core.problem import Problem
from mull.core.protocols import Policy
from mull.core.spec import Spec
from mull.core.steps import Step
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Usage
from mull.policies.openai import OpenAISettings, open_openai_policy
from mull.policies.openai.dialects import Siblings
from mull.policies.priced import PricedPolicy, Prices, Tier
from mull.policies.remote.address import Address
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample

QUESTION = Problem.of("What is six times seven?")
PRICES = Prices(2.0, 10.0, cached=0.5)


def policy_saying(*replies: str | Reply) -> PricedPolicy:
    return PricedPolicy(ScriptedPolicy(by_sample({QUESTION.statement: replies})), PRICES)


def test_every_kind_of_token_has_its_price() -> None:
    spent = Usage(100, 40, visible_tokens=5, hidden_tokens=7, discarded_tokens=3)
    assert PRICES.of(spent) == pytest.approx((60 * 2.0 + 40 * 0.5 + 15 * 10.0) / 1e6)
    assert Prices(2.0, 10.0).of(spent) == pytest.approx((100 * 2.0 + 15 * 10.0) / 1e6)


TIERED = Prices(
    1.0,
    2.0,
    0.5,
    1.5,
    3.0,
    (Tier(10.0, 20.0, 5.0, 15.0, 30.0, above=100), Tier(4.0, 8.0, above=50)),
)


@pytest.mark.parametrize(("length", "factor"), [(50, 1), (51, 4), (100, 4), (101, 10)])
def test_a_long_prompt_has_prices_of_its_own_for_all_of_its_tokens(
    length: int, factor: float
) -> None:
    spent = Usage(length, visible_tokens=7)
    assert TIERED.of(spent) == pytest.approx((length + 2 * 7) * factor / 1e6)
    drawn_after = Usage(visible_tokens=7)
    assert TIERED.of(drawn_after, length=length) == pytest.approx(2 * 7 * factor / 1e6)


def test_written_and_reasoning_tokens_have_rates_and_lost_ones_the_dearer() -> None:
    spent = Usage(40, 10, 5, 6, 7, 8, written_tokens=20)
    told = 10 * 1.0 + 10 * 0.5 + 20 * 1.5 + 5 * 2.0 + (6 + 7 + 8) * 3.0
    assert TIERED.of(spent) == pytest.approx(told / 1e6)


def test_hidden_reasoning_is_billed_as_output_unless_it_has_a_rate_of_its_own() -> None:
    """Of 1,400 tokens billed for a short answer 12.9 % can be seen."""
    spent = Usage(visible_tokens=180, hidden_tokens=1_220)
    assert Prices(1.0, 10.0).of(spent) == pytest.approx(0.0140)
    assert spent.visible_tokens / spent.generated_tokens == pytest.approx(0.129, abs=5e-4)
    assert Prices(1.0, 10.0, reasoning=5.0).of(spent) == pytest.approx(0.0079)


@given(
    spent=st.builds(Usage, st.integers(0, 200), st.just(0), *[st.integers(0, 99)] * 4),
    cached=st.floats(0, 1),
    written=st.floats(0, 1),
    more=st.integers(0, 200),
)
def test_nothing_costs_more_than_its_worst_case(
    spent: Usage, cached: float, written: float, more: int
) -> None:
    num_cached = int(spent.prompt_tokens * cached)
    num_written = int((spent.prompt_tokens - num_cached) * written)
    real = replace(spent, cached_tokens=num_cached, written_tokens=num_written)
    longer = replace(spent, prompt_tokens=spent.prompt_tokens + more)
    assert TIERED.of(real) <= TIERED.worst_of(longer) + 1e-15


async def test_siblings_of_one_request_pay_by_the_prompt_that_one_of_them_carries() -> None:
    events = [chunk("It is", index=0), chunk("It was", index=1)]
    events += [chunk(finish="stop", index=0), chunk(finish="stop", index=1), usage(8, 101)]
    async with fake_server(streams(events)) as server:
        settings = OpenAISettings(siblings=Siblings.FIELD, dialect="openai")
        address = Address.parse(f"{server.url}#{MODEL}")
        async with open_openai_policy(address, settings=settings) as policy:
            steps = await grown(PricedPolicy(policy, TIERED), calls_for(policy, 2))
    assert len(server.bodies) == 1
    paid = [each.usage.money_usd for each in steps]
    assert sum(paid) == pytest.approx((101 * 10.0 + 8 * 20.0) / 1e6)


async def test_what_nobody_asked_for_is_priced_by_what_it_says_itself() -> None:
    class Odd(ScriptedPolicy):
        async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
            usage = Usage(101, visible_tokens=2)
            yield Grown(BranchId("other"), 0, Step("42"), usage, Finish.STOP)

    calls = calls_for(policy_saying("42"))
    (grew,) = await grown(PricedPolicy(Odd(by_sample({})), TIERED), calls)
    assert grew.usage.money_usd == pytest.approx((101 * 10.0 + 2 * 20.0) / 1e6)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_a_price_is_an_amount(price: float) -> None:
    with pytest.raises(BadInputError, match="price `output`"):
        Prices(1.0, price)


def test_the_quote_covers_a_prompt_of_single_bytes_and_every_token() -> None:
    policy = policy_saying("42")
    tree = SearchTree(QUESTION, policy.capabilities.model, seed=0)
    (branch,) = tree.ask(Expansion((tree.root,), ExpansionKind.FINISH, limits=Limits(30)))
    quoted = policy.quote(tree.call(branch))
    assert quoted.visible_tokens == 30
    assert quoted.money_usd > (len(QUESTION.statement) * 2.0 + 30 * 10.0) / 1e6


async def test_a_solve_pays_for_answers_and_failures_alike() -> None:
    policy: Policy = policy_saying("six and\n seven", Reply("lost\n words", fails_after=1))
    assert policy.capabilities.bound is Bound.SOFT
    spec = Spec("self_consistency", {"n": 4, "max_tokens": 30})
    solution = await solver_with(policy, spec).solve(QUESTION)
    assert solution.tree.failures
    assert solution.usage.money_usd == pytest.approx(PRICES.of(solution.usage))
    assert solution.usage.money_usd > 0


class Silent(ScriptedPolicy):
    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        await asyncio.sleep(3600)
        async for each in super().expand(calls):
            yield each


async def test_a_call_that_is_given_up_before_it_says_anything_costs_its_prompt() -> None:
    policy = PricedPolicy(Silent(by_sample({QUESTION.statement: ["42"]})), PRICES)
    tenant, solver = Ledger(name="tenant"), solver_with(policy, Spec("greedy"))
    solve = asyncio.create_task(solver.solve(QUESTION, parent=tenant))
    await asyncio.sleep(0.05)
    solve.cancel()
    with pytest.raises(asyncio.CancelledError):
        await solve
    assert tenant.spent.generated_tokens == 0
    assert tenant.spent.money_usd >= len(QUESTION.statement) * 2.0 / 1e6
    assert tenant.num_open == 0


async def test_a_budget_of_money_ends_the_solve_by_name() -> None:
    policy = policy_saying("six seven eight nine ten")
    spec = Spec("self_consistency", {"n": 64, "max_tokens": 30})
    solution = await solver_with(policy, spec).solve(QUESTION, budget=Budget(max_money_usd=0.002))
    assert solution.stop is StopReason.BUDGET_MONEY_USD
    assert 0 < solution.usage.money_usd <= 0.002
