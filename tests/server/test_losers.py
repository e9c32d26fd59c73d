"""Calls of a search that is decided are not waited for: the server behind hears of it."""

import asyncio

import pytest
from server.serving import GAME, RIGHT, SUM, WRONG, before
from servers.fake import FakeServer, Handler, chunk, hangs, says, served


async def silence(upstream: FakeServer) -> None:
    async with asyncio.timeout(5):
        while upstream.num_open:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("model", ["es-6-far", "q90-far"])
async def test_an_accepted_answer_ends_the_calls_beside_it(model: str) -> None:
    def answer(number: int) -> Handler:
        return {0: says(WRONG), 2: says(RIGHT)}.get(number, hangs([chunk("13")]))

    async with served(FakeServer(answer)) as upstream, before(upstream) as (client, gateway):
        async with asyncio.timeout(20):
            got = await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": GAME}],
                extra_body={"mull": {"width": 4}},
            )
        await silence(upstream)
        assert len(upstream.bodies) == 4
    assert (got.choices[0].message.content or "").startswith(RIGHT)
    assert got.usage is not None
    # The words of the two that hung were streamed, and are paid for.
    assert got.usage.model_dump()["mull"]["discarded_tokens"] == 2
    ledger = gateway.solves.accounts.callers[""].account.ledger
    assert ledger.num_open == 0
    assert ledger.spent.generated_tokens == got.usage.completion_tokens


async def test_a_vote_that_nothing_can_change_ends_the_calls_that_are_open() -> None:
    def answer(number: int) -> Handler:
        return hangs() if number in {1, 4} else says("4")

    async with served(FakeServer(answer)) as upstream, before(upstream) as (client, _):
        async with asyncio.timeout(20):
            got = await client.chat.completions.create(
                model="sc-5-far",
                messages=[{"role": "user", "content": SUM}],
                extra_body={"mull": {"answer_kind": "integer"}},
            )
        await silence(upstream)
    assert got.choices[0].message.content == "4"
    assert got.model_dump()["mull"]["stop"] == "settled"
