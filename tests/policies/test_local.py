"""The local policy keeps the contract of `Policy`; in float64, so that samples are exact."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from doubles import PROBLEM, solver_with
from toys import NEWLINE, STOP, TOKENIZER, TOY, write_toy_checkpoint

from mull.core.errors import BadInputError, CheckpointError, PolicyError
from mull.core.expansion import (
    Branch,
    BranchId,
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
    Sampling,
    Thinking,
)
from mull.core.protocols import Policy
from mull.core.solution import Solution
from mull.core.spec import Spec
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Budget, Usage
from mull.engine import Dtype
from mull.models.tokenizer import END_THINK, THINK
from mull.policies.local import LocalPolicy, open_local_policy
from mull.policies.scheduling import CallQueue, Scheduled, Scheduler, Ticket

pytestmark = pytest.mark.asyncio(loop_scope="module")
END_THINK_ID = TOKENIZER.token_id(END_THINK)
THINK_ID = TOKENIZER.token_id(THINK)
COOL = Sampling(temperature=0.8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_checkpoint(tmp_path_factory.mktemp("toys") / "toy")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def policy(folder: Path) -> AsyncGenerator[LocalPolicy, None]:
    async with open_local_policy(folder, dtype=Dtype.FLOAT64, max_rows=8) as policy:
        yield policy


@pytest.fixture
def streaming(policy: LocalPolicy) -> LocalPolicy:
    return replace(policy, streams=True)


def call_of(
    seed: int,
    kind: ExpansionKind = ExpansionKind.FINISH,
    *,
    max_tokens: int = 40,
    base: Sequence[Step] = (),
    thinking: Thinking = Thinking.AUTO,
    sampling: Sampling | None = None,
) -> Call:
    expansion = Expansion(
        (NodeId("root"),),
        kind,
        limits=Limits(max_tokens),
        thinking=thinking,
        sampling=sampling or Sampling(),
    )
    branch = Branch(BranchId(f"branch-{seed}-{kind}"), expansion, sample=seed, seed=seed)
    return Call(branch, (Trajectory(PROBLEM, tuple(base)),), max_tokens=max_tokens)


async def outcomes_of(policy: Policy, calls: Iterable[Call]) -> list[Outcome]:
    return [outcome async for outcome in policy.expand(list(calls))]


async def grow(policy: Policy, calls: Iterable[Call]) -> dict[BranchId, list[Grown]]:
    """Every call's steps, in the order of the calls."""
    calls = list(calls)
    grown = {call.branch.id: list[Grown]() for call in calls}
    for outcome in await outcomes_of(policy, calls):
        if not isinstance(outcome, Delta):
            assert isinstance(outcome, Grown), outcome
            grown[outcome.branch_id].append(outcome)
    return grown


async def grow_one(policy: Policy, call: Call) -> list[Grown]:
    [steps] = (await grow(policy, [call])).values()
    return steps


def ids(steps: Iterable[Grown]) -> list[int]:
    return [token for grown in steps for token in grown.step.token_ids]


async def test_it_is_a_policy(policy: LocalPolicy) -> None:
    fits: Policy = policy
    kinds = {ExpansionKind.STEP, ExpansionKind.TOKENS, ExpansionKind.FINISH}
    assert fits.capabilities.kinds == kinds


async def test_a_turn_is_a_chain_of_steps_that_end_where_lines_do(policy: LocalPolicy) -> None:
    for branch_id, steps in (await grow(policy, map(call_of, range(40)))).items():
        assert [grown.index for grown in steps] == list(range(len(steps)))
        assert all(grown.branch_id == branch_id for grown in steps)
        assert all(grown.finish is None for grown in steps[:-1])
        last = steps[-1]
        assert last.finish is (Finish.STOP if last.step.is_final else Finish.LENGTH)
        assert last.step.is_final == (ids(steps)[-1] == STOP)
        for grown in steps:
            step = grown.step
            assert len(step.logprobs) == len(step.token_ids)
            assert step.text == TOKENIZER.decode_plain(step.token_ids)
            if grown.finish is None:
                assert step.token_ids[-1] in {NEWLINE, END_THINK_ID}
            assert NEWLINE not in step.token_ids[:-1]


