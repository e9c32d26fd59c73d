"""What is replayed from the bank is what a run of its own would have been."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mull.build import OpenModel, StrategyTable
from mull.core.clock import SystemClock
from mull.core.errors import StoreError
from mull.core.expansion import Call, Expansion, ExpansionKind, Finish
from mull.core.problem import Problem
from mull.core.protocols import Ask, Candidate
from mull.core.score import Score, Source
from mull.core.solution import Solution
from mull.core.steps import Step, StepKind
from mull.core.tree import SearchTree
from mull.core.usage import Headroom, Usage
from mull.evaluation import Bank, EvalConfig, Report, Result
from mull.evaluation.bank import Record, Rollout, rollouts_of
from mull.evaluation.reading import spent_by
from mull.evaluation.runner import scores_of, solver_for
from mull.policies.scripted import Reply, ScriptedPolicy
from mull.verifiers import CountdownChecker

Evaluate = Callable[..., Report]
Lines = Callable[[str], list[Result]]

REPLAYED = ["best_of_n", "self_consistency", "early_stop"]


def solve(config: EvalConfig, strategy: str, n: int, player: ScriptedPolicy) -> Solution:
    arm = next(arm for arm in config.arms("player") if arm.strategy == strategy)
    solver = solver_for(OpenModel.own(player), (CountdownChecker(),), config.spec(arm, n))
    problem = config.problems.examples()[1].problem
    return asyncio.run(solver.solve(problem, seed=5))


def recorded(config: EvalConfig, n: int, player: ScriptedPolicy) -> Record:
    """Rollouts drawn by a plain best-of-n, and the checker's word on each."""
    solution = solve(
        replace(config, verifier=None, strategies=("best_of_n",)), "best_of_n", n, player
    )
    tree, checker = solution.tree, CountdownChecker()
    record = Record(tree.problem, tree.model, tree.seed, rollouts_of(tree, 0.0))
    scores = asyncio.run(scores_of(record, checker, SystemClock()))
    untimed = [score and replace(score, usage=Usage()) for score in scores]
    return replace(record, scores={checker.source.verifier: untimed})


@pytest.mark.parametrize("n", [1, 3, 4, 16, 40])
@pytest.mark.parametrize("strategy", REPLAYED)
def test_a_replay_grows_the_tree_of_a_run_of_its_own(
    config: EvalConfig, player: ScriptedPolicy, strategy: str, n: int
) -> None:
    config = replace(config, strategies=(strategy,))
    own = solve(config, strategy, n, player)
    arm = next(arm for arm in config.arms("player") if arm.strategy == strategy)
    replayed, stop = recorded(config, 64, player).replay(StrategyTable()(config.spec(arm, n)))
    replayed.check()
    assert stop is own.stop
    assert [node.id for node in replayed.nodes()] == [node.id for node in own.tree.nodes()]
    for node in own.tree.nodes():
        assert replayed.node(node.id).step == node.step
        assert replayed.scores(node.id) == own.tree.scores(node.id)
    assert spent_by(replayed) == replace(own.usage, seconds=0.0)


@pytest.mark.parametrize("strategy", REPLAYED)
def test_a_curve_replayed_from_one_bank_equals_separate_runs(
    config: EvalConfig, run: Evaluate, lines: Lines, strategy: str
) -> None:
    config = replace(config, strategies=(strategy,), num_seeds=2)
    run(config, "together")
    together = {line.key: line for line in lines("together")}
    for n in config.budgets:
        run(config, f"only {n}", budgets=(n,))
        for line in lines(f"only {n}"):
            assert untimed(together[line.key]) == untimed(line)


def test_a_bank_that_other_evaluations_filled_is_not_drawn_again(
    config: EvalConfig, run: Evaluate, lines: Lines, tmp_path: Path
) -> None:
    def refuse(call: Call) -> Reply:
        raise AssertionError(f"{call.branch.id} was drawn again")

    bank = tmp_path / "bank"
    run(config, "first", bank=bank, has_baselines=False)
    others = ("early_stop", "self_consistency")
    again = replace(config, strategies=others, budgets=(2, 8), has_baselines=False)
    run(again, "second", bank=bank, policy=ScriptedPolicy(refuse))
    run(again, "alone")
    assert set(map(untimed, lines("second"))) == set(map(untimed, lines("alone")))


def test_a_larger_bank_keeps_the_samples_of_a_smaller_one(
    config: EvalConfig, run: Evaluate, lines: Lines, tmp_path: Path
) -> None:
    bank = tmp_path / "bank"
    run(config, "small", bank=bank, has_baselines=False)
    run(config, "large", bank=bank, rollouts=32, has_baselines=False)
    small = {line.key: untimed(line) for line in lines("small")}
    large = {line.key: untimed(line) for line in lines("large")}
    assert small.items() <= large.items()
    assert max(budget for _, budget, _, _ in large) == 32


