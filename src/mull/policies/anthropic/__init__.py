"""Claude models behind Anthropic's Messages API."""

from mull.policies.anthropic.connect import (
    anthropic_address,
    anthropic_key_variable,
    open_anthropic_policy,
)
from mull.policies.anthropic.wire import AnthropicThinking

__all__ = [
    "AnthropicThinking",
    "anthropic_address",
    "anthropic_key_variable",
    "open_anthropic_policy",
]
