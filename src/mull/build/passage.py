"""The way straight through to a served model's own API."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from mull.core.codec import Json
from mull.core.protocols import Policy
from mull.core.usage import Usage
from mull.policies.priced import PricedPolicy, Prices
from mull.policies.remote.wires import BYTES_A_TOKEN

if TYPE_CHECKING:
    from mull.policies.remote.client import Client
    from mull.policies.remote.connection import Response


_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Passage:
    """An OpenAI-compatible server, its connection pool, and the model as that server calls it."""

    model: str
    length_field: str
    """How its newest requests spell the limit of an answer's tokens."""
    client: "Client" = field(repr=False)
    prices: Prices | None = None
    window: int = 0
    """Tokens of prompt and answer together; 0 where nobody knows."""
    thinking: Mapping[str, Json] = field(default_factory=dict[str, Json], hash=False)
    """How much the model is to reason where a request does not say."""

    @asynccontextmanager
    async def post(self, path: str, body: bytes) -> "AsyncGenerator[Response, None]":
        """Its answer to a request, of whatever status. No redirect is followed with the key."""
        response = await self.client.ask("POST", path, body)
        try:
            yield response
        finally:
            response.close()

    def message_in(self, data: bytes) -> str:
        """What an answer that is an error says, in a line and without the key."""
        from mull.policies.remote.client import told_in

        text = " ".join(told_in(data).split())[:_SHOWN]
        return self.client.key.redact(text) if self.client.key else text

    def room(self, num_bytes: int) -> int:
        """Tokens that about so many bytes of a request leave; 0 where nobody knows, or none are."""
        return max(0, self.window - num_bytes // BYTES_A_TOKEN)

    def priced(self, usage: Usage) -> Usage:
        """The usage with what it costs."""
        return usage if self.prices is None else replace(usage, money_usd=self.prices.of(usage))

    def dearest(self, usage: Usage) -> Usage:
        """The usage with what it costs at most."""
        prices = self.prices
        return usage if prices is None else replace(usage, money_usd=prices.worst_of(usage))


def passage_of(policy: Policy) -> Passage | None:
    """The passage to the server behind a policy; None where there is none."""
    prices = None
    if isinstance(policy, PricedPolicy):
        prices, policy = policy.prices, policy.policy
    if type(policy).__name__ != "OpenAIPolicy":
        return None  # without importing what most servers of local models never need
    from mull.policies.openai import OpenAIPolicy

    if not isinstance(policy, OpenAIPolicy):
        return None
    served = policy.served
    client, field_name = policy.grower.client, served.dialect.length_field
    thinking = served.thinking.fields(served.dialect)
    return Passage(served.model, field_name, client, prices, served.window, thinking)
