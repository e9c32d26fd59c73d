import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import pytest
from doubles import PROBLEM, PredicateVerifier, solver_with
from hypothesis import given
from hypothesis import strategies as st

from mull.control.fixed import Fixed
from mull.core.clock import VirtualClock
from mull.core.errors import BadInputError, OverrunError, StoreFullError, UnknownNameError
from mull.core.events import (
    Charged,
    ChargeReason,
    Event,
    NodeGrown,
    NodeScored,
    SolveEnded,
    SolveStarted,
    StopReason,
    event_from_json,
    event_to_json,
)
from mull.core.expansion import (
    Call,
    Delta,
    Expansion,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    Limits,
    NodeId,
    Outcome,
)
from mull.core.journal import MemoryJournal
from mull.core.ledger import Bound, Ledger, Refused, Reservation
from mull.core.protocols import (
    Abstain,
    Ask,
    Candidate,
    Capabilities,
    Decision,
    Escalate,
    Run,
    Situation,
    Stop,
    Strategy,
)
from mull.core.score import Score, Source, Verdict
from mull.core.spec import Spec
from mull.core.state import replay
from mull.core.steps import Step, Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Headroom, Usage
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample
from mull.solver import Solver
from mull.solver.solver import solution_of
from mull.solver.stream import DeadlinePassedError, until

REPLIES = ("<think> six\n times\n</think> 41", "<think> six\n times\n seven\n</think> 42", " 43")
BEST = Spec("best_of_n", {"n": 3, "verifier": "predicate"})
VOTE = Spec("self_consistency", {"n": 3})
IS_RIGHT = PredicateVerifier(lambda answer: answer == "42")


def policy_of(*replies: Reply | str) -> ScriptedPolicy:
    return ScriptedPolicy(by_sample({PROBLEM.statement: replies or REPLIES}))


def events_of(journal: MemoryJournal, kind: type[Event]) -> list[Event]:
    return [event for event in journal.traces["it"] if isinstance(event, kind)]


def grown_in(journal: MemoryJournal) -> list[Grown]:
    return [event.grown for event in journal.traces["it"] if isinstance(event, NodeGrown)]


def a_second(call: Call, index: int) -> float:
    return 1.0


def by_number(call: Call, index: int) -> float:
    return call.branch.sample + 1.0


# Journals


async def test_replaying_a_journal_gives_the_same_tree() -> None:
    journal = MemoryJournal()
    solver = solver_with(policy_of(), BEST, IS_RIGHT, journal=journal)
    solution = await solver.solve(PROBLEM, solve_id="it")
    stored = [event_from_json(event_to_json(event)) for event in journal.traces["it"]]
    again = replay(stored)
    assert again.tree.content() == solution.tree.content()
    assert again.usage == solution.usage


async def test_arrival_order_is_in_the_trace_and_not_in_the_tree() -> None:
    arrivals, contents = list[list[str]](), list[object]()
    for arrival_seed in (1, 2):
        journal = MemoryJournal()
        policy = replace(policy_of(), arrival_seed=arrival_seed)
        solution = await solver_with(policy, BEST, IS_RIGHT, journal=journal).solve(
            PROBLEM, solve_id="it"
        )
        arrivals.append([each.branch_id for each in grown_in(journal)])
        contents.append(solution.tree.content())
    assert arrivals[0] != arrivals[1]
    assert sorted(arrivals[0]) == sorted(arrivals[1])
    assert contents[0] == contents[1]


async def test_the_same_seed_gives_the_same_solve_and_another_seed_another() -> None:
    solver = solver_with(policy_of(), VOTE)
    one, same, other = [await solver.solve(PROBLEM, seed=seed) for seed in (7, 7, 8)]
    assert one.tree.content() == same.tree.content()
    assert one.solve_id != same.solve_id
    assert one.tree.root != other.tree.root


