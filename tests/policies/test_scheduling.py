"""A policy that waits its turn, over scripted replies on a virtual clock."""

import asyncio
from collections.abc import Sequence

import pytest
from doubles import PROBLEM, solver_with

from mull.core.clock import VirtualClock
from mull.core.errors import BadInputError
from mull.core.expansion import Call
from mull.core.problem import Problem
from mull.core.protocols import Policy
from mull.core.spec import Spec
from mull.core.usage import Budget
from mull.policies.scheduling import CallQueue, Scheduler, Tier
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample

LONG, SHORT = Problem.of("long"), Problem.of("short")
REPLIES: dict[str, Sequence[Reply | str]] = {"long": ["a\nb\nc"], "short": ["a"]}


def scheduled(policy: Policy, slots: int, clock: VirtualClock) -> Scheduler:
    return Scheduler(CallQueue(slots=slots), clock)


async def test_a_policy_in_a_queue_is_the_same_policy() -> None:
    """Equal trees, whatever the number of slots."""
    replies: dict[str, Sequence[Reply | str]] = {PROBLEM.statement: ["42", "41\n42", "43"]}
    policy = ScriptedPolicy(by_sample(replies))
    strategy = Spec("best_of_n", {"n": 9})
    alone = await solver_with(policy, strategy).solve(PROBLEM)
    for slots in (1, 2, 64):
        queued = scheduled(policy, slots, VirtualClock()).policy_for(
            policy, tenant="a", tier=Tier.STANDARD
        )
        solution = await solver_with(queued, strategy).solve(PROBLEM)
        assert solution.tree.content() == alone.tree.content()
        assert solution.usage.calls == alone.usage.calls


async def test_a_short_request_is_not_kept_by_a_wide_search() -> None:
    clock = VirtualClock()
    policy = ScriptedPolicy(by_sample(REPLIES), clock, lambda call, index: 1.0)
    scheduler = scheduled(policy, 4, clock)
    ended = dict[str, float]()

    async def solve(problem: Problem, n: int) -> None:
        view = scheduler.policy_for(policy, tenant="a", tier=Tier.STANDARD)
        solver = solver_with(view, Spec("best_of_n", {"n": n}), clock=clock)
        await solver.solve(problem)
        ended[problem.statement] = clock.now()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(solve(LONG, 40))
        await asyncio.sleep(0)
        tasks.create_task(solve(SHORT, 1))
    assert ended["long"] == 31
    assert ended["short"] == 4, "one slot's wait and its own second"


async def test_what_is_cancelled_leaves_no_place_taken() -> None:
    clock = VirtualClock()
    policy = ScriptedPolicy(by_sample(REPLIES), clock, lambda call, index: 1.0)
    scheduler = scheduled(policy, 2, clock)
    view = scheduler.policy_for(policy, tenant="a", tier=Tier.STANDARD)
    solver = solver_with(view, Spec("best_of_n", {"n": 9}), clock=clock)
    late = await solver.solve(LONG, budget=Budget(max_seconds=4.5))
    assert late.stop == "budget_seconds"
    queue = scheduler.queue
    queue.check()
    assert (queue.num_running, queue.num_waiting) == (0, 0)


async def test_a_policy_that_breaks_fails_only_the_calls_it_was_growing() -> None:
    class Breaking(ScriptedPolicy):
        async def expand(self, calls: Sequence[Call]):
            if calls[0].branch.sample == 0:
                raise ConnectionError("gone")
            async for outcome in ScriptedPolicy.expand(self, calls):
                yield outcome

    policy = Breaking(by_sample(REPLIES))
    view = Scheduler(CallQueue(slots=1)).policy_for(policy, tenant="a", tier=Tier.BATCH)
    solution = await solver_with(view, Spec("best_of_n", {"n": 3})).solve(SHORT)
    (failed,) = solution.tree.failures.values()
    assert "gone" in failed.message
    assert len(solution.tree.finished()) == 2


async def test_bad_input_stays_bad_input() -> None:
    def refuse(call: Call) -> str:
        raise BadInputError("no reply to this")

    policy = ScriptedPolicy(refuse)
    view = Scheduler(CallQueue(slots=1)).policy_for(policy, tenant="a", tier=Tier.STANDARD)
    with pytest.raises(BadInputError, match="no reply"):
        await solver_with(view, Spec("best_of_n", {"n": 3})).solve(SHORT)


async def test_calls_whose_turn_comes_together_go_together() -> None:
    seen = list[int]()

    class Watched(ScriptedPolicy):
        async def expand(self, calls: Sequence[Call]):
            seen.append(len(calls))
            async for outcome in ScriptedPolicy.expand(self, calls):
                yield outcome

    policy = Watched(by_sample(REPLIES))
    view = Scheduler(CallQueue(slots=8)).policy_for(policy, tenant="a", tier=Tier.STANDARD)
    await solver_with(view, Spec("best_of_n", {"n": 8})).solve(SHORT)
    assert seen == [8]
