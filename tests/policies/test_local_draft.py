"""A local policy with a draft charges both models and stays within its quotes."""

import json
import shutil
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from doubles import PROBLEM, solver_with
from toys import STOP, TOY, write_toy_checkpoint

from mull.core.errors import CheckpointError
from mull.core.expansion import (
    Branch,
    BranchId,
    Call,
    Expansion,
    ExpansionKind,
    Grown,
    Limits,
    NodeId,
    Outcome,
)
from mull.core.spec import Spec
from mull.core.steps import Trajectory
from mull.core.usage import Budget, Usage
from mull.engine import Dtype
from mull.policies.local import LocalPolicy, open_local_policy

pytestmark = pytest.mark.asyncio(loop_scope="module")
WIDTH = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_checkpoint(tmp_path_factory.mktemp("toys") / "toy")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_checkpoint(tmp_path_factory.mktemp("toys") / "other", seed=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def policy(folder: Path, other: Path) -> AsyncGenerator[LocalPolicy, None]:
    async with open_local_policy(folder, dtype=Dtype.FLOAT64, draft=other) as policy:
        yield policy


def call_of(seed: int, max_tokens: int = 40) -> Call:
    expansion = Expansion((NodeId("root"),), ExpansionKind.FINISH, limits=Limits(max_tokens))
    branch = Branch(BranchId(f"branch-{seed}"), expansion, sample=seed, seed=seed)
    return Call(branch, (Trajectory(PROBLEM, ()),), max_tokens=max_tokens)


async def outcomes_of(policy: LocalPolicy, calls: Sequence[Call]) -> list[Outcome]:
    return [outcome async for outcome in policy.expand(calls)]


def spent_by(call: Call, found: list[Outcome]) -> Usage:
    mine = [each for each in found if isinstance(each, Grown) and each.branch_id == call.branch.id]
    assert mine[-1].finish is not None
    return sum((each.usage for each in mine), Usage())


async def test_every_pass_of_both_models_is_charged(folder: Path) -> None:
    """A model that drafts for itself is never refused, so it is known which passes there were."""
    async with open_local_policy(folder, dtype=Dtype.FLOAT64, draft=folder) as itself:
        for seed in range(6):
            call = call_of(seed)
            found = await outcomes_of(itself, [call])
            spent = spent_by(call, found)
            turns = -(-spent.completion_tokens // WIDTH)
            last = spent.prompt_tokens - 1 + turns * WIDTH
            passes = range(spent.cached_tokens, last)
            assert spent.flops == sum(2 * TOY.flops_per_token(place + 1) for place in passes)
            assert spent.discarded_tokens == turns * WIDTH - spent.completion_tokens
        assert (await itself.stats()).acceptance == 1.0


async def test_no_call_spends_more_than_its_quote(policy: LocalPolicy) -> None:
    calls = [call_of(100 + seed, 1 + seed) for seed in range(30)]
    found = await outcomes_of(policy, calls)
    discarded = 0
    for call in calls:
        quote, spent = policy.quote(call), spent_by(call, found)
        assert spent.completion_tokens <= quote.completion_tokens == call.max_tokens
        assert spent.discarded_tokens <= quote.discarded_tokens
        assert spent.flops <= quote.flops
        discarded += spent.discarded_tokens
    assert discarded > 100, "nothing was refused"


async def test_a_budget_counts_refused_guesses_and_is_never_passed(policy: LocalPolicy) -> None:
    for tokens in (30, 100, 400):
        solver = solver_with(policy, Spec("best_of_n", {"n": 8}))
        solution = await solver.solve(PROBLEM, budget=Budget(max_tokens=tokens))
        assert 0 < solution.usage.generated_tokens <= tokens
        assert solution.usage.discarded_tokens > 0


async def test_the_draft_is_part_of_the_models_name(policy: LocalPolicy, folder: Path) -> None:
    async with open_local_policy(folder, dtype=Dtype.FLOAT64) as alone:
        assert alone.draft is None
        assert policy.capabilities.model.startswith(f"{alone.capabilities.model}+other@")


async def test_a_draft_of_another_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    strange = shutil.copytree(folder, tmp_path / "strange")
    content = json.loads((strange / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    first, second = [token for token, number in vocabulary.items() if number != STOP][-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (strange / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match="`strange` cannot draft for `toy`"):
        async with open_local_policy(folder, draft=strange):
            pass
