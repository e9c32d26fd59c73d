from collections.abc import Sequence

import pytest
from doubles import solver_with
from hypothesis import given
from hypothesis import strategies as st

from mull.core.clock import VirtualClock
from mull.core.errors import BadInputError
from mull.core.events import StopReason
from mull.core.expansion import Expansion, ExpansionKind, Failed, Finish, Grown, Limits
from mull.core.journal import MemoryJournal
from mull.core.problem import Problem
from mull.core.protocols import Policy, Verifier
from mull.core.recorded_search import RecordedSearches, Thought
from mull.core.recording import Record, Recording
from mull.core.score import Verdict
from mull.core.spec import Spec
from mull.core.steps import Step, Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Usage
from mull.policies.replay import ReplayPolicy
from mull.policies.replay_search import ReplaySearchPolicy
from mull.verifiers.recorded import RecordedScores, RecordedValues

QUESTION = "What is 6 * 7?"
PROBLEM = Problem.of(QUESTION)


def sample(answer: str, **facts: object) -> Record:
    return Record(QUESTION, f"it is {answer}", answer, **facts)  # pyright: ignore[reportArgumentType]


def recording(*records: Record) -> Recording:
    return Recording.of("tiny", records, name="my.jsonl")


async def outcomes(
    *records: Record, count: int, max_tokens: int = 100
) -> list[list[Grown | Failed]]:
    """What each of `count` samples comes to."""
    policy = ReplayPolicy(recording(*records))
    tree = SearchTree(PROBLEM, policy.capabilities.model, seed=1)
    expansion = Expansion((tree.root,), ExpansionKind.FINISH, count, limits=Limits(max_tokens))
    branches = tree.ask(expansion)
    found: dict[str, list[Grown | Failed]] = {branch.id: [] for branch in branches}
    async for each in policy.expand([tree.call(branch) for branch in branches]):
        assert isinstance(each, Grown | Failed)
        found[each.branch_id].append(each)
    return list(found.values())


def total(parts: Sequence[Grown | Failed]) -> Usage:
    return sum((each.usage for each in parts), Usage())


async def test_sample_k_is_record_k_at_its_recorded_cost() -> None:
    records = [
        sample(str(k), tokens=k, hidden_tokens=2 * k, prompt_tokens=9, cached_tokens=k, money_usd=k)
        for k in range(5)
    ]
    for k, parts in enumerate(await outcomes(*records, count=5)):
        last = parts[-1]
        assert isinstance(last, Grown)
        assert (last.step.text, last.finish) == (str(k), Finish.STOP)
        assert total(parts) == Usage(9, k, k, 2 * k, money_usd=k)


async def test_running_out_of_samples_is_a_failure_and_never_a_repeat() -> None:
    *_, (failed,) = await outcomes(sample("42"), sample("43"), count=3)
    assert isinstance(failed, Failed)
    assert failed.message == "`my.jsonl` has 2 samples of this problem; number 3 was asked for"
    assert not failed.retryable


async def test_a_recorded_failure_is_a_failure_again_with_what_it_cost() -> None:
    lost = Record(QUESTION, error="refused", tokens=7, prompt_tokens=3)
    ((failed,),) = await outcomes(lost, count=1)
    assert isinstance(failed, Failed)
    assert failed.message == "refused"
    assert failed.usage == Usage(prompt_tokens=3, discarded_tokens=7)


async def test_a_problem_that_was_not_recorded_is_named() -> None:
    solver = solver_with(ReplayPolicy(recording(sample("42"))), Spec("greedy"))
    with pytest.raises(BadInputError, match=r"`my\.jsonl` has no sample of the problem `What is 1"):
        await solver.solve(Problem.of("What is 1 * 1?"))


