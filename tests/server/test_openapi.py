"""Whatever fits the description that the server gives of itself, or nearly, is answered."""

import asyncio
import threading
from collections.abc import Generator, Mapping
from typing import Any

import aiohttp
import hypothesis.strategies as st
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from server.serving import GAME, RIGHT, SUM, WRONG, scripted, serving

from mull.server import Accounts, new_key
from mull.server.openapi import document

Address = tuple[str, str, Mapping[str, str]]
"""Of the server; the id of another tenant's solve; what shows that one is the first tenant."""
PRIVATE = "what only the other tenant may read"


_tool: Any = schemathesis
DESCRIPTION: Any = msgspec.to_builtins(document())
OPERATIONS: Any = [
    found.ok() for found in _tool.openapi.from_dict(DESCRIPTION).get_all_operations()
]
CASES: st.SearchStrategy[Any] = st.sampled_from(
    [
        operation.as_strategy(generation_mode=mode)
        for operation in OPERATIONS
        for mode in _tool.GenerationMode
    ]
).flatmap(lambda strategy: strategy)
ANY_PACE = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[Address, None, None]:
    """A server on a thread of its own, with another tenant's solve in it; and a key to it."""
    found, done, begun = list[str](), threading.Event(), threading.Event()
    (mine, my_hash), (theirs, their_hash) = new_key(), new_key()
    file = tmp_path_factory.mktemp("tenants") / "tenants.toml"
    file.write_text(
        f'[tenants.mine]\nkeys = ["{my_hash}"]\n[tenants.theirs]\nkeys = ["{their_hash}"]\n'
    )

    async def serve() -> None:
        replies = {SUM: ["4"], GAME: [WRONG, RIGHT], PRIVATE: [PRIVATE]}
        accounts = Accounts.read(file)
        async with serving(scripted(replies), accounts=accounts, slots=4) as served:
            async with served.client(theirs) as client:
                create: Any = client.chat.completions.create
                asked = [{"role": "user", "content": PRIVATE}]
                answer = await create(model="bon-2-toy", messages=asked)
            found.extend((served.url, answer.mull["solve_id"]))
            begun.set()
            while not done.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert begun.wait(30)
    yield found[0], found[1], {"authorization": f"Bearer {mine}"}
    done.set()
    thread.join()


def check(case: Any, address: Address) -> None:
    url, _, headers = address
    response: Any = case.call(base_url=url, headers=headers, timeout=20)
    assert response.status_code < 500
    assert PRIVATE.encode() not in response.content
    described = DESCRIPTION["paths"].get(case.path, {}).get(case.method.lower())
    if described is not None and response.status_code == 200:
        kind = response.headers["content-type"][0].partition(";")[0]
        assert kind in described["responses"]["200"]["content"]


@given(case=CASES)
@settings(max_examples=200, deadline=None, suppress_health_check=ANY_PACE)
def test_no_request_finds_a_fault(case: Any, address: Address) -> None:
    check(case, address)


@pytest.mark.full
@given(case=CASES)
@settings(max_examples=5000, deadline=None, suppress_health_check=ANY_PACE)
def test_no_request_of_thousands_finds_a_fault(case: Any, address: Address) -> None:
    check(case, address)


PLACES = [(path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods]


async def asked(
    address: Address, path: str, method: str, headers: Mapping[str, str]
) -> tuple[int, str]:
    url, solve_id, _ = address
    place = path.format(id=solve_id, model="toy")
    body = {"budget": {"tokens": 9}} if method == "post" else None
    async with (
        aiohttp.ClientSession(url, headers=headers) as session,
        session.request(method, place, json=body) as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(("path", "method"), PLACES)
async def test_nobody_without_a_key_is_served(address: Address, path: str, method: str) -> None:
    status, _ = await asked(address, path, method, {})
    assert status == (200 if path in {"/health", "/metrics"} else 401)


@pytest.mark.parametrize(("path", "method"), [each for each in PLACES if "{id}" in each[0]])
async def test_another_tenants_solve_is_not_there(address: Address, path: str, method: str) -> None:
    status, told = await asked(address, path, method, address[2])
    assert status == 404
    assert PRIVATE not in told


async def test_the_server_hands_its_description_to_anybody(address: Address) -> None:
    schema = _tool.openapi.from_url(f"{address[0]}/openapi.json")
    assert len(list(schema.get_all_operations())) == len(OPERATIONS)
