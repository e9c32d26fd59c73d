"""Gemini over Google's own API: what is asked, and how its stream is read."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from policies.growing import PROBLEM, REVISE, grow, steps, total
from servers.fake import FakeServer, Handler, Json, served, streams
from servers.providers import candidate, provider_server

from mull.build import choose_model
from mull.core.errors import BadInputError
from mull.core.expansion import Expansion, ExpansionKind, Failed, Finish, Limits, Sampling, Thinking
from mull.core.ledger import Bound
from mull.core.steps import StepKind
from mull.core.tree import SearchTree
from mull.core.usage import Usage
from mull.policies.gemini import (
    GeminiThinking,
    gemini_address,
    gemini_key_variable,
    open_gemini_policy,
)
from mull.policies.remote.hosted import HostedPolicy

AS_IT_DOES = GeminiThinking()
COUNTS = {"promptTokenCount": 25, "cachedContentTokenCount": 20, "totalTokenCount": 115}
THOUGHT = [
    candidate({"text": "six sevens\n", "thought": True}, usage={"promptTokenCount": 25}),
    candidate({"text": "are 42", "thought": True}, usage={"thoughtsTokenCount": 70}),
    candidate({"text": "It is\n"}),
    candidate({"text": "42"}, usage={**COUNTS, "candidatesTokenCount": 20}),
    candidate(
        {"text": "", "thoughtSignature": "SIGNED"},
        reason="STOP",
        usage={**COUNTS, "candidatesTokenCount": 20, "thoughtsTokenCount": 70},
    ),
]


@asynccontextmanager
async def asked(
    *handlers: Handler, thinking: GeminiThinking = AS_IT_DOES
) -> AsyncGenerator[tuple[HostedPolicy, FakeServer, SearchTree], None]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(served(provider_server(*handlers)))
        address = gemini_address(f"{server.url.removesuffix('/v1')}#fake-1")
        policy = await stack.enter_async_context(open_gemini_policy(address, thinking=thinking))
        yield policy, server, SearchTree(PROBLEM, policy.capabilities.model, seed=1)


def stream(*events: Json) -> Handler:
    return streams(events or THOUGHT, says_done=False)


async def test_a_plain_call_says_how_to_draw() -> None:
    async with asked(stream()) as (policy, server, tree):
        await grow(policy, tree, limits=Limits(500))
        await grow(policy, tree, sampling=Sampling(0.5, top_k=7, top_p=0.9))
    first, second = server.bodies
    assert first["contents"] == [{"role": "user", "parts": [{"text": "What is 6 * 7?"}]}]
    assert first["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    config = first["generationConfig"]
    seed = config.pop("seed")
    assert 0 <= seed < 2**31
    assert config == {"maxOutputTokens": 500, "temperature": 1.0, "topP": 1.0}
    config = second["generationConfig"]
    assert (config["temperature"], config["topK"], config["topP"]) == (0.5, 7, 0.9)
    assert config["seed"] != seed


async def test_thoughts_are_apart_and_all_that_is_billed_is_counted() -> None:
    async with asked(stream()) as (policy, _, tree):
        found = await grow(policy, tree)
    assert [(each.step.text, each.step.kind) for each in steps(found)] == [
        ("six sevens\n", StepKind.THOUGHT),
        ("are 42", StepKind.THOUGHT),
        ("It is\n", StepKind.ANSWER),
        ("42", StepKind.ANSWER),
    ]
    assert steps(found)[-1].finish is Finish.STOP
    assert total(found) == Usage(25, 20, visible_tokens=20, hidden_tokens=70)


@pytest.mark.parametrize(
    ("thinking", "config", "off"),
    [
        (
            GeminiThinking(tokens=512),
            {"thinkingBudget": 512, "includeThoughts": True},
            {"thinkingBudget": 0},
        ),
        (
            GeminiThinking(tokens=0),
            {"thinkingBudget": 0, "includeThoughts": False},
            {"thinkingBudget": 0},
        ),
        (
            GeminiThinking(level="low"),
            {"thinkingLevel": "LOW", "includeThoughts": True},
            {"thinkingLevel": "MINIMAL"},
        ),
    ],
)
async def test_thinking_is_asked_for_as_the_model_takes_it(
    thinking: GeminiThinking, config: Json, off: Json
) -> None:
    async with asked(stream(), thinking=thinking) as (policy, server, tree):
        assert policy.capabilities.model == f"gemini:fake-1{thinking.name}"
        assert policy.capabilities.bound is Bound.SOFT
        await grow(policy, tree)
        await grow(policy, tree, thinking=Thinking.OFF)
    assert [each["generationConfig"]["thinkingConfig"] for each in server.bodies] == [config, off]


async def test_a_revision_returns_the_signature_of_the_turn_it_revises() -> None:
    async with asked(stream()) as (policy, server, tree):
        first = steps(await grow(policy, tree))[-1]
        node_id = tree.chain(first.branch_id)[-1].id
        revise = Expansion((node_id,), ExpansionKind.REVISE, feedback="In words, please.")
        await grow(policy, tree, revise)
    said = {"text": "It is\n42", "thoughtSignature": "SIGNED"}
    assert server.bodies[1]["contents"][1:] == [
        {"role": "model", "parts": [said]},
        {"role": "user", "parts": [{"text": REVISE}]},
    ]


async def test_a_blocked_prompt_is_a_failure() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": COUNTS}
    async with asked(stream(blocked)) as (policy, _, tree):
        (failed,) = await grow(policy, tree)
    assert isinstance(failed, Failed)
    assert "the prompt is blocked: `SAFETY`" in failed.message
    assert (failed.retryable, failed.usage) == (False, Usage(25, 20))


async def test_a_temperature_it_does_not_know_is_refused() -> None:
    async with asked(stream()) as (policy, server, tree):
        (failed,) = await grow(policy, tree, sampling=Sampling(2.5))
        assert not server.bodies
    assert isinstance(failed, Failed)
    assert "takes no temperature above 2" in failed.message


def test_wrong_thinking_is_refused_before_anything_is_asked() -> None:
    wrongs: tuple[Any, ...] = ({"tokens": -2}, {"level": "huge"}, {"tokens": 1, "level": "low"})
    for wrong in wrongs:
        with pytest.raises(BadInputError):
            GeminiThinking(**wrong)


def test_a_key_of_google_goes_to_google_alone() -> None:
    assert gemini_key_variable(gemini_address("gemini-2.5-pro")) == "GEMINI_API_KEY"
    elsewhere = gemini_address("http://127.0.0.1:1/v1beta#g")
    assert gemini_key_variable(elsewhere) == "MULL_API_KEY"
    assert elsewhere.at("/v1beta/models/g") == "http://127.0.0.1:1/v1beta/models/g"


def test_the_scheme_takes_a_name_or_an_address() -> None:
    assert choose_model("gemini:gemini-2.5-pro").spec.options["place"] == "gemini-2.5-pro"
    with pytest.raises(BadInputError, match="names no model"):
        choose_model("gemini:http://127.0.0.1:1")
