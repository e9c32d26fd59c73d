"""Reward models behind a server, by name: `pooling:http://HOST:PORT#MODEL`."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from mull.build.keys import KeyUse
from mull.build.schemes import key_sent
from mull.core.aggregation import Aggregation
from mull.core.codec import Json
from mull.core.errors import BadInputError, UnknownNameError, VerifierError
from mull.verifiers.pooling import Judges, PoolingVerifier, Reading

E = TypeVar("E", bound=StrEnum)

SCHEME: Final = "pooling:"
EXAMPLE: Final = "pooling:http://HOST:PORT#MODEL"


@dataclass(frozen=True, slots=True)
class Pooling:
    """A reward model that a vLLM serves with `--runner pooling`, and how it is read."""

    place: str
    key: str | None = None
    """Environment variable that holds the key; None: `MULL_API_KEY`."""
    step_tag: str = Reading().step_tag
    good: int = Reading().good
    aggregation: str = Reading().aggregation.value
    judges: str = Reading().judges.value
    """`steps`, or `answers` for a model of whole answers: it has no step tag."""
    attempts: int = 3
    """Requests in all for one path."""

    @property
    def key_use(self) -> KeyUse | None:
        """The key that is sent, as `schemes.key_use`."""
        from mull.policies.openai.dialects import openai_key_variable
        from mull.policies.remote.address import Address

        address = Address.parse(self.place)
        return key_sent(self.key, openai_key_variable(address), address.url)

    def verifier(self, name: str) -> PoolingVerifier:
        """The verifier that speaks by that name. `BadInputError` for what can never work."""
        from mull.policies.remote.address import Address

        address = Address.parse(self.place)
        if address.model is None:
            raise BadInputError(f"`{self.place}` names no model", hint=f"write it as `{EXAMPLE}`")
        rule = _named("aggregation", Aggregation, self.aggregation)
        judged = _named("thing a reward model judges", Judges, self.judges)
        reading = Reading(self.step_tag, self.good, rule, judged)
        return PoolingVerifier(name, self.post, address.model, reading)

    async def post(self, path: str, body: Mapping[str, Json]) -> Mapping[str, object]:
        """One request, made again where that may help; `VerifierError` where it brings nothing.

        Verifiers live without an event loop of their own, so every request has its own connection.
        """
        from mull.policies.openai.dialects import openai_key_variable
        from mull.policies.remote.address import Address, ApiKey
        from mull.policies.remote.client import CallError, open_client
        from mull.policies.remote.growth import Retries

        address = Address.parse(self.place)
        key = ApiKey.from_environment(self.key or openai_key_variable(address), os.environ)
        retries = Retries(attempts=self.attempts)
        async with open_client(address, key) as client:
            for attempt in range(self.attempts):
                try:
                    return await client.post(path, body)
                except CallError as error:
                    delay = retries.delay(attempt, error, seed=0)
                    if delay is None:
                        raise VerifierError(error.message) from error
                    await asyncio.sleep(delay)
        raise VerifierError(f"`{self.place}` was never asked")


def _named(what: str, kind: type[E], name: str) -> E:
    try:
        return kind(name)
    except ValueError:
        raise UnknownNameError(what, name, kind) from None


def pooling_verifier(name: str) -> PoolingVerifier:
    """The verifier that a name of this scheme means, with every setting at its default."""
    return Pooling(name.removeprefix(SCHEME)).verifier(name)
