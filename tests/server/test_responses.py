"""OpenAI's own client, by its newer API."""

from typing import Any

import openai
import pytest
from server.serving import GAME, RIGHT, SUM, WRONG, scripted, serving

from mull.policies.scripted import Reply


async def ask(client: openai.AsyncOpenAI, **fields: Any) -> Any:
    create: Any = client.responses.create
    return await create(**{"model": "toy", "input": SUM, **fields})


async def test_a_response_is_answered_and_paid_for() -> None:
    async with serving(scripted({SUM: ["It is\n4."]})) as served, served.client() as client:
        response = await ask(client)
        item = {"role": "user", "content": [{"type": "input_text", "text": SUM}]}
        in_parts = await ask(client, input=[item], store=False, tools=[])
        cut = await ask(client, max_output_tokens=1)
    assert response.output_text == in_parts.output_text == "It is\n4."
    assert (response.status, response.usage.output_tokens) == ("completed", 5)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


async def test_a_stream_adds_up_to_the_response() -> None:
    async with serving(scripted({SUM: ["It is\n4."]})) as served, served.client() as client:
        events = [each async for each in await ask(client, stream=True)]
    said = [each.delta for each in events if each.type == "response.output_text.delta"]
    assert "".join(said) == events[-1].response.output_text == "It is\n4."
    assert [each.sequence_number for each in events] == list(range(len(events)))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]


async def test_a_search_and_a_failure_are_told_as_they_are() -> None:
    replies = {GAME: [WRONG, RIGHT], SUM: [Reply("a\nb", fails_after=1)]}
    async with serving(scripted(replies)) as served, served.client() as client:
        best = await ask(client, model="bon-2-toy", input=GAME)
        none = await ask(client, model="bon-1-toy", input=GAME)
        with pytest.raises(openai.InternalServerError):
            await ask(client)
        stream = await ask(client, stream=True)
        with pytest.raises(openai.APIError):
            _ = [each async for each in stream]
    assert best.output_text == f"{RIGHT} = 24"
    assert none.output[0].content[0].type == "refusal"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"input": []}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "4"}]}, "input"),
        ({"extra_body": {"frobnicate": 1}}, "frobnicate"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_its_name(
    fields: dict[str, Any], names: str
) -> None:
    async with serving(scripted({SUM: ["4"]})) as served, served.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(client, **fields)
    assert names in str(caught.value)
