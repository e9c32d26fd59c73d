"""The same over the engine: a tiny random model, in float64 so that batches change nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from toys import write_toy_checkpoint

from mull.core.errors import BadInputError
from mull.engine import Dtype
from mull.evaluation import Bench, EvalConfig, ProblemSet, Report, Result, evaluate
from mull.evaluation.controls import RandomGuide

Lines = Callable[[str], list[Result]]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_toy_checkpoint(tmp_path / "toy")


def evaluated(config: EvalConfig, path: Path, *, rows: int = 512) -> Report:
    return asyncio.run(evaluate(config, path, bench=Bench(rows=rows)))


def config_of(toy: Path) -> EvalConfig:
    return EvalConfig(
        ProblemSet("letters", level=1, count=3),
        (str(toy),),
        budgets=(2, 5, 8),
        max_tokens=20,
        dtype=Dtype.FLOAT64,
    )


def test_replays_equal_runs_of_their_own_at_any_batch_size(
    toy: Path, tmp_path: Path, lines: Lines
) -> None:
    config = replace(config_of(toy), has_baselines=False)
    evaluated(config, tmp_path / "together")
    evaluated(replace(config, budgets=(5,)), tmp_path / "alone", rows=3)
    together = {line.key: line for line in lines("together")}
    for line in (line for line in lines("alone") if line.key in together):
        # How much of a prompt came from the cache depends on what ran beside it.
        assert unshared(together[line.key]) == unshared(line)
    assert len({line.spent.generated_tokens for line in together.values()}) > 6


def unshared(line: Result) -> Result:
    return replace(line, spent=replace(line.spent, cached_tokens=0, flops=0.0, seconds=0.0))


def test_what_an_arm_costs_does_not_depend_on_which_came_before_it(
    toy: Path, tmp_path: Path, lines: Lines
) -> None:
    arms = ("beam+guide=random", "dvts+guide=random")
    config = replace(
        config_of(toy),
        problems=ProblemSet("countdown", level=4, count=2),
        strategies=arms,
        budgets=(8,),
        has_baselines=False,
        max_tokens=40,
    )
    bench = Bench((RandomGuide(),))
    asyncio.run(evaluate(config, tmp_path / "both", bench=bench))
    asyncio.run(evaluate(replace(config, strategies=arms[1:]), tmp_path / "one", bench=bench))
    both, alone = (
        sum(line.spent.flops for line in lines(name) if "dvts" in line.arm)
        for name in ("both", "one")
    )
    assert both == alone > 0


def test_every_arm_is_charged_tokens_and_flops(toy: Path, tmp_path: Path) -> None:
    report = evaluated(config_of(toy), tmp_path / "run")
    vote, greedy = report.curves
    assert vote.label.endswith("(majority vote)")
    for small, large in zip(vote.points, vote.points[1:], strict=False):
        assert 0 < small.generated_tokens < large.generated_tokens <= large.n * 20
        assert 0 < small.flops < large.flops
    assert greedy.points[0].generated_tokens <= 20
    assert report.sources[str(toy)].startswith("toy@")
    assert report.sources[str(toy)].endswith("float64")


def test_another_numerical_format_is_another_evaluation(toy: Path, tmp_path: Path) -> None:
    config = replace(config_of(toy), has_baselines=False, budgets=(1,))
    evaluated(config, tmp_path / "run")
    with pytest.raises(BadInputError, match="`dtype` is float64 there and float32 here"):
        evaluated(replace(config, dtype=Dtype.FLOAT32), tmp_path / "run")
