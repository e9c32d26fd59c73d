"""A gateway over scripted replies, listening on loopback, for tests."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI
from servers.fake import MODEL, FakeServer

from mull.build import OpenModel, open_model
from mull.core.journal import MemoryJournal
from mull.core.protocols import Journal, Policy
from mull.core.spec import Spec
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample
from mull.server import (
    Accounts,
    CallQueue,
    Gateway,
    Load,
    Place,
    Scheduler,
    Solves,
    app_of,
    listening,
)

SUM = "What is 2 + 2?"
GAME = "Use 4, 9, 10 and 13 once each with + - * / to make 24."
RIGHT = "(13 - 9) * (10 - 4)"
WRONG = "13 + 10 + 4 - 9"


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and what is inside it."""

    url: str
    gateway: Gateway

    def client(self, key: str = "any") -> AsyncOpenAI:
        """The official client, pointed here."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=20)


def scripted(
    replies: Mapping[str, Sequence[Reply | str]], *, seconds: float = 0.0, **options: Any
) -> ScriptedPolicy:
    """Replies by statement, each step after so many seconds."""
    return ScriptedPolicy(by_sample(replies), delay=lambda call, index: seconds, **options)


@asynccontextmanager
async def serving(
    policy: Policy,
    *,
    journal: Journal | None = None,
    accounts: Accounts | None = None,
    slots: int | None = None,
    load: Load | None = None,
    head_seconds: float = 20.0,
) -> AsyncGenerator[Served, None]:
    """Serve one policy, called `toy`, for as long as the block lasts."""
    models = {"toy": OpenModel(policy, Spec("scripted", {"file": "toy"}))}
    queues = {} if slots is None else {"toy": Scheduler(CallQueue(slots))}
    accounts = accounts or Accounts.open_to_all()
    gateway = Gateway(
        models, Solves(models, journal or MemoryJournal(), accounts, queues), load or Load()
    )
    place = Place(port=0, head_seconds=head_seconds)
    async with listening(app_of(gateway), place) as url:
        yield Served(url, gateway)
        await gateway.solves.drain(0)


@asynccontextmanager
async def gateway_before(model: OpenModel) -> AsyncGenerator[AsyncOpenAI, None]:
    """OpenAI's client before a gateway of one model, called `far`."""
    solves = Solves({"far": model}, MemoryJournal())
    async with (
        listening(app_of(Gateway({"far": model}, solves)), Place(port=0)) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


@asynccontextmanager
async def before(
    upstream: FakeServer,
    accounts: Accounts | None = None,
    key: str = "any",
    *,
    queue: Scheduler | None = None,
) -> AsyncGenerator[tuple[AsyncOpenAI, Gateway], None]:
    """A gateway before an upstream server, and OpenAI's client."""
    async with open_model(f"openai:{upstream.url}#{MODEL}") as model:
        models = {"far": model}
        queues = {} if queue is None else {"far": queue}
        solves = Solves(models, MemoryJournal(), accounts or Accounts.open_to_all(), queues)
        gateway = Gateway(models, solves)
        async with (
            listening(app_of(gateway), Place(port=0)) as url,
            AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client,
        ):
            yield client, gateway
