"""`/v1/chat/completions`, the way out: a solution, or what is known so far, as OpenAI's JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mull.core.events import Event, NodeGrown
from mull.core.expansion import BranchId, Delta, Grown
from mull.core.solution import Solution
from mull.core.steps import StepKind
from mull.server.answers import Answer, answers_of, outcome_of, usage_of
from mull.server.http import event
from mull.server.orders import Order
from mull.server.progress import Progress


@dataclass(frozen=True, slots=True)
class Completion:
    """How one request's answer is put, once and for all its parts."""

    model: str
    """As the client named it."""
    order: Order
    solve_id: str
    created: int

    def whole(self, solution: Solution) -> dict[str, object]:
        """The answer that is not streamed."""
        answers = answers_of(solution, is_plain=self.order.is_plain)
        return {
            **self._head("chat.completion"),
            "choices": [self._choice(index, each) for index, each in enumerate(answers)],
            "usage": usage_of(solution.usage),
            "mull": outcome_of(solution),
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

    def chunk(self, index: int, delta: dict[str, object], finish: str | None = None) -> bytes:
        """A piece of one choice."""
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def aside(self, **fields: object) -> bytes:
        """A chunk of no choice."""
        return event({**self._head("chat.completion.chunk"), "choices": [], **fields})


def finish_reason(answer: Answer) -> str:
    """`length` where a limit, of tokens or of the budget, cut the answer or its search short."""
    return "stop" if answer.is_whole else "length"


@dataclass(slots=True)
class Said:
    """What a stream has said of one choice. Owned by its `Pieces`.

    Space at the end is held back until something follows it, so that a stream says exactly what
    the whole answer would.
    """

    index: int
    sent: str = ""
    held: str = ""
    of_step: str = ""
    """What was taken in of the step that is growing."""

    def take(self, text: str) -> str:
        """What may be said, now that `text` has come."""
        ready = self.held + text if self.sent else text.lstrip()
        shown = ready.rstrip()
        self.held = ready[len(shown) :]
        self.sent += shown
        return shown


@dataclass(slots=True)
class Pieces:
    """Turns the events of a solve into the chunks of its stream. Owned by that stream."""

    completion: Completion
    choices: dict[BranchId, Said] = field(default_factory=dict[BranchId, Said])
    progress: Progress = field(default_factory=Progress)

    def of(self, happened: Event | Delta) -> bytes:
        """The chunks that an event gives rise to; most give none."""
        order = self.completion.order
        told = b""
        if order.shows_progress and self.progress.take(happened):
            told = self.completion.aside(mull={"progress": self.progress.as_json()})
        if not order.is_plain:
            return told
        if isinstance(happened, Delta):
            return told + self._delta(happened)
        return told + self._grown(happened.grown) if isinstance(happened, NodeGrown) else told

    def _delta(self, delta: Delta) -> bytes:
        said, opening = self._said(delta.branch_id)
        said.of_step += delta.text
        return opening + self._text(said, delta.text, delta.kind)

    def _grown(self, grown: Grown) -> bytes:
        said, opening = self._said(grown.branch_id)
        before, said.of_step = said.of_step, ""
        rest = grown.step.text.removeprefix(before)
        return opening + self._text(said, rest, grown.step.kind)

    def _said(self, branch_id: BranchId) -> tuple[Said, bytes]:
        """The choice of a branch, and the chunk that opens it where it is new."""
        said = self.choices.get(branch_id)
        if said is not None:
            return said, b""
        said = self.choices[branch_id] = Said(len(self.choices))
        return said, self.completion.chunk(said.index, {"role": "assistant", "content": ""})

    def _text(self, said: Said, text: str, kind: StepKind) -> bytes:
        if kind is StepKind.THOUGHT:
            shows = self.completion.order.shows_reasoning and text
            return self.completion.chunk(said.index, {"reasoning_content": text}) if shows else b""
        shown = said.take(text)
        return self.completion.chunk(said.index, {"content": shown}) if shown else b""

    def rest(self, answers: Sequence[Answer]) -> Iterator[bytes]:
        """What is not said yet of the answers, and their ends."""
        for answer in answers:
            said, opening = self._said(answer.branch_id or BranchId(""))
            yield opening
            if answer.refusal is not None:
                yield self.completion.chunk(said.index, {"refusal": answer.refusal})
            if missing := (answer.text or "").removeprefix(said.sent):
                yield self.completion.chunk(said.index, {"content": missing})
            yield self.completion.chunk(said.index, {}, finish_reason(answer))
