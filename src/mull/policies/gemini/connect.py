"""Opening a policy over Gemini's API."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from mull.core.clock import Clock, SystemClock
from mull.core.expansion import NodeId
from mull.core.ledger import Bound
from mull.policies.gemini.wire import GeminiThinking, GeminiWire, refusal
from mull.policies.remote.address import Address, ApiKey
from mull.policies.remote.growth import Blocks
from mull.policies.remote.hosted import (
    DEFAULT_SETTINGS,
    HostedModel,
    HostedPolicy,
    HostedSettings,
    address_of,
    key_variable_of,
    open_hosted_policy,
)

PROVIDER: Final = "https://generativelanguage.googleapis.com"
KEY_VARIABLE: Final = "GEMINI_API_KEY"
AS_IT_DOES: Final = GeminiThinking()
"""The model thinks as it does by itself."""


def gemini_address(place: str) -> Address:
    """The address of a model's name, or of `http://HOST:PORT#MODEL`."""
    found = address_of(place, PROVIDER)
    return Address(found.url.removesuffix("/v1beta"), found.model)


def gemini_key_variable(address: Address) -> str:
    """Where the key to it is looked for."""
    return key_variable_of(address, PROVIDER, KEY_VARIABLE)


def open_gemini_policy(
    address: Address,
    key: ApiKey | None = None,
    *,
    thinking: GeminiThinking = AS_IT_DOES,
    settings: HostedSettings = DEFAULT_SETTINGS,
    clock: Clock = SystemClock(),
) -> AbstractAsyncContextManager[HostedPolicy]:
    """Talk to a model for as long as the block lasts; its bound is soft, as its thinking budget is.

    Raises `BadInputError` where nobody answers or the key is refused, and `UnknownNameError` for a
    model that is not served.
    """
    model, memory = (address.model or "").removeprefix("models/"), dict[NodeId, Blocks]()
    hosted = HostedModel(
        f"gemini:{model}{thinking.name}",
        GeminiWire(model, thinking, memory),
        Bound.SOFT,
        refusal,
        {"x-goog-api-key": key.secret} if key else {},
        f"/v1beta/models/{model}",
        "/v1beta/models?pageSize=1000",
        memory,
    )
    return open_hosted_policy(hosted, address, key, settings, clock)
