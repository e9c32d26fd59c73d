"""Strategies that look at a wave while it grows: what is decided, charged and resumed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from doubles import PROBLEM, PredicateVerifier, solver_with

from mull.control import Quality, Terms
from mull.core.clock import Clock, SystemClock, VirtualClock
from mull.core.errors import StoreError
from mull.core.events import Event, NodeGrown, NodeScored, StopReason, WaveAsked
from mull.core.expansion import Call, Delta, Outcome
from mull.core.journal import MemoryJournal
from mull.core.ledger import Ledger
from mull.core.score import Score
from mull.core.spec import Spec
from mull.core.state import replay
from mull.core.steps import Trajectory
from mull.core.usage import Budget
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample

CHECKED = Spec("early_stop", {"n": 6, "width": 6, "verifier": "predicate", "on_arrival": True})
WANTED = Spec("best_of_n", {"n": 6, "verifier": "predicate", "on_arrival": True})
VOTE = Spec("self_consistency", {"n": 5, "on_arrival": True})
IS_RIGHT = PredicateVerifier(lambda answer: answer == "42")


@dataclass(frozen=True, slots=True)
class Watched(ScriptedPolicy):
    """Remembers which calls it was asked to grow, and when it was told to stop."""

    asked: list[str] = field(default_factory=list[str])
    closed: list[float] = field(default_factory=list[float])

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        self.asked.extend(call.branch.id for call in calls)
        try:
            async for outcome in ScriptedPolicy.expand(self, calls):
                yield outcome
        finally:
            self.closed.append(self.clock.now())


def policy_of(clock: Clock, *replies: Reply | str) -> Watched:
    return Watched(by_sample({PROBLEM.statement: replies}), clock=clock, delay=by_number)


def by_number(call: Call, index: int) -> float:
    return call.branch.sample + 1.0


async def test_the_first_accepted_answer_ends_its_wave_at_once() -> None:
    clock, journal, tenant = VirtualClock(), MemoryJournal(), Ledger(name="tenant")
    policy = policy_of(clock, " 41", " 43", " 42", "one\n two\n three\n", " 42", " 42")
    solver = solver_with(policy, CHECKED, IS_RIGHT, journal=journal, clock=clock)
    solution = await solver.solve(PROBLEM, solve_id="it", parent=tenant)
    assert (solution.answer, solution.stop) == ("42", StopReason.ACCEPTED)
    assert policy.closed == [3.0]
    assert clock.now() == 3.0
    assert len(solution.tree.cancelled) == 3
    assert not solution.tree.pending()
    assert not solution.tree.failures
    solution.tree.check()
    assert tenant.num_open == 0
    tenant.check()
    assert tenant.spent == solution.usage == replay(journal.traces["it"]).usage
    assert solution.usage.calls == 6


async def test_what_streamed_of_cancelled_answers_is_charged() -> None:
    clock, streamed = VirtualClock(), list[int]()

    def see(event: Event | Delta) -> None:
        if isinstance(event, Delta):
            streamed.append(event.num_tokens)

    policy = policy_of(clock, " 42", "one two three four\n five six")
    solver = solver_with(policy, CHECKED, IS_RIGHT, clock=clock)
    usage = (await solver.solve(PROBLEM, observer=see)).usage
    assert usage.discarded_tokens
    assert usage.generated_tokens == sum(streamed)


@pytest.mark.parametrize("strategy", [CHECKED, VOTE], ids=lambda each: each.name)
async def test_a_resumed_solve_decides_the_same_and_asks_again_for_nothing(strategy: Spec) -> None:
    replies = (" 41", " 42", " 42", " 42", " 42", " 42")
    clock, journal = VirtualClock(), MemoryJournal()
    solver = solver_with(
        policy_of(clock, *replies), strategy, IS_RIGHT, journal=journal, clock=clock
    )
    whole = await solver.solve(PROBLEM, solve_id="it")
    trace = journal.traces["it"]
    (end,) = [i for i, event in enumerate(trace) if isinstance(event, WaveAsked) and event.cancel]
    for length in range(1, len(trace) + 1):
        kept, clock = MemoryJournal({"it": list(trace[:length])}), VirtualClock()
        policy = policy_of(clock, *replies)
        solver = solver_with(policy, strategy, IS_RIGHT, journal=kept, clock=clock)
        solution = await solver.resume("it")
        solution.tree.check()
        assert (solution.answer, solution.stop) == (whole.answer, whole.stop)
        assert kept.traces["it"][:length] == trace[:length]
        over = {each.grown.branch_id for each in trace[:length] if isinstance(each, NodeGrown)}
        assert not over & set(policy.asked)
        if length > end:
            assert not policy.asked
            assert solution.tree.content() == whole.tree.content()


async def test_an_acceptance_that_a_crash_cut_off_is_acted_upon_before_anything_grows() -> None:
    clock, journal = VirtualClock(), MemoryJournal()
    policy = policy_of(clock, " 42", " 41")
    solver = solver_with(policy, CHECKED, IS_RIGHT, journal=journal, clock=clock)
    await solver.solve(PROBLEM, solve_id="it")
    trace = journal.traces["it"]
    scored = next(i for i, event in enumerate(trace) if isinstance(event, NodeScored))
    journal, policy = MemoryJournal({"it": list(trace[: scored + 1])}), policy_of(clock, "never")
    solution = await solver_with(policy, CHECKED, IS_RIGHT, journal=journal).resume("it")
    assert (solution.answer, solution.stop) == ("42", StopReason.ACCEPTED)
    assert not policy.asked


@dataclass(frozen=True, slots=True)
class RaisesWhenClosed(Watched):
    """Does not end well."""

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        try:
            async for outcome in Watched.expand(self, calls):
                yield outcome
        finally:
            raise RuntimeError("no connection to close")


@dataclass(frozen=True, slots=True)
class SwallowsCancels(Watched):
    """Ends as if nothing had been left to do."""

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        with suppress(asyncio.CancelledError):
            async for outcome in Watched.expand(self, calls):
                yield outcome


@pytest.mark.parametrize("kind", [RaisesWhenClosed, SwallowsCancels])
@pytest.mark.parametrize("budget", [Budget(), Budget(max_seconds=99), Budget(max_tokens=800)])
async def test_a_policy_that_takes_its_end_badly_loses_nobody_an_answer(
    kind: type[Watched], budget: Budget
) -> None:
    clock, tenant = VirtualClock(), Ledger(name="tenant")
    replies = by_sample({PROBLEM.statement: [" 42", " 1", " 2", " 3", " 4", " 5"]})
    policy = kind(replies, clock=clock, delay=by_number)
    solver = solver_with(policy, CHECKED, IS_RIGHT, clock=clock)
    solution = await solver.solve(PROBLEM, budget=budget, parent=tenant)
    assert (solution.answer, solution.stop) == ("42", StopReason.ACCEPTED)
    assert len(solution.tree.cancelled) >= 4
    assert not solution.tree.failures
    assert len(policy.closed) == 1
    assert (tenant.num_open, tenant.spent) == (0, solution.usage)


async def test_a_vote_ends_when_nothing_to_come_could_change_it() -> None:
    clock = VirtualClock()
    solver = solver_with(policy_of(clock, " 1", " 2", " 1", " 1", " 2"), VOTE, clock=clock)
    solution = await solver.solve(PROBLEM)
    assert (solution.answer, solution.stop) == ("1", StopReason.SETTLED)
    assert (clock.now(), len(solution.tree.cancelled)) == (4.0, 1)  # 2 to 1 with two to come is not
    tied = solver_with(policy_of(clock, " 1", " 2", " 1", " 2", " "), VOTE, clock=clock)
    assert (await tied.solve(PROBLEM)).stop is StopReason.COMPLETED


async def test_a_vote_that_was_cut_short_goes_on_where_more_is_wanted() -> None:
    clock = VirtualClock()
    vote = Spec("self_consistency", {"n": 12, "on_arrival": True})
    policy = policy_of(clock, *(f" {answer}" for answer in "111122212121"))
    controller = Quality(vote, Terms(width=4, quality=0.999, price=0.0))
    solution = await solver_with(policy, vote, clock=clock, controller=controller).solve(PROBLEM)
    assert len(solution.tree.branches()) == 12
    assert len(solution.tree.cancelled) == 1
    assert len(solution.tree.finished()) == 11


async def test_a_wanted_quality_ends_with_the_first_accepted_answer() -> None:
    clock = VirtualClock()
    policy = policy_of(clock, " 41", " 42", " 42", " 43", " 44", " 45")
    controller = Quality(WANTED, Terms(width=4))
    solver = solver_with(policy, WANTED, IS_RIGHT, clock=clock, controller=controller)
    solution = await solver.solve(PROBLEM)
    assert (solution.answer, solution.stop) == ("42", StopReason.ACCEPTED)
    assert (clock.now(), len(solution.tree.cancelled)) == (2.0, 2)


async def test_without_being_told_to_nobody_looks_at_a_wave() -> None:
    clock = VirtualClock()
    spec = Spec("early_stop", {**CHECKED.options, "on_arrival": False})
    policy = policy_of(clock, " 42", " 41", " 42", " 43", " 44", " 45")
    solution = await solver_with(policy, spec, IS_RIGHT, clock=clock).solve(PROBLEM)
    assert clock.now() == 6.0
    assert not solution.tree.cancelled


@dataclass(frozen=True, slots=True)
class SlowVerifier(PredicateVerifier):
    """Takes its time for each request, and remembers what it was asked together."""

    clock: Clock = SystemClock()
    seconds: float = 0.0
    asked: list[int] = field(default_factory=list[int])

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        self.asked.append(len(trajectories))
        await self.clock.sleep(self.seconds)
        return [self._score(trajectory.answer_text) for trajectory in trajectories]


async def test_a_slow_checker_holds_nobody_up_and_sees_what_came_meanwhile_together() -> None:
    clock = VirtualClock()
    verifier = SlowVerifier(lambda answer: answer == "42", clock=clock, seconds=2.5)
    policy = policy_of(clock, " 1", " 2", " 3", " 4", " 5", " 42")
    solution = await solver_with(policy, CHECKED, verifier, clock=clock).solve(PROBLEM)
    assert solution.stop is StopReason.ACCEPTED
    assert verifier.asked == [1, 2, 3]
    assert policy.closed == [6.0]


@dataclass(slots=True)
class Full(MemoryJournal):
    """Has no room for a score."""

    async def append(self, solve_id: str, events: Sequence[Event]) -> None:
        if any(isinstance(event, NodeScored) for event in events):
            raise StoreError("no room")
        await MemoryJournal.append(self, solve_id, events)


async def test_an_error_while_looking_leaves_nothing_running() -> None:
    clock, tenant = VirtualClock(), Ledger(name="tenant")
    policy = policy_of(clock, " 1", " 2")
    solver = solver_with(policy, CHECKED, IS_RIGHT, journal=Full(), clock=clock)
    with pytest.raises(StoreError, match="no room"):
        await solver.solve(PROBLEM, parent=tenant)
    assert policy.closed
    assert tenant.num_open == 0


async def test_a_watched_solve_can_be_cancelled_at_any_moment_and_resumed() -> None:
    for seconds in (0.5, 1.5, 2.5, 3.2, 4.0, 4.5):
        clock, journal, tenant = VirtualClock(), MemoryJournal(), Ledger(name="tenant")
        verifier = SlowVerifier(lambda answer: answer == "42", clock=clock, seconds=1.0)
        policy = policy_of(clock, " 1", " 2", " 3", " 42", " 5", " 6")
        solver = solver_with(policy, CHECKED, verifier, journal=journal, clock=clock)
        solving = asyncio.create_task(solver.solve(PROBLEM, solve_id="it", parent=tenant))
        await clock.sleep(seconds)
        solving.cancel()
        await asyncio.wait({solving})
        assert tenant.num_open == 0
        assert tenant.spent == replay(journal.traces["it"]).usage
        solution = await solver.resume("it", parent=tenant)
        assert (solution.answer, solution.stop) == ("42", StopReason.ACCEPTED)
        assert tenant.spent == solution.usage


async def test_a_budget_ends_a_watched_wave_like_any_other() -> None:
    clock = VirtualClock()
    policy = policy_of(clock, " 1", " 2", " 42")
    solver = solver_with(policy, CHECKED, IS_RIGHT, clock=clock)
    solution = await solver.solve(PROBLEM, budget=Budget(max_seconds=1.5))
    assert solution.stop is StopReason.BUDGET_SECONDS
    assert clock.now() == 1.5
