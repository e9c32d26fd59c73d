"""Anthropic's own client against a real server on loopback."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import pytest
from server.serving import GAME, RIGHT, SUM, WRONG, Served, scripted, serving

from mull.core.events import StopReason
from mull.core.score import Verdict
from mull.policies.scheduling import Tier
from mull.policies.scripted import Reply

ROOT = Path(__file__).parents[2]
STEP_SECONDS = 0.02
VALUES = {
    "quality": {"verified", "unverified", "none", "failed"},
    "verdict": set(Verdict),
    "stop": set(StopReason),
    "tier": set(Tier),
}
PANELS = json.loads((ROOT / "docs/grafana.json").read_text())["panels"]


def client_of(served: Served) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=served.url, api_key="any", max_retries=0)


async def ask(client: anthropic.AsyncAnthropic, **fields: Any) -> Any:
    given = {"model": "toy", "max_tokens": 50, "messages": [{"role": "user", "content": SUM}]}
    create: Any = client.messages.create
    return await create(**{**given, **fields})


async def test_a_message_is_answered_and_paid_for() -> None:
    policy = scripted({SUM: ["<think>two and two\n</think>It is\n4."]})
    async with serving(policy) as served, client_of(served) as client:
        message = await ask(client, extra_body={"temperature": 0.5})
        shown = await ask(client, extra_body={"mull": {"reasoning": True}})
    assert [block.text for block in message.content] == ["It is\n4."]
    assert (message.stop_reason, message.role) == ("end_turn", "assistant")
    assert message.usage.output_tokens == 11
    assert [block.type for block in shown.content] == ["thinking", "text"]


async def test_a_stream_adds_up_to_the_message() -> None:
    async with serving(scripted({SUM: ["It is\n4.\n"]})) as served, client_of(served) as client:
        whole = await ask(client)
        streamed: Any = client.messages.stream(
            model="toy", max_tokens=50, messages=[{"role": "user", "content": SUM}]
        )
        async with streamed as stream:
            said = [text async for text in stream.text_stream]
            final = await stream.get_final_message()
    assert "".join(said) == whole.content[0].text == "It is\n4."
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == whole.usage.output_tokens


async def test_a_search_answers_by_its_name_too() -> None:
    policy = scripted({GAME: [WRONG, RIGHT]})
    async with serving(policy) as served, client_of(served) as client:
        game = [{"role": "user", "content": [{"type": "text", "text": GAME}]}]
        message = await ask(client, model="bon-2-toy", messages=game)
        none = await ask(client, model="bon-1-toy", messages=game)
    assert message.content[0].text == f"{RIGHT} = 24"
    assert (none.content, none.stop_reason) == ([], "refusal")


async def test_a_limit_and_a_failure_are_told_in_anthropics_words() -> None:
    policy = scripted({SUM: ["one two three"], GAME: [Reply("a\nb", fails_after=1)]})
    game = [{"role": "user", "content": GAME}]
    async with serving(policy) as served, client_of(served) as client:
        cut = await ask(client, max_tokens=2)
        with pytest.raises(anthropic.InternalServerError) as caught:
            await ask(client, messages=game)
        with pytest.raises(anthropic.APIStatusError, match="scripted failure"):
            _ = [each async for each in await ask(client, messages=game, stream=True)]
    assert (cut.stop_reason, cut.content[0].text) == ("max_tokens", "one two")
    body: Any = caught.value.body
    assert body["error"]["type"] == "api_error"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "tools"),
        ({"stop_sequences": ["x"]}, "stop_sequences"),
        ({"extra_body": {"top_k": 5}}, "top_k"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking.budget_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages"),
        ({"extra_body": {"frobnicate": 1}}, "frobnicate"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_its_name(
    fields: dict[str, Any], names: str
) -> None:
    async with serving(scripted({SUM: ["4"]})) as served, client_of(served) as client:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await ask(client, **fields)
    assert names in str(caught.value)


async def test_answers_from_anywhere_can_be_checked() -> None:
    async with serving(scripted({SUM: ["4"]})) as served, aiohttp.ClientSession() as session:
        url = f"{served.url}/v1/verify"
        body: dict[str, Any] = {"problem": GAME, "answers": [RIGHT, WRONG, "what?"]}
        async with session.post(url, json=body) as response:
            checked = await response.json()
        statuses = list[int]()
        refused: list[dict[str, Any]] = [
            {"problem": GAME, "answers": []},
            {"problem": "Who are you?", "answers": ["I"]},
            {**body, "verifier": "recorded:/etc/passwd"},
        ]
        for wrong in refused:
            async with session.post(url, json=wrong) as response:
                statuses.append(response.status)
    assert [each["verdict"] for each in checked["verdicts"]] == ["accept", "reject", "reject"]
    assert checked["verifier"].startswith("countdown-checker@")
    assert statuses == [400, 400, 400]


async def test_prometheus_reads_what_solves_came_to() -> None:
    policy = scripted({GAME: [WRONG, RIGHT, RIGHT, RIGHT]})
    async with serving(policy, slots=2) as served, client_of(served) as client:
        await ask(client, model="bon-4-toy", messages=[{"role": "user", "content": GAME}])
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{served.url}/metrics") as response,
        ):
            text = await response.text()
    assert 'mull_solve_seconds_count{band="easy",quality="verified"} 1.0' in text
    assert 'mull_verdicts_total{verdict="accept",verifier="countdown-checker@' in text
    assert 'mull_call_slowdown_count{tier="standard"} 4.0' in text
    assert 'mull_requests_total{path="/v1/messages",status="200"} 1.0' in text
    assert 'mull_calls{model="toy",state="waiting"} 0.0' in text


async def test_the_dashboard_and_the_alerts_ask_for_what_is_really_exported() -> None:
    policy = scripted({GAME: [WRONG, RIGHT, RIGHT, RIGHT], SUM: ["It is 4"]})
    budget = {"tokens": 5_000, "seconds": 60}
    async with serving(policy, slots=2) as served, client_of(served) as client:
        await ask(
            client,
            model="bon-4-toy",
            messages=[{"role": "user", "content": GAME}],
            extra_body={"mull": {"budget": budget}},
        )
        async with client.messages.stream(
            model="toy", max_tokens=50, messages=[{"role": "user", "content": SUM}]
        ) as streamed:
            await streamed.get_final_message()
        served.gateway.metrics.miss_engine("toy")
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{served.url}/metrics") as response,
        ):
            text = await response.text()
    exported = dict[str, set[str]]()
    for name, labels in re.findall(r"^(mull_\w+)\{(.*)\} ", text, re.MULTILINE):
        exported[name] = set(re.findall(r'(\w+)="', labels))
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    alerts = re.findall(r"expr: (.+)", (ROOT / "docs/alerts.yml").read_text())
    assert len(queries) >= 12
    assert len(alerts) >= 8
    queries += alerts
    for query in queries:
        asked = set(re.findall(r"mull_[a-z_]+", query))
        assert asked <= set(exported), query
        grouped = " ".join(re.findall(r"(?:by|on) \(([a-z_, ]+)\)", query))
        chosen = re.findall(r'[{,]([a-z_]+)="(\w+)"', query)
        used = set(re.findall(r"[a-z_]+", grouped)) | {label for label, _ in chosen}
        assert asked
        assert all(value in VALUES[label] for label, value in chosen), query
        assert used <= set[str]().union(*(exported[name] for name in asked)), query


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_what_its_queries_tell_apart(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        shown = set(re.findall(r"{{([a-z_]+)}}", target.get("legendFormat", "")))
        grouped = " ".join(re.findall(r"^[^/]*?by \(([a-z_, ]+)\)", target["expr"]))
        assert set(re.findall(r"[a-z_]+", grouped)) - {"le"} <= shown


@pytest.mark.parametrize("shows", [False, True], ids=["hidden", "shown"])
async def test_the_first_text_comes_after_all_thoughts_and_metrics_say_when(shows: bool) -> None:
    """Time to the first text is that of a plain answer and the thoughts' tokens over their rate."""
    waits = list[float]()
    for num_thoughts in (0, 20):
        thoughts = "<think>" + "and so on\n" * num_thoughts + "</think>" if num_thoughts else ""
        policy = scripted({SUM: [f"{thoughts}It is\n4."]}, seconds=STEP_SECONDS)
        async with (
            serving(policy) as served,
            served.client() as client,
        ):
            stream = await client.chat.completions.create(
                model="toy",
                messages=[{"role": "user", "content": SUM}],
                stream=True,
                extra_body={"mull": {"reasoning": shows}},
            )
            text = "".join([each.choices[0].delta.content or "" async for each in stream])
            assert text == "It is\n4."
            pattern = re.compile(r"^mull_first_text_seconds_sum.* (.+)$", re.MULTILINE)
            while (told := pattern.search(served.gateway.metrics.text().decode())) is None:
                await asyncio.sleep(0.005)
            waits.append(float(told[1]))
    assert waits[1] - waits[0] > 20 * STEP_SECONDS * 0.9
