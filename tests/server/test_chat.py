"""OpenAI's own client against a real server on loopback."""

import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest
from server.serving import GAME, RIGHT, SUM, WRONG, Served, scripted, serving

from mull.core.journal import MemoryJournal
from mull.policies.scripted import Reply


async def ask(client: openai.AsyncOpenAI, **fields: Any) -> Any:
    given: dict[str, Any] = {
        "model": "toy",
        "messages": [{"role": "user", "content": SUM}],
        **fields,
    }
    create: Any = client.chat.completions.create
    return await create(**given)


async def test_a_plain_request_gets_the_models_answer_and_what_it_cost() -> None:
    reply = "<think>two and\ntwo\n</think>It is\n4."
    async with serving(scripted({SUM: [reply]})) as served, served.client() as client:
        completion = await ask(client)
    choice = completion.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "It is\n4.")
    assert choice.finish_reason == "stop"
    usage = completion.usage
    assert usage.completion_tokens == 12
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert completion.model == "toy"


async def test_thoughts_are_shown_only_to_who_asks() -> None:
    async with (
        serving(scripted({SUM: ["<think>hm\n</think>4"]})) as served,
        served.client() as client,
    ):
        hidden = await ask(client)
        shown = await ask(client, extra_body={"mull": {"reasoning": True}})
    assert "hm" not in hidden.to_json()
    assert shown.choices[0].message.reasoning_content == "hm"


async def test_a_stream_says_what_the_whole_answer_would() -> None:
    reply = "<think>well\n</think>It  is\n  4.\n\n"
    async with serving(scripted({SUM: [reply]})) as served, served.client() as client:
        whole = await ask(client)
        chunks = [
            chunk
            async for chunk in await ask(
                client, stream=True, stream_options={"include_usage": True}
            )
        ]
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == whole.choices[0].message.content == "It  is\n  4."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    (usage,) = [c.usage for c in chunks if c.usage]
    assert usage.completion_tokens == whole.usage.completion_tokens


