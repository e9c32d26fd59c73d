"""One test per fault, against fakes of Anthropic's and Gemini's own APIs."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from doubles import calls_for, solver_with
from servers.fake import FakeServer, Handler, Json, hangs, refuses, resets, served, shows, streams
from servers.providers import ANTHROPIC, GEMINI, Provider, provider_server

from mull.build.schemes import open_served, spec_of
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.events import StopReason
from mull.core.expansion import (
    Delta,
    Expansion,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    Sampling,
)
from mull.core.problem import Problem
from mull.core.seeds import derive_seed
from mull.core.spec import Spec
from mull.core.steps import Step
from mull.core.tree import SearchTree
from mull.core.usage import Usage
from mull.policies.openai import ApiKey, Retries, Timeouts
from mull.policies.remote.hosted import HostedPolicy, HostedSettings

QUICK = HostedSettings(Timeouts(silent=0.3), Retries(attempts=3, first_delay=0.001))
ONCE = replace(QUICK, retries=Retries(attempts=1))
PROVIDERS = {"anthropic": ANTHROPIC, "gemini": GEMINI}

pytestmark = pytest.mark.parametrize("name", PROVIDERS)


@asynccontextmanager
async def policy_for(
    name: str, *handlers: Handler, **options: Any
) -> AsyncGenerator[tuple[HostedPolicy, FakeServer], None]:
    provider: Any = PROVIDERS[name]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(served(provider_server(*handlers)))
        address = provider.address(f"{server.url.removesuffix('/v1')}#fake-1")
        opening = provider.open(address, **{"settings": QUICK, **options})
        yield await stack.enter_async_context(opening), server


async def outcomes(name: str, *handlers: Handler, **options: Any) -> list[Grown | Failed]:
    async with policy_for(name, *handlers, **options) as (policy, _):
        stream = policy.expand(calls_for(policy))
        return [each async for each in stream if not isinstance(each, Delta)]


def faults(provider: Provider) -> dict[str, tuple[Handler, str]]:
    return {
        "429": (refuses(429, "slow down"), "answered 429: slow down"),
        "500": (refuses(500, "ouch"), "answered 500: ouch"),
        "529": (refuses(529, "Overloaded"), "answered 529: Overloaded"),
        "html": (shows("<html>Welcome</html>"), "answered text/html, not a JSON object"),
        "json_garbage": (shows('{"type": [', "application/json"), "not a JSON object"),
        "truncated": (provider.breaks("six"), "broke"),
        "no_end": (provider.stops("six"), "broke its answer off in the middle"),
        "error_event": (
            streams([*provider.begins("six"), provider.error("Overloaded")]),
            "says: Overloaded",
        ),
        "nothing": (streams([], says_done=False), "answered without a choice"),
        "empty_turn": (
            streams(provider.ends(0), says_done=False),
            "ended a turn without any content",
        ),
        "hang": (hangs(), "is silent"),
        "hang_midway": (provider.hangs_after("six"), "is silent"),
        "reset": (resets(), "broke off"),
    }


FAULTS = tuple(faults(ANTHROPIC))


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_never_an_answer(name: str, fault: str) -> None:
    handler, message = faults(PROVIDERS[name])[fault]
    (failed,) = await outcomes(name, handler, settings=ONCE)
    assert isinstance(failed, Failed)
    assert message in failed.message
    assert failed.retryable


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_that_passes_costs_one_more_request(name: str, fault: str) -> None:
    handler, _ = faults(PROVIDERS[name])[fault]
    six = PROVIDERS[name].says("six times ", "seven is 42", tokens=6)
    (grown,) = await outcomes(name, handler, six)
    assert isinstance(grown, Grown)
    assert (grown.step.text, grown.finish) == ("six times seven is 42", Finish.STOP)
    streamed = fault in {"truncated", "no_end", "error_event", "hang_midway"}
    assert grown.usage == Usage(
        prompt_tokens=5, visible_tokens=6, discarded_tokens=1 if streamed else 0
    )


async def test_what_no_retry_can_mend_is_not_retried(name: str) -> None:
    async with policy_for(name, refuses(400, "max_tokens: too large")) as (policy, server):
        (failed,) = [each async for each in policy.expand(calls_for(policy))]
        assert len(server.bodies) == 1
    assert isinstance(failed, Failed)
    assert not failed.retryable
    assert "answered 400: max_tokens: too large" in failed.message


async def test_retry_after_is_waited_for(name: str) -> None:
    started = time.monotonic()
    six = PROVIDERS[name].says("42")
    (grown,) = await outcomes(name, refuses(429, Retry_After="0.4"), six)
    assert isinstance(grown, Grown)
    assert time.monotonic() - started >= 0.4


@pytest.mark.parametrize("is_listed", [False, True])
async def test_a_retry_delay_in_the_error_itself_is_waited_for(name: str, is_listed: bool) -> None:
    """As Google spells it, alone or as the only one of a list."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.4s"}
    error = {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [info]}
    text = str([{"error": error}] if is_listed else {"error": error}).replace("'", '"')
    started = time.monotonic()
    exhausted = shows(text, "application/json", 429)
    (grown,) = await outcomes(name, exhausted, PROVIDERS[name].says("42"))
    assert isinstance(grown, Grown)
    assert time.monotonic() - started >= 0.4


