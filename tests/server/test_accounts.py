"""Keys, tenants and what they may spend."""

import asyncio
import random
import time
from math import inf
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from server.serving import SUM, Served, scripted, serving

from mull.core.errors import BadInputError
from mull.core.usage import Usage
from mull.policies.scripted import Reply
from mull.server import Accounts, Load, new_key

KEYS = {name: new_key() for name in ("red", "blue")}


def tenants(folder: Path, extra: str = "", **limits: str) -> Accounts:
    """A file of two tenants, read."""
    file = folder / "tenants.toml"
    tables = [
        f'[tenants.{name}]\nkeys = ["{hashed}"]\n{limits.get(name, "")}\n'
        for name, (_, hashed) in KEYS.items()
    ]
    file.write_text("\n".join([*tables, extra]))
    return Accounts.read(file, folder / "spent.json")


async def ask(served: Served, who: str, **fields: Any) -> Any:
    given: dict[str, Any] = {"model": "toy", "messages": [{"role": "user", "content": SUM}]}
    async with served.client(KEYS[who][0]) as client:
        create: Any = client.chat.completions.create
        return await create(**{**given, **fields})


async def test_a_request_without_a_known_key_is_a_401(tmp_path: Path) -> None:
    async with serving(scripted({SUM: ["4"]}), accounts=tenants(tmp_path)) as served:
        for key in ("wrong", KEYS["red"][1]):
            async with served.client(key) as client:
                with pytest.raises(openai.AuthenticationError, match="none of this server's"):
                    await client.models.list()
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{served.url}/v1/models") as response:
                assert response.status == 401
            async with session.get(f"{served.url}/health") as response:
                assert response.status == 200
            headers = {"x-api-key": KEYS["red"][0]}
            async with session.get(f"{served.url}/v1/models", headers=headers) as response:
                assert response.status == 200


async def test_no_tenant_finds_another_tenants_solve(tmp_path: Path) -> None:
    async with serving(scripted({SUM: ["4"]}), accounts=tenants(tmp_path)) as served:
        headers = {"idempotency-key": "same"}
        red = await ask(served, "red", extra_headers=headers)
        blue = await ask(served, "blue", extra_headers=headers, max_tokens=7)
        assert red.id != blue.id, "an idempotency key belongs to its tenant"
        async with aiohttp.ClientSession() as session:
            for path in ("", "/events", "/tree"):
                url = f"{served.url}/v1/solves/{red.mull['solve_id']}{path}"
                for who, status in (("red", 200), ("blue", 404)):
                    headers = {"authorization": f"Bearer {KEYS[who][0]}"}
                    async with session.get(url, headers=headers) as response:
                        assert response.status == status
            for action in ("cancel", "extend"):
                url = f"{served.url}/v1/solves/{red.mull['solve_id']}/{action}"
                body = {"budget": {"tokens": 5}}
                async with session.post(url, headers=headers, json=body) as response:
                    assert response.status == 404


async def test_a_tenant_that_has_spent_its_limit_is_told_when_to_come_back(tmp_path: Path) -> None:
    accounts = tenants(tmp_path, red='tokens = 3\nwindow = "hour"')
    async with serving(scripted({SUM: ["4"]}), accounts=accounts) as served:
        first = await ask(served, "red", max_tokens=2)
        assert first.usage.completion_tokens == 2
        second = await ask(served, "red", max_tokens=2)
        assert second.usage.completion_tokens == 1
        with pytest.raises(openai.RateLimitError, match="tokens limit of `tenant red`") as caught:
            await ask(served, "red", max_tokens=2)
        assert caught.value.type == "insufficient_quota"
        assert 0 < int(caught.value.response.headers["retry-after"]) <= 3600
        await ask(served, "blue")


