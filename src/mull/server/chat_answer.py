"""`/v1/chat/completions`, the way out: a solution as OpenAI's JSON, whole or in chunks."""

from dataclasses import dataclass

from mull.core.solution import Solution
from mull.server.answers import Answer, answers_of, outcome_of, usage_of
from mull.server.http import DONE, event
from mull.server.orders import Order
from mull.server.progress import Progress


@dataclass(frozen=True, slots=True)
class Completion:
    """How one request's answer is put; a `Speaker`."""

    model: str
    """As the client named it."""
    order: Order
    solve_id: str
    created: int
    shows_usage: bool = False
    """Whether a stream ends with what it cost."""

    def whole(self, solution: Solution) -> dict[str, object]:
        """The answer that is not streamed."""
        answers = answers_of(solution, is_plain=self.order.is_plain)
        return {
            **self._head("chat.completion"),
            "choices": [self._choice(index, each) for index, each in enumerate(answers)],
            "usage": usage_of(solution.usage),
            "mull": outcome_of(solution, is_plain=self.order.is_plain),
        }

    def _head(self, kind: str) -> dict[str, object]:
        return {
            "id": f"chatcmpl-{self.solve_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.order.model,
        }

    def _choice(self, index: int, answer: Answer) -> dict[str, object]:
        message: dict[str, object] = {
            "role": "assistant",
            "content": answer.text,
            "refusal": answer.refusal,
        }
        if self.order.shows_reasoning:
            message["reasoning_content"] = answer.reasoning
        return {
            "index": index,
            "message": message,
            "finish_reason": finish_reason(answer),
            "logprobs": None,
        }

    def _chunk(
        self, index: int, delta: dict[str, object], finish: str | None = None, **extra: object
    ) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event({**self._head("chat.completion.chunk"), "choices": [choice], **extra})

    def _aside(self, **fields: object) -> bytes:
        """A chunk of no choice: only for who has asked for one, as many clients expect none."""
        return event({**self._head("chat.completion.chunk"), "choices": [], **fields})

    def opening(self, index: int) -> bytes:
        """See `Speaker`."""
        return self._chunk(index, {"role": "assistant", "content": ""})

    def text(self, index: int, text: str) -> bytes:
        """See `Speaker`."""
        return self._chunk(index, {"content": text})

    def thought(self, index: int, text: str) -> bytes:
        """See `Speaker`."""
        return self._chunk(index, {"reasoning_content": text})

    def progress(self, progress: Progress) -> bytes:
        """See `Speaker`."""
        return self._aside(mull={"progress": progress.as_json()})

    def end(self, index: int, answer: Answer, solution: Solution) -> bytes:
        """See `Speaker`."""
        refusal = b""
        if answer.refusal is not None:
            refusal = self._chunk(index, {"refusal": answer.refusal})
        return refusal + self._chunk(
            index,
            {},
            finish_reason(answer),
            mull=outcome_of(solution, is_plain=self.order.is_plain),
        )

    def close(self, solution: Solution) -> bytes:
        """See `Speaker`."""
        usage = self._aside(usage=usage_of(solution.usage)) if self.shows_usage else b""
        return usage + DONE


def finish_reason(answer: Answer) -> str:
    """`length` where a limit, of tokens or of the budget, cut the answer or its search short."""
    return "stop" if answer.is_whole else "length"