async def test_a_limit_ends_an_answer_without_its_turn(name: str) -> None:
    reason = {"anthropic": "max_tokens", "gemini": "MAX_TOKENS"}[name]
    (grown,) = await outcomes(name, PROVIDERS[name].says("six", tokens=50, reason=reason))
    assert isinstance(grown, Grown)
    assert (grown.finish, grown.step.is_final) == (Finish.LENGTH, False)
    assert grown.usage.visible_tokens == 50


async def test_a_refusal_is_a_failure_and_what_it_cost_is_charged(name: str) -> None:
    reason = {"anthropic": "refusal", "gemini": "SAFETY"}[name]
    (failed,) = await outcomes(name, PROVIDERS[name].says("I ", tokens=9, reason=reason))
    assert isinstance(failed, Failed)
    assert {"anthropic": "the model refuses", "gemini": "`SAFETY`"}[name] in failed.message
    assert not failed.retryable
    assert failed.usage == Usage(prompt_tokens=5, discarded_tokens=9)


async def test_samples_are_requests_of_their_own(name: str) -> None:
    async with policy_for(name, PROVIDERS[name].says("42")) as (policy, server):
        solver = solver_with(policy, Spec("self_consistency", {"n": 5}))
        solution = await solver.solve(Problem.of("What is six times seven?"))
        assert len(server.bodies) == 5
    assert (solution.answer, solution.usage.calls) == ("42", 5)


async def test_a_solve_of_faults_ends_without_an_answer(name: str) -> None:
    async with policy_for(name, refuses(500)) as (policy, _):
        solver = solver_with(policy, Spec("self_consistency", {"n": 2}))
        solution = await solver.solve(Problem.of("What is six times seven?"))
    assert (solution.answer, solution.stop) == (None, StopReason.FAILED)


async def test_leaving_closes_the_connections(name: str) -> None:
    async with policy_for(name, PROVIDERS[name].hangs_after("six")) as (policy, server):
        async with aclosing(policy.expand(calls_for(policy, 5))) as stream:
            async for _ in stream:
                if server.num_open == 5:
                    break
        left = time.monotonic()
        while server.num_open:
            assert time.monotonic() - left < 0.5
            await asyncio.sleep(0.005)


async def test_the_key_is_sent_where_the_provider_looks_and_never_shown(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk-very-secret"  # noqa: S105
    leak = refuses(400, f"invalid x-api-key {secret}")
    async with policy_for(name, leak, key=ApiKey(secret)) as (policy, server):
        (failed,) = [each async for each in policy.expand(calls_for(policy))]
        header = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}[name]
        sent = {each.lower(): value for each, value in server.headers[0].items()}
        assert sent[header] == secret
        assert "authorization" not in sent
        assert (name == "gemini") is ("anthropic-version" not in sent)
        shown = f"{failed!r} {policy!r} {policy.grower.client!r} {caplog.text}"
    assert isinstance(failed, Failed)
    assert secret not in shown


async def test_the_scheme_opens_the_model_with_the_key_that_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "sk-gateway")
    async with served(provider_server(PROVIDERS[name].says("42"))) as server:
        place = f"{server.url.removesuffix('/v1')}#fake-1"
        spec = spec_of(name, place, {"key": "GATEWAY_KEY", "attempts": 2, "silent_seconds": 5})
        async with open_served(spec) as policy:
            solver = solver_with(policy, Spec("self_consistency", {"n": 2}))
            solution = await solver.solve(Problem.of("What is six times seven?"))
        sent = {each.lower(): value for each, value in server.headers[0].items()}
    assert (solution.answer, policy.capabilities.model) == ("42", f"{name}:fake-1")
    assert "sk-gateway" in sent.values()
    assert "sk-gateway" not in repr(spec)