async def test_an_ended_solve_is_returned_as_it_is() -> None:
    journal, policy = MemoryJournal(), policy_of()
    solver = solver_with(policy, BEST, IS_RIGHT, journal=journal)
    whole = await solver.solve(PROBLEM, solve_id="it")
    before = list(journal.traces["it"])
    again = await solver.resume("it")
    assert (again.answer, again.usage, again.notes) == (whole.answer, whole.usage, whole.notes)
    assert journal.traces["it"] == before


async def test_a_solve_belongs_to_its_model() -> None:
    journal = MemoryJournal()
    await solver_with(policy_of(), VOTE, journal=journal).solve(PROBLEM, solve_id="it")
    stranger = solver_with(replace(policy_of(), model="other@1"), VOTE, journal=journal)
    with pytest.raises(BadInputError, match=r"`scripted@1`, but the policy offers `other@1`"):
        await stranger.resume("it")
    with pytest.raises(BadInputError, match="but the policy offers"):
        await replace(stranger, policy=policy_of()).solve(PROBLEM)


@dataclass(slots=True)
class SlowJournal(MemoryJournal):
    """Is told when its writes are durable."""

    is_on_disk: asyncio.Event = field(default_factory=asyncio.Event)

    async def flush(self) -> None:
        await self.is_on_disk.wait()


async def test_a_wave_is_grown_while_it_is_written_and_nothing_follows_before_that() -> None:
    journal = SlowJournal()
    solver = solver_with(policy_of(), BEST, IS_RIGHT, journal=journal)
    solving = asyncio.create_task(solver.solve(PROBLEM, solve_id="it"))
    try:
        await asyncio.sleep(0.05)
        assert len({each.branch_id for each in grown_in(journal)}) == 3
        assert not events_of(journal, NodeScored)  # they are the second wave's
    finally:
        journal.is_on_disk.set()
        solution = await solving
    assert solution.answer == "42"


async def test_two_solves_cannot_have_one_name() -> None:
    solver = solver_with(policy_of(), VOTE)
    await solver.solve(PROBLEM, solve_id="it")
    with pytest.raises(BadInputError, match="started once"):
        await solver.solve(PROBLEM, solve_id="it")


@dataclass(slots=True)
class FullDisk(MemoryJournal):
    """Takes so many events and no more."""

    room: int = 0

    async def append(self, solve_id: str, events: Sequence[Event]) -> None:
        if len(self.traces.get(solve_id, ())) >= self.room:
            raise StoreFullError("no space left")
        await MemoryJournal.append(self, solve_id, events)


@given(st.integers(1, 12))
async def test_a_full_disk_loses_nothing_that_was_written(room: int) -> None:
    full, tenant = FullDisk(room=room), Ledger(name="tenant")
    solver = solver_with(policy_of(), BEST, IS_RIGHT, journal=full)
    with pytest.raises(StoreFullError):
        await solver.solve(PROBLEM, solve_id="it", parent=tenant)
    assert tenant.num_open == 0
    solution = await replace(solver, journal=MemoryJournal(full.traces)).resume("it")
    assert solution.answer == "42"


# Watching


async def test_an_observer_sees_every_event_and_the_text_as_it_streams() -> None:
    journal, seen = MemoryJournal(), list[Event | Delta]()
    solver = solver_with(policy_of(), BEST, IS_RIGHT, journal=journal)
    await solver.solve(PROBLEM, solve_id="it", observer=seen.append)
    assert [each for each in seen if not isinstance(each, Delta)] == journal.traces["it"]
    streamed = "".join(each.text for each in seen if isinstance(each, Delta))
    kept = "".join(each.grown.step.text for each in seen if isinstance(each, NodeGrown))
    assert streamed == kept


async def test_steps_are_journalled_while_the_completion_still_streams() -> None:
    clock, journal = VirtualClock(), MemoryJournal()
    policy = replace(policy_of(), clock=clock, delay=a_second)
    solver = solver_with(policy, Spec("greedy"), journal=journal, clock=clock)
    solve = asyncio.create_task(solver.solve(PROBLEM, solve_id="it"))
    await clock.sleep(1.5)
    (first,) = events_of(journal, NodeGrown)
    assert isinstance(first, NodeGrown)
    assert first.grown.step.text == " six\n"
    await solve


