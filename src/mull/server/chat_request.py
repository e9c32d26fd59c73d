"""`/v1/chat/completions`, the way in: OpenAI's fields, each honoured or refused by its name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from mull.core.problem import Message, Role
from mull.policies.scheduling import Tier
from mull.server.errors import ApiError, refuse
from mull.server.fields import Effort
from mull.server.orders import Sampled

MAX_CHOICES: Final = 128


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """One part of a message's content; the only kind there is here."""

    text: str


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """An earlier answer's thoughts: clients send them back, models do not want them."""
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None
    function_call: Any = None
    audio: Any = None
    annotations: list[Any] | None = None

    def message(self, at: str) -> Message:
        """The turn as a problem holds it; ApiError names what it cannot hold."""
        if self.role in {"tool", "function"} or self.tool_calls or self.function_call:
            raise refuse(at, "tool calls reach no search", hint=_TOOLS)
        if self.name or self.audio:
            raise refuse(
                f"{at}.{'name' if self.name else 'audio'}", "this server has no use for it"
            )
        if self.content is None:
            raise refuse(f"{at}.content", "it is missing")
        text = self.content
        if not isinstance(text, str):
            text = "".join(part.text for part in text)
        role = "system" if self.role == "developer" else self.role
        return Message(Role(role), text)


_TOOLS: Final = (
    "a model behind an OpenAI-compatible server takes tools under its plain name, without a search"
)


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream carries beside the answer."""

    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields of OpenAI's request, and `mull`."""

    model: str
    messages: list[ChatMessage]
    mull: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    seed: int | None = None
    reasoning_effort: Effort | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    # Without effect on the answer.
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    parallel_tool_calls: bool | None = None
    # Refused, unless they ask for nothing.
    audio: Any = None
    frequency_penalty: Any = None
    function_call: Any = None
    functions: Any = None
    logit_bias: Any = None
    logprobs: Any = None
    modalities: Any = None
    prediction: Any = None
    presence_penalty: Any = None
    response_format: Any = None
    stop: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Any = None
    top_logprobs: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    def conversation(self) -> tuple[Message, ...]:
        """The messages as a problem holds them."""
        if not self.messages:
            raise ApiError(400, "`messages` is empty", param="messages")
        return tuple(each.message(f"messages[{index}]") for index, each in enumerate(self.messages))

    def sampled(self) -> Sampled:
        """How answers are drawn; ApiError for a field that cannot be honoured."""
        self._check_refused()
        return Sampled(
            between("temperature", self.temperature, 0, 2),
            between("top_p", self.top_p, 0, 1),
            count("max_completion_tokens", self.max_completion_tokens)
            or count("max_tokens", self.max_tokens),
            _seed(self.seed),
            count("n", self.n, at_most=MAX_CHOICES) or 1,
            self.reasoning_effort,
        )

    def _check_refused(self) -> None:
        for name, harmless in _REFUSED.items():
            if getattr(self, name) not in harmless:
                raise refuse(name, "this model cannot honour it", hint=_ELSEWHERE)
        both = (self.max_tokens, self.max_completion_tokens)
        if None not in both and both[0] != both[1]:
            raise refuse("max_tokens", "it differs from `max_completion_tokens`")

    @property
    def tier(self) -> Tier | None:
        """The tier that OpenAI's name for it stands for."""
        return _TIERS.get(self.service_tier or "")


_REFUSED: Final[Mapping[str, tuple[object, ...]]] = MappingProxyType(
    {
        "audio": (None,),
        "frequency_penalty": (None, 0),
        "function_call": (None, "none", "auto"),
        "functions": (None, []),
        "logit_bias": (None, {}),
        "logprobs": (None, False),
        "modalities": (None, ["text"]),
        "prediction": (None,),
        "presence_penalty": (None, 0),
        "response_format": (None, {"type": "text"}),
        "stop": (None, []),
        "store": (None, False),
        "tool_choice": (None, "none", "auto"),
        "tools": (None, []),
        "top_logprobs": (None, 0),
        "verbosity": (None, "medium"),
        "web_search_options": (None,),
    }
)
"""Values that ask for nothing."""
_ELSEWHERE: Final = "leave it out"
_TIERS: Final[Mapping[str, Tier]] = MappingProxyType(
    {"flex": Tier.BATCH, "priority": Tier.INTERACTIVE}
)


def between(name: str, value: float | None, low: float, high: float) -> float | None:
    """The value; ApiError unless it lies there."""
    if value is not None and not low <= value <= high:
        raise ApiError(400, f"`{name}` is {value}; it must lie from {low} to {high}", param=name)
    return value


def count(name: str, value: int | None, *, at_most: int = 1_000_000) -> int | None:
    """The value; ApiError unless it counts something."""
    if value is not None and not 1 <= value <= at_most:
        raise ApiError(400, f"`{name}` is {value}; it must lie from 1 to {at_most}", param=name)
    return value


def _seed(seed: int | None) -> int | None:
    """Any whole number, as OpenAI takes it; solves take those of 63 bits."""
    return None if seed is None else seed % 2**63
