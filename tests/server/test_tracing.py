"""Spans: a collector is sent what solves and calls of a real server were, and no text of them."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import aiohttp
import openai
import pytest
from server.serving import GAME, RIGHT, SUM, WRONG, before, scripted, serving
from servers.fake import fake_server, refuses, says
from servers.mull import mull_server

from mull.build import OpenModel
from mull.build.telemetry import Telemetry
from mull.core.errors import PolicyError
from mull.core.expansion import Call, Outcome
from mull.core.protocols import Policy, Verifier
from mull.core.score import Score
from mull.core.spec import Spec
from mull.core.steps import Trajectory
from mull.policies.scripted import Reply

pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")

from doubles import PredicateVerifier, calls_for
from servers.collector import Collector, collector, told_by

from mull.server.tracing import SolveSpan, TracedPolicy, TracedVerifier, Tracing

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KEY = "sk-that-nobody-may-see"


@asynccontextmanager
async def tracing(found: Collector) -> AsyncGenerator[Tracing, None]:
    """What sends to it; everything is there when the block ends."""
    made = Tracing.to(Telemetry(f"{found.url}/v1/traces", "tested"))
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("slots", [None, 2], ids=["no queue", "queue"])
async def test_a_solve_is_a_span_in_its_callers_trace_with_its_calls_below_it(
    slots: int | None,
) -> None:
    policy = scripted({GAME: [WRONG, RIGHT, Reply(WRONG, fails_after=0)]})
    async with collector() as found:
        async with tracing(found) as made, serving(policy, slots=slots) as served:
            served.gateway.solves.tracing = made
            async with served.client(KEY) as client:
                await client.chat.completions.create(
                    model="bon-3-toy",
                    messages=[{"role": "user", "content": GAME}],
                    extra_headers={"traceparent": f"00-{TRACE}-{CALLER}-01"},
                    max_tokens=30,
                )
        (solve,) = found.named("invoke_agent best_of_n")
        calls = found.named("chat toy")
        (checked,) = found.named("execute_tool countdown-checker")
    assert found.services == {"tested"}
    assert len(found.spans) == 5
    assert {each.trace_id.hex() for each in found.spans} == {TRACE}
    assert solve.parent_span_id.hex() == CALLER
    assert {each.parent_span_id for each in (*calls, checked)} == {solve.span_id}
    told = told_by(solve)
    assert told["gen_ai.operation.name"] == "invoke_agent"
    assert told["gen_ai.provider.name"] == "scripted"
    assert (told["gen_ai.request.model"], told["mull.stop"]) == ("toy", "completed")
    each = [told_by(call) for call in calls]
    for name in ("input", "output", "reasoning.output"):
        key = f"gen_ai.usage.{name}_tokens"
        assert told[key] == sum(int(str(one[key])) for one in each)
    assert told["gen_ai.usage.output_tokens"] != 0
    assert {one["gen_ai.request.max_tokens"] for one in each} == {30}
    assert [one["error.type"] for one in each if "error.type" in one] == ["failed"]
    assert sum("gen_ai.response.finish_reasons" in one for one in each) == 2
    verdicts = told_by(checked)
    assert (verdicts["mull.verdicts.accept"], verdicts["mull.verdicts.reject"]) == (1, 1)
    sent = b"".join(found.bodies)
    for secret in (GAME, RIGHT, WRONG, KEY, "127.0.0.1"):
        assert secret.encode() not in sent


async def test_a_process_sends_its_spans_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "toy.json"
    script.write_text('{"replies": {"What is 2 + 2?": ["It is 4"]}}')
    async with collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "a gateway")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        with mull_server(tmp_path / "s.db", "--model", f"scripted:{script}") as (url, process):
            async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
                await client.chat.completions.create(
                    model="sc-2-toy", messages=[{"role": "user", "content": SUM}]
                )
            assert not found.spans
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        assert len(found.named("chat toy")) == 2
        (solve,) = found.named("invoke_agent self_consistency")
    assert found.services == {"a gateway"}
    assert not solve.parent_span_id


async def test_a_plain_request_that_goes_through_is_a_call_in_its_callers_trace() -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    async with collector() as found, fake_server(says("It", " is 4"), refuses(400)) as upstream:
        async with tracing(found) as made, before(upstream) as (client, gateway):
            gateway.solves.tracing = made

            async def ask() -> None:
                stream = await client.chat.completions.create(
                    model="far",
                    messages=[{"role": "user", "content": SUM}],
                    stream=True,
                    extra_headers=headers,
                )
                assert [each async for each in stream]

            await ask()
            with pytest.raises(openai.BadRequestError):
                await ask()
            headers.clear()
            with pytest.raises(openai.BadRequestError):
                await ask()
        good, bad, alone = found.named("chat far")
    assert not alone.parent_span_id
    assert alone.trace_id.hex() != TRACE
    assert {each.parent_span_id.hex() for each in (good, bad)} == {CALLER}
    told = told_by(good)
    assert told["gen_ai.operation.name"] == "chat"
    assert (told["gen_ai.request.model"], told["gen_ai.response.model"]) == ("far", "fake-1")
    assert told["gen_ai.provider.name"] == "_OTHER"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (5, 2)
    assert told_by(bad)["error.type"] == "ApiError"
    assert bad.status.code == bad.status.STATUS_CODE_ERROR


async def test_what_is_broken_off_says_so() -> None:
    policy = scripted({SUM: ["one\ntwo\nthree\nfour"]}, seconds=0.2)
    async with collector() as found:
        async with tracing(found) as made, serving(policy) as served:
            served.gateway.solves.tracing = made
            body = {"model": "toy", "messages": [{"role": "user", "content": SUM}]}
            async with aiohttp.ClientSession() as session:
                with pytest.raises(TimeoutError):
                    await session.post(
                        f"{served.url}/v1/chat/completions",
                        json=body,
                        timeout=aiohttp.ClientTimeout(total=0.35),
                    )
                while served.gateway.solves.live:
                    await asyncio.sleep(0.01)
                asking = asyncio.create_task(
                    session.post(f"{served.url}/v1/chat/completions", json=body)
                )
                while not served.gateway.solves.live:
                    await asyncio.sleep(0.01)
                await served.gateway.solves.drain(0)
                assert (await asking).status == 503
        left, drained = found.named("invoke_agent best_of_n")
        calls = found.named("chat toy")
    assert told_by(left)["mull.stop"] == "cancelled"
    assert told_by(drained)["error.type"] == "interrupted"
    assert [told_by(each)["error.type"] for each in calls] == ["cancelled", "cancelled"]


async def test_a_solve_of_which_every_call_failed_has_failed() -> None:
    policy = scripted({SUM: [Reply("4", fails_after=0)]})
    async with collector() as found:
        async with tracing(found) as made, serving(policy) as served:
            served.gateway.solves.tracing = made
            model = served.gateway.models["toy"]
            object.__setattr__(model, "spec", Spec("gemini", model.spec.options))
            async with served.client() as client:
                with pytest.raises(openai.APIStatusError):
                    await client.chat.completions.create(
                        model="toy", messages=[{"role": "user", "content": SUM}]
                    )
        (solve,) = found.named("invoke_agent best_of_n")
    told = told_by(solve)
    assert (told["mull.stop"], told["error.type"]) == ("failed", "failed")
    assert told["gen_ai.provider.name"] == "gcp.gemini"


class Broken:
    """A policy and a verifier that break."""

    def __init__(self, policy: Policy, verifier: Verifier) -> None:
        self.policy, self.source = policy, verifier.source
        self.capabilities, self.release = policy.capabilities, policy.release
        self.quote = policy.quote

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        raise PolicyError("what was asked: " + SUM)
        yield

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        raise ValueError(SUM)


async def test_what_breaks_is_named_by_its_kind_alone() -> None:
    policy, verifier = scripted({}), PredicateVerifier(bool)
    broken = Broken(policy, verifier)
    model = OpenModel(policy, Spec("local"))
    async with collector() as found:
        async with tracing(found) as made:
            solve = made.solve("it", model, "greedy", "1")
            traced = TracedPolicy(broken, solve)
            (call,) = calls_for(policy)
            assert traced.quote(call) == policy.quote(call)
            with pytest.raises(PolicyError):
                async with aclosing(traced.expand([call])) as outcomes:
                    await anext(outcomes)
            judging: SolveSpan = solve
            asked = TracedVerifier(verifier, judging)
            assert asked.quote([]) == verifier.quote([])
            object.__setattr__(asked, "verifier", broken)
            with pytest.raises(ValueError, match="2"):
                await asked.score([])
            solve.end(None)
        (chat,) = found.named("chat it")
        (tool,) = found.named("execute_tool predicate")
    assert told_by(chat)["gen_ai.provider.name"] == "mull"
    assert told_by(chat)["error.type"] == "PolicyError"
    assert told_by(tool)["error.type"] == "ValueError"
    assert SUM.encode() not in b"".join(found.bodies)


async def test_a_collector_that_is_not_there_holds_nobody_up() -> None:
    policy = scripted({SUM: ["It is 4"]})
    made = Tracing.to(Telemetry("http://127.0.0.1:9/v1/traces"))
    async with serving(policy) as served:
        served.gateway.solves.tracing = made
        async with served.client() as client:
            answer = await client.chat.completions.create(
                model="toy", messages=[{"role": "user", "content": SUM}]
            )
    assert answer.choices[0].message.content == "It is 4"
    start = time.monotonic()
    await made.close()
    assert time.monotonic() - start < 15


async def test_a_collector_that_says_nothing_holds_up_no_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/v1/traces"
        made = Tracing.to(Telemetry(address))
        made.tracer.start_span("it").end()
        start = time.monotonic()
        await made.close()
        assert time.monotonic() - start < 8