async def post(
    session: aiohttp.ClientSession, served: Served, who: str, **fields: Any
) -> tuple[int, Any]:
    """One request without the weight of a client; its status and its body."""
    body = {"model": "toy", "messages": [{"role": "user", "content": SUM}], **fields}
    headers = {"authorization": f"Bearer {KEYS[who][0]}"}
    url = f"{served.url}/v1/chat/completions"
    async with session.post(url, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_what_others_have_only_claimed_refuses_nobody(tmp_path: Path) -> None:
    """Worst cases of a hundred requests pass the cap by far; what they spend does not."""
    accounts = tenants(tmp_path, red="tokens = 1000")
    policy = scripted({SUM: ["4"]}, seconds=0.01)
    async with serving(policy, accounts=accounts) as served, aiohttp.ClientSession() as session:
        asking = (post(session, served, "red", max_tokens=300) for _ in range(100))
        answers = await asyncio.gather(*asking)
    assert [status for status, _ in answers] == [200] * 100
    assert {body["choices"][0]["message"]["content"] for _, body in answers} == {"4"}
    assert accounts.named("red").account.current().spent.generated_tokens == 200


USD = 0.001
"""A token costs it."""
LIMITS: list[dict[str, float]] = [
    {},
    {"tokens": 3},
    {"tokens": 10},
    {"tokens": 40},
    {"money": 10 * USD},
    {"money": 40 * USD, "tokens": 30},
    {"seconds": 0.05},
    {"seconds": 5, "money": 20 * USD},
]
TURNS = 10
"""Of the event loop that a cancel may take."""


def check_kept(budget: dict[str, float], usage: Any) -> float:
    """Tokens and money to the last; the seconds that it was late are returned."""
    assert usage["completion_tokens"] <= budget.get("tokens", inf)
    assert usage["mull"]["money_usd"] <= budget.get("money", inf) + 1e-9
    return usage["mull"]["seconds"] - budget.get("seconds", inf)


async def feel_the_pulse(turns: list[float]) -> None:
    """How long turns of the event loop take, for as long as nobody cancels.

    A sleep is late by the turn in which it should have ended, so that no long one is missed.
    """
    while True:
        start = time.monotonic()
        await asyncio.sleep(0.01)
        turns.append(time.monotonic() - start - 0.01)


@pytest.mark.parametrize("axis", ["tokens", "money"])
@pytest.mark.parametrize(
    "num_requests", [80, pytest.param(1000, marks=pytest.mark.full)], ids=["80", "1000"]
)
async def test_no_budget_is_ever_passed_and_none_refuses_too_early(
    tmp_path: Path, num_requests: int, axis: str
) -> None:
    """Random searches with random budgets, faults and cancels, of two tenants with caps."""
    chance = random.Random(0)
    replies = ["4", "four\nfive", Reply("a\nb\nc", fails_after=1), "<think>x\n</think>9 9 9"]
    caps = {"red": 2 * num_requests, "blue": 10**9}
    limit = caps["red"] if axis == "tokens" else caps["red"] * USD
    accounts = tenants(tmp_path, red=f"{axis} = {limit}")
    statuses = {"red": list[int](), "blue": list[int]()}
    num_left, early, late, turns = 0, list[int](), list[float](), list[float]()

    async def one(served: Served, session: aiohttp.ClientSession) -> None:
        nonlocal num_left
        who, budget = chance.choice(["red", "blue"]), chance.choice(LIMITS)
        mull = {"n": chance.randrange(1, 9), "strategy": "best_of_n", "budget": budget}
        patience = chance.choice([0.05, 60, 60, 60])
        await asyncio.sleep(chance.random())
        try:
            asking = post(session, served, who, max_tokens=9, mull=mull)
            status, body = await asyncio.wait_for(asking, patience)
        except TimeoutError:
            num_left += 1
            return
        statuses[who].append(status)
        if status == 200:
            late.append(check_kept(budget, body["usage"]))
        if status == 429:
            early.append(caps[who] - accounts.named(who).account.current().spent.generated_tokens)

    policy = scripted({SUM: replies}, seconds=0.002, usd_per_token=USD)
    async with (
        serving(policy, accounts=accounts, slots=8, load=Load(1e9, 1e9, 10**9)) as served,
        aiohttp.ClientSession() as session,
    ):
        pulse = asyncio.create_task(feel_the_pulse(turns))
        await asyncio.gather(*(one(served, session) for _ in range(num_requests)))
        pulse.cancel()
        async with asyncio.timeout(10):
            while served.gateway.solves.live:
                await asyncio.sleep(0.01)
    for name, cap in caps.items():
        ledger = accounts.named(name).account.current()
        ledger.check()
        assert ledger.num_open == 0
        assert ledger.spent.generated_tokens <= cap
        assert ledger.spent.money_usd == pytest.approx(ledger.spent.generated_tokens * USD)
    assert max(late) <= 0.25 + TURNS * max(turns)
    assert num_left > 0
    assert set(statuses["blue"]) == {200}, "half of the answers of a search fail, and no search"
    assert set(statuses["red"]) == {200, 429}, "the smaller cap was reached"
    rounding = 0 if axis == "tokens" else 1  # the last token's price may lack its last digit
    assert 0 <= min(early) <= max(early) <= rounding, "refused while something was left"


def two_keys(folder: Path) -> tuple[Accounts, str, str]:
    """A tenant of 100 tokens, with a key that may spend 10 of them and one without a limit."""
    (small, small_hash), (large, large_hash) = KEYS["red"], KEYS["blue"]
    file = folder / "tenants.toml"
    keys = f'[{{hash = "{small_hash}", tokens = 10}}, "{large_hash}"]'
    file.write_text(f"[tenants.team]\ntokens = 100\nkeys = {keys}\n")
    return Accounts.read(file, folder / "spent.json"), small, large


async def test_a_key_has_limits_of_its_own_under_those_of_its_tenant(tmp_path: Path) -> None:
    accounts, small, large = two_keys(tmp_path)
    policy = scripted({SUM: ["4"]}, seconds=0.01)
    async with serving(policy, accounts=accounts) as served, aiohttp.ClientSession() as session:
        told = [await post(session, served, "red", max_tokens=2) for _ in range(6)]
        assert [status for status, _ in told] == [200] * 5 + [429]
        assert "key sha256:" in told[-1][1]["error"]["message"]
        asking = (post(session, served, "blue", max_tokens=30) for _ in range(46))
        statuses = [status for status, _ in await asyncio.gather(*asking)]
    assert sorted(statuses) == [200] * 45 + [429], "the tenant's limit is theirs together"
    for key in (small, large):
        caller = accounts.caller_of(key)
        assert caller is not None
        assert caller.tenant == "team"
        assert caller.account.exhausted
    accounts.store()
    again, small, _ = two_keys(tmp_path)
    caller = again.caller_of(small)
    assert caller is not None
    assert caller.account.current().spent.generated_tokens == 10
    assert again.named("team").account.current().spent.generated_tokens == 100


def test_what_was_spent_survives_the_process_and_ends_with_its_window(tmp_path: Path) -> None:
    accounts = tenants(tmp_path, red='tokens = 50\nwindow = "hour"')
    account = accounts.named("red").account
    account.current().spent = Usage(visible_tokens=40)
    accounts.store()
    again = tenants(tmp_path, red='tokens = 50\nwindow = "hour"').named("red").account
    assert again.current().spent == Usage(visible_tokens=40)
    file = tmp_path / "tenants.toml"
    later = Accounts.read(file, tmp_path / "spent.json", now=lambda: account.now() + 3600)
    assert later.named("red").account.current().spent == Usage()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("[tenants.x]\nkeys = ['secret']", "a key is given by its hash"),
        pytest.param(
            f"[tenants.x]\nkeys = ['{KEYS['red'][1]}']", "another tenant's too", id="taken"
        ),  # the key is new in every process, and a test's name must not be
        ("[tenants.x]\nkeys = []\ntokens = 0", "must be above zero"),
        ("[tenants.x]\nkeys = []\ntoken = 5", "unknown field `token`"),
        ("[tenants", "tenants.toml"),
    ],
)
def test_a_file_of_tenants_that_cannot_work_says_why(
    tmp_path: Path, extra: str, message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        tenants(tmp_path, extra)


@pytest.mark.parametrize("content", ["[tenants]", "[tenants.red]\nkeys = []"])
def test_a_file_of_tenants_without_a_key_serves_nobody_rather_than_all(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "tenants.toml"
    file.write_text(content)
    with pytest.raises(BadInputError, match="no tenant has a key"):
        Accounts.read(file)


async def test_no_solve_is_extended_on_an_account_that_is_spent(tmp_path: Path) -> None:
    accounts = tenants(tmp_path, red="tokens = 3")
    async with (
        serving(scripted({SUM: ["4"]}), accounts=accounts) as served,
        aiohttp.ClientSession() as session,
    ):
        mull = {"budget": {"tokens": 9}}
        done = await ask(served, "red", max_tokens=2, extra_body={"mull": mull}, model="bon-1-toy")
        accounts.named("red").account.current().spent = Usage(visible_tokens=3)
        url = f"{served.url}/v1/solves/{done.mull['solve_id']}/extend"
        headers = {"authorization": f"Bearer {KEYS['red'][0]}"}
        async with session.post(url, headers=headers, json=mull) as response:
            assert response.status == 429
        await served.gateway.solves.drain(0)
        async with session.post(url, headers=headers, json=mull) as response:
            assert response.status == 503
        assert not served.gateway.solves.live


async def test_a_disk_that_was_full_for_a_moment_costs_no_tenants_account(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    accounts = tenants(tmp_path)
    accounts.spent_file = folder / "spent.json"
    async with (
        serving(scripted({SUM: ["4"]}), accounts=accounts) as served,
        served.gateway.solves.storing(),
    ):
        await ask(served, "red")
        await asyncio.sleep(1.2)
        folder.mkdir()
        async with asyncio.timeout(5):
            while not accounts.spent_file.exists():
                await asyncio.sleep(0.05)