@given(
    text=st.text(alphabet="ab\n<>"),
    answer=st.none() | st.text(alphabet="ab", max_size=3),
    tokens=st.integers(0, 40),
    hidden=st.integers(0, 40),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
)
async def test_a_sample_grown_in_any_pieces_is_the_recorded_one(
    text: str, answer: str | None, tokens: int, hidden: int, cuts: list[int]
) -> None:
    """Cut wherever a budget falls short, and continued until it ends."""
    record = Record(QUESTION, text, answer, tokens=tokens, hidden_tokens=hidden, prompt_tokens=3)
    policy = ReplayPolicy(recording(record))
    tree = SearchTree(PROBLEM, policy.capabilities.model, seed=1)
    (branch,) = tree.ask(Expansion((tree.root,), ExpansionKind.FINISH, limits=Limits(1000)))
    grown = list[Grown]()
    for number in range(200):
        call = tree.call(branch).cut_to(cuts[number % len(cuts)])
        before = len(grown)
        async for each in policy.expand([call]):
            assert isinstance(each, Grown)
            is_cut = each.finish is Finish.LENGTH
            tree.grow(
                Grown(branch.id, each.index, each.step, each.usage, Finish.CUT) if is_cut else each
            )
            grown.append(each)
        assert total(grown[before:]).generated_tokens <= call.max_tokens
        assert [each.finish is None for each in grown[before:-1]] == [True] * (
            len(grown) - before - 1
        )
        if grown[-1].finish is Finish.STOP:
            break
    assert grown[-1].finish is Finish.STOP
    assert "".join(each.step.text for each in grown) == "".join(s.text for s in record.steps)
    assert total(grown) == Usage(3, 0, tokens, hidden)


async def test_a_limit_below_what_a_sample_took_is_a_failure_that_names_both() -> None:
    ((failed,),) = await outcomes(sample("42", tokens=7, hidden_tokens=3), count=1, max_tokens=9)
    assert isinstance(failed, Failed)
    limit = "more than its limit of 9 (`max_tokens`)"
    assert failed.message == f"`my.jsonl`: this sample took 10 tokens, {limit}"
    assert failed.usage == Usage()


async def test_a_budget_that_falls_short_cuts_a_sample_and_a_larger_one_gives_the_rest() -> None:
    journal = MemoryJournal()
    policy, spec = ReplayPolicy(recording(sample("42", tokens=10))), Spec("greedy")
    solver = solver_with(policy, spec, journal=journal)
    cut = await solver.solve(PROBLEM, budget=Budget(max_tokens=4), solve_id="s")
    assert (cut.answer, cut.stop) == (None, StopReason.BUDGET_TOKENS)
    assert cut.usage.generated_tokens == 4
    whole = await solver.resume("s", extra=Budget(max_tokens=6))
    assert (whole.answer, whole.usage.generated_tokens) == ("42", 10)
    assert whole.trajectory is not None
    assert whole.trajectory.text == "it is 4242"


def test_replay_and_its_scores_fit_their_seams() -> None:
    policy: Policy = ReplayPolicy(recording(sample("42")))
    verifier: Verifier = RecordedScores(recording(sample("42")))
    assert policy.capabilities.model.startswith("replay:tiny@")
    assert verifier.source.verifier == "recorded:my.jsonl"


SCORED = recording(
    sample("41", score=0.2, tokens=3),
    sample("42", score=0.9, tokens=3),
    sample("41", score=0.2, tokens=3),
    Record(QUESTION, error="overloaded", tokens=1),
)


async def test_strategies_run_over_a_recording_unchanged() -> None:
    policy, scores = ReplayPolicy(SCORED), RecordedScores(SCORED)
    name = scores.source.verifier
    best = await solver_with(policy, Spec("best_of_n", {"n": 4, "verifier": name}), scores).solve(
        PROBLEM
    )
    vote = await solver_with(policy, Spec("self_consistency", {"n": 4})).solve(PROBLEM)
    first = await solver_with(policy, Spec("self_consistency", {"n": 1})).solve(PROBLEM)
    assert (best.answer, vote.answer, first.answer) == ("42", "41", "41")
    assert vote.usage.generated_tokens == 10
    assert len(vote.tree.failures) == 1


async def test_recorded_verdicts_stop_a_search_early() -> None:
    checked = recording(
        sample("41", verdict=Verdict.REJECT),
        sample("42", verdict=Verdict.ACCEPT),
        sample("43", verdict=Verdict.REJECT),
    )
    scores = RecordedScores(checked)
    spec = Spec("early_stop", {"n": 3, "verifier": scores.source.verifier})
    solution = await solver_with(ReplayPolicy(checked), spec, scores).solve(PROBLEM)
    assert (solution.answer, solution.stop) == ("42", StopReason.ACCEPTED)
    assert len(solution.tree.branches()) == 2


