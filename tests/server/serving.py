"""A gateway over scripted replies, listening on loopback, for tests."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI

from mull.build import OpenModel
from mull.core.journal import MemoryJournal
from mull.core.protocols import Journal, Policy
from mull.core.spec import Spec
from mull.policies.scripted import Reply, ScriptedPolicy, by_sample
from mull.server import Gateway, Place, Solves, app_of, listening

SUM = "What is 2 + 2?"
GAME = "Use 4, 9, 10 and 13 once each with + - * / to make 24."
RIGHT = "(13 - 9) * (10 - 4)"
WRONG = "13 + 10 + 4 - 9"


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and what is inside it."""

    url: str
    gateway: Gateway

    def client(self, **options: Any) -> AsyncOpenAI:
        """The official client, pointed here."""
        return AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key="any", max_retries=0, timeout=20, **options
        )


def scripted(
    replies: Mapping[str, Sequence[Reply | str]], *, seconds: float = 0.0, **options: Any
) -> ScriptedPolicy:
    """Replies by statement, each step after so many seconds."""
    return ScriptedPolicy(by_sample(replies), delay=lambda call, index: seconds, **options)


@asynccontextmanager
async def serving(
    policy: Policy, *, journal: Journal | None = None, name: str = "toy"
) -> AsyncGenerator[Served, None]:
    """Serve one policy for as long as the block lasts."""
    models = {name: OpenModel(policy, Spec("scripted", {"file": "toy"}))}
    gateway = Gateway(models, Solves(models, journal or MemoryJournal()))
    async with listening(app_of(gateway), Place(port=0)) as url:
        yield Served(url, gateway)
        await gateway.solves.drain(0)
