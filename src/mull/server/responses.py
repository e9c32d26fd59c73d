"""`/v1/responses`: the same solves, as OpenAI's newer API asks for them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from mull.core.problem import Message, Role
from mull.core.solution import Solution
from mull.server.answers import Answer, answers_of, outcome_of, spending_of
from mull.server.chat_request import between, count
from mull.server.errors import ApiError, refuse
from mull.server.fields import Effort, mull_fields
from mull.server.gateway import Gateway, check_paid
from mull.server.http import Exchange, event
from mull.server.names import read_name
from mull.server.orders import Order, Sampled, order_of
from mull.server.progress import Progress
from mull.server.streaming import stream
from mull.server.wire import decoded


class _Part(msgspec.Struct, frozen=True):
    type: Literal["input_text", "output_text", "text"]
    text: str


class _Item(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part]
    type: Literal["message"] = "message"

    def message(self) -> Message:
        text = self.content
        if not isinstance(text, str):
            text = "".join(part.text for part in text)
        return Message(Role("system" if self.role == "developer" else self.role), text)


class _Reasoning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    effort: Effort | None = None
    summary: Any = None


class _Format(msgspec.Struct, frozen=True):
    type: str = "text"


class _TextConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: _Format = _Format()
    verbosity: Any = None


class ResponsesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields of OpenAI's request, and `mull`."""

    model: str
    input: str | list[_Item]
    mull: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    instructions: str | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning: _Reasoning | None = None
    text: _TextConfig | None = None
    # Without effect on the answer.
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    parallel_tool_calls: bool | None = None
    stream_options: Any = None
    truncation: Literal["disabled"] | None = None
    # Refused, unless they ask for nothing.
    background: Any = None
    conversation: Any = None
    include: Any = None
    max_tool_calls: Any = None
    previous_response_id: Any = None
    prompt: Any = None
    service_tier: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Any = None
    top_logprobs: Any = None

    def turns(self) -> tuple[Message, ...]:
        """The instructions and the input as a problem holds them."""
        given = self.input
        asked = [Message(Role.USER, given)] if isinstance(given, str) else None
        asked = asked or [item.message() for item in given if isinstance(item, _Item)]
        if not asked:
            raise ApiError(400, "`input` is empty", param="input")
        first = [Message(Role.SYSTEM, self.instructions)] if self.instructions else []
        return (*first, *asked)

    def sampled(self) -> Sampled:
        """How the answer is drawn; ApiError for a field that cannot be honoured."""
        for name in _REFUSED:
            if getattr(self, name) not in _HARMLESS:
                raise refuse(name, "this server cannot honour it", hint="leave it out")
        if self.text is not None and (self.text.format.type != "text" or self.text.verbosity):
            raise refuse("text", "this model writes plain text alone")
        return Sampled(
            between("temperature", self.temperature, 0, 2),
            between("top_p", self.top_p, 0, 1),
            count("max_output_tokens", self.max_output_tokens),
            effort=self.reasoning.effort if self.reasoning else None,
        )


_REFUSED: Final = (
    "background", "conversation", "include", "max_tool_calls", "previous_response_id", "prompt",
    "service_tier", "store", "tool_choice", "tools", "top_logprobs",
)  # fmt: skip
_HARMLESS: Final[tuple[object, ...]] = (None, False, [], 0, "none", "auto")


