"""Opening a policy over Anthropic's API."""

from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from mull.core.clock import Clock, SystemClock
from mull.core.expansion import NodeId
from mull.core.ledger import Bound
from mull.policies.anthropic.wire import AnthropicThinking, AnthropicWire, refusal
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

PROVIDER: Final = "https://api.anthropic.com"
KEY_VARIABLE: Final = "ANTHROPIC_API_KEY"
VERSION: Final = "2023-06-01"
"""Of the API: what its `anthropic-version` header asks for."""
AS_IT_DOES: Final = AnthropicThinking()
"""The model thinks as it does by itself."""


def anthropic_address(place: str) -> Address:
    """The address of a model's name, or of `http://HOST:PORT#MODEL`."""
    found = address_of(place, PROVIDER)
    return Address(f"{found.root}/v1", found.model)


def anthropic_key_variable(address: Address) -> str:
    """Where the key to it is looked for."""
    return key_variable_of(address, PROVIDER, KEY_VARIABLE)


def open_anthropic_policy(
    address: Address,
    key: ApiKey | None = None,
    *,
    thinking: AnthropicThinking = AS_IT_DOES,
    settings: HostedSettings = DEFAULT_SETTINGS,
    clock: Clock = SystemClock(),
) -> AbstractAsyncContextManager[HostedPolicy]:
    """Talk to a model for as long as the block lasts.

    Raises `BadInputError` where nobody answers or the key is refused, and `UnknownNameError` for a
    model that is not served.
    """
    model, memory = address.model or "", dict[NodeId, Blocks]()
    hosted = HostedModel(
        f"anthropic:{model}{thinking.name}",
        AnthropicWire(model, thinking, memory),
        Bound.HARD,
        partial(refusal, thinking=thinking),
        {"anthropic-version": VERSION} | ({"x-api-key": key.secret} if key else {}),
        f"/v1/models/{model}",
        "/v1/models?limit=1000",
        memory,
    )
    return open_hosted_policy(hosted, address, key, settings, clock)