async def test_thoughts_are_what_lies_between_the_think_marks(policy: LocalPolicy) -> None:
    kinds = set[StepKind]()
    for steps in (await grow(policy, map(call_of, range(60)))).values():
        thinks = False
        for grown in steps:
            tokens = grown.step.token_ids
            thought = (thinks or THINK_ID in tokens) and tokens[0] != END_THINK_ID
            assert grown.step.kind is (StepKind.THOUGHT if thought else StepKind.ANSWER)
            hidden, visible = grown.usage.hidden_tokens, grown.usage.visible_tokens
            assert (hidden, visible) == ((len(tokens), 0) if thought else (0, len(tokens)))
            kinds.add(grown.step.kind)
            for token in tokens:
                thinks = token == THINK_ID or (thinks and token != END_THINK_ID)
    assert kinds == set(StepKind), "the toy never thinks, or never stops thinking"


async def test_a_step_ends_after_one_line(policy: LocalPolicy) -> None:
    calls = [call_of(seed, ExpansionKind.STEP) for seed in range(30)]
    whole = await grow(policy, [call_of(seed) for seed in range(30)])
    finishes = set[Finish | None]()
    for steps in (await grow(policy, calls)).values():
        [only] = steps
        finishes.add(only.finish)
    assert finishes == {Finish.STEP, Finish.STOP}
    first_lines = {tuple(ids(steps[:1])) for steps in whole.values()}
    one_lines = {tuple(ids(steps)) for steps in (await grow(policy, calls)).values()}
    assert one_lines == first_lines


async def test_tokens_end_at_their_count_or_with_the_turn(policy: LocalPolicy) -> None:
    calls = [call_of(seed, ExpansionKind.TOKENS, max_tokens=5) for seed in range(20)]
    ends = set[Finish | None]()
    for steps in (await grow(policy, calls)).values():
        ends.add(steps[-1].finish)
        if steps[-1].finish is Finish.LENGTH:
            assert len(ids(steps)) == 5
        else:
            assert len(ids(steps)) <= 5
            assert steps[-1].finish is Finish.STOP
    assert ends == {Finish.LENGTH, Finish.STOP}


async def test_a_cut_branch_continues_with_the_same_draws(policy: LocalPolicy) -> None:
    for seed in range(4):
        whole = await grow_one(policy, call_of(seed, max_tokens=30))
        drawn = len(ids(whole))
        for cut in range(1, drawn, 3):
            call = call_of(seed, max_tokens=30)
            first = await grow_one(policy, call.cut_to(cut))
            assert len(ids(first)) == cut
            assert first[-1].finish is Finish.LENGTH
            rest = replace(
                call, grown=tuple(each.step for each in first), drawn=cut, max_tokens=30 - cut
            )
            second = await grow_one(policy, rest)
            assert ids(first) + ids(second) == ids(whole)
            assert second[0].index == len(first)
            assert second[-1].finish is whole[-1].finish
            # A cut splits a line in two, which changes neither its text nor what it is.
            text = "".join(each.step.text for each in [*first, *second])
            assert text == "".join(each.step.text for each in whole)


async def test_samples_depend_on_neither_company_nor_order(policy: LocalPolicy) -> None:
    calls = [call_of(seed) for seed in range(12)]
    together = await grow(policy, calls)
    reversed_ = await grow(policy, reversed(calls))
    halves = await asyncio.gather(grow(policy, calls[::2]), grow(policy, calls[1::2]))
    apart = {**halves[0], **halves[1]}
    for call in calls:
        expected = [(each.index, each.step, each.finish) for each in together[call.branch.id]]
        for other in (reversed_, apart):
            same = [(each.index, each.step, each.finish) for each in other[call.branch.id]]
            assert same == expected


async def test_the_direct_form_is_asked_for_with_a_closed_think_block(policy: LocalPolicy) -> None:
    usual = await grow_one(policy, call_of(1))
    direct = await grow_one(policy, call_of(1, thinking=Thinking.OFF))
    assert direct[0].usage.prompt_tokens == usual[0].usage.prompt_tokens + 2


async def test_growing_from_a_node_continues_its_trajectory(policy: LocalPolicy) -> None:
    turns = await grow(policy, [call_of(seed, sampling=COOL) for seed in range(30)])
    seed, whole = next(each for each in enumerate(turns.values()) if len(each[1]) > 2)
    base = [whole[0].step]
    call = call_of(seed, base=base, sampling=COOL, max_tokens=40)
    call = replace(call, drawn=len(base[0].token_ids))
    continued = await grow_one(policy, call)
    assert [each.step for each in continued][:2] == [each.step for each in whole[1:3]]
    assert continued[0].index == 0
    prompt = whole[0].usage.prompt_tokens
    assert continued[0].usage.prompt_tokens == prompt + len(base[0].token_ids)


