"""The comparison of engines: every round is made of what was drawn, and less is refused."""

import json

import pytest

from mull.cli.app import run
from mull.core.errors import MullError, UnknownNameError
from mull.evaluation.speed import (
    WORKLOADS,
    Branching,
    Drawn,
    Ids,
    Limits,
    Speed,
    measure,
    share_of_matrix_rate,
    workload_named,
)


class Counting:
    """Draws 1, 2, 3, ... and takes a second a token."""

    def __init__(self, name: str, *, missing: int = 0, seconds: float = 1.0) -> None:
        self.name = name
        self.missing = missing
        self.seconds = seconds
        self.num_drawn = 0
        self.prompts = list[Ids]()

    def draw(self, work: Branching) -> Drawn:
        self.prompts += work.prompts
        self.num_drawn += work.num_tokens
        ids = tuple(range(1, work.max_tokens + 1 - self.missing))
        return [[ids] * work.samples for _ in work.prompts]

    def cpu_seconds(self) -> float:
        return self.num_drawn * self.seconds

    def close(self) -> None: ...


@pytest.mark.parametrize("name", WORKLOADS)
def test_speed_is_tokens_over_what_the_engine_was_charged(name: str) -> None:
    slow, fast = Counting("slow"), Counting("fast", seconds=0.25)
    speeds = measure(workload_named(name), [slow, fast], repeats=2)
    assert [each.tokens_per_cpu_second for each in speeds] == [(1.0, 1.0), (4.0, 4.0)]
    assert speeds[1].over(speeds[0]) == (4.0, 4.0, 4.0)
    assert slow.prompts == fast.prompts


def test_a_tree_goes_on_from_what_was_drawn() -> None:
    runner = Counting("engine")
    measure(WORKLOADS["tree"], [runner], repeats=1)
    for before, after in zip(runner.prompts, runner.prompts[4:32], strict=False):
        assert after == before + tuple(range(1, 17))
    assert len(runner.prompts) == 2 * 8 * 4


def test_repeats_never_find_their_prompts_read() -> None:
    runner = Counting("engine")
    measure(WORKLOADS["mixed"], [runner], repeats=3)
    assert len({prompt[:16] for prompt in runner.prompts}) == len(runner.prompts)


def test_an_engine_that_draws_too_little_is_refused() -> None:
    with pytest.raises(MullError, match="`lazy` drew"):
        measure(WORKLOADS["one"], [Counting("lazy", missing=1)], repeats=1)


def test_an_unknown_workload_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="best-of-64"):
        workload_named("two")


def test_the_share_of_the_matrix_rate_counts_the_flops_of_the_tokens() -> None:
    speed = Speed("mull", (5_000.0,))
    assert 0.2 < share_of_matrix_rate(speed, Limits(200e9, 1.0)) < 0.4


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_the_command_measures_every_engine_that_is_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["bench", "engine", "--repeats", "1", "--workload", "one", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    [speeds] = document["tokens_per_cpu_second"].values()
    assert {"mull float32", "transformers float32", "llama.cpp f32"} <= speeds.keys()
    assert all(rate > 10 for rates in speeds.values() for rate in rates)
