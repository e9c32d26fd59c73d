"""`mull serve` before a real vLLM, as official clients ask it: `make test-vllm`."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.request import Request, urlopen

import anthropic
import openai
import pytest
from servers.mull import mull_server
from servers.vllm import vllm_server

import mull

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1500)]
CHECKPOINT = Path(mull.__file__).parent / "checkpoints" / "mull-base"
GAME: Any = [{"role": "user", "content": "Use 4, 9, 10 and 13 once each with + - * / to make 24."}]
LONG: Any = [{"role": "user", "content": "Use 4, 9, 10 and 13 once each with + - * / to make 977."}]
PRODUCT: Any = [{"role": "user", "content": "Multiply 47 by 29."}]
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway, and the vLLM behind it."""

    address: str
    upstream: str

    @property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.address, api_key="any", max_retries=0, timeout=120)

    @property
    def anthropic(self) -> anthropic.Anthropic:
        root = self.address.removesuffix("/v1")
        return anthropic.Anthropic(base_url=root, api_key="any", max_retries=0, timeout=120)

    def ask(self, **fields: Any) -> Any:
        create: Any = self.openai.chat.completions.create
        return create(**{"model": "far", "messages": GAME, "seed": 0, **fields})

    def get(self, path: str) -> Any:
        with urlopen(f"{self.address}{path}", timeout=60) as response:  # noqa: S310  (loopback)
            return json.load(response)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"content-type": "application/json"}
        request = Request(f"{self.address}{path}", json.dumps(body).encode(), headers)  # noqa: S310
        with urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)

    def running(self) -> float:
        """Requests that vLLM works on now, or will."""
        with urlopen(f"{self.upstream}/metrics", timeout=10) as response:  # noqa: S310
            lines = response.read().decode().splitlines()
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting{")
        return sum(float(each.split()[-1]) for each in lines if each.startswith(names))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gateway")
    model = copytree(CHECKPOINT, folder / "model")
    options = ("--max-num-seqs", "64", "--max-model-len", "512")
    with vllm_server(model, "mull-base", 8803, *options) as upstream:
        far = f"far=openai:{upstream}/v1#mull-base"
        with mull_server(folder / "served.db", "--model", far) as (address, _):
            found = Served(address, upstream)
            found.ask(max_tokens=2)  # the first request compiles
            yield found


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether it holds before the time is over."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_a_plain_chat_goes_straight_through(served: Served) -> None:
    plain = served.ask(max_tokens=20, logprobs=True, stop=["="], n=2, temperature=0.7)
    assert len(plain.choices) == 2
    assert plain.choices[0].logprobs is not None
    assert "=" not in plain.choices[0].message.content
    assert plain.usage.total_tokens == plain.usage.prompt_tokens + plain.usage.completion_tokens


def test_a_plain_stream_is_told_as_it_comes(served: Served) -> None:
    chunks = list(served.ask(max_tokens=24, stream=True, stream_options={"include_usage": True}))
    said = [each for each in chunks if each.choices and each.choices[0].delta.content]
    assert len(said) > 5
    assert chunks[-1].usage.completion_tokens == 24 or chunks[-1].usage.completion_tokens < 24


def test_tools_are_the_servers_to_take_and_no_searchs(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="tool"):
        served.ask(tools=[TOOL], tool_choice="auto")  # this vLLM was started without a tool parser
    with pytest.raises(openai.BadRequestError, match="`tools`"):
        served.ask(model="bon-4-far", tools=[TOOL])


def test_errors_are_named_and_no_answers(served: Served) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean `far`"):
        served.ask(model="fat")
    with pytest.raises(openai.BadRequestError, match="512"):
        served.ask(max_tokens=5_000)  # vLLM's own word: its window
    with pytest.raises(openai.BadRequestError, match="`temperature`"):
        served.ask(model="bon-4-far", temperature=5)


def test_a_search_counts_every_call_and_thought(served: Served) -> None:
    best = served.ask(model="bon-8-far", messages=PRODUCT)
    assert best.usage.mull["calls"] == 8
    assert best.usage.completion_tokens_details.reasoning_tokens > 0
    spent = best.usage.mull
    parts = ("visible", "hidden", "verifier", "discarded")
    assert best.usage.completion_tokens == sum(spent[f"{each}_tokens"] for each in parts)
    assert best.usage.prompt_tokens > 0


def test_a_budget_holds_and_more_of_it_goes_on(served: Served) -> None:
    budget = {"mull": {"budget": {"tokens": 60}}}
    short = served.ask(model="bon-32-far", messages=LONG, extra_body=budget)
    assert short.usage.completion_tokens <= 60
    assert short.mull["stop"] == "budget_tokens"
    place = f"/solves/{short.mull['solve_id']}"
    served.post(f"{place}/extend", {"budget": {"tokens": 200}})
    assert within(60, lambda: served.get(place)["status"] == "ended")
    state = served.get(place)
    spent = sum(state["usage"][f"{each}_tokens"] for each in ("visible", "hidden", "discarded"))
    assert 60 < spent <= 260
    assert state["usage"]["calls"] > short.usage.mull["calls"]


def test_a_quality_is_asked_and_reached(served: Served) -> None:
    found = served.ask(model="q90-far", extra_body={"mull": {"n": 64}})
    assert found.choices[0].message.content.endswith("= 24")
    assert found.mull["quality"] == {"asked": 0.9, "met": True}
    assert found.usage.mull["calls"] < 64


def test_anthropics_client_is_served_too(served: Served) -> None:
    create: Any = served.anthropic.messages.create
    found = create(model="es-64-far", max_tokens=100, messages=GAME)
    assert found.content[-1].text.endswith("= 24")
    assert found.usage.output_tokens > 0
    with served.anthropic.messages.stream(model="far", max_tokens=30, messages=GAME) as stream:
        assert "".join(stream.text_stream)
    with pytest.raises(anthropic.NotFoundError):
        create(model="fat", max_tokens=10, messages=GAME)
    with pytest.raises(anthropic.BadRequestError, match="tools"):
        create(model="far", max_tokens=10, messages=GAME, tools=[{"name": "f", "input_schema": {}}])


def test_what_is_cancelled_stops_at_vllm(served: Served) -> None:
    stream = served.ask(
        model="bon-256-far",
        messages=LONG,
        stream=True,
        extra_body={"mull": {"progress": True}},
    )
    first = next(iter(stream))
    solve_id = first.id.removeprefix("chatcmpl-")
    assert within(30, lambda: served.running() > 0)
    served.post(f"/solves/{solve_id}/cancel", {})
    assert within(5, lambda: served.running() == 0)
    assert served.get(f"/solves/{solve_id}")["stop"] == "cancelled"


def test_a_client_that_leaves_takes_its_calls_with_it(served: Served) -> None:
    stream = served.ask(
        model="bon-256-far",
        messages=LONG,
        stream=True,
        extra_body={"mull": {"progress": True}},
    )
    next(iter(stream))
    assert within(30, lambda: served.running() > 0)
    stream.close()
    assert within(5, lambda: served.running() == 0)
