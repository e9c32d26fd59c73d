import pytest
from doubles import solver_with

from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.expansion import Expansion, ExpansionKind, Limits
from mull.core.ledger import Bound
from mull.core.problem import Problem
from mull.core.protocols import Policy
from mull.core.spec import Spec
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Usage
from mull.policies.priced import PricedPolicy, Prices
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample

QUESTION = Problem.of("What is six times seven?")
PRICES = Prices(2.0, 10.0, cached=0.5)


def policy_saying(*replies: str | Reply) -> PricedPolicy:
    return PricedPolicy(ScriptedPolicy(by_sample({QUESTION.statement: replies})), PRICES)


def test_every_kind_of_token_has_its_price() -> None:
    usage = Usage(100, 40, visible_tokens=5, hidden_tokens=7, discarded_tokens=3)
    assert PRICES.of(usage) == pytest.approx((60 * 2.0 + 40 * 0.5 + 15 * 10.0) / 1e6)
    assert Prices(2.0, 10.0).of(usage) == pytest.approx((100 * 2.0 + 15 * 10.0) / 1e6)


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


async def test_a_budget_of_money_ends_the_solve_by_name() -> None:
    policy = policy_saying("six seven eight nine ten")
    spec = Spec("self_consistency", {"n": 64, "max_tokens": 30})
    solution = await solver_with(policy, spec).solve(QUESTION, budget=Budget(max_money_usd=0.002))
    assert solution.stop is StopReason.BUDGET_MONEY_USD
    assert 0 < solution.usage.money_usd <= 0.002
