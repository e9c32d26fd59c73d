"""`/v1/messages`: the same solves, as Anthropic's clients ask for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mull.core.problem import Message, Role
from mull.core.solution import Solution
from mull.server.answers import Answer, answers_of, outcome_of, spending_of
from mull.server.chat_request import TextPart, between, count
from mull.server.errors import ApiError, refuse
from mull.server.fields import Effort, mull_fields
from mull.server.gateway import Gateway, check_paid
from mull.server.http import Exchange, event
from mull.server.names import read_name
from mull.server.orders import Order, Sampled, order_of
from mull.server.progress import Progress
from mull.server.streaming import stream
from mull.server.wire import decoded

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
"""Anthropic's names; any other failure is an `api_error`."""


class _Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: str | list[TextPart]


class _Thinking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["adaptive", "disabled", "enabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class _OutputConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    effort: Effort | None = None
    format: Any = None


class MessagesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields of Anthropic's request, and `mull`."""

    model: str
    max_tokens: int
    messages: list[_Turn]
    mull: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    system: str | list[TextPart] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    # Without effect on the answer.
    metadata: Any = None
    service_tier: Any = None
    cache_control: Any = None
    # Refused, unless they ask for nothing.
    top_k: Any = None
    stop_sequences: Any = None
    tools: Any = None
    tool_choice: Any = None
    container: Any = None
    mcp_servers: Any = None

    def conversation(self) -> tuple[Message, ...]:
        """The system's words and the turns as a problem holds them."""
        turns = [Message(Role(turn.role), _text(turn.content)) for turn in self.messages]
        if not turns:
            raise ApiError(400, "`messages` is empty", param="messages")
        system = [] if not self.system else [Message(Role.SYSTEM, _text(self.system))]
        return (*system, *turns)

    def sampled(self) -> Sampled:
        """How the answer is drawn; ApiError for a field that cannot be honoured."""
        for name in ("top_k", "stop_sequences", "tools", "tool_choice", "container", "mcp_servers"):
            if getattr(self, name):
                raise refuse(name, "this model cannot honour it", hint="leave it out")
        config = self.output_config or _OutputConfig()
        if config.format is not None:
            raise refuse("output_config.format", "this model cannot honour it")
        if self.thinking is not None and self.thinking.budget_tokens is not None:
            hint = "`mull.budget.tokens` bounds all that is generated"
            raise refuse("thinking.budget_tokens", "thoughts have no limit of their own", hint=hint)
        is_off = self.thinking is not None and self.thinking.type == "disabled"
        return Sampled(
            between("temperature", self.temperature, 0, 1),
            between("top_p", self.top_p, 0, 1),
            count("max_tokens", self.max_tokens),
            effort="none" if is_off else config.effort,
        )


def _text(content: str | list[TextPart]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


@dataclass(frozen=True, slots=True)
class Reply:
    """How one request's answer is put; a `Speaker` of one answer."""

    model: str
    order: Order
    solve_id: str

    def whole(self, solution: Solution) -> dict[str, object]:
        """The answer that is not streamed."""
        (answer,) = answers_of(solution, is_plain=self.order.is_plain)
        blocks = list[dict[str, object]]()
        if self.order.shows_reasoning and answer.reasoning:
            blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": ""})
        if answer.text:
            blocks.append({"type": "text", "text": answer.text})
        return {
            **self._head(blocks),
            **_end(answer, solution, is_plain=self.order.is_plain),
            "usage": usage_of(solution),
        }

    def _head(self, blocks: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": f"msg_{self.solve_id}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": blocks,
            "stop_reason": None,
            "stop_sequence": None,
        }

    def opening(self, index: int) -> bytes:
        """See `Speaker`."""
        usage = {"input_tokens": 0, "output_tokens": 0}
        start = {"type": "message_start", "message": {**self._head([]), "usage": usage}}
        block = {"type": "text", "text": ""}
        opened = {"type": "content_block_start", "index": index, "content_block": block}
        return _event(start) + _event(opened)

    def text(self, index: int, text: str) -> bytes:
        """See `Speaker`."""
        delta = {"type": "text_delta", "text": text}
        return _event({"type": "content_block_delta", "index": index, "delta": delta})

    def thought(self, index: int, text: str) -> bytes:  # noqa: ARG002
        """See `Speaker`. Thoughts are a block of their own, which only a whole answer has."""
        return b""

    def progress(self, progress: Progress) -> bytes:
        """See `Speaker`."""
        return _event({"type": "ping", "mull": {"progress": progress.as_json()}})

    def end(self, index: int, answer: Answer, solution: Solution) -> bytes:
        """See `Speaker`."""
        stopped = {"type": "content_block_stop", "index": index}
        delta = {
            "type": "message_delta",
            "delta": _end(answer, solution, is_plain=self.order.is_plain),
        }
        return _event(stopped) + _event({**delta, "usage": usage_of(solution)})

    def close(self, solution: Solution) -> bytes:  # noqa: ARG002
        """See `Speaker`."""
        return _event({"type": "message_stop"})


def _end(answer: Answer, solution: Solution, *, is_plain: bool) -> dict[str, object]:
    reason = "end_turn" if answer.is_whole else "max_tokens"
    if answer.refusal is not None:
        reason = "refusal"
    told = {**outcome_of(solution, is_plain=is_plain), "refusal": answer.refusal}
    return {"stop_reason": reason, "stop_sequence": None, "mull": told}


def usage_of(solution: Solution) -> dict[str, object]:
    """Everything a solve spent, in Anthropic's fields and ours."""
    usage = solution.usage
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.generated_tokens,
        "output_tokens_details": {"thinking_tokens": usage.hidden_tokens},
        "mull": spending_of(usage),
    }


def _event(value: Mapping[str, object]) -> bytes:
    return event(value, name=str(value["type"]))


def anthropic_error(error: ApiError) -> object:
    """As Anthropic's clients read it."""
    kind = KINDS.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.text}}


async def reply(gateway: Gateway, exchange: Exchange) -> None:
    """Answer one request."""
    request = decoded(MessagesRequest, await exchange.body())
    wishes = mull_fields(request.mull, exchange.headers)
    named = read_name(request.model, gateway.names)
    model = gateway.models[named.model]
    order = order_of(named, model, request.conversation(), request.sampled(), wishes)
    async with gateway.solving(order, exchange) as (live, watcher):
        speaker = Reply(request.model, order, live.solve_id)
        if request.stream:
            await exchange.unless_left(stream(exchange, speaker, live, watcher))
        else:
            solution = await exchange.unless_left(live.solution())
            check_paid(solution, exchange.caller)
            await exchange.send_json(speaker.whole(solution))
