"""Claude over Anthropic's API: what is asked, and how its stream is read."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from policies.growing import PROBLEM, REVISE, grow, steps, total
from servers.fake import FakeServer, Handler, Json, served, shows, streams
from servers.providers import block, delta, message_end, message_start, provider_server

from mull.build import choose_model
from mull.core.errors import BadInputError
from mull.core.expansion import (
    Delta,
    Expansion,
    ExpansionKind,
    Failed,
    Finish,
    Limits,
    Sampling,
    Thinking,
)
from mull.core.ledger import Bound
from mull.core.steps import StepKind
from mull.core.tree import SearchTree
from mull.core.usage import Usage
from mull.policies.anthropic import (
    AnthropicThinking,
    anthropic_address,
    anthropic_key_variable,
    open_anthropic_policy,
)
from mull.policies.remote.hosted import HostedPolicy

AS_IT_DOES = AnthropicThinking()
THOUGHT = [
    message_start(cache_read_input_tokens=20, cache_creation_input_tokens=3),
    block(0, "thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="six sevens\n"),
    delta(0, "thinking_delta", thinking="are 42"),
    delta(0, "signature_delta", signature="SIGNED"),
    block(1, "redacted_thinking", data="SECRET"),
    block(2, "text", text=""),
    delta(2, "text_delta", text="It is\n"),
    delta(2, "text_delta", text="42"),
    *message_end(90, output_tokens_details={"thinking_tokens": 70}),
]


@asynccontextmanager
async def asked(
    *handlers: Handler, thinking: AnthropicThinking = AS_IT_DOES
) -> AsyncGenerator[tuple[HostedPolicy, FakeServer, SearchTree], None]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(served(provider_server(*handlers)))
        address = anthropic_address(f"{server.url}#fake-1")
        policy = await stack.enter_async_context(open_anthropic_policy(address, thinking=thinking))
        yield policy, server, SearchTree(PROBLEM, policy.capabilities.model, seed=1)


async def test_a_plain_call_says_only_what_differs_from_the_default() -> None:
    async with asked(streams(THOUGHT)) as (policy, server, tree):
        await grow(policy, tree, limits=Limits(500))
        await grow(policy, tree, limits=Limits(500), sampling=Sampling(0.0, top_k=5, top_p=0.9))
    assert server.bodies[0] == {
        "model": "fake-1",
        "max_tokens": 500,
        "stream": True,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "What is 6 * 7?"}],
    }
    sampled = {name: server.bodies[1][name] for name in ("temperature", "top_p", "top_k")}
    assert sampled == {"temperature": 0.0, "top_p": 0.9, "top_k": 5}


async def test_thoughts_are_thoughts_and_counted_as_the_server_says() -> None:
    async with asked(streams(THOUGHT)) as (policy, _, tree):
        found = await grow(policy, tree)
    assert [(each.step.text, each.step.kind) for each in steps(found)] == [
        ("six sevens\n", StepKind.THOUGHT),
        ("are 42", StepKind.THOUGHT),
        ("It is\n", StepKind.ANSWER),
        ("42", StepKind.ANSWER),
    ]
    assert steps(found)[-1].finish is Finish.STOP
    counted = Usage(28, 20, visible_tokens=20, hidden_tokens=70, written_tokens=3)
    assert total(found) == counted
    shown = "".join(each.text for each in found if isinstance(each, Delta))
    assert shown == "six sevens\nare 42It is\n42"


async def test_thoughts_that_are_not_shown_are_hidden_tokens_all_the_same() -> None:
    unseen = [each for each in THOUGHT if each.get("delta", {}).get("type") != "thinking_delta"]
    async with asked(streams(unseen)) as (policy, _, tree):
        found = await grow(policy, tree)
    counted = Usage(28, 20, visible_tokens=20, hidden_tokens=70, written_tokens=3)
    assert total(found) == counted


async def test_a_message_that_is_not_streamed_is_read_all_the_same() -> None:
    text = (
        '{"type": "message", "stop_reason": "end_turn", "content": ['
        '{"type": "thinking", "thinking": "six sevens", "signature": "S"},'
        '{"type": "text", "text": "42"}], "usage": {"input_tokens": 5, "output_tokens": 9}}'
    )
    async with asked(shows(text, "application/json")) as (policy, _, tree):
        found = await grow(policy, tree)
    assert [each.step.text for each in steps(found)] == ["six sevens", "42"]
    assert total(found).generated_tokens == 9


@pytest.mark.parametrize(
    ("thinking", "fields"),
    [
        (
            AnthropicThinking(tokens=2048),
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        (
            AnthropicThinking(tokens=9000),
            {"thinking": {"type": "enabled", "budget_tokens": 3999}},
        ),
        (
            AnthropicThinking(effort="high"),
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "high"},
            },
        ),
    ],
)
async def test_thinking_is_asked_for_as_the_model_takes_it(
    thinking: AnthropicThinking, fields: Json
) -> None:
    async with asked(streams(THOUGHT), thinking=thinking) as (policy, server, tree):
        assert policy.capabilities.model == f"anthropic:fake-1{thinking.name}"
        assert policy.capabilities.bound is Bound.HARD
        await grow(policy, tree, limits=Limits(4000))
        await grow(policy, tree, limits=Limits(4000), thinking=Thinking.OFF)
    asked_for, off = server.bodies
    assert {name: asked_for[name] for name in fields} == fields
    assert "temperature" not in asked_for
    assert (off["thinking"], "output_config" in off) == ({"type": "disabled"}, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": Sampling(0.0)}, "draws its thoughts at temperature 1"),
        ({"sampling": Sampling(1.0, top_k=3)}, "draws its thoughts at temperature 1"),
        ({"sampling": Sampling(1.5)}, "takes no temperature above 1"),
        ({"sampling": Sampling(1.0, min_p=0.1)}, "knows no `min_p`"),
        ({"limits": Limits(1024)}, "needs more than 1024 tokens"),
    ],
)
async def test_what_thinking_does_not_allow_is_refused_by_name(
    options: dict[str, Any], message: str
) -> None:
    options = dict(options)
    budget = AnthropicThinking(tokens=2048)
    async with asked(streams(THOUGHT), thinking=budget) as (policy, server, tree):
        limits = options.pop("limits", Limits(4000))
        (failed,) = await grow(policy, tree, limits=limits, **options)
        assert not server.bodies
    assert isinstance(failed, Failed)
    assert message in failed.message


async def test_a_revision_shows_the_signed_thoughts_of_the_turn_it_revises() -> None:
    async with asked(streams(THOUGHT)) as (policy, server, tree):
        first = steps(await grow(policy, tree))[-1]
        node_id = tree.chain(first.branch_id)[-1].id
        revise = Expansion((node_id,), ExpansionKind.REVISE, feedback="In words, please.")
        second = steps(await grow(policy, tree, revise))[-1]
        await policy.release([node_id])
        await grow(policy, tree, revise)
    assert server.bodies[1]["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "six sevens\nare 42", "signature": "SIGNED"},
                {"type": "redacted_thinking", "data": "SECRET"},
                {"type": "text", "text": "It is\n42"},
            ],
        },
        {"role": "user", "content": REVISE},
    ]
    # What was released is gone, and the answer is shown without its thoughts.
    assert server.bodies[2]["messages"][1] == {"role": "assistant", "content": "It is\n42"}
    revised = tree.trajectory(tree.chain(second.branch_id)[-1].id)
    assert revised.answer_text == "It is\n42"
    assert len(revised.steps) == 8


async def test_only_an_answer_that_has_ended_can_be_revised() -> None:
    cut = [*THOUGHT[:-3], *message_end(90, reason="max_tokens")]
    async with asked(streams(cut)) as (policy, _, tree):
        last = steps(await grow(policy, tree))[-1]
        node_id = tree.chain(last.branch_id)[-1].id
        (revise,) = await grow(policy, tree, Expansion((node_id,), ExpansionKind.REVISE))
        (finish,) = await grow(policy, tree, Expansion((node_id,), ExpansionKind.FINISH))
    assert isinstance(revise, Failed)
    assert "can revise only an answer that has ended" in revise.message
    assert isinstance(finish, Failed)
    assert "answers from the beginning only" in finish.message


def test_wrong_thinking_is_refused_before_anything_is_asked() -> None:
    for wrong in ({"tokens": 100}, {"effort": "huge"}, {"tokens": 2048, "effort": "low"}):
        with pytest.raises(BadInputError):
            AnthropicThinking(**wrong)  # pyright: ignore[reportArgumentType]


def test_a_key_of_anthropic_goes_to_anthropic_alone() -> None:
    assert anthropic_key_variable(anthropic_address("claude")) == "ANTHROPIC_API_KEY"
    elsewhere = anthropic_address("http://127.0.0.1:1#claude")
    assert anthropic_key_variable(elsewhere) == "MULL_API_KEY"
    assert elsewhere.at("/v1/messages") == "http://127.0.0.1:1/v1/messages"
    assert anthropic_address("claude").at("/v1/messages") == "https://api.anthropic.com/v1/messages"


def test_the_scheme_takes_a_name_or_an_address() -> None:
    assert choose_model("anthropic:claude").spec.options["place"] == "claude"
    assert choose_model("anthropic:http://127.0.0.1:1#claude").spec.name == "anthropic"
    with pytest.raises(BadInputError, match="names no model"):
        choose_model("anthropic:http://127.0.0.1:1")