# Time


async def test_a_deadline_cuts_the_wave_and_keeps_what_is_there() -> None:
    clock, journal = VirtualClock(), MemoryJournal()
    policy = replace(policy_of(), clock=clock, delay=by_number)
    solver = solver_with(policy, BEST, IS_RIGHT, journal=journal, clock=clock)
    solution = await solver.solve(PROBLEM, budget=Budget(max_seconds=5.0), solve_id="it")
    assert (solution.stop, clock.now()) == (StopReason.BUDGET_SECONDS, 5.0)
    assert solution.usage.seconds == 5.0
    # 41 was there after three seconds; it was scored, though late, since that costs nothing.
    assert (solution.answer, solution.confidence) == (None, 0.0)
    assert len(solution.tree.pending()) == 1
    extended = await solver.resume("it", extra=Budget(max_seconds=100.0))
    assert (extended.answer, extended.stop) == ("42", StopReason.COMPLETED)
    assert extended.usage.seconds == pytest.approx(clock.now())


async def test_what_had_finished_is_scored_however_late_it_is() -> None:
    clock = VirtualClock()

    def dawdle(event: Event | Delta) -> None:
        clock.time += 10.0 if isinstance(event, NodeGrown) else 0.0

    one_by_one = Spec("best_of_n", {"n": 2, "max_tokens": 4, "verifier": "predicate"})
    solver = solver_with(policy_of(" 42"), one_by_one, IS_RIGHT, clock=clock)
    budget = Budget(max_seconds=5.0, max_tokens=5)
    solution = await solver.solve(PROBLEM, budget=budget, observer=dawdle)
    assert (solution.stop, solution.confidence) == (StopReason.BUDGET_SECONDS, 1.0)


