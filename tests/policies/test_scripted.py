from dataclasses import replace

import pytest
from doubles import PROBLEM, grown
from hypothesis import given
from hypothesis import strategies as st

from mull.core.clock import VirtualClock
from mull.core.expansion import (
    Call,
    Delta,
    Expansion,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    Limits,
    Sampling,
)
from mull.core.protocols import Policy
from mull.core.steps import StepKind
from mull.core.tree import SearchTree
from mull.core.usage import Usage
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample, by_seed, tokenize

REPLY = "<think> six\n times seven\n</think> 42"


def calls_of(
    count: int = 1, kind: ExpansionKind = ExpansionKind.FINISH, **asked: object
) -> list[Call]:
    tree = SearchTree(PROBLEM, "scripted@1", seed=0)
    expansion = replace(Expansion((tree.root,), kind, count), **asked)
    return [tree.call(branch) for branch in tree.ask(expansion)]


def says(*replies: Reply | str, **settings: object) -> ScriptedPolicy:
    return replace(ScriptedPolicy(by_sample({PROBLEM.statement: replies})), **settings)


async def test_a_reply_comes_in_lines_thoughts_before_the_answer() -> None:
    policy = says(REPLY)
    fits: Policy = policy
    first, second, last = await grown(policy, calls_of())
    assert fits.capabilities.model == "scripted@1"
    assert [each.step.text for each in (first, second, last)] == [" six\n", " times seven\n", " 42"]
    assert [each.step.kind for each in (first, last)] == [StepKind.THOUGHT, StepKind.ANSWER]
    assert (first.finish, last.finish, last.step.is_final) == (None, Finish.STOP, True)
    assert [len(each.step.token_ids) for each in (first, second, last)] == [3, 3, 3]
    assert first.usage == Usage(prompt_tokens=5, visible_tokens=3)
    assert second.usage == Usage(visible_tokens=3)


async def test_a_reply_without_thoughts_is_all_answer() -> None:
    assert [each.step.kind for each in await grown(says(" 4\n 2"), calls_of())] == [
        StepKind.ANSWER,
        StepKind.ANSWER,
    ]
    (direct,) = await grown(says("<think></think> 42"), calls_of())
    assert (direct.step.text, direct.step.kind) == (" 42", StepKind.ANSWER)


@pytest.mark.parametrize("limit", range(1, 10))
async def test_a_branch_cut_anywhere_goes_on_as_if_it_had_not_been(limit: int) -> None:
    policy = says(REPLY)
    (call,) = calls_of()
    before = await grown(policy, [call.cut_to(limit)])
    drawn = sum(each.usage.visible_tokens for each in before)
    assert drawn == limit
    assert before[-1].finish is (Finish.STOP if limit == 9 else Finish.LENGTH)
    steps = [each.step for each in before]
    if limit < 9:
        rest = replace(call, grown=tuple(steps), drawn=drawn, max_tokens=99)
        after = await grown(policy, [rest])
        assert after[0].index == len(before)
        steps += [each.step for each in after]
    whole = [each.step for each in await grown(policy, [call])]
    assert "".join(step.text for step in steps) == "".join(step.text for step in whole)
    assert [token for step in steps for token in step.token_ids] == [
        token for step in whole for token in step.token_ids
    ]
    assert steps[-1].kind is StepKind.ANSWER


async def test_a_step_expansion_ends_after_its_line_and_the_next_takes_up_the_rest() -> None:
    tree, policy = SearchTree(PROBLEM, "scripted@1", seed=0), says(REPLY)
    parent, texts = tree.root, list[str]()
    for finish in (Finish.STEP, Finish.STEP, Finish.STOP):
        (branch,) = tree.ask(Expansion((parent,), ExpansionKind.STEP))
        (step,) = await grown(policy, [tree.call(branch)])
        assert step.finish is finish
        texts.append(step.step.text)
        parent = tree.grow(step).id
    assert texts == [" six\n", " times seven\n", " 42"]


async def test_a_branch_whose_reply_is_over_has_nothing_more_to_say() -> None:
    (call,) = calls_of()
    (end,) = await grown(says("yes"), [replace(call, drawn=7)])
    assert (end.step.text, end.usage.visible_tokens, end.finish) == ("", 0, Finish.LENGTH)


