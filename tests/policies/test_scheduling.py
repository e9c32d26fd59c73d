"""A policy that waits its turn, over scripted replies on a virtual clock."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import pytest
from doubles import PROBLEM, solver_with

from mull.core.clock import Clock, SystemClock, VirtualClock
from mull.core.errors import BadInputError
from mull.core.expansion import Call, ExpansionKind
from mull.core.problem import Problem
from mull.core.protocols import Capabilities, Policy
from mull.core.spec import Spec
from mull.core.usage import Budget
from mull.policies.priced import PricedPolicy, Prices
from mull.policies.scheduling import CallQueue, Scheduled, Scheduler, Tier
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample

LONG, SHORT = Problem.of("long"), Problem.of("short")
ONE = Spec("best_of_n", {"n": 1})
REPLIES: dict[str, Sequence[Reply | str]] = {"long": ["a\nb\nc"], "short": ["a"]}


def scheduler_of(slots: int, clock: Clock | None = None) -> Scheduler:
    return Scheduler(CallQueue(slots=slots), clock or SystemClock())


def view_of(policy: Policy, scheduler: Scheduler, tier: Tier = Tier.STANDARD) -> Scheduled:
    return Scheduled(policy, scheduler, scheduler.queue.program("a", tier))


async def test_a_policy_in_a_queue_is_the_same_policy() -> None:
    """Equal trees, whatever the number of slots."""
    replies: dict[str, Sequence[Reply | str]] = {PROBLEM.statement: ["42", "41\n42", "43"]}
    policy = ScriptedPolicy(by_sample(replies))
    strategy = Spec("best_of_n", {"n": 9})
    alone = await solver_with(policy, strategy).solve(PROBLEM)
    for slots in (1, 2, 64):
        queued = view_of(policy, scheduler_of(slots, VirtualClock()))
        solution = await solver_with(queued, strategy).solve(PROBLEM)
        assert solution.tree.content() == alone.tree.content()
        assert solution.usage.calls == alone.usage.calls


async def test_a_short_request_is_not_kept_by_a_wide_search() -> None:
    clock = VirtualClock()
    policy = ScriptedPolicy(by_sample(REPLIES), clock, lambda call, index: 1.0)
    scheduler = scheduler_of(4, clock)
    ended = dict[str, float]()

    async def solve(problem: Problem, n: int) -> None:
        view = view_of(policy, scheduler)
        solver = solver_with(view, Spec("best_of_n", {"n": n}), clock=clock)
        await solver.solve(problem)
        ended[problem.statement] = clock.now()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(solve(LONG, 40))
        await asyncio.sleep(0)
        tasks.create_task(solve(SHORT, 1))
    assert ended["long"] == 31
    assert ended["short"] == 2, "the rest of somebody's step and its own second"


class Counted(ScriptedPolicy):
    """Counts the calls that go on where one was paused."""

    num_resumed: ClassVar[int] = 0

    async def expand(self, calls: Sequence[Call]):
        Counted.num_resumed += sum(bool(call.grown) for call in calls)
        async for outcome in ScriptedPolicy.expand(self, calls):
            yield outcome


async def test_a_paused_call_says_what_it_would_have_said_and_pays_what_was_lost() -> None:
    clock = VirtualClock()
    replies: dict[str, Sequence[Reply | str]] = {
        "long": ["one two\nthree four\nfive six\nseven", "eight\nnine\nten"],
        "short": ["a"],
    }
    policy = Counted(by_sample(replies), clock, lambda call, index: 1.0)
    scheduler, strategy = scheduler_of(2, clock), Spec("best_of_n", {"n": 6})
    long, *_ = await asyncio.gather(
        solver_with(view_of(policy, scheduler), strategy, clock=clock).solve(LONG),
        *(solver_with(view_of(policy, scheduler), ONE, clock=clock).solve(SHORT) for _ in range(9)),
    )
    before = Counted.num_resumed
    alone = await solver_with(policy, strategy, clock=clock).solve(LONG)
    assert before > 0
    assert [long.tree.trajectory(node.id).text for node in long.tree.finished()] == [
        alone.tree.trajectory(node.id).text for node in alone.tree.finished()
    ]
    lost = long.usage.discarded_tokens
    assert lost > 0, "a word of the next step had come when the pause began"
    assert long.usage.generated_tokens == alone.usage.generated_tokens + lost
    scheduler.queue.check()


async def test_what_is_lost_at_a_pause_counts_against_the_limit() -> None:
    clock = VirtualClock()
    line = " ".join(["word"] * 19)
    replies: dict[str, Sequence[Reply | str]] = {"long": ["\n".join([line] * 4)], "short": ["a"]}
    policy = Counted(by_sample(replies), clock, lambda call, index: 1.0)
    scheduler = scheduler_of(1, clock)
    strategy = Spec("best_of_n", {"n": 1, "max_tokens": 70})
    long, *_ = await asyncio.gather(
        solver_with(view_of(policy, scheduler), strategy, clock=clock).solve(LONG),
        *(solver_with(view_of(policy, scheduler), ONE, clock=clock).solve(SHORT) for _ in range(3)),
    )
    assert long.usage.discarded_tokens > 0
    assert long.usage.generated_tokens <= 70


async def test_a_call_whose_prompt_costs_money_is_never_paused() -> None:
    clock = VirtualClock()
    policy = Counted(by_sample(REPLIES), clock, lambda call, index: 1.0)
    priced = PricedPolicy(policy, Prices(1.0, 1.0))
    scheduler, before = scheduler_of(1, clock), Counted.num_resumed
    await asyncio.gather(
        *(solver_with(view_of(priced, scheduler), ONE, clock=clock).solve(LONG) for _ in range(3)),
        *(solver_with(view_of(priced, scheduler), ONE, clock=clock).solve(SHORT) for _ in range(3)),
    )
    assert Counted.num_resumed == before


async def test_what_is_cancelled_leaves_no_place_taken() -> None:
    clock = VirtualClock()
    policy = ScriptedPolicy(by_sample(REPLIES), clock, lambda call, index: 1.0)
    scheduler = scheduler_of(2, clock)
    view = view_of(policy, scheduler)
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
    view = view_of(policy, scheduler_of(1), Tier.BATCH)
    solution = await solver_with(view, Spec("best_of_n", {"n": 3})).solve(SHORT)
    (failed,) = solution.tree.failures.values()
    assert "gone" in failed.message
    assert len(solution.tree.finished()) == 2


async def test_bad_input_stays_bad_input() -> None:
    def refuse(call: Call) -> str:
        raise BadInputError("no reply to this")

    policy = ScriptedPolicy(refuse)
    view = view_of(policy, scheduler_of(1))
    with pytest.raises(BadInputError, match="no reply"):
        await solver_with(view, Spec("best_of_n", {"n": 3})).solve(SHORT)


async def test_calls_whose_turn_comes_together_go_together() -> None:
    seen = list[int]()

    class Watched(ScriptedPolicy):
        async def expand(self, calls: Sequence[Call]):
            seen.append(len(calls))
            async for outcome in ScriptedPolicy.expand(self, calls):
                yield outcome

        @property
        def capabilities(self) -> Capabilities:
            return Capabilities("whole answers", frozenset({ExpansionKind.FINISH}))

    policy = Watched(by_sample(REPLIES))
    view = view_of(policy, scheduler_of(8))
    await solver_with(view, Spec("best_of_n", {"n": 8})).solve(SHORT)
    assert seen == [8], "those that cannot be paused"