async def test_a_shared_prompt_is_paid_for_once(policy: LocalPolicy) -> None:
    grown = await grow(policy, map(call_of, range(12)))
    firsts = [steps[0].usage for steps in grown.values()]
    later = [each.usage for steps in grown.values() for each in steps[1:]]
    prompt = firsts[0].prompt_tokens
    assert prompt > 5
    assert {usage.prompt_tokens for usage in firsts} == {prompt}
    # Everybody passes over the last token of the prompt, to draw what follows it. An earlier call
    # may have read the rest, or most of it.
    cached = sorted(usage.cached_tokens for usage in firsts)
    assert 0 <= cached[0] < prompt
    assert cached[1:] == [prompt - 1] * 11
    assert not any(usage.prompt_tokens or usage.cached_tokens for usage in later)


async def test_flops_are_those_of_the_passes_made(policy: LocalPolicy) -> None:
    grown = await grow(policy, map(call_of, range(5)))
    per_token = TOY.flops_per_token
    for steps in grown.values():
        prompt, total = steps[0].usage.prompt_tokens, sum(each.usage.flops for each in steps)
        read = range(steps[0].usage.cached_tokens, prompt)
        passes = [*read, *range(prompt, prompt + len(ids(steps)) - 1)]
        assert total == sum(per_token(position + 1) for position in passes)
        assert all(each.usage.kv_byte_seconds > 0 for each in steps)


async def test_no_call_spends_more_than_its_quote(policy: LocalPolicy) -> None:
    calls = [call_of(seed, max_tokens=1 + seed) for seed in range(30)]
    grown = await grow(policy, calls)
    for call in calls:
        quote = policy.quote(call)
        spent = sum((each.usage for each in grown[call.branch.id]), start=Usage())
        assert quote.calls == 1
        assert spent.generated_tokens <= quote.generated_tokens == call.max_tokens
        assert spent.flops <= quote.flops
        assert spent.prompt_tokens == quote.prompt_tokens
        assert spent.seconds == 0


async def test_what_it_drew_is_as_probable_when_it_is_given(policy: LocalPolicy) -> None:
    grown = await grow(policy, [call_of(7), call_of(8)])
    paths = [Trajectory(PROBLEM, tuple(each.step for each in steps)) for steps in grown.values()]
    told = await policy.logprobs(paths)
    for path, logprobs in zip(paths, told, strict=True):
        own = [each for step in path.steps for each in step.logprobs]
        assert logprobs == pytest.approx(own, abs=2e-6)
    with pytest.raises(BadInputError):
        await policy.logprobs([Trajectory(PROBLEM, ())])


async def test_the_window_bounds_quote_and_growth(policy: LocalPolicy) -> None:
    base = Step(" 1" * 100, tuple(TOKENIZER.encode(" 1" * 100)))
    call = call_of(0, base=[base], max_tokens=500, sampling=Sampling(temperature=0.3))
    room = policy.quote(call).generated_tokens
    assert 0 < room < 28
    steps = await grow_one(policy, call)
    assert len(ids(steps)) <= room
    full = Step(" 1" * 130, tuple(TOKENIZER.encode(" 1" * 130)))
    call = call_of(0, base=[full])
    [failed] = await outcomes_of(policy, [call])
    assert isinstance(failed, Failed)
    assert "window of 128" in failed.message
    assert policy.quote(call).generated_tokens == 0


async def test_what_cannot_grow_fails_alone(policy: LocalPolicy) -> None:
    over = Step(" 1", (STOP,), is_final=True)
    calls = [
        call_of(0, ExpansionKind.REVISE),
        call_of(1),
        call_of(2, base=[over]),
        call_of(3, max_tokens=0),
    ]
    ends = {
        outcome.branch_id: outcome
        for outcome in await outcomes_of(policy, calls)
        if isinstance(outcome, Failed) or (isinstance(outcome, Grown) and outcome.finish)
    }
    refused, fine, ended, empty = (ends[call.branch.id] for call in calls)
    assert isinstance(refused, Failed)
    assert "cannot grow by `revise`" in refused.message
    assert isinstance(fine, Grown)
    assert isinstance(ended, Failed)
    assert "the turn has ended" in ended.message
    assert isinstance(empty, Grown)
    assert (empty.finish, empty.step.token_ids, empty.usage) == (Finish.LENGTH, (), Usage())