async def test_limits_hold_to_the_token() -> None:
    (call,) = calls_of(limits=Limits(4))
    outcomes = await grown(says(REPLY), [call])
    assert sum(len(each.step.token_ids) for each in outcomes) == 4
    assert outcomes[-1].finish is Finish.LENGTH


async def test_failures_come_where_the_script_says() -> None:
    policy = says(Reply(REPLY, fails_after=1, failure="power cut"))
    outcomes = [each async for each in policy.expand(calls_of()) if not isinstance(each, Delta)]
    assert [type(each) for each in outcomes] == [Grown, Failed]
    assert isinstance(outcomes[1], Failed)
    assert outcomes[1].message == "power cut"


async def test_streamed_text_adds_up_to_the_step() -> None:
    streamed = [each async for each in says(REPLY).expand(calls_of())]
    for delta, step in zip(streamed[::2], streamed[1::2], strict=True):
        assert isinstance(delta, Delta)
        assert isinstance(step, Grown)
        assert (delta.text, delta.num_tokens) == (step.step.text, step.usage.visible_tokens)


async def test_steps_arrive_when_their_time_has_come() -> None:
    def slower_first(call: Call, index: int) -> float:
        return 3.0 - call.branch.sample

    clock = VirtualClock(time=100.0)
    policy = says("a\nb", clock=clock, delay=slower_first)
    arrivals = list[tuple[float, int, int]]()
    calls = calls_of(2)
    names = {call.branch.id: call.branch.sample for call in calls}
    async for outcome in policy.expand(calls):
        if isinstance(outcome, Grown):
            arrivals.append((clock.now(), names[outcome.branch_id], outcome.index))
    assert arrivals == [(102.0, 1, 0), (103.0, 0, 0), (104.0, 1, 1), (106.0, 0, 1)]


@given(st.integers(0, 2**32))
async def test_any_order_of_arrival_keeps_the_order_within_a_branch(arrival_seed: int) -> None:
    policy = says(REPLY, arrival_seed=arrival_seed)
    calls = calls_of(3)
    seen: dict[str, list[int]] = {call.branch.id: [] for call in calls}
    for each in await grown(policy, calls):
        seen[each.branch_id].append(each.index)
    assert list(seen.values()) == [[0, 1, 2]] * 3


async def test_arrival_seeds_do_change_the_order() -> None:
    async def order(arrival_seed: int | None) -> list[str]:
        return [
            each.branch_id
            for each in await grown(says(REPLY, arrival_seed=arrival_seed), calls_of(3))
        ]

    assert len({tuple(await order(seed)) for seed in (None, 1, 2, 3)}) > 2


async def test_samples_take_turns_and_greedy_takes_the_first() -> None:
    policy = says("a", "b")
    assert [each.step.text for each in await grown(policy, calls_of(3))] == ["a", "b", "a"]
    greedy = calls_of(2, sampling=Sampling(0.0))
    assert [each.step.text for each in await grown(policy, greedy)] == ["a", "a"]


async def test_seeded_replies_follow_the_branch_not_the_batch() -> None:
    policy = ScriptedPolicy(by_seed({PROBLEM.statement: list("abcdefgh")}))
    calls = calls_of(8)
    together = [each.step.text for each in await grown(policy, calls)]
    alone = [each.step.text for call in calls for each in await grown(policy, [call])]
    assert together == alone
    assert len(set(together)) > 2


async def test_costs_follow_the_tokens_and_never_pass_the_quote() -> None:
    policy = says(REPLY, flops_per_token=2.0, usd_per_token=0.5)
    (call,) = calls_of()
    spent = sum((each.usage for each in await grown(policy, [call])), Usage())
    quote = policy.quote(call)
    assert (spent.flops, spent.money_usd) == (18.0, 4.5)
    assert quote.visible_tokens == call.max_tokens >= spent.visible_tokens


async def test_released_nodes_are_remembered() -> None:
    policy = says(REPLY)
    await policy.release([calls_of()[0].branch.node_id(0)])
    assert len(policy.released) == 1


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokenize(text)) == text
