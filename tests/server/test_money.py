"""Budgets in money at the gateway: what a model costs is known, or the budget is refused."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from server.serving import before
from servers.fake import MODEL, FakeServer, fake_server, says, usage

from mull.build import OpenModel, open_model, read_config
from mull.core.journal import MemoryJournal
from mull.core.usage import Budget
from mull.server import Accounts, Gateway, Place, Solves, app_of, listening, new_key

SUM = [{"role": "user", "content": "What is 2 + 2?"}]
COSTS = "{ input = 2.0, cached = 0.5, written = 3.0, output = 10.0, version = 'of today' }"


async def ask(client: openai.AsyncOpenAI, **fields: Any) -> Any:
    create: Any = client.chat.completions.create
    return await create(**{"model": "far", "messages": SUM, "max_tokens": 20, **fields})


@asynccontextmanager
async def priced(
    upstream: FakeServer, folder: Path, prices: str = COSTS
) -> AsyncGenerator[OpenModel, None]:
    file = folder / "mull.toml"
    file.write_text(f'[models.far]\nmodel = "openai:{upstream.url}#{MODEL}"\nprices = {prices}\n')
    async with open_model(read_config(file).model("far")) as model:
        yield model


@asynccontextmanager
async def gateway_of(
    model: OpenModel, accounts: Accounts | None = None, key: str = "any"
) -> AsyncGenerator[tuple[openai.AsyncOpenAI, Gateway], None]:
    models = {"far": model}
    gateway = Gateway(models, Solves(models, MemoryJournal(), accounts or Accounts.open_to_all()))
    async with (
        listening(app_of(gateway), Place(port=0)) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client,
    ):
        yield client, gateway


@pytest.mark.parametrize("model", ["far", "bon-2-far"])
async def test_a_budget_in_money_for_a_model_without_prices_is_refused_by_name(model: str) -> None:
    async with fake_server(says("4")) as upstream, before(upstream) as (client, _):
        with pytest.raises(openai.BadRequestError) as refused:
            await ask(client, model=model, extra_body={"mull": {"budget": {"money": 1.0}}})
    assert not upstream.bodies
    assert "`mull.budget.money` limits nothing: model `far` has no prices" in str(refused.value)
    assert upstream.url not in str(refused.value)


async def test_what_a_cache_read_and_kept_has_its_price(tmp_path: Path) -> None:
    details = {"cached_tokens": 100, "cache_write_tokens": 300}
    told = usage(7, 1000, prompt_tokens_details=details)
    async with (
        fake_server(says("4", reported=told)) as upstream,
        priced(upstream, tmp_path) as model,
        gateway_of(model) as (client, gateway),
    ):
        plain = [each async for each in await ask(client, stream=True)]
        searched = await ask(client, model="bon-2-far")
        paid = gateway.metrics.text().decode()
    assert plain
    cost = (600 * 2.0 + 100 * 0.5 + 300 * 3.0 + 7 * 10.0) / 1e6
    assert searched.usage.model_extra["mull"]["money_usd"] == pytest.approx(2 * cost)
    (line,) = [
        each for each in paid.splitlines() if each.startswith('mull_money_usd_total{model="far"')
    ]
    assert float(line.split()[-1]) == pytest.approx(cost)


@pytest.mark.parametrize("is_request", [True, False], ids=["request", "tenant"])
async def test_where_money_is_limited_no_dearer_service_can_be_asked_for(
    tmp_path: Path, is_request: bool
) -> None:
    key, hashed = new_key()
    tenants = tmp_path / "tenants.toml"
    money = "" if is_request else "money = 5.0"
    tenants.write_text(f'[tenants.red]\nkeys = ["{hashed}"]\n{money}\n')
    wishes = {"mull": {"budget": {"money": 1.0}}} if is_request else {}
    async with (
        fake_server(says("4")) as upstream,
        priced(upstream, tmp_path) as model,
        gateway_of(model, Accounts.read(tenants), key) as (client, _),
    ):
        with pytest.raises(openai.BadRequestError, match="nobody knows what `priority` costs"):
            await ask(client, service_tier="priority", stream=True, extra_body=wishes)
        assert not upstream.bodies
        tiers = ["default", "flex"]
        for tier in tiers:
            stream = await ask(client, service_tier=tier, stream=True, extra_body=wishes)
            assert [each async for each in stream]
    assert [body["service_tier"] for body in upstream.bodies] == tiers


async def test_a_solve_goes_on_after_its_model_has_other_prices(tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with fake_server(says("It", " is", " 4")) as upstream:
        async with priced(upstream, tmp_path) as model, gateway_of(model) as (client, gateway):
            gateway.solves.journal = journal
            wishes = {"mull": {"budget": {"tokens": 5}, "n": 4}}
            answer = await ask(client, extra_body=wishes)
            solve_id = answer.model_extra["mull"]["solve_id"]
            assert answer.model_extra["mull"]["stop"] == "budget_tokens"
            shown: Any = await client.get(f"/solves/{solve_id}", cast_to=object)
            assert shown["price_version"] == "of today"
        dearer = COSTS.replace("10.0", "20.0")
        async with priced(upstream, tmp_path, dearer) as model, gateway_of(model) as (_, gateway):
            gateway.solves.journal = journal
            live = await gateway.solves.go_on(solve_id, extra=Budget(max_tokens=1000))
            solution = await asyncio.wait_for(live.solution(), 10)
    assert solution.stop.value == "completed"
    assert solution.usage.calls > 4