@dataclass(slots=True)
class Busy(Ledger):
    """Others have claimed what there is, and spend it for a while."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    seconds: float = 0.0

    async def reserve(self, worst: Usage) -> Reservation | Refused:
        await self.clock.sleep(self.seconds)
        return await Ledger.reserve(self, worst)


@pytest.mark.parametrize(
    ("seconds", "stop"), [(2.0, StopReason.COMPLETED), (9.0, StopReason.BUDGET_SECONDS)]
)
async def test_waiting_for_what_others_have_claimed_is_time_too(
    seconds: float, stop: StopReason
) -> None:
    clock = VirtualClock()
    account = Busy(clock=clock, seconds=seconds)
    policy = replace(policy_of(" 42"), clock=clock, delay=a_second)
    solver = solver_with(policy, Spec("greedy"), clock=clock)
    solution = await solver.solve(PROBLEM, budget=Budget(max_seconds=5.0), parent=account)
    assert solution.stop is stop
    assert clock.now() == min(5.0, seconds + 1.0)
    assert account.num_open == 0
    account.check()


class Slow(Ledger):
    """Thinks for a few turns of the event loop."""

    async def reserve(self, worst: Usage) -> Reservation | Refused:
        for _ in range(3):
            await asyncio.sleep(0)
        return await Ledger.reserve(self, worst)


async def test_a_cancel_at_any_turn_of_a_claim_in_time_gives_it_back() -> None:
    budget, clock = Budget(max_seconds=60.0), VirtualClock()
    for num_turns in range(40):
        account = Slow()
        policy = replace(policy_of(" 42"), clock=clock, delay=a_second)
        solver = solver_with(policy, VOTE, clock=clock)
        solving = asyncio.create_task(solver.solve(PROBLEM, budget=budget, parent=account))
        for _ in range(num_turns):
            await asyncio.sleep(0)
        solving.cancel()
        await asyncio.wait({solving})
        assert account.num_open == 0, f"after {num_turns} turns"


async def test_more_tokens_do_not_help_a_solve_that_is_out_of_time() -> None:
    clock, journal = VirtualClock(), MemoryJournal()
    policy = replace(policy_of(), clock=clock, delay=a_second)
    solver = solver_with(policy, VOTE, journal=journal, clock=clock)
    late = await solver.solve(PROBLEM, budget=Budget(max_tokens=99, max_seconds=1.5), solve_id="it")
    again = await solver.resume("it", extra=Budget(max_tokens=99))
    assert (late.stop, again.stop) == (StopReason.BUDGET_SECONDS, StopReason.BUDGET_SECONDS)
    assert again.usage == late.usage


@pytest.mark.parametrize("seconds", [None, 3.5])
async def test_a_stream_that_ends_before_its_deadline_is_whole(seconds: float | None) -> None:
    clock = VirtualClock()

    async def three() -> AsyncGenerator[int, None]:
        for number in range(3):
            await clock.sleep(1.0)
            yield number

    assert [each async for each in until(three(), clock, seconds)] == [0, 1, 2]
    with pytest.raises(DeadlinePassedError):
        _ = [each async for each in until(three(), clock, 2.5)]


async def test_an_open_solve_has_no_solution_yet() -> None:
    journal = MemoryJournal()
    await solver_with(policy_of(), VOTE, journal=journal).solve(PROBLEM, solve_id="it")
    with pytest.raises(ValueError, match="`it` has not ended"):
        solution_of("it", replay(journal.traces["it"][:-1]))


async def test_a_deadline_far_away_changes_nothing() -> None:
    solver = solver_with(policy_of(), BEST, IS_RIGHT)
    hurried = await solver.solve(PROBLEM, budget=Budget(max_seconds=1000.0))
    calm = await solver.solve(PROBLEM)
    assert hurried.tree.content() == calm.tree.content()
    assert hurried.stop is StopReason.COMPLETED


async def test_a_costly_verifier_is_not_called_after_the_deadline() -> None:
    clock = VirtualClock()
    judge = PredicateVerifier(lambda answer: True, cost=Usage(verifier_tokens=9))
    policy = replace(policy_of(), clock=clock, delay=by_number)
    solver = solver_with(policy, BEST, judge, clock=clock)
    solution = await solver.solve(PROBLEM, budget=Budget(max_seconds=4.0))
    assert solution.stop is StopReason.BUDGET_SECONDS
    assert judge.seen == []


# Money, FLOPs, verifiers


@pytest.mark.parametrize(
    ("budget", "stop"),
    [
        (Budget(max_flops=15.0), StopReason.BUDGET_FLOPS),
        (Budget(max_money_usd=15.0), StopReason.BUDGET_MONEY_USD),
        (Budget(max_calls=2), StopReason.BUDGET_CALLS),
        (Budget(max_tokens=15), StopReason.BUDGET_TOKENS),
    ],
)
async def test_the_stop_reason_names_the_limit(budget: Budget, stop: StopReason) -> None:
    policy = replace(policy_of(), flops_per_token=1.0, usd_per_token=1.0)
    strategy = Spec("best_of_n", {"n": 3, "max_tokens": 12})
    solution = await solver_with(policy, strategy).solve(PROBLEM, budget=budget)
    assert solution.stop is stop
    assert solution.stop.is_budget
    assert solution.answer is not None
    assert max(solution.usage.flops, solution.usage.money_usd) <= 20.0


async def test_a_verifier_that_costs_too_much_is_not_called() -> None:
    judge = PredicateVerifier(lambda answer: True, cost=Usage(verifier_tokens=50))
    solver = solver_with(policy_of(), BEST, judge)
    solution = await solver.solve(PROBLEM, budget=Budget(max_tokens=100))
    assert (solution.stop, judge.seen) == (StopReason.BUDGET_TOKENS, [])
    assert "no opinion: majority vote" in " ".join(solution.notes)
    rich = await solver.solve(PROBLEM, budget=Budget(max_tokens=1000))
    assert rich.usage.verifier_tokens == 150


async def test_the_tenants_limit_is_named_when_it_is_the_one() -> None:
    tenant = Ledger(Budget(max_tokens=12), name="tenant")
    solver = solver_with(policy_of(), VOTE)
    solution = await solver.solve(PROBLEM, budget=Budget(max_tokens=999), parent=tenant)
    assert solution.stop is StopReason.BUDGET_TOKENS
    assert "the tokens limit of `tenant` is reached" in solution.notes
    assert tenant.spent.generated_tokens == 12


@dataclass(frozen=True, slots=True)
class OddVerifier:
    """A verifier with a defect."""

    how: Callable[[Sequence[Trajectory]], list[Score]]
    source: Source = field(default=Source("predicate", "odd"))

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        return self.how(trajectories)

    def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
        return Usage()


def crashes(trajectories: Sequence[Trajectory]) -> list[Score]:
    return [list[Score]()[len(trajectories)]]


def miscounts(trajectories: Sequence[Trajectory]) -> list[Score]:
    return []


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (crashes, "IndexError"),
        (miscounts, "gave 0 scores for 3 trajectories"),
    ],
)
async def test_a_broken_verifier_has_no_opinion(
    how: Callable[[Sequence[Trajectory]], list[Score]], says: str
) -> None:
    solution = await solver_with(policy_of(), BEST, OddVerifier(how)).solve(PROBLEM)
    (node, *_) = solution.tree.finished()
    (score,) = solution.tree.scores(node.id)
    assert (score.verdict, score.is_opinion) == (Verdict.UNKNOWN, False)
    assert says in score.reason
    assert "`predicate` has no opinion: majority vote" in solution.notes


def trips_over_the_second(trajectories: Sequence[Trajectory]) -> list[Score]:
    """As an author's `int(answer)` would on an answer of his model's."""
    source = Source("predicate", "odd")
    if any(each.answer_text == "41" for each in trajectories):
        raise ValueError("not that one")
    return [Score(0.9, source) for _ in trajectories]


async def test_an_answer_that_breaks_a_verifier_costs_the_others_nothing() -> None:
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: ("42", "41", "43")}))
    verifier = OddVerifier(trips_over_the_second)
    solution = await solver_with(policy, BEST, verifier).solve(PROBLEM)
    scores = [solution.tree.scores(node.id)[0] for node in solution.tree.finished()]
    assert [score.is_opinion for score in scores] == [True, False, True]
    assert "ValueError: not that one" in scores[1].reason


async def test_a_verifier_that_costs_something_is_not_asked_twice() -> None:
    asked = list[int]()

    def dear(trajectories: Sequence[Trajectory]) -> list[Score]:
        asked.append(len(trajectories))
        raise ValueError("no")

    @dataclass(frozen=True, slots=True)
    class Dear(OddVerifier):
        def quote(self, trajectories: Sequence[Trajectory]) -> Usage:
            return Usage(verifier_tokens=1)

    await solver_with(policy_of(), BEST, Dear(dear)).solve(PROBLEM)
    assert asked == [3]


async def test_an_unknown_verifier_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no verifier `predicate`; known: none"):
        await solver_with(policy_of(), BEST).solve(PROBLEM)


# Policies that fail, and policies that break their contract


HARD = Capabilities("odd@1", frozenset({ExpansionKind.FINISH}))
SOFT = replace(HARD, bound=Bound.SOFT)


@dataclass(frozen=True, slots=True)
class OddPolicy:
    """A policy that yields whatever it is told to."""

    how: Callable[[Sequence[Call]], AsyncGenerator[Outcome, None]]
    capabilities: Capabilities = field(default=HARD)
    released: list[NodeId] = field(default_factory=list[NodeId])

    def quote(self, call: Call) -> Usage:
        return Usage(visible_tokens=10)

    def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        return self.how(calls)

    async def release(self, node_ids: Collection[NodeId]) -> None:
        self.released.extend(node_ids)


def answer(call: Call, text: str = "42", index: int = 0, num_tokens: int = 1) -> Grown:
    step = Step(text, tuple(range(num_tokens)), is_final=True)
    return Grown(call.branch.id, index, step, Usage(visible_tokens=num_tokens), Finish.STOP)


async def breaks_off(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
    yield answer(calls[0])
    yield Delta(calls[1].branch.id, " 4", 2)
    raise RuntimeError("the server is gone")


async def ends_early(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
    yield answer(calls[0])
    yield Delta(calls[1].branch.id, " 4", 2)


async def repeats_itself(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
    yield answer(calls[0])
    yield Delta(calls[1].branch.id, " 4", 2)
    yield answer(calls[0])


async def skips_a_step(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
    yield answer(calls[0])
    yield Delta(calls[1].branch.id, " 4", 2)
    yield answer(calls[1], index=3)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (breaks_off, "RuntimeError: the server is gone"),
        (ends_early, "ended its stream early"),
        (repeats_itself, "not asked for"),
        (skips_a_step, "not asked for"),
    ],
)
async def test_what_a_broken_stream_leaves_open_has_failed_and_is_charged(
    how: Callable[[Sequence[Call]], AsyncGenerator[Outcome, None]], says: str
) -> None:
    tenant = Ledger(name="tenant")
    solution = await solver_with(OddPolicy(how), VOTE).solve(PROBLEM, parent=tenant)
    failures = list(solution.tree.failures.values())
    assert len(failures) == 2
    assert all("policy `odd@1`" in each.message and says in each.message for each in failures)
    assert len(solution.tree.finished()) == 1
    assert "2 of 3 branches failed" in solution.notes[-1]
    assert solution.usage.discarded_tokens == 2
    assert (tenant.spent.generated_tokens, tenant.spent.calls) == (3, 3)
    assert tenant.num_open == 0


async def test_bad_input_found_by_the_policy_ends_the_solve_as_that() -> None:
    async def cannot_load(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        yield Delta(calls[0].branch.id, "", 0)
        raise BadInputError("the checkpoint is truncated")

    tenant = Ledger(name="tenant")
    with pytest.raises(BadInputError, match="truncated"):
        await solver_with(OddPolicy(cannot_load), VOTE).solve(PROBLEM, parent=tenant)
    assert tenant.num_open == 0


async def too_many(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
    for call in calls:
        yield answer(call, num_tokens=11)


async def test_a_call_beyond_its_hard_quote_is_an_error_and_holds_nothing() -> None:
    tenant = Ledger(name="tenant")
    solver = solver_with(OddPolicy(too_many), VOTE)
    with pytest.raises(OverrunError, match="11 tokens"):
        await solver.solve(PROBLEM, budget=Budget(max_tokens=99), parent=tenant)
    assert tenant.num_open == 0
    assert tenant.spent.generated_tokens == 11


async def test_a_call_beyond_a_soft_quote_is_recorded() -> None:
    policy = replace(OddPolicy(too_many), capabilities=SOFT)
    solution = await solver_with(policy, VOTE).solve(PROBLEM, budget=Budget(max_tokens=99))
    assert solution.usage.generated_tokens == 33


async def test_a_cancel_reports_tokens_of_the_step_that_was_cut_off() -> None:
    async def stalls(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        yield Delta(calls[0].branch.id, " 4 2", 2)
        await asyncio.sleep(3600)
        yield answer(calls[0])

    journal, tenant = MemoryJournal(), Ledger(name="tenant")
    solver = solver_with(OddPolicy(stalls), Spec("greedy"), journal=journal)
    solve = asyncio.create_task(solver.solve(PROBLEM, solve_id="it", parent=tenant))
    await asyncio.sleep(0.01)
    solve.cancel()
    with pytest.raises(asyncio.CancelledError):
        await solve
    charges = [event for event in journal.traces["it"] if isinstance(event, Charged)]
    discarded = [each.usage for each in charges if each.reason is ChargeReason.DISCARDED]
    assert discarded == [Usage(discarded_tokens=2, calls=1)]
    assert replay(journal.traces["it"]).usage == tenant.spent
    assert (await journal.solves())[0].stop is None


async def test_a_window_reached_is_the_end_and_a_budget_reached_is_not() -> None:
    async def short_window(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        for call in calls:
            step = Step(" 4", (1, 2))
            usage = Usage(visible_tokens=2)
            yield Grown(call.branch.id, len(call.grown), step, usage, Finish.LENGTH)

    solver = solver_with(OddPolicy(short_window), Spec("greedy"))
    solution = await solver.solve(PROBLEM)
    assert solution.tree.pending() == ()
    assert solution.stop is StopReason.COMPLETED
    poor = Budget(max_tokens=4)
    tight = await solver_with(policy_of(), Spec("greedy")).solve(PROBLEM, budget=poor)
    (branch,) = tight.tree.pending()
    assert tight.tree.chain(branch.id)[-1].finish is Finish.CUT


async def test_a_branch_that_a_crash_caught_at_its_limit_ends_there() -> None:
    journal = MemoryJournal()
    solver = solver_with(policy_of(), Spec("greedy", {"max_tokens": 3}), journal=journal)
    await solver.solve(PROBLEM, solve_id="it")
    trace = journal.traces["it"]
    (position,) = [at for at, event in enumerate(trace) if isinstance(event, NodeGrown)]
    grown = trace[position]
    assert isinstance(grown, NodeGrown)
    del trace[position:]
    trace.append(NodeGrown(replace(grown.grown, finish=None)))
    solution = await solver.resume("it")
    assert (solution.stop, solution.tree.pending()) == (StopReason.COMPLETED, ())
    assert solution.usage.generated_tokens == 3


# Strategies and controllers of other kinds


@dataclass(frozen=True, slots=True)
class StepByStep:
    """Two first steps; the better one goes on, a step at a time, and the other is dropped."""

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        first = tree.children(tree.root)
        if not first:
            return Ask((Expansion((tree.root,), ExpansionKind.STEP, 2),))
        if not tree.is_dropped(first[0].id):
            return Ask(drop=(first[0].id,))
        leaf = first[1]
        while children := tree.children(leaf.id):
            leaf = children[0]
        if leaf.step is not None and leaf.step.is_final:
            return Ask()
        return Ask((Expansion((leaf.id,), ExpansionKind.STEP, limits=Limits(16)),))

    def select(self, tree: SearchTree) -> Candidate | None:
        finished = tree.finished()
        if not finished:
            return None
        return Candidate(finished[0].id, tree.trajectory(finished[0].id).answer_text)


def steps(spec: Spec) -> Strategy:
    return StepByStep()


async def test_a_search_over_steps_grows_drops_and_releases() -> None:
    policy = policy_of(REPLIES[1])
    solver = replace(solver_with(policy, Spec("steps")), strategies=steps)
    seen = list[frozenset[NodeId]]()
    solution = await solver.solve(
        PROBLEM, observer=lambda event: seen.append(frozenset(policy.released))
    )
    assert solution.answer == "42"
    assert solution.trajectory is not None
    assert solution.trajectory.text == " six\n times\n seven\n 42"
    dropped = solution.tree.children(solution.tree.root)[0].id
    assert frozenset({dropped}) in seen
    assert policy.released == {node.id for node in solution.tree.nodes()}
    solution.tree.check()


async def test_a_search_over_steps_resumes_at_any_event() -> None:
    journal, policy = MemoryJournal(), policy_of(REPLIES[1])
    solver = replace(solver_with(policy, Spec("steps"), journal=journal), strategies=steps)
    whole = await solver.solve(PROBLEM, solve_id="it")
    for length in range(1, len(journal.traces["it"])):
        torn = MemoryJournal({"it": journal.traces["it"][:length]})
        solution = await replace(solver, journal=torn).resume("it")
        assert solution.tree.content() == whole.tree.content()


async def test_what_a_policy_cannot_grow_is_said_before_anything_is_spent() -> None:
    solver = solver_with(OddPolicy(too_many), Spec("steps"))
    solver = replace(solver, strategies=steps)
    with pytest.raises(BadInputError, match="needs `step` expansions"):
        await solver.solve(PROBLEM)


@dataclass(frozen=True, slots=True)
class AfterOneWave(Fixed):
    """A controller that runs one wave and then says its word, whatever the strategy wants."""

    word: Decision

    def decide(self, situation: Situation) -> Decision:
        return self.word if len(situation.tree) > 1 else Run(VOTE)


def controlled(solver: Solver, word: Decision) -> Solver:
    return replace(solver, controller=AfterOneWave(VOTE, word))


async def test_a_controller_can_abstain_escalate_or_stop() -> None:
    solver = solver_with(policy_of(), VOTE)
    abstained = await controlled(solver, Abstain("too risky")).solve(PROBLEM)
    assert (abstained.stop, abstained.answer) == (StopReason.ABSTAINED, None)
    assert "too risky" in abstained.notes
    escalated = await controlled(solver, Escalate("too hard")).solve(PROBLEM)
    assert (escalated.stop, escalated.answer) == (StopReason.ESCALATED, None)
    stopped = await controlled(solver, Stop(StopReason.ACCEPTED)).solve(PROBLEM)
    assert (stopped.stop, stopped.answer) == (StopReason.ACCEPTED, "41")


async def test_a_controller_can_change_its_mind_on_the_same_tree() -> None:
    solver = solver_with(policy_of(), VOTE, IS_RIGHT)
    solution = await controlled(solver, Run(BEST)).solve(PROBLEM)
    assert solution.usage.calls == 3
    assert (solution.answer, solution.stop) == ("42", StopReason.COMPLETED)


async def test_a_controller_that_stops_at_once_has_no_answer() -> None:
    @dataclass(frozen=True, slots=True)
    class Never(Fixed):
        def decide(self, situation: Situation) -> Decision:
            return Stop(StopReason.COMPLETED)

    journal = MemoryJournal()
    solver = replace(solver_with(policy_of(), VOTE, journal=journal), controller=Never(VOTE))
    solution = await solver.solve(PROBLEM, solve_id="it")
    assert (solution.answer, solution.trajectory) == (None, None)
    assert isinstance(journal.traces["it"][0], SolveStarted)
    assert isinstance(journal.traces["it"][-1], SolveEnded)


async def test_a_failure_that_the_policy_reports_is_recorded_as_it_is() -> None:
    async def refuses(calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        for call in calls:
            yield Failed(call.branch.id, "busy", Usage(discarded_tokens=1), retryable=True)

    solution = await solver_with(OddPolicy(refuses), VOTE).solve(PROBLEM)
    assert solution.stop is StopReason.FAILED
    assert all(each.retryable for each in solution.tree.failures.values())
    assert solution.usage == Usage(discarded_tokens=3, calls=3, seconds=solution.usage.seconds)


async def test_a_solve_whose_answers_were_all_cut_off_says_so() -> None:
    policy = ScriptedPolicy(by_sample({PROBLEM.statement: ["six times seven is 42", "42"]}))
    short = Spec("self_consistency", {"n": 1, "max_tokens": 3})
    solution = await solver_with(policy, short).solve(PROBLEM)
    note = "1 of 1 answers were cut off at their limit of 3 tokens (`max_tokens`)"
    assert (solution.answer, solution.notes) == (None, (note,))
    enough = await solver_with(policy, replace(short, options={"n": 2, "max_tokens": 3})).solve(
        PROBLEM
    )
    cut = "1 of 2 answers were cut off at their limit of 3 tokens (`max_tokens`)"
    assert (enough.answer, enough.notes) == ("42", ("1 of 1 votes", cut))
