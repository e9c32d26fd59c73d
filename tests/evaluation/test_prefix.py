"""The largest run holds the smaller ones: what is read off its prefix is what they would give."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from mull.build import OpenModel
from mull.core.expansion import Expansion, ExpansionKind
from mull.core.solution import Solution
from mull.evaluation import EvalConfig, Report, prefix_tree
from mull.evaluation.evaluate import solver_for
from mull.evaluation.results import ArmResult
from mull.policies.scripted import ScriptedPolicy
from mull.verifiers import CountdownChecker

Evaluate = Callable[..., Report]


def solve(config: EvalConfig, strategy: str, n: int, player: ScriptedPolicy) -> Solution:
    arm = next(arm for arm in config.arms("player") if arm.strategy == strategy)
    solver = solver_for(OpenModel.own(player), (CountdownChecker(),), config.spec(arm, n))
    problem = config.problems.examples()[1].problem
    return asyncio.run(solver.solve(problem, seed=5))


@pytest.mark.parametrize("n", [1, 3, 4, 16, 40])
@pytest.mark.parametrize("strategy", ["best_of_n", "self_consistency", "early_stop"])
def test_the_prefix_is_the_tree_of_a_run_of_its_own(
    config: EvalConfig, player: ScriptedPolicy, strategy: str, n: int
) -> None:
    config = replace(config, strategies=(strategy,), width=8)
    large, small = (solve(config, strategy, count, player) for count in (64, n))
    prefix = prefix_tree(large.tree, n)
    prefix.check()
    assert prefix.content() == small.tree.content()


def test_what_grew_from_a_sample_left_out_is_left_out_too(
    config: EvalConfig, player: ScriptedPolicy
) -> None:
    tree = solve(config, "best_of_n", 4, player).tree
    before = prefix_tree(tree, 3).content()
    tree.ask(Expansion((tree.branches()[3].node_id(0),), ExpansionKind.STEP))
    assert prefix_tree(tree, 3).content() == before


@pytest.mark.parametrize("strategy", ["best_of_n", "self_consistency", "early_stop"])
def test_a_curve_read_off_the_largest_n_equals_separate_runs(
    config: EvalConfig, run: Evaluate, lines: Callable[[str], list[ArmResult]], strategy: str
) -> None:
    config = replace(config, strategies=(strategy,), num_seeds=2, width=4)
    run(config, "together")
    for n in config.ns:
        run(config, f"only {n}", ns=(n,))
        alone = {line.key: line.readings for line in lines(f"only {n}")}
        for line in lines("together"):
            if line.key[0].endswith("greedy"):
                continue
            at_n = tuple(reading for reading in line.readings if reading.n == n)
            assert at_n == alone[line.key]


def test_arms_that_share_samples_get_what_they_would_get_alone(
    config: EvalConfig, run: Evaluate, lines: Callable[[str], list[ArmResult]]
) -> None:
    run(config, "shared", strategies=("best_of_n", "self_consistency"))
    run(config, "vote", strategies=("self_consistency",), has_baselines=False)
    run(config, "best", strategies=("best_of_n",), has_baselines=False)
    alone = {line.key: replace(line, seconds=0) for line in (*lines("vote"), *lines("best"))}
    shared = [replace(line, seconds=0) for line in lines("shared") if line.key in alone]
    assert shared == [alone[line.key] for line in shared]
    assert len(shared) == len(alone) == 10


def test_early_stopping_is_charged_for_what_it_drew(
    config: EvalConfig, run: Evaluate, lines: Callable[[str], list[ArmResult]]
) -> None:
    run(config, strategies=("early_stop", "best_of_n"), ns=(64,), width=2)
    by_arm = {line.key[:2]: line for line in lines("run")}
    for line in lines("run"):
        if line.arm.endswith("early_stop") and line.stop == "accepted":
            full = by_arm["player/reasoning/best_of_n", line.problem_id]
            (stopped,), (drawn,) = line.readings, full.readings
            assert line.num_samples < 64
            assert stopped.is_right
            assert drawn.is_right
            ratio = line.num_samples / 64
            assert stopped.generated_tokens == pytest.approx(
                drawn.generated_tokens * ratio, rel=0.2
            )
            break
    else:
        pytest.fail("nothing was accepted early")