@dataclass(slots=True)
class Response:
    """How one request's answer is put; a `Speaker` of one answer. Owned by its handler."""

    model: str
    order: Order
    solve_id: str
    created: int
    number: int = 0
    """Of the next event."""
    said: list[str] = field(default_factory=list[str])

    def whole(self, solution: Solution) -> dict[str, object]:
        """The answer that is not streamed."""
        (answer,) = answers_of(solution, is_plain=self.order.is_plain)
        return self._ended(answer, solution)

    def _ended(self, answer: Answer, solution: Solution) -> dict[str, object]:
        status = "completed" if answer.is_whole else "incomplete"
        details = None if answer.is_whole else {"reason": "max_output_tokens"}
        usage = solution.usage
        return {
            **self._head(status),
            "output": [self._item(status, [_content(answer)])],
            "incomplete_details": details,
            "usage": {
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {"cached_tokens": usage.cached_tokens},
                "output_tokens": usage.generated_tokens,
                "output_tokens_details": {"reasoning_tokens": usage.hidden_tokens},
                "total_tokens": usage.prompt_tokens + usage.generated_tokens,
                "mull": spending_of(usage),
            },
            "mull": outcome_of(solution, is_plain=self.order.is_plain),
        }

    def _head(self, status: str) -> dict[str, object]:
        return {
            "id": f"resp_{self.solve_id}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "model": self.model,
            "output": [],
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "temperature": None,
            "top_p": None,
        }

    def _item(self, status: str, content: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": f"msg_{self.solve_id}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    @property
    def _place(self) -> dict[str, object]:
        return {"item_id": f"msg_{self.solve_id}", "output_index": 0, "content_index": 0}

    def _event(self, kind: str, fields: Mapping[str, object]) -> bytes:
        self.number += 1
        return event({"type": kind, "sequence_number": self.number - 1, **fields}, name=kind)

    def opening(self, index: int) -> bytes:
        """See `Speaker`."""
        item = self._item("in_progress", [])
        part = {"type": "output_text", "text": "", "annotations": list[str]()}
        return b"".join(
            (
                self._event("response.created", {"response": self._head("in_progress")}),
                self._event("response.output_item.added", {"output_index": index, "item": item}),
                self._event("response.content_part.added", {**self._place, "part": part}),
            )
        )

    def text(self, index: int, text: str) -> bytes:  # noqa: ARG002  (there is one answer)
        """See `Speaker`."""
        self.said.append(text)
        fields = {**self._place, "delta": text, "logprobs": list[str]()}
        return self._event("response.output_text.delta", fields)

    def thought(self, index: int, text: str) -> bytes:  # noqa: ARG002  (this API summarises them)
        """See `Speaker`."""
        return b""

    def progress(self, progress: Progress) -> bytes:
        """See `Speaker`."""
        fields = {"response": self._head("in_progress"), "mull": progress.as_json()}
        return self._event("response.in_progress", fields)

    def end(self, index: int, answer: Answer, solution: Solution) -> bytes:
        """See `Speaker`."""
        ended = self._ended(answer, solution)
        status, part = str(ended["status"]), _content(answer)
        text = {**self._place, "text": "".join(self.said), "logprobs": list[str]()}
        item = {"output_index": index, "item": self._item(status, [part])}
        return b"".join(
            (
                self._event("response.output_text.done", text),
                self._event("response.content_part.done", {**self._place, "part": part}),
                self._event("response.output_item.done", item),
                self._event(f"response.{status}", {"response": ended}),
            )
        )

    def close(self, solution: Solution) -> bytes:  # noqa: ARG002  (the last event has it all)
        """See `Speaker`."""
        return b""


def _content(answer: Answer) -> dict[str, object]:
    if answer.refusal is not None:
        return {"type": "refusal", "refusal": answer.refusal}
    return {"type": "output_text", "text": answer.text or "", "annotations": []}


async def respond(gateway: Gateway, exchange: Exchange) -> None:
    """Answer one request."""
    request = decoded(ResponsesRequest, await exchange.body())
    wishes = mull_fields(request.mull, exchange.headers)
    named = read_name(request.model, gateway.names)
    model = gateway.models[named.model]
    order = order_of(named, model, request.turns(), request.sampled(), wishes)
    async with gateway.solving(order, exchange) as (live, watcher):
        speaker = Response(request.model, order, live.solve_id, int(time.time()))
        if request.stream:
            await exchange.unless_left(stream(exchange, speaker, live, watcher))
        else:
            solution = await exchange.unless_left(live.solution())
            check_paid(solution, exchange.caller)
            await exchange.send_json(speaker.whole(solution))