async def test_a_stream_comes_as_the_model_speaks() -> None:
    policy = scripted({SUM: ["one\ntwo\nthree"]}, seconds=0.2)
    async with serving(policy) as served, served.client() as client:
        stream = await ask(client, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        assert served.gateway.solves.live, "the solve ended before its first words were told"
        await stream.close()


async def test_choices_stream_side_by_side() -> None:
    async with serving(scripted({SUM: ["a\nb", "c\nd"]})) as served, served.client() as client:
        whole = await ask(client, n=2)
        said = {0: "", 1: ""}
        async for chunk in await ask(client, n=2, stream=True):
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
    assert [each.message.content for each in whole.choices] == ["a\nb", "c\nd"]
    assert sorted(said.values()) == ["a\nb", "c\nd"]


async def test_an_answer_cut_at_its_limit_says_so() -> None:
    policy = scripted({SUM: ["one two three four"]})
    async with serving(policy) as served, served.client() as client:
        cut = await ask(client, max_completion_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    assert cut.choices[0].message.content == "one two"
    assert cut.usage.completion_tokens == 2


async def test_a_models_name_can_say_how_to_search() -> None:
    replies = {GAME: [WRONG, WRONG, RIGHT, WRONG]}
    async with serving(scripted(replies)) as served, served.client() as client:
        game = [{"role": "user", "content": GAME}]
        best = await ask(client, model="bon-4-toy", messages=game)
        voted = await ask(client, model="sc-4-toy", messages=game)
        auto = await ask(client, model="mull/auto", messages=game)
    assert best.choices[0].message.content == f"{RIGHT} = 24"
    assert best.mull["stop"] == "completed"
    assert best.usage.mull["calls"] == 4
    assert voted.choices[0].message.content == "((13 + 10) + 4) - 9 = 18"
    assert auto.choices[0].message.content == f"{RIGHT} = 24"
    assert auto.mull["stop"] == "accepted"


async def test_mulls_fields_come_in_the_body_or_in_headers() -> None:
    async with serving(scripted({SUM: ["4", "5"]})) as served, served.client() as client:
        in_body = await ask(client, extra_body={"mull": {"strategy": "self_consistency", "n": 3}})
        headers = {"x-mull-strategy": "self_consistency", "x-mull-n": "3"}
        in_headers = await ask(client, extra_headers=headers)
        assert in_body.usage.mull["calls"] == in_headers.usage.mull["calls"] == 3
        with pytest.raises(openai.BadRequestError, match=r"mull\.n"):
            await ask(client, extra_body={"mull": {"n": 2}}, extra_headers=headers)


async def test_a_budget_is_never_passed_and_what_there_is_by_then_is_given() -> None:
    replies = {GAME: [WRONG, RIGHT]}
    async with serving(scripted(replies)) as served, served.client() as client:
        fields = {"n": 50, "strategy": "best_of_n", "budget": {"tokens": 31}}
        body = {"mull": fields}
        short = await ask(
            client, messages=[{"role": "user", "content": GAME}], extra_body=body, max_tokens=30
        )
    assert short.usage.completion_tokens <= 31
    assert short.choices[0].finish_reason == "length"
    assert short.mull["stop"] == "budget_tokens"


async def test_no_answer_is_a_refusal_and_not_an_invention() -> None:
    async with serving(scripted({GAME: [WRONG]})) as served, served.client() as client:
        game = [{"role": "user", "content": GAME}]
        none = await ask(client, model="bon-2-toy", messages=game)
        told = [c async for c in await ask(client, model="bon-2-toy", messages=game, stream=True)]
    message = none.choices[0].message
    assert message.content is None
    assert message.refusal is not None
    assert "rejected" in message.refusal
    refused = [c.choices[0].delta.refusal for c in told if c.choices and c.choices[0].delta.refusal]
    assert refused == [message.refusal]


async def test_a_failed_model_is_never_a_200() -> None:
    policy = scripted({SUM: [Reply("x", fails_after=0)]})
    async with serving(policy) as served, served.client() as client:
        for model in ("toy", "bon-4-toy"):
            with pytest.raises(openai.InternalServerError, match="scripted failure") as caught:
                await ask(client, model=model)
            assert caught.value.status_code == 502
            assert caught.value.type == "upstream_error"


async def test_a_stream_that_breaks_never_ends_as_if_it_were_whole() -> None:
    policy = scripted({SUM: [Reply("one\ntwo\nthree", fails_after=2)]})
    body = {"model": "toy", "stream": True, "messages": [{"role": "user", "content": SUM}]}
    async with serving(policy) as served, served.client() as client:
        stream = await ask(client, stream=True)
        with pytest.raises(openai.APIError, match="scripted failure"):
            _ = [chunk async for chunk in stream]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{served.url}/v1/chat/completions", json=body) as response,
        ):
            raw = await response.text()
    assert "one" in raw
    assert "[DONE]" not in raw
    assert json.loads(raw.split("data: ")[-1])["error"]["type"] == "upstream_error"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"stop": "x"}, "stop"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"presence_penalty": 1.0}, "presence_penalty"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 2, "model": "bon-4-toy"}, "n"),
        ({"temperature": 0, "model": "bon-4-toy"}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "4", "tool_call_id": "1"}]}, "messages[0]"),
        ({"extra_body": {"frobnicate": 1}}, "frobnicate"),
        ({"extra_body": {"mull": {"budget": {"tokens": -1}}}}, "mull.budget"),
        ({"extra_body": {"mull": {"budget": {"euro": 1}}}}, "mull.budget.euro"),
        ({"extra_body": {"mull": {"tier": "first"}}}, "mull.tier"),
        ({"extra_body": {"mull": {"strategy": "magic"}}}, "magic"),
        ({"extra_body": {"mull": {"verifier": "oracle"}}}, "oracle"),
        # Names that the library takes, but that would let a client choose files, hosts and code.
        ({"extra_body": {"mull": {"verifier": "recorded:/etc/passwd"}}}, "no verifier"),
        ({"extra_body": {"mull": {"verifier": "pooling:http://127.0.0.1:9#x"}}}, "no verifier"),
        ({"extra_body": {"mull": {"verifier": "os:system"}}}, "no verifier"),
        ({"extra_body": {"mull": {"strategy": "os:system"}}}, "no strategy"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_its_name(
    fields: dict[str, Any], names: str
) -> None:
    async with serving(scripted({SUM: ["4"]})) as served, served.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(client, **fields)
    assert names in str(caught.value)


async def test_an_unknown_model_is_a_404_with_a_suggestion() -> None:
    async with serving(scripted({SUM: ["4"]})) as served, served.client() as client:
        with pytest.raises(openai.NotFoundError, match="did you mean `toy`"):
            await ask(client, model="toi")
        assert [each.id async for each in client.models.list()] == ["toy", "mull/auto", "mull/deep"]
        assert (await client.models.retrieve("bon-8-toy")).id == "bon-8-toy"


async def test_what_asks_for_nothing_is_no_reason_to_refuse() -> None:
    async with serving(scripted({SUM: ["4"]})) as served, served.client() as client:
        completion = await ask(
            client,
            user="u",
            metadata={"a": "b"},
            tools=[],
            logprobs=False,
            frequency_penalty=0,
            response_format={"type": "text"},
            seed=-7,
            store=False,
            messages=[{"role": "user", "content": [{"type": "text", "text": SUM}]}],
        )
    assert completion.choices[0].message.content == "4"


async def idle(served: Served) -> None:
    """Return as soon as no solve runs."""
    async with asyncio.timeout(5):
        while served.gateway.solves.live:
            await asyncio.sleep(0.01)


async def test_a_client_that_leaves_takes_its_solve_with_it() -> None:
    journal = MemoryJournal()
    policy = scripted({SUM: ["one\n" * 500]}, seconds=0.05)
    async with serving(policy, journal=journal) as served, served.client() as client:
        with pytest.raises(openai.APITimeoutError):
            await ask(client.with_options(timeout=0.5))
        await idle(served)
        stream = await ask(client, stream=True)
        await anext(stream)
        await stream.close()
        await idle(served)
    assert [summary.stop for summary in await journal.solves()] == ["cancelled", "cancelled"]


async def test_progress_is_told_to_who_asks() -> None:
    async with serving(scripted({GAME: [WRONG, RIGHT]})) as served, served.client() as client:
        counts = [
            chunk.mull["progress"]
            async for chunk in await ask(
                client,
                model="bon-2-toy",
                messages=[{"role": "user", "content": GAME}],
                stream=True,
                extra_body={"mull": {"progress": True}},
            )
            if "progress" in (getattr(chunk, "mull", None) or {})
        ]
    assert counts[0]["asked"] == 2
    assert (counts[-1]["ended"], counts[-1]["accepted"], counts[-1]["rejected"]) == (2, 1, 1)


async def test_a_repeated_request_finds_the_solve_of_the_first() -> None:
    journal = MemoryJournal()
    policy = scripted({SUM: ["one\ntwo", "three"]}, seconds=0.1)
    async with serving(policy, journal=journal) as served, served.client() as client:
        headers = {"idempotency-key": "k"}
        together = await asyncio.gather(*(ask(client, extra_headers=headers) for _ in range(3)))
        later = await ask(client, extra_headers=headers)
        streamed = [c async for c in await ask(client, extra_headers=headers, stream=True)]
        with pytest.raises(openai.UnprocessableEntityError, match="another request"):
            await ask(client, extra_headers=headers, max_tokens=3)
    assert len({each.id for each in (*together, later)}) == 1
    assert len(await journal.solves()) == 1
    assert "".join(c.choices[0].delta.content or "" for c in streamed if c.choices) == "one\ntwo"
