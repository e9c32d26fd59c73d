"""Whatever a client sends, it is answered, and never by a fault of ours."""

import asyncio
import http.client
import json
import threading
from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from server.serving import SUM, scripted, serving

from mull.server.chat_request import ChatRequest
from mull.server.fields import MullFields
from mull.server.messages import MessagesRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=8), each, max_size=4)
    ),
    max_leaves=12,
)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"]) | JSON, "content": JSON},
    optional={"name": JSON, "tool_calls": JSON},
)
FIELDS = sorted({*ChatRequest.__struct_fields__, *MessagesRequest.__struct_fields__})
MULL = st.dictionaries(st.sampled_from([*MullFields.__struct_fields__, "x"]), JSON, max_size=4)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request that is mostly right, with some fields of any value."""
    body: dict[str, Any] = {
        "model": draw(st.sampled_from(["toy", "bon-2-toy", "mull/auto", "sc-9999-toy"]) | JSON),
        "messages": draw(st.just([{"role": "user", "content": SUM}]) | st.lists(TURN) | JSON),
        "max_tokens": draw(st.integers(1, 30) | JSON),
    }
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=3)):
        body[name] = draw(JSON)
    if draw(st.booleans()):
        body["mull"] = draw(MULL | JSON)
    return body


@pytest.fixture(scope="module")
def address() -> Generator[str, None, None]:
    """A server on a thread of its own."""
    found, done = list[str](), threading.Event()
    begun = threading.Event()

    async def serve() -> None:
        async with serving(scripted({SUM: ["4"]}), slots=4) as served:
            found.append(served.url)
            begun.set()
            while not done.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    begun.wait(10)
    yield found[0]
    done.set()
    thread.join()


def post(address: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    connection.request("POST", path, body, {"content-type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data


PATHS = st.sampled_from(["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/verify"])
OFTEN = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@OFTEN
@given(PATHS, requests())
def test_no_request_is_a_server_error(address: str, path: str, body: dict[str, Any]) -> None:
    status, data = post(address, path, json.dumps(body).encode())
    assert status < 500, data
    if status != 200:
        assert json.loads(data)["error"]["message"]


@OFTEN
@given(PATHS, st.binary(max_size=200) | JSON.map(lambda each: json.dumps(each).encode()))
def test_no_bytes_are_a_server_error(address: str, path: str, body: bytes) -> None:
    status, data = post(address, path, body)
    assert status == 400, data
    assert json.loads(data)["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"model": "toy", "messages": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"model": "' + b"x" * (5 << 20) + b'"}', 413),
        (b'{"model": "toy", "model": 1}', 400),
        (b"", 400),
    ],
    ids=["deep", "deep messages", "large", "twice", "empty"],
)
def test_bodies_have_limits(address: str, body: bytes, status: int) -> None:
    try:
        found, _ = post(address, "/v1/chat/completions", body)
    except (BrokenPipeError, ConnectionResetError):
        found = 413  # it closed before it had read all of it
    assert found == status
