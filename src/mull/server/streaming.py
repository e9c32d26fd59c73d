"""An answer as it comes, whatever API it goes out by."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mull.core.events import Event, NodeGrown
from mull.core.expansion import BranchId, Delta, Grown
from mull.core.solution import Solution
from mull.core.steps import StepKind
from mull.server.answers import Answer, answers_of
from mull.server.gateway import check_paid
from mull.server.http import PING, PING_SECONDS, Exchange
from mull.server.orders import Order
from mull.server.progress import Progress
from mull.server.solves import Live, Watcher


class Speaker(Protocol):
    """Puts what is to be said into the events of one API. Each method gives ready-made events."""

    @property
    def order(self) -> Order:
        """What was asked for."""
        ...

    def opening(self, index: int) -> bytes:
        """An answer begins."""
        ...

    def text(self, index: int, text: str) -> bytes:
        """More of an answer's text."""
        ...

    def thought(self, index: int, text: str) -> bytes:
        """More of the thoughts before it; only for who wants to see them."""
        ...

    def progress(self, progress: Progress) -> bytes:
        """What happened before there is an answer; only for who asks."""
        ...

    def end(self, index: int, answer: Answer, solution: Solution) -> bytes:
        """An answer has ended, or there is none."""
        ...

    def close(self, solution: Solution) -> bytes:
        """Nothing more follows, and everything was said."""
        ...


@dataclass(slots=True)
class Said:
    """What a stream has said of one answer. Owned by its `Pieces`.

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
    """Turns the events of a solve into those of its stream. Owned by that stream."""

    speaker: Speaker
    answers: dict[BranchId | None, Said] = field(default_factory=dict[BranchId | None, Said])
    counts: Progress = field(default_factory=Progress)

    def of(self, happened: Event | Delta) -> bytes:
        """What an event gives rise to; most give nothing."""
        order = self.speaker.order
        told = b""
        if order.shows_progress and self.counts.take(happened):
            told = self.speaker.progress(self.counts)
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

    @property
    def has_text(self) -> bool:
        """Whether anything of an answer was said; its hidden thoughts are not."""
        return any(said.sent for said in self.answers.values())

    def _said(self, branch_id: BranchId | None) -> tuple[Said, bytes]:
        """The answer of a branch, and what opens it where it is new."""
        said = self.answers.get(branch_id)
        if said is not None:
            return said, b""
        said = self.answers[branch_id] = Said(len(self.answers))
        return said, self.speaker.opening(said.index)

    def _text(self, said: Said, text: str, kind: StepKind) -> bytes:
        if kind is StepKind.THOUGHT:
            is_shown = self.speaker.order.shows_reasoning and text
            return self.speaker.thought(said.index, text) if is_shown else b""
        shown = said.take(text)
        return self.speaker.text(said.index, shown) if shown else b""

    def rest(self, answers: Sequence[Answer], solution: Solution) -> bytes:
        """What is not said yet of the answers, and their ends."""
        parts = list[bytes]()
        for answer in answers:
            said, opening = self._said(answer.branch_id)
            parts.append(opening)
            if missing := (answer.text or "").removeprefix(said.sent):
                parts.append(self.speaker.text(said.index, missing))
            parts.append(self.speaker.end(said.index, answer, solution))
        return b"".join((*parts, self.speaker.close(solution)))


async def stream(exchange: Exchange, speaker: Speaker, live: Live, watcher: Watcher) -> None:
    """Answer with the solve's events as they come; what breaks leaves an error and no good end."""
    pieces = Pieces(speaker)
    async with exchange.event_stream():
        while not watcher.has_all:
            news = await watcher.take(PING_SECONDS)
            # Of a solve joined midway the beginning was missed: it is told whole, at its end.
            data = b"".join(pieces.of(each) for each in news) if watcher.sees_all else b""
            if data or not news:
                await exchange.send_events(data or PING)
            if exchange.first_text is None and pieces.has_text:
                exchange.first_text = time.perf_counter()
        solution = await live.solution()
        check_paid(solution, exchange.caller)
        answers = answers_of(solution, is_plain=speaker.order.is_plain)
        await exchange.send_events(pieces.rest(answers, solution))
        exchange.first_text = exchange.first_text or time.perf_counter()
