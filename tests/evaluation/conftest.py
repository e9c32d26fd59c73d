"""A player who knows the rules and nothing else, and small evaluations of it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from mull.build import OpenModel, SearchSettings
from mull.core.codec import decode
from mull.core.expansion import Call
from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Policy
from mull.engine import Dtype
from mull.evaluation import Bench, EvalConfig, ProblemSet, Report, Result, evaluate
from mull.evaluation.evaluate import ModelOpener
from mull.evaluation.graded import record
from mull.evaluation.results import RESULTS
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample
from mull.puzzles import Countdown, puzzle_of
from mull.tasks import Example
from mull.tasks.recorded import RecordedSet
from mull.tasks.walk import random_walk, write_moves
from mull.verifiers import CountdownChecker

Evaluate = Callable[..., Report]

CONFIG = EvalConfig(
    ProblemSet("countdown", suite="game24", count=5),
    models=("player",),
    budgets=(1, 4, 16),
    verifier=CountdownChecker().source.verifier,
)


def legal_derivation(call: Call) -> Reply:
    """A random legal derivation from where the call stands: right now and then."""
    base = call.bases[0]
    puzzle = puzzle_of(base.problem)
    assert isinstance(puzzle, Countdown)
    state = puzzle.state_key([step.text for step in base.steps])
    assert state is not None
    numbers = tuple(map(int, state.split()))
    return Reply(write_moves(random_walk(numbers, Random(call.branch.seed))))


PLAYER = ScriptedPolicy(legal_derivation, arrival_seed=3, flops_per_token=2.0)
"""Arrival order is shuffled, so that nothing may depend on it."""


@pytest.fixture
def player() -> ScriptedPolicy:
    return PLAYER


@pytest.fixture
def config() -> EvalConfig:
    return CONFIG


@pytest.fixture
def run(tmp_path: Path, player: ScriptedPolicy) -> Evaluate:
    """Evaluates a configuration in a directory of that name."""

    def evaluate_in(
        config: EvalConfig,
        name: str = "run",
        policy: Policy = player,
        bank: Path | None = None,
        workers: int = 1,
        **changes: Sequence[str],
    ) -> Report:
        bench = Bench((CountdownChecker(),), opening(policy), workers=workers, bank=bank)
        changed = replace(config, **changes)
        return asyncio.run(evaluate(changed, tmp_path / name, bench=bench))

    return evaluate_in


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[str], list[Result]]:
    """The results that a run has put down, in the order of their lines."""

    def read(name: str) -> list[Result]:
        text = (tmp_path / name / RESULTS).read_text(encoding="utf-8")
        return [decode(Result, json.loads(line)) for line in text.splitlines()]

    return read


def opening(policy: Policy) -> ModelOpener:
    @asynccontextmanager
    async def open_model(name: str, dtype: Dtype, rows: int) -> AsyncGenerator[OpenModel, None]:
        yield OpenModel.own(policy)

    return open_model


@pytest.fixture
async def dozen() -> RecordedSet:
    """Four answers to each of a dozen sums, drawn and graded: the right one and 7, in turn."""
    texts = [f"What is {number} + 1?" for number in range(12)]
    replies = {text: [str(number + 1), "7"] for number, text in enumerate(texts)}
    model = OpenModel.own(ScriptedPolicy(by_sample(replies)))
    examples = [
        Example(Problem.of(text, AnswerKind.INTEGER), str(number + 1), "sums", 0, "test", text)
        for number, text in enumerate(texts)
    ]
    return await record(model, examples, SearchSettings(4))