async def test_equal_words_share_their_mean_score_and_disagree_openly() -> None:
    mixed = recording(
        sample("42", score=0.2, verdict=Verdict.ACCEPT),
        sample("42", score=0.6, verdict=Verdict.REJECT),
        sample("43"),
    )
    scores = RecordedScores(mixed)
    spec = Spec("best_of_n", {"n": 3, "verifier": scores.source.verifier})
    solution = await solver_with(ReplayPolicy(mixed), spec, scores).solve(PROBLEM)
    given = [
        solution.tree.score(node.id, scores.source.verifier) for node in solution.tree.finished()
    ]
    assert [each and round(each.value, 9) for each in given] == [0.4, 0.4, 0.5]
    assert [each and round(each.uncertainty, 9) for each in given] == [0.2, 0.2, 0.5]
    assert [each and each.verdict for each in given] == [Verdict.UNKNOWN] * 3


async def test_a_clock_gives_every_sample_after_its_recorded_seconds() -> None:
    clock = VirtualClock()
    timed = recording(
        sample("41", seconds=30.0), sample("42", seconds=5.0), sample("42", seconds=7)
    )
    policy = ReplayPolicy(timed, clock)
    spec = Spec("self_consistency", {"n": 3})
    whole = await solver_with(policy, spec, clock=clock).solve(PROBLEM)
    assert (whole.answer, whole.usage.seconds) == ("42", 30.0)
    late = await solver_with(policy, spec, clock=clock).solve(
        PROBLEM, budget=Budget(max_seconds=10)
    )
    assert (late.answer, late.stop) == ("42", StopReason.BUDGET_SECONDS)
    assert len(late.tree.finished()) == 2


async def test_money_is_reserved_at_the_dearest_record_and_charged_as_recorded() -> None:
    priced = recording(sample("41", money_usd=0.3), sample("42", money_usd=0.1), sample("42"))
    spec = Spec("self_consistency", {"n": 3})
    solution = await solver_with(ReplayPolicy(priced), spec).solve(
        PROBLEM, budget=Budget(max_money_usd=0.35)
    )
    assert solution.usage.money_usd == 0.3
    assert solution.stop is StopReason.BUDGET_MONEY_USD


SEARCHED = RecordedSearches(
    "tiny",
    "1",
    {
        PROBLEM.messages: {
            "": (Thought("six\n", 0.5), Thought("sixty\n", 0.4), Thought("none\n", 0.9)),
            "six\n": (Thought("42", 0.8, is_final=True),),
            "none\n": (Thought("41", 0.1, is_final=True), Thought("44", 0.3, is_final=True)),
        }
    },
)


@pytest.mark.parametrize(("breadth", "answer"), [(1, "44"), (2, "42")])
async def test_a_recorded_search_is_replayed_with_any_width_up_to_its_own(
    breadth: int, answer: str
) -> None:
    values = RecordedValues(SEARCHED)
    options = {"breadth": breadth, "proposals": 3, "thoughts": "propose", "depth": 2}
    spec = Spec("tot_bfs", {**options, "guide": values.source.verifier})
    solution = await solver_with(ReplaySearchPolicy(SEARCHED), spec, values).solve(PROBLEM)
    assert solution.answer == answer
    grown = [node.step.text for node in solution.tree.nodes() if node.step]
    assert grown[:3] == ["six\n", "sixty\n", "none\n"]
    assert ("42" in grown) is (breadth == 2)


async def test_a_place_nobody_grew_from_has_no_thoughts_and_no_value() -> None:
    policy, values = ReplaySearchPolicy(SEARCHED), RecordedValues(SEARCHED)
    tree = SearchTree(PROBLEM, policy.capabilities.model, seed=1)
    branches = tree.ask(Expansion((tree.root,), ExpansionKind.PROPOSE, 4))
    found = [each async for each in policy.expand([tree.call(each) for each in branches])]
    assert isinstance(found[3], Failed)
    assert found[3].message == "3 thoughts were recorded from this place"
    elsewhere = Trajectory(PROBLEM, (Step("sixty\n"), Step("42")))
    (unknown,) = await values.score([elsewhere])
    assert not unknown.is_opinion
    assert values.quote([elsewhere]) == Usage()
