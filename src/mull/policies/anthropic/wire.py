"""Anthropic's Messages API: how a call is asked for, and how its stream reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mull.core.codec import Json
from mull.core.errors import BadInputError
from mull.core.expansion import Call, NodeId, Thinking
from mull.core.problem import Role
from mull.policies.remote.fields import Fields, count_of, fields_of, items_of, text_of
from mull.policies.remote.growth import Blocks
from mull.policies.remote.hosted import conversation, given
from mull.policies.remote.pieces import Broken, Ended, Ending, Item, Kept, Piece, Reported
from mull.policies.remote.wires import Request

MIN_THINKING: Final = 1_024
"""Smallest budget of thoughts that is taken."""
EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_ENDINGS: Final = {
    "end_turn": Ending.TURN,
    "stop_sequence": Ending.TURN,
    "max_tokens": Ending.LENGTH,
    "model_context_window_exceeded": Ending.LENGTH,
}


@dataclass(frozen=True, slots=True)
class AnthropicThinking:
    """Whether and how much the model reasons. By default as it does by itself."""

    tokens: int | None = None
    """A fixed budget, part of `max_tokens`: for the models that take one."""
    effort: str | None = None
    """Adaptive thinking with this effort: for the models that decide for themselves."""

    def __post_init__(self) -> None:
        if self.tokens is not None and self.effort is not None:
            raise BadInputError(
                "a model thinks either with a fixed budget of tokens or with an effort",
                hint="give one of them: which, depends on the model",
            )
        if self.tokens is not None and self.tokens < MIN_THINKING:
            raise BadInputError(
                f"a thinking budget is {self.tokens} tokens; it must be {MIN_THINKING} or more"
            )
        if self.effort is not None and self.effort not in EFFORTS:
            raise BadInputError(f"effort `{self.effort}` is none of {', '.join(EFFORTS)}")

    @property
    def is_asked_for(self) -> bool:
        """Whether requests say anything of it."""
        return self.tokens is not None or self.effort is not None

    @property
    def name(self) -> str:
        """Part of the model's name, since it changes its samples."""
        return f"+thinking={self.tokens or self.effort}" if self.is_asked_for else ""

    def fields(self, max_tokens: int) -> dict[str, Json]:
        """The request's fields."""
        if self.tokens is not None:
            budget = min(self.tokens, max_tokens - 1)
            return {"thinking": {"type": "enabled", "budget_tokens": budget}}
        if self.effort is not None:
            return {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": self.effort},
            }
        return {}


def refusal(call: Call, thinking: AnthropicThinking) -> str | None:
    """Why the API would not do what is asked, or do something else; None if it would."""
    expansion, sampling = call.branch.expansion, call.branch.expansion.sampling
    if sampling.min_p:
        return "knows no `min_p`"
    if sampling.temperature > 1:
        return f"takes no temperature above 1, and {sampling.temperature} is asked for"
    if not thinking.is_asked_for or expansion.thinking is Thinking.OFF:
        return None
    if sampling.temperature != 1 or sampling.top_k or sampling.top_p < 1:
        return "draws its thoughts at temperature 1, with no `top_k` or `top_p`, and no other way"
    if thinking.tokens is not None and call.max_tokens <= MIN_THINKING:
        return (
            f"needs more than {MIN_THINKING} tokens to think and answer, "
            f"and {call.max_tokens} are allowed"
        )
    return None


