"""What servers that call themselves OpenAI-compatible really offer.

                 wire         token ids  continues by          tells stop from end  siblings  bound
    vllm         completions  yes        prompt of ids         stop_reason          fan-out   hard
    llama.cpp    completions  yes        prompt of ids         stopping_word        fan-out   hard
    sglang       chat         no         continue_final_...    matched_stop         fan-out   hard
    openai       chat         no         -                     no                   n         hard
    deepseek     chat         no         -                     no                   fan-out   hard
    qwen         chat         no         -                     no                   fan-out   soft
    other        chat         no         -                     no                   fan-out   soft

Only what continues can be grown step by step, and a step can only be told from the end of the turn
where the server says which of the two it was. Everything not offered is refused by name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from mull.core.codec import Json
from mull.core.errors import UnknownNameError
from mull.core.ledger import Bound
from mull.policies.remote.address import DEFAULT_KEY_VARIABLE, Address

PROVIDER: Final = "https://api.openai.com/v1"
_OWN_NAME: Final = re.compile(r"(?!.*:\d+$)[a-z][\w.:-]*", re.IGNORECASE)
"""What can be a model's name at OpenAI, and no host with its port."""


EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Of reasoning, as OpenAI names them."""


class WireKind(StrEnum):
    """Which of the two request shapes is spoken."""

    CHAT = "chat"
    COMPLETIONS = "completions"


class Siblings(StrEnum):
    """How several samples of one prompt are asked for."""

    FAN_OUT = "fan_out"
    """One request each, with a seed of its own."""
    FIELD = "field"
    """One request with `n`, which bills the prompt once; its samples share a seed."""


class Rendering(StrEnum):
    """Who turns messages into a prompt for the completions wire."""

    JOINED = "joined"
    """Nobody: the messages' contents, a blank line between them. For models without a template."""
    APPLY_TEMPLATE = "apply_template"
    """llama.cpp's `/apply-template` and `/tokenize`."""
    TOKENIZE = "tokenize"
    """vLLM's `/tokenize`, which takes messages."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One server's row of the table. A claim; what was found at connect may take it back."""

    name: str
    wire: WireKind = WireKind.CHAT
    """The better of its two, unless the caller chooses."""
    hosts: tuple[str, ...] = ()
    """Endings of the host names that speak it."""
    key_variable: str = ""
    """Environment variable that holds the key to those hosts."""
    rendering: Rendering = Rendering.JOINED
    token_ids: bool = False
    """Prompts and completions as token ids, on the completions wire."""
    continues_chat: bool = False
    """`continue_final_message` leaves the last assistant message open."""
    stop_cause: str = ""
    """Field of a choice that holds the stop string that was hit; empty where none does."""
    siblings: Siblings = Siblings.FAN_OUT
    max_siblings: int = 1
    """Largest `n` of one request."""
    length_field: str = "max_tokens"
    no_top_k: int | None = None
    """The `top_k` that keeps every token; None: `top_k` and `min_p` do not exist."""
    seeds: bool = True
    logprobs: bool = False
    """Of the drawn tokens, on the completions wire."""
    bound: Bound = Bound.SOFT
    """Whether the length field bounds everything that is billed."""
    thinking_off: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    """Body fields that ask for an answer without reasoning; empty where there are none."""
    efforts: tuple[str, ...] = ()
    """What its `reasoning_effort` takes; empty where there is none."""
    thinking_tokens: str = ""
    """Field of a budget of thoughts; empty where there is none."""
    thinking_on: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    """Body fields without which that budget means nothing."""
    keeps_alive: bool = True
    """False: it closes connections after a stream, whatever it announces."""
    is_own_machine: bool = False
    """Tokens are free, so that connecting may try what works."""


_TEMPLATE_OFF: Final[Mapping[str, Json]] = MappingProxyType(
    {"chat_template_kwargs": {"enable_thinking": False}}
)

OTHER: Final = Dialect("other")
"""Whatever is not recognised: nothing is assumed but chat."""

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Dialect(
                "vllm",
                WireKind.COMPLETIONS,
                rendering=Rendering.TOKENIZE,
                token_ids=True,
                continues_chat=True,
                stop_cause="stop_reason",
                max_siblings=64,
                no_top_k=0,
                logprobs=True,
                bound=Bound.HARD,
                thinking_off=_TEMPLATE_OFF,
                efforts=EFFORTS,
                thinking_tokens="thinking_token_budget",
                is_own_machine=True,
            ),
            Dialect(
                "llama.cpp",
                WireKind.COMPLETIONS,
                rendering=Rendering.APPLY_TEMPLATE,
                token_ids=True,
                stop_cause="stopping_word",
                no_top_k=0,
                logprobs=True,
                bound=Bound.HARD,
                thinking_off=_TEMPLATE_OFF,
                keeps_alive=False,
                is_own_machine=True,
            ),
            Dialect(
                "sglang",
                continues_chat=True,
                stop_cause="matched_stop",
                no_top_k=-1,
                bound=Bound.HARD,
                thinking_off=_TEMPLATE_OFF,
                is_own_machine=True,
            ),
            Dialect(
                "openai",
                hosts=("api.openai.com",),
                key_variable="OPENAI_API_KEY",
                siblings=Siblings.FIELD,
                max_siblings=128,
                length_field="max_completion_tokens",
                bound=Bound.HARD,
                thinking_off=MappingProxyType({"reasoning_effort": "none"}),
                efforts=EFFORTS,
            ),
            Dialect(
                "deepseek",
                hosts=("api.deepseek.com",),
                key_variable="DEEPSEEK_API_KEY",
                seeds=False,
                bound=Bound.HARD,
                thinking_off=MappingProxyType({"thinking": {"type": "disabled"}}),
                efforts=("low", "high", "max"),  # the others are taken, and made one of these
            ),
            Dialect(
                "qwen",
                hosts=("aliyuncs.com",),
                key_variable="DASHSCOPE_API_KEY",
                # Its `max_tokens` bounds the answer, not the reasoning before it.
                thinking_off=MappingProxyType({"enable_thinking": False}),
                thinking_tokens="thinking_budget",
                thinking_on=MappingProxyType({"enable_thinking": True}),
            ),
            OTHER,
        )
    }
)


def dialect_named(name: str) -> Dialect:
    """The dialect; `UnknownNameError` if there is none of that name."""
    try:
        return DIALECTS[name]
    except KeyError:
        raise UnknownNameError("dialect", name, DIALECTS) from None


def openai_address(place: str) -> Address:
    """The address of one of OpenAI's own models, or of `http://HOST:PORT/v1#MODEL`."""
    return Address.parse(f"{PROVIDER}#{place}" if _OWN_NAME.fullmatch(place) else place)


def openai_key_variable(address: Address) -> str:
    """The environment variable where the key to it is looked for, unless another is named.

    A provider's own key goes to that provider alone, never to another server.
    """
    dialect = dialect_of_host(address.host)
    return dialect.key_variable if dialect else DEFAULT_KEY_VARIABLE


def dialect_of_host(host: str) -> Dialect | None:
    """The dialect of a provider's host name; None for any other host."""
    return next(
        (
            each
            for each in DIALECTS.values()
            if any(host == known or host.endswith(f".{known}") for known in each.hosts)
        ),
        None,
    )
