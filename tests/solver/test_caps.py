"""Caps at every level, under as much concurrency as there is."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from doubles import PROBLEM, PredicateVerifier, solver_with

from mull.core.events import Event
from mull.core.expansion import Call, Delta
from mull.core.journal import MemoryJournal
from mull.core.ledger import Ledger
from mull.core.solution import Solution
from mull.core.spec import Spec
from mull.core.state import replay
from mull.core.usage import Budget, Limit, Usage, amount
from mull.policies.scripted import Reply, ScriptedPolicy, by_seed

NUM_SOLVES = 1000
REPLIES = (
    "<think> six\n times\n</think> 41",
    " 43",
    Reply("<think> six\n times\n seven\n</think> 42", fails_after=2),
    "<think> six\n times\n seven\n</think> 42",
    Reply(" 4\n 4", fails_after=0),
    "<think> on\n and\n on\n and\n on\n and\n on\n</think> 44",
)
STRATEGIES = (
    Spec("greedy", {"max_tokens": 24}),
    Spec("best_of_n", {"n": 5, "verifier": "predicate", "max_tokens": 24}),
    Spec("early_stop", {"n": 6, "width": 2, "verifier": "predicate", "max_tokens": 12}),
    Spec("self_consistency", {"n": 4, "max_tokens": 16}),
)


class TurnClock:
    """Every wait is one turn of the event loop: all concurrency, no time."""

    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class Traffic:
    """A tenant with three keys, and the thousand solves that want their budget."""

    chance: Random
    tenant: Ledger
    keys: list[Ledger]
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    num_checks: int = 0

    def watch(self, event: Event | Delta) -> None:
        for level in (self.tenant, *self.keys):
            self.num_checks += 1
            for axis in Limit:
                cap = level.budget.cap(axis)
                if cap is not None:
                    held = amount(level.spent, axis) + level.reserved(axis)
                    assert held <= cap + 1e-6, f"{level.name} passed its {axis} cap"

    async def solve(self, number: int) -> Solution | None:
        """One solve of a random strategy and budget; every fourth is cancelled on the way."""
        chance = self.chance
        for _ in range(chance.randrange(200)):
            await asyncio.sleep(0)
        clock = TurnClock()
        policy = ScriptedPolicy(
            by_seed({PROBLEM.statement: REPLIES}),
            clock=clock,
            delay=self.any_time(chance.getrandbits(32)),
            arrival_seed=number,
            usd_per_token=0.001,
        )
        verifier = PredicateVerifier(lambda answer: answer == "42", cost=Usage(verifier_tokens=1))
        solver = solver_with(
            policy, chance.choice(STRATEGIES), verifier, journal=self.journal, clock=clock
        )
        solve = asyncio.create_task(
            solver.solve(
                PROBLEM,
                budget=chance.choice(BUDGETS),
                seed=number,
                solve_id=str(number),
                parent=chance.choice(self.keys),
                observer=self.watch,
            )
        )
        if chance.random() < 0.25:
            for _ in range(chance.randrange(25)):
                await asyncio.sleep(0)
            solve.cancel()
        (result,) = await asyncio.gather(solve, return_exceptions=True)
        if isinstance(result, asyncio.CancelledError):
            return None
        assert isinstance(result, Solution), result
        return result

    @staticmethod
    def any_time(seed: int) -> Callable[[Call, int], float]:
        chance = Random(seed)
        return lambda call, index: 0.1 + chance.random()


BUDGETS = (
    Budget(),
    Budget(max_tokens=7),
    Budget(max_tokens=30),
    Budget(max_tokens=300, max_calls=3),
    Budget(max_money_usd=0.3),
)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_thousand_concurrent_solves_pass_no_cap_at_any_level(seed: int) -> None:
    tenant = Ledger(Budget(max_tokens=18_000, max_money_usd=60.0), name="tenant")
    keys = [
        Ledger(Budget(max_tokens=2_000), tenant, name="small"),
        Ledger(Budget(max_calls=900), tenant, name="few"),
        Ledger(Budget(), tenant, name="open"),
    ]
    traffic = Traffic(Random(seed), tenant, keys)
    solutions = await asyncio.gather(*map(traffic.solve, range(NUM_SOLVES)))

    states = {key: replay(trace) for key, trace in traffic.journal.traces.items()}
    for state in states.values():
        state.tree.check()
        assert all((state.budget.left_after(state.usage).on(axis) or 0) >= 0 for axis in Limit)
        for axis in Limit:
            cap = state.budget.cap(axis)
            assert cap is None or amount(state.usage, axis) <= cap + 1e-9
    for level in (tenant, *keys):
        level.check()
        assert level.num_open == 0
        assert level.overrun == Usage()
        assert all(level.reserved(axis) == 0 for axis in Limit)
    traffic.watch(next(iter(traffic.journal.traces.values()))[0])

    # Everything is charged, exactly once, at every level.
    total = sum((state.usage for state in states.values()), Usage())
    assert total.generated_tokens == tenant.spent.generated_tokens
    assert total.calls == tenant.spent.calls == sum(key.spent.calls for key in keys)
    assert total.money_usd == pytest.approx(tenant.spent.money_usd)

    # And the traffic was what it claims to be.
    stops = {solution.stop.value for solution in solutions if solution is not None}
    assert {"completed", "accepted", "failed", "budget_tokens", "budget_calls"} <= stops
    assert sum(solution is None for solution in solutions) > 50
    assert sum(bool(state.tree.failures) for state in states.values()) > 100
    assert traffic.num_checks > 10_000