async def test_streams_each_token_before_its_step(
    policy: LocalPolicy, streaming: LocalPolicy
) -> None:
    call = call_of(5)
    expected = await grow_one(policy, call)
    text, num_tokens, steps = "", 0, list[Step]()
    for outcome in await outcomes_of(streaming, [call]):
        if isinstance(outcome, Delta):
            text, num_tokens = text + outcome.text, num_tokens + outcome.num_tokens
            assert outcome.num_tokens == 1
        else:
            assert isinstance(outcome, Grown)
            assert text == outcome.step.text
            assert num_tokens == len(outcome.step.token_ids)
            text, num_tokens = "", 0
            steps.append(outcome.step)
    assert steps == [each.step for each in expected]
    assert not any(isinstance(each, Delta) for each in await outcomes_of(policy, [call]))


async def test_closing_the_stream_leaves_the_policy_fit(policy: LocalPolicy) -> None:
    expected = await grow_one(policy, call_of(3))
    async with aclosing(policy.expand([call_of(seed) for seed in range(100)])) as outcomes:
        await anext(outcomes)
    assert [each.step for each in await grow_one(policy, call_of(3))] == [
        each.step for each in expected
    ]
    await policy.release([NodeId("anything")])


async def test_a_solve_is_the_same_however_often_its_budget_cuts_it(policy: LocalPolicy) -> None:
    strategy = Spec("best_of_n", {"n": 4, "max_tokens": 30})
    solver = solver_with(policy, strategy)
    whole = await solver.solve(PROBLEM, seed=7)
    short = solver_with(policy, strategy)
    solution = await short.solve(PROBLEM, seed=7, budget=Budget(max_tokens=11))
    while solution.stop.is_budget:
        solution = await short.resume(solution.solve_id, extra=Budget(max_tokens=11))
    assert solution.answer == whole.answer
    finished, cut = (
        [tree.trajectory(node.id).token_ids for node in tree.finished()]
        for tree in (whole.tree, solution.tree)
    )
    assert cut == finished


async def test_a_call_that_gave_way_says_what_it_would_have_said(streaming: LocalPolicy) -> None:
    """One slot, a solve of long answers and others of short ones."""
    pauses = list[Ticket]()

    class Watched(Scheduler):
        def pause(self, ticket: Ticket) -> None:
            pauses.append(ticket)
            Scheduler.pause(self, ticket)

    scheduler, long = Watched(CallQueue(1)), Spec("best_of_n", {"n": 3, "max_tokens": 120})
    short = Spec("best_of_n", {"n": 1, "max_tokens": 8})

    async def solved(strategy: Spec, seed: int, policy: Policy) -> Solution:
        return await solver_with(policy, strategy).solve(PROBLEM, seed=seed)

    def view() -> Scheduled:
        return Scheduled(streaming, scheduler, scheduler.queue.program("a"))

    shared, *_ = await asyncio.gather(
        solved(long, 7, view()), *(solved(short, seed, view()) for seed in range(12))
    )
    alone = await solved(long, 7, streaming)
    assert pauses
    grown, expected = (
        [(node.id, node.step, node.finish) for node in solution.tree.nodes()]
        for solution in (shared, alone)
    )
    assert grown == expected
    scheduler.queue.check()


async def test_the_model_is_named_by_content_and_format(folder: Path, tmp_path: Path) -> None:
    async with open_local_policy(folder) as first:
        name = first.capabilities.model
    assert name.startswith("toy@")
    assert name.endswith(":float32")
    other = write_toy_checkpoint(tmp_path / "other", seed=1)
    async with open_local_policy(other, name="toy", dtype=Dtype.BFLOAT16) as second:
        assert second.capabilities.model.startswith("toy@")
        assert second.capabilities.model.split(":")[0] != name.split(":")[0]
        assert second.capabilities.model.endswith(":bfloat16")
        steps = await grow_one(second, call_of(0))
        assert steps[-1].finish is not None


async def test_a_dead_engine_is_a_policy_error(folder: Path) -> None:
    async with open_local_policy(folder, max_rows=1) as policy:
        calls = [call_of(seed, max_tokens=100) for seed in range(300)]
        growing = asyncio.create_task(outcomes_of(policy, calls))
        await asyncio.sleep(0.05)
        os.kill(policy.engine.worker_id, signal.SIGKILL)
        async with asyncio.timeout(30):
            with pytest.raises(PolicyError, match=r"toy@.*exit code -9") as caught:
                await growing
        assert not caught.value.retryable


async def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        async with open_local_policy(tmp_path / "nowhere"):
            pass
    folder = write_toy_checkpoint(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        async with open_local_policy(folder):
            pass
    weights.unlink()
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        async with open_local_policy(folder):
            pass
    weights.mkdir()
    with pytest.raises(CheckpointError, match=r"cannot read .*safetensors"):
        async with open_local_policy(folder):
            pass
