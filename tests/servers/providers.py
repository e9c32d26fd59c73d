"""What Anthropic's and Gemini's own APIs say, in the shapes that their documentation gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from servers.fake import MODEL, FakeServer, Handler, Json, hangs, streams

from mull.policies.anthropic import anthropic_address, open_anthropic_policy
from mull.policies.gemini import gemini_address, open_gemini_policy


@dataclass(frozen=True, slots=True)
class Provider:
    """One API: how a test opens its policy, and how it answers."""

    address: Callable[[str], object]
    open: Callable[..., object]
    begins: Callable[[str], list[Json]]
    """Events of an answer that has not ended."""
    ends: Callable[..., list[Json]]
    """Its last events."""
    error: Callable[[str], Json]
    """An error in the middle of a stream."""

    def says(self, *texts: str, tokens: int | None = None, **more: object) -> Handler:
        """A whole answer, a piece a text."""
        pieces = [event for text in texts for event in self.begins(text)]
        ending = self.ends(tokens or len(texts), **more)
        return streams([*pieces, *ending], says_done=False)

    def breaks(self, text: str) -> Handler:
        """The beginning of an answer, then a broken connection."""
        return streams(self.begins(text), is_whole=False)

    def stops(self, text: str) -> Handler:
        """The beginning of an answer and a clean end of the stream."""
        return streams(self.begins(text), says_done=False)

    def hangs_after(self, text: str) -> Handler:
        """The beginning of an answer, then silence."""
        return hangs(self.begins(text))


def block(index: int, kind: str, **fields: object) -> Json:
    """The start of a block of Claude's message."""
    return {
        "type": "content_block_start",
        "index": index,
        "content_block": {"type": kind, **fields},
    }


def delta(index: int, kind: str, **fields: str) -> Json:
    """More of a block."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def message_start(**usage: int) -> Json:
    """The first event of Claude's stream."""
    counts = {"input_tokens": 5, "output_tokens": 1, **usage}
    message: Json = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    return {"type": "message_start", "message": {**message, "model": MODEL, "usage": counts}}


def message_end(tokens: int, *, reason: str = "end_turn", **usage: object) -> list[Json]:
    """The last events of Claude's stream."""
    return [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": tokens, **usage},
        },
        {"type": "message_stop"},
    ]


def _claude_begins(text: str) -> list[Json]:
    """Every text as a block of its own; a first event again is what a test can live with."""
    start = [message_start(), {"type": "ping"}, block(0, "text", text="")]
    return [*start, delta(0, "text_delta", text=text)]


def _claude_error(message: str) -> Json:
    return {"type": "error", "error": {"type": "overloaded_error", "message": message}}


def candidate(
    *parts: Json, reason: str | None = None, usage: Json | None = None, **more: object
) -> Json:
    """A chunk of Gemini's stream."""
    said: Json = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}
    if reason is not None:
        said["finishReason"] = reason
    return {"candidates": [said], "usageMetadata": usage or {"promptTokenCount": 5}}


def _gemini_begins(text: str) -> list[Json]:
    return [candidate({"text": text})]


def _gemini_ends(tokens: int, *, reason: str = "STOP", **usage: object) -> list[Json]:
    counts = {"promptTokenCount": 5, "candidatesTokenCount": tokens, **usage}
    return [candidate({"text": ""}, reason=reason, usage=counts)]


def _gemini_error(message: str) -> Json:
    return {"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}}


ANTHROPIC = Provider(
    anthropic_address, open_anthropic_policy, _claude_begins, message_end, _claude_error
)
GEMINI = Provider(gemini_address, open_gemini_policy, _gemini_begins, _gemini_ends, _gemini_error)


def provider_server(*handlers: Handler) -> FakeServer:
    """A server of both APIs that answers with each handler in turn, and then with the last."""
    server = FakeServer(lambda number: handlers[min(number, len(handlers) - 1)])
    listed: Sequence[Json] = [{"id": MODEL}, {"id": "fake-2"}]
    server.extra = {
        f"/v1/models/{MODEL}": partial(_answers, {"id": MODEL, "type": "model"}),
        "/v1/models": partial(_answers, {"data": listed}),
        f"/v1beta/models/{MODEL}": partial(_answers, {"name": f"models/{MODEL}"}),
        "/v1beta/models": partial(_answers, {"models": [{"name": f"models/{MODEL}"}]}),
    }
    return server


def _answers(answer: Json, body: Json) -> Json:
    return answer
