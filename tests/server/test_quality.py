"""How good an answer is wanted, as a request says it, and what the response says of it."""

from typing import Any

import aiohttp
import openai
import pytest
from server.serving import GAME, RIGHT, SUM, WRONG, scripted, serving

MATHS = {"answer_kind": "integer"}


async def ask(client: openai.AsyncOpenAI, text: str = SUM, **fields: Any) -> Any:
    create: Any = client.chat.completions.create
    messages = [{"role": "user", "content": text}]
    return await create(**{"model": "toy", "messages": messages, **fields})


def wanting(**fields: Any) -> dict[str, Any]:
    return {"extra_body": {"mull": fields}}


async def test_a_quality_comes_in_the_body_a_header_or_the_models_name() -> None:
    replies = {GAME: [WRONG, WRONG, WRONG, WRONG, WRONG, RIGHT]}
    async with serving(scripted(replies)) as served, served.client() as client:
        asked = [
            await ask(client, GAME, **wanting(quality=0.9, width=1)),
            await ask(client, GAME, extra_headers={"x-mull-quality": "0.9", "x-mull-width": "1"}),
            await ask(client, GAME, model="q90-toy", **wanting(width=1)),
            await ask(client, GAME, model="bon-9-toy", **wanting(quality=0.9, width=1)),
        ]
    for each in asked:
        assert each.choices[0].message.content == f"{RIGHT} = 24"
        assert each.mull["quality"] == {"asked": 0.9, "met": True}
        assert (each.mull["confidence"], each.mull["stop"]) == (1.0, "accepted")
        assert each.usage.mull["calls"] == 6


async def test_agreement_is_not_sold_as_being_right() -> None:
    async with serving(scripted({SUM: ["4"]})) as served, served.client() as client:
        voted = await ask(client, model="mull/auto", **wanting(quality=0.9, **MATHS))
    assert voted.choices[0].message.content == "4"
    assert voted.mull["quality"] == {"asked": 0.9, "met": None}
    assert (voted.mull["confidence"], voted.mull["stop"]) == (None, "settled")
    assert "whether it is right, nothing here can say" in voted.mull["notes"][-1]
    assert voted.usage.mull["calls"] == 4


async def test_a_miss_is_a_miss_however_the_solve_ended() -> None:
    async with serving(scripted({GAME: [WRONG]})) as served, served.client() as client:
        missed = await ask(client, GAME, **wanting(quality=0.9, n=8))
        short = await ask(
            client, GAME, max_tokens=30, **wanting(quality=0.9, budget={"tokens": 30})
        )
    for each in (missed, short):
        assert each.choices[0].message.content is None
        assert each.mull["quality"] == {"asked": 0.9, "met": False}
    assert missed.usage.mull["calls"] == 8
    assert short.mull["stop"] == "budget_tokens"


async def test_auto_wants_a_quality_of_its_own_and_deep_a_higher_one() -> None:
    async with serving(scripted({GAME: [RIGHT]})) as served, served.client() as client:
        auto = await ask(client, GAME, model="mull/auto")
        deep = await ask(client, GAME, model="mull/deep")
        plain = await ask(client, GAME, model="toy")
    assert auto.mull["quality"] == {"asked": 0.95, "met": True}
    assert deep.mull["quality"] == {"asked": 0.99, "met": True}
    assert plain.mull["quality"] is None


async def test_a_larger_budget_may_reach_what_a_smaller_one_did_not() -> None:
    replies = {GAME: [WRONG, WRONG, WRONG, WRONG, RIGHT]}
    async with serving(scripted(replies)) as served, served.client() as client:
        fields = wanting(quality=0.9, width=1, budget={"tokens": 20})
        short = await ask(client, GAME, max_tokens=20, **fields)
        assert short.mull["quality"]["met"] is False
        place = f"{served.url}/v1/solves/{short.mull['solve_id']}"
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{place}/extend", json={"budget": {"tokens": 500}}) as more:
                assert more.status == 200
            async with session.get(f"{place}/events") as events:
                await events.read()
            async with session.get(place) as found:
                state = await found.json()
    assert state["quality"] == {"asked": 0.9, "met": True}
    assert state["answer"] == f"{RIGHT} = 24"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (wanting(quality=0), "mull.quality"),
        (wanting(quality=1), "mull.quality"),
        (wanting(quality="high"), "mull.quality"),
        ({"model": "q80-toy", **wanting(quality=0.9)}, "mull.quality"),
        (wanting(quality=0.9, strategy="early_stop", verifier="maths"), "quality"),
        (wanting(quality=0.9), "mull.answer_kind"),
        ({"model": "q90-toy"}, "mull.answer_kind"),
        (wanting(abstain=True), "mull.abstain"),
        (wanting(abstain=True, n=4), "mull.abstain"),
        (wanting(abstain=True, quality=0.9, **MATHS), "abstain"),
        (wanting(answer_kind="poem"), "mull.answer_kind"),
    ],
)
async def test_a_quality_that_means_nothing_is_refused(fields: dict[str, Any], names: str) -> None:
    async with serving(scripted({SUM: ["4"]})) as served, served.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(client, **fields)
    assert names in str(caught.value)
