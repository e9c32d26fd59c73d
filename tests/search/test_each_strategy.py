"""What every strategy must do, whatever its idea: one row in `SPECS` a strategy."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from doubles import PROBLEM, HashGuide, PredicateVerifier, solver_with

from mull.control import Fixed, Quality, Terms
from mull.core.answers import text_key
from mull.core.events import Event, NodeGrown, StopReason, WaveAsked
from mull.core.expansion import Call, NodeId
from mull.core.journal import MemoryJournal
from mull.core.ledger import Ledger
from mull.core.protocols import Controller, Strategy
from mull.core.solution import Solution
from mull.core.spec import Option, Spec
from mull.core.state import replay
from mull.core.steps import Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Headroom, Limit
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample
from mull.search import STRATEGIES, strategy_of
from mull.solver import Solver


@dataclass(frozen=True, slots=True)
class Wanted(Spec):
    """A strategy under the controller that draws until an answer is good enough."""

    terms: Terms = field(default_factory=Terms)


GUIDED: dict[str, Option] = {"guide": "guide", "verifier": "predicate"}
SPECS = {
    "greedy": Spec("greedy", {"verifier": "predicate"}),
    "greedy, unchecked": Spec("greedy"),
    "best_of_n": Spec("best_of_n", {"n": 6, "verifier": "predicate"}),
    "best_of_n, unchecked": Spec("best_of_n", {"n": 6}),
    "early_stop": Spec("early_stop", {"n": 6, "verifier": "predicate"}),
    "early_stop, wide": Spec("early_stop", {"n": 6, "width": 4, "verifier": "predicate"}),
    "revise": Spec("revise", {"n": 5, "verifier": "predicate"}),
    "revise, unchecked": Spec("revise", {"n": 4}),
    "self_consistency": Spec("self_consistency", {"n": 6}),
    "weighted_best_of_n": Spec("weighted_best_of_n", {"n": 6, **GUIDED}),
    "weighted_best_of_n, unchecked": Spec("weighted_best_of_n", {"n": 6, "guide": "guide"}),
    "rerank": Spec("rerank", {"n": 6, "keep": 6, **GUIDED}),
    "beam": Spec("beam", {"width": 2, "expansion": 5, **GUIDED}),
    "beam, tapered": Spec("beam", {"shape": "6:3,5:2,finish", **GUIDED}),
    "beam, unchecked": Spec("beam", {"width": 2, "expansion": 5, "guide": "guide"}),
    "dvts": Spec("dvts", {"subtrees": 2, "expansion": 5, **GUIDED}),
    "rebase": Spec("rebase", {"width": 6, **GUIDED}),
    "particles": Spec("particles", {"width": 6, **GUIDED}),
    "tot_bfs": Spec("tot_bfs", {"breadth": 3, "proposals": 5, **GUIDED}),
    "tot_dfs": Spec("tot_dfs", {"visits": 4, "proposals": 5, **GUIDED}),
    "mcts": Spec("mcts", {"n": 16, "width": 2, **GUIDED}),
    "mcts, rollouts": Spec("mcts", {"n": 8, "evaluation": "rollout", "rule": "puct", **GUIDED}),
    "best_first": Spec("best_first", {"n": 16, **GUIDED}),
    "best_first, wide": Spec("best_first", {"n": 16, "width": 3, "early_stop": True, **GUIDED}),
    "best_of_n, as good as wanted": Wanted(
        "best_of_n", {"n": 6, "verifier": "predicate"}, Terms(width=2)
    ),
    "self_consistency, as good as wanted": Wanted("self_consistency", {"n": 6}, Terms(0.9)),
    "beam, early stop": Spec("beam", {"width": 2, "expansion": 5, "early_stop": True, **GUIDED}),
}
every_strategy = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())

STEPWISE = {"beam", "dvts", "rebase", "particles", "tot_bfs", "tot_dfs", "mcts", "best_first"}
every_stepwise = pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS.values() if spec.name in STEPWISE],
    ids=[name for name, spec in SPECS.items() if spec.name in STEPWISE],
)

REPLIES: tuple[Reply | str, ...] = (
    "<think> six\n times\n</think> 41",
    "<think> seven\n</think> 43",
    " 43",
    "<think> six\n times\n seven\n</think> 42",
)
IS_RIGHT = PredicateVerifier(lambda answer: answer == "42")


def same_text(trajectory: Trajectory) -> str | None:
    return trajectory.text


def policy_of(*replies: Reply | str, arrival_seed: int | None = None) -> ScriptedPolicy:
    said = replies or REPLIES
    return ScriptedPolicy(by_sample({PROBLEM.statement: said}), arrival_seed=arrival_seed)


def solver_of(
    spec: Spec, *replies: Reply | str, arrival_seed: int | None = None, journal: MemoryJournal
) -> Solver:
    policy = policy_of(*replies, arrival_seed=arrival_seed)
    return solver_with(
        policy,
        spec,
        IS_RIGHT,
        HashGuide(),
        journal=journal,
        state_key=same_text,
        controller=controller_of(spec),
    )


def controller_of(spec: Spec) -> Controller:
    return Quality(spec, spec.terms) if isinstance(spec, Wanted) else Fixed(spec)


async def solved(
    spec: Spec,
    *replies: Reply | str,
    arrival_seed: int | None = None,
    budget: Budget = Budget(),
    journal: MemoryJournal | None = None,
) -> Solution:
    journal = journal or MemoryJournal()
    solver = solver_of(spec, *replies, arrival_seed=arrival_seed, journal=journal)
    return await solver.solve(PROBLEM, budget=budget, solve_id="it")


async def trace_of(spec: Spec) -> list[Event]:
    journal = MemoryJournal()
    await solved(spec, journal=journal)
    return journal.traces["it"]


def outcome(solution: Solution) -> tuple[object, ...]:
    """All but what a call made anew costs anew: its prompt, itself, tokens cut off in mid-step."""
    return (
        solution.answer,
        solution.confidence,
        solution.stop,
        solution.notes,
        solution.usage.completion_tokens,
        [(node.id, node.inputs, node.step, node.finish) for node in solution.tree.nodes()],
        [solution.tree.scores(node.id) for node in solution.tree.nodes()],
    )


def test_every_strategy_is_tested_here() -> None:
    assert {spec.name for spec in SPECS.values()} == STRATEGIES.keys()


@every_strategy
def test_a_strategy_fits_the_seam_and_asks_of_an_empty_tree(spec: Spec) -> None:
    strategy: Strategy = strategy_of(spec, text_key)
    tree = SearchTree(PROBLEM, "m@1", 0)
    assert strategy.ask(tree, Headroom()).grow
    assert strategy.ask(tree, Headroom()) == strategy.ask(tree, Headroom())
    assert strategy.select(tree) is None


@every_strategy
async def test_an_answer_can_be_read_off_at_any_time(spec: Spec) -> None:
    strategy, trace = strategy_of(spec, text_key), await trace_of(spec)
    for length in range(1, len(trace) + 1):
        tree = replay(trace[:length]).tree
        candidate = strategy.select(tree)
        finished = {node.id for node in tree.finished()}
        assert candidate is None or candidate.node_id in finished


@every_strategy
@pytest.mark.parametrize("max_tokens", [1, 2, 5, 9, 14, 23, 40])
async def test_no_token_is_spent_beyond_the_budget(spec: Spec, max_tokens: int) -> None:
    solution = await solved(spec, budget=Budget(max_tokens=max_tokens))
    assert solution.usage.generated_tokens <= max_tokens
    whole = await solved(spec)
    if whole.usage.generated_tokens > max_tokens:
        assert solution.stop is StopReason.BUDGET_TOKENS
    if solution.stop is StopReason.BUDGET_TOKENS:
        assert solution.usage.generated_tokens == max_tokens
        assert "the tokens limit of `solve` is reached" in solution.notes
    else:
        assert solution.stop is whole.stop


@every_strategy
async def test_no_call_is_made_beyond_the_budget(spec: Spec) -> None:
    solution = await solved(spec, budget=Budget(max_calls=1))
    whole = await solved(spec)
    assert solution.usage.calls == 1
    assert (solution.stop is StopReason.of_limit(Limit.CALLS)) == (whole.usage.calls > 1)


@every_strategy
@pytest.mark.parametrize("arrival_seed", [1, 2, 3])
async def test_the_order_of_arrival_changes_nothing(spec: Spec, arrival_seed: int) -> None:
    solution, plain = await solved(spec, arrival_seed=arrival_seed), await solved(spec)
    assert outcome(solution) == outcome(plain)
    assert solution.tree.content() == plain.tree.content()


@every_strategy
async def test_siblings_survive_a_failure(spec: Spec) -> None:
    broken = Reply(" six\n seven", fails_after=0, failure="power cut")
    solution = await solved(spec, *REPLIES[:3], broken, REPLIES[3])
    solution.tree.check()
    whole = await solved(spec)
    if len(solution.tree.failures):
        said = f"{len(solution.tree.failures)} of "
        assert any(note.startswith(said) and "power cut" in note for note in solution.notes)
    assert solution.stop is whole.stop
    if spec.name in STEPWISE:  # it goes on elsewhere
        assert len(solution.tree.finished()) > 1
    else:
        assert (solution.answer is None) == (whole.answer is None)


@every_strategy
async def test_a_solve_of_nothing_but_failures_says_so(spec: Spec) -> None:
    solution = await solved(spec, Reply(" six\n seven", fails_after=0))
    assert (solution.stop, solution.answer) == (StopReason.FAILED, None)
    assert solution.abstained


@every_strategy
async def test_a_rejected_answer_is_never_given(spec: Spec) -> None:
    solution = await solved(spec, " 41", " 43")
    checked = spec.options.get("verifier") is not None
    assert (solution.answer is None) == checked
    if checked:
        assert solution.confidence == 0.0
        assert solution.trajectory is not None


@every_strategy
async def test_a_solve_resumed_after_any_event_ends_as_if_uninterrupted(spec: Spec) -> None:
    """And no step that was journalled is generated again."""
    whole_journal = MemoryJournal()
    whole = await solved(spec, journal=whole_journal)
    trace = whole_journal.traces["it"]
    for length in range(1, len(trace) + 1):
        journal = MemoryJournal({"it": list(trace[:length])})
        solution = await solver_of(spec, journal=journal).resume("it")
        solution.tree.check()
        assert outcome(solution) == outcome(whole)
        assert journal.traces["it"][:length] == trace[:length]
        assert solution.usage.calls >= whole.usage.calls
        grown = [event.grown for event in journal.traces["it"] if isinstance(event, NodeGrown)]
        assert len({(each.branch_id, each.index) for each in grown}) == len(grown)


@every_strategy
@pytest.mark.parametrize("max_tokens", [1, 3, 7, 12, 20])
async def test_a_larger_budget_goes_on_where_the_smaller_ended(spec: Spec, max_tokens: int) -> None:
    journal, whole = MemoryJournal(), await solved(spec)
    small = await solved(spec, budget=Budget(max_tokens=max_tokens), journal=journal)
    solution = await solver_of(spec, journal=journal).resume("it", extra=Budget(max_tokens=10_000))
    kept = [node.step for node in small.tree.nodes()]
    assert kept == [solution.tree.node(node.id).step for node in small.tree.nodes()]
    finished, all_finished = texts(solution), texts(whole)
    extra = solution.usage.generated_tokens - whole.usage.generated_tokens
    if extra == 0:
        assert (solution.answer, solution.stop) == (whole.answer, whole.stop)
        assert finished == all_finished
    else:  # the smaller budget was ended by completing one path
        assert spec.name in STEPWISE
        # Who chooses where to draw may draw the rest of a wave it cut elsewhere: 3 tokens a step.
        chooses = spec.name in {"mcts", "best_first"}
        redrawn = int(str(spec.options.get("width", 1))) - 1 if chooses else 0
        assert 0 < extra <= 10 + 3 * redrawn
        assert redrawn or Counter(all_finished) <= Counter(finished)


def texts(solution: Solution) -> list[str]:
    return [solution.tree.trajectory(node.id).text for node in solution.tree.finished()]


@every_stepwise
async def test_a_short_budget_still_ends_in_an_answer(spec: Spec) -> None:
    """10 tokens complete every path there is; no search has an answer by then on its own."""
    unchecked = Spec(spec.name, {**spec.options, "verifier": None, "early_stop": False})
    for max_tokens in range(10, 60):
        solution = await solved(unchecked, budget=Budget(max_tokens=max_tokens))
        assert solution.answer is not None


@every_stepwise
async def test_what_is_given_up_is_dropped_once_and_never_grown_again(spec: Spec) -> None:
    dropped = set[NodeId]()
    for event in await trace_of(spec):
        if isinstance(event, WaveAsked):
            assert not dropped & {parent for each in event.grow for parent in each.parents}
            assert not dropped & set(event.drop)
            dropped |= set(event.drop)


class TurnClock:
    """Every wait is one turn of the event loop: all concurrency, no time."""

    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def one_turn(call: Call, index: int) -> float:
    return 1.0


@every_strategy
async def test_a_cancelled_solve_holds_no_budget_and_can_be_resumed(spec: Spec) -> None:
    whole = await solved(spec)
    policy = replace(policy_of(), clock=TurnClock(), delay=one_turn)
    for num_turns in range(200):
        journal, tenant = MemoryJournal(), Ledger(Budget(max_tokens=10_000), name="tenant")
        solver = solver_with(
            policy,
            spec,
            IS_RIGHT,
            HashGuide(),
            journal=journal,
            clock=TurnClock(),
            state_key=same_text,
            controller=controller_of(spec),
        )
        solve = asyncio.create_task(solver.solve(PROBLEM, solve_id="it", parent=tenant))
        if not await cancelled(solve, num_turns):
            break
        assert tenant.num_open == 0
        tenant.check()
        if "it" in journal.traces:
            assert tenant.spent == replay(journal.traces["it"]).usage
            solution = await solver.resume("it", parent=tenant)
            assert outcome(solution) == outcome(whole)
            assert tenant.spent == solution.usage
    else:
        raise AssertionError("200 turns are more than this solve needs")


async def cancelled(solve: "asyncio.Task[Solution]", num_turns: int) -> bool:
    """Cancel after that many turns; False if the solve was over before."""
    for _ in range(num_turns):
        await asyncio.sleep(0)
    if solve.done():
        return False
    solve.cancel()
    with pytest.raises(asyncio.CancelledError):
        await solve
    return True