@pytest.mark.parametrize("setting", ["in_flight", "attempts", "silent_seconds"])
def test_a_setting_of_nothing_is_refused(name: str, setting: str) -> None:
    with pytest.raises(BadInputError, match=f"`{setting}` is 0"):
        spec_of(name, "some-model", {setting: 0})


async def test_an_unknown_model_is_named_beside_those_that_are_served(name: str) -> None:
    provider: Any = PROVIDERS[name]
    async with served(provider_server(provider.says("42"))) as server:
        address = provider.address(f"{server.url.removesuffix('/v1')}#fake-9")
        with pytest.raises(UnknownNameError, match="`fake-9`; known: fake-1"):
            async with provider.open(address, settings=QUICK):
                pass


async def test_nobody_at_the_address_and_no_model_in_it_are_said(name: str) -> None:
    provider: Any = PROVIDERS[name]
    with pytest.raises(BadInputError, match="nobody can be talked to"):
        async with provider.open(provider.address("http://127.0.0.1:9#m"), settings=QUICK):
            pass
    with pytest.raises(BadInputError, match="names no model"):
        provider.address("http://127.0.0.1:9")
    assert provider.address("some-model").model == "some-model"


async def test_a_refused_key_is_named_by_its_source(name: str) -> None:
    provider: Any = PROVIDERS[name]
    server = provider_server(provider.says("42"))

    def refuse(body: Json) -> Json:
        raise web_error()

    server.extra = dict.fromkeys(server.extra, refuse)
    async with served(server):
        address = provider.address(f"{server.url.removesuffix('/v1')}#fake-1")
        with pytest.raises(BadInputError, match="refuses the key from `MY_KEY`"):
            async with provider.open(address, ApiKey("k", "MY_KEY"), settings=QUICK):
                pass


def web_error() -> Exception:
    return web.HTTPUnauthorized(
        text='{"error": {"message": "invalid key"}}', content_type="application/json"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ExpansionKind.STEP, "offers no `step` expansions"),
        (ExpansionKind.TOKENS, "offers no `tokens` expansions"),
    ],
)
async def test_what_it_cannot_do_is_refused_by_name(
    name: str, kind: ExpansionKind, message: str
) -> None:
    async with policy_for(name, PROVIDERS[name].says("42")) as (policy, server):
        tree = SearchTree(Problem.of("?"), policy.capabilities.model, seed=1)
        calls = [tree.call(each) for each in tree.ask(Expansion((tree.root,), kind))]
        hot = Expansion((tree.root,), ExpansionKind.FINISH, sampling=Sampling(2.5, min_p=0.1))
        calls += [tree.call(each) for each in tree.ask(hot)]
        failed = [each async for each in policy.expand(calls)]
        assert not server.bodies
    assert [message in each.message for each in failed if isinstance(each, Failed)] == [True, False]


async def test_a_turn_that_was_cut_is_not_taken_up(name: str) -> None:
    async with policy_for(name, PROVIDERS[name].says("42")) as (policy, server):
        (call,) = calls_for(policy)
        (failed,) = [each async for each in policy.expand([replace(call, grown=(Step("4"),))])]
        assert not server.bodies
        assert policy.notices == ()
    assert isinstance(failed, Failed)
    assert "cannot continue what is already said" in failed.message


@pytest.mark.parametrize(
    "num_runs", [25, pytest.param(1000, marks=[pytest.mark.full, pytest.mark.timeout(900)])]
)
async def test_with_three_in_ten_calls_failing_six_of_eight_samples_come(
    name: str, num_runs: int
) -> None:
    provider = PROVIDERS[name]
    chances = [handler for fault, (handler, _) in faults(provider).items() if "hang" not in fault]

    def answer(number: int) -> Handler:
        luck = derive_seed(11, number)
        return chances[luck % len(chances)] if (luck >> 20) % 10 < 3 else provider.says("42")

    server = provider_server()
    server.answer = answer
    settings = HostedSettings(retries=Retries(first_delay=0.0005))
    opener: Any = provider
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served(server))
        address = opener.address(f"{server.url.removesuffix('/v1')}#fake-1")
        policy = await stack.enter_async_context(opener.open(address, settings=settings))
        for run in range(num_runs):
            tree = SearchTree(Problem.of(f"({run})"), policy.capabilities.model, seed=run)
            branches = tree.ask(Expansion((tree.root,), ExpansionKind.FINISH, 8))
            stream = policy.expand([tree.call(branch) for branch in branches])
            assert len([each async for each in stream if isinstance(each, Grown)]) >= 6
        assert len(server.bodies) > 1.2 * 8 * num_runs