@dataclass(frozen=True, slots=True)
class AnthropicWire:
    """`/v1/messages`.

    What differs from the default is said, and nothing else: newer models refuse some fields of
    thinking and sampling, whatever their value.
    """

    model: str
    thinking: AnthropicThinking
    memory: Mapping[NodeId, Blocks] = field(repr=False)
    """Signed thoughts of turns that may be revised."""
    path: str = "/v1/messages"
    needs_prompt: bool = False

    def body(self, request: Request) -> dict[str, Json]:
        """The conversation, and how to go on with it."""
        call = request.call
        expansion, sampling = call.branch.expansion, call.branch.expansion.sampling
        system, turns = conversation(call)
        messages: list[Json] = [
            {"role": turn.role.value, "content": turn.content} for turn in turns
        ]
        if blocks := self.memory.get(call.branch.parents[0], ()):
            said = {"type": "text", "text": turns[-2].content}
            messages[-2] = {"role": Role.ASSISTANT.value, "content": [*blocks, said]}
        is_off = expansion.thinking is Thinking.OFF
        thinking = {} if is_off else self.thinking.fields(call.max_tokens)
        return {
            "model": self.model,
            "max_tokens": call.max_tokens,
            "stream": True,
            "messages": messages,
            **given(
                system=system or None,
                thinking={"type": "disabled"} if is_off and self.thinking.is_asked_for else None,
                temperature=sampling.temperature if sampling.temperature != 1 else None,
                top_p=sampling.top_p if sampling.top_p < 1 else None,
                top_k=sampling.top_k,
            ),
            **thinking,
        }

    def read(self, event: Fields) -> Iterator[Item]:
        """One event of the stream, or the whole message of a server that does not stream."""
        kind, index = event.get("type"), count_of(event.get("index"))
        if kind == "message_start":
            yield from _reported(fields_of(fields_of(event.get("message")).get("usage")))
        elif kind == "content_block_start":
            yield from _block(index, fields_of(event.get("content_block")))
        elif kind == "content_block_delta":
            yield from _delta(index, fields_of(event.get("delta")))
        elif kind == "message_delta":
            yield from _reported(fields_of(event.get("usage")))
            yield from _ended(fields_of(event.get("delta")).get("stop_reason"))
        elif kind == "message":
            for number, block in enumerate(items_of(event.get("content"))):
                yield from _block(number, fields_of(block))
            yield from _reported(fields_of(event.get("usage")))
            yield from _ended(event.get("stop_reason"))


def _block(index: int, block: Fields) -> Iterator[Item]:
    """The beginning of a block, which may already be all of it."""
    kind = text_of(block.get("type"))
    if kind == "text" and (text := text_of(block.get("text"))):
        yield Piece(text=text)
    elif kind == "thinking":
        thought = text_of(block.get("thinking"))
        signature = text_of(block.get("signature"))
        yield Kept(index, {"type": kind, "thinking": thought, "signature": signature})
        if thought:
            yield Piece(reasoning=thought)
    elif kind == "redacted_thinking":
        yield Kept(index, {"type": kind, "data": text_of(block.get("data"))})


def _delta(index: int, delta: Fields) -> Iterator[Item]:
    if text := text_of(delta.get("text")):
        yield Piece(text=text)
    if thought := text_of(delta.get("thinking")):
        yield Kept(index, {"thinking": thought})
        yield Piece(reasoning=thought)
    if signature := text_of(delta.get("signature")):
        yield Kept(index, {"signature": signature})


def _ended(reason: object) -> Iterator[Item]:
    if reason is None:
        return
    ending = _ENDINGS.get(text_of(reason))
    if ending is not None:
        yield Ended(0, ending)
    elif reason == "refusal":
        yield Broken(0, "the model refuses")
    else:
        yield Broken(0, f"it ended with `{reason}`")


def _reported(usage: Fields) -> Iterator[Reported]:
    """Input that is read from or written to the cache is counted apart from the rest of it."""
    if not usage:
        return
    cached = count_of(usage.get("cache_read_input_tokens"))
    written = count_of(usage.get("cache_creation_input_tokens"))
    details = fields_of(usage.get("output_tokens_details"))
    yield Reported(
        count_of(usage.get("input_tokens")) + cached + written,
        cached,
        count_of(usage.get("output_tokens")),
        count_of(details.get("thinking_tokens")),
        written_tokens=written,
    )