def test_two_workers_find_what_one_finds(config: EvalConfig, run: Evaluate, lines: Lines) -> None:
    run(config, "one")
    run(config, "two", workers=2)
    assert set(map(untimed, lines("one"))) == set(map(untimed, lines("two")))


def test_early_stopping_is_charged_for_what_it_drew(
    config: EvalConfig, run: Evaluate, lines: Lines
) -> None:
    run(config, strategies=("early_stop", "best_of_n"), budgets=(64,))
    by_key = {line.key: line for line in lines("run")}
    stopped = [
        line for line in lines("run")
        if line.arm.endswith("early_stop") and line.budget == 64 and line.stop == "accepted"
    ]  # fmt: skip
    assert stopped
    for line in stopped:
        full = by_key["player/reasoning/best_of_n", 64, line.problem_id, line.seed]
        assert line.is_right
        assert full.is_right
        assert line.num_answers < 64
        share = line.spent.generated_tokens / full.spent.generated_tokens
        assert share == pytest.approx(line.num_answers / 64, rel=0.3)


def untimed(line: Result) -> Result:
    return replace(line, spent=replace(line.spent, seconds=0.0))


class StepByStep:
    """A strategy that looks at unfinished paths."""

    def ask(self, tree: SearchTree, limit: Headroom) -> Ask:
        first = tree.children(tree.root)
        parent = first[0].id if first else tree.root
        return Ask((Expansion((parent,), ExpansionKind.STEP),))

    def select(self, tree: SearchTree) -> Candidate | None:
        return None


def test_only_whole_answers_that_were_recorded_are_handed_out(
    config: EvalConfig, player: ScriptedPolicy
) -> None:
    record = recorded(config, 4, player)
    with pytest.raises(ValueError, match="was not recorded"):
        record.replay(StepByStep())
    arm = config.arms("player")[0]
    with pytest.raises(ValueError, match=r"sample 4 .* was not recorded"):
        record.replay(StrategyTable()(config.spec(arm, 5)))


# On disk

PROBLEM = Problem.of("What is six times seven?")
ASKED = Expansion((), ExpansionKind.FINISH)
STEPS = st.builds(
    Step,
    st.text(max_size=8),
    st.lists(st.integers(0, 300), max_size=4).map(tuple),
    kind=st.sampled_from(StepKind),
)


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    *first, last = draw(st.lists(STEPS, min_size=1, max_size=4))
    finish = draw(st.sampled_from([Finish.STOP, Finish.LENGTH]))
    last = replace(last, is_final=finish is Finish.STOP)
    usage = Usage(prompt_tokens=draw(st.integers(0, 9)), visible_tokens=3, flops=1.5, seconds=0.25)
    return Rollout((*first, last), finish, usage)


@given(st.lists(rollouts(), min_size=1, max_size=3))
@settings(max_examples=50)
def test_what_is_recorded_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Rollout]
) -> None:
    bank = Bank.under(tmp_path_factory.mktemp("bank"), "m@1", ASKED)
    bank.add(PROBLEM, 3, drawn)
    assert list(bank.record(PROBLEM, 3).rollouts) == drawn
    assert bank.count(PROBLEM, 3) == len(drawn)
    assert bank.count(PROBLEM, 4) == 0


def test_scores_belong_to_one_version_of_a_verifier(tmp_path: Path) -> None:
    bank = Bank.under(tmp_path, "m@1", ASKED)
    old, new = Source("prm", "1"), Source("prm", "2")
    scores = [Score(0.5, old, per_step=(0.25, 0.5)), None]
    bank.judge(PROBLEM, 0, old, scores)
    assert list(bank.judged(PROBLEM, 0, old)) == scores
    assert bank.judged(PROBLEM, 0, new) == ()


def test_banks_of_other_weights_or_other_questions_are_other_folders(tmp_path: Path) -> None:
    short = replace(ASKED, limits=replace(ASKED.limits, max_tokens=9))
    banks = [Bank.under(tmp_path, "a/m@1", ASKED), Bank.under(tmp_path, "a/m@2", ASKED)]
    banks.append(Bank.under(tmp_path, "a/m@1", short))
    assert len({bank.folder for bank in banks}) == 3
    assert all(bank.folder.parent == tmp_path for bank in banks)
    assert Bank.under(tmp_path, "a/m@1", ASKED) == banks[0]


@pytest.mark.parametrize("content", [b"", b"{}", gzip.compress(b"[{}]"), gzip.compress(b"[1")])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    bank = Bank.under(tmp_path, "m@1", ASKED)
    bank.add(PROBLEM, 0, [])
    (path,) = bank.folder.glob("*.gz")
    path.write_bytes(content)
    with pytest.raises(StoreError, match=path.name):
        bank.record(PROBLEM, 0)


def test_a_problem_without_rollouts_is_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Bank.under(tmp_path, "m@1", ASKED).record(PROBLEM, 0)
