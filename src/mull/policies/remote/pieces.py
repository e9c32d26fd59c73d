"""What a server's answer consists of, whatever shape it came in."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Piece:
    """More of one choice."""

    choice: int = 0
    text: str = ""
    reasoning: str = ""
    """Thoughts that came in a field of their own."""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    """One a token id, or empty."""
    num_tokens: int = 1
    """1 where nothing is known of tokens."""
    total: int = 0
    """Tokens of the choice so far, this piece included; 0 where the server does not say. More than
    came: the ids of some were swallowed, as llama.cpp does inside a character of several tokens."""


class Ending(StrEnum):
    """Why a choice is over."""

    TURN = "turn"
    LINE = "line"
    """The stop string, which the text lacks."""
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Ended:
    """One choice is over."""

    choice: int
    ending: Ending


@dataclass(frozen=True, slots=True)
class Broken:
    """One choice is over in a way that makes no answer of it."""

    choice: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """Tokens as the server counts them, over all choices unless it says of which."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    """Reasoning included."""
    reasoning_tokens: int = 0
    choice: int | None = None
    written_tokens: int = 0
    """Of the prompt, kept in a cache for later."""


@dataclass(frozen=True, slots=True)
class Kept:
    """More of what the server wants to be shown again when its turn is taken up."""

    block: int
    """Which block of the choice it belongs to."""
    fields: Mapping[str, str]
    """Texts that are appended to what is kept of the block."""
    choice: int = 0


Item = Piece | Ended | Broken | Reported | Kept
