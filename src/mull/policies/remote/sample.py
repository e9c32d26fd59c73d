"""One call on its way to becoming outcomes, over however many requests that takes."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from mull.core.expansion import Call, Delta, ExpansionKind, Failed, Finish, Grown, Outcome
from mull.core.steps import StepKind
from mull.core.usage import Usage
from mull.policies.remote.marks import MARK
from mull.policies.remote.pieces import Ending, Kept, Piece, Reported
from mull.policies.remote.reader import LINE_END, Line, StepReader

_FINISHES: Final = {
    Ending.TURN: Finish.STOP,
    Ending.LINE: Finish.STEP,
    Ending.LENGTH: Finish.LENGTH,
}


@dataclass(slots=True)
class Sample:
    """What one call has brought so far. The task that grows it owns it."""

    call: Call
    """As it stands: `grown`, `drawn` and `max_tokens` move on with every kept step."""
    keeps_steps: bool
    """The server can continue, so that steps count as soon as they are complete; where it cannot,
    they all come at the end."""
    reader: StepReader = field(default_factory=StepReader)
    prompt_tokens: int = 0
    """Of this request, where its token ids are known; else the server must tell."""
    ending: Ending | None = None
    has_outrun: bool = False
    """It was ended here, while the server went on."""
    is_settled: bool = False
    is_empty: bool = False
    """The server ended a turn without content."""
    broken: str = ""
    """Why the server gave no answer and would give none again."""
    kept: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    """Blocks to be shown to the server again, by their number."""
    has_lost: bool = False
    """Tokens were lost to a failure; they count against `call.max_tokens`."""
    _lines: list[Line] = field(default_factory=list[Line])
    """Complete and not yet reported."""
    _shown: int = 0
    """Tokens of this request's reported steps."""
    # What the next outcome must carry beyond its own tokens.
    _prompt: int = 0
    _cached: int = 0
    _written: int = 0
    _lost: int = 0

    @property
    def ends_with_line(self) -> bool:
        """Whether one line is all that is wanted."""
        return self.call.branch.expansion.kind is ExpansionKind.STEP

    @property
    def has_content(self) -> bool:
        """Whether this request brought anything: text, or tokens without any."""
        return self.reader.says_anything or self.reader.is_counted

    def feed(self, piece: Piece) -> Iterator[Outcome]:
        """Take in more; what comes after the end is dropped."""
        if self.ending is not None:
            return
        size = self.reader.size_of(piece)
        if not self.reader.num_tokens:
            self._prompt += self.prompt_tokens
        if self.reader.num_tokens + size > self.call.max_tokens:
            self.end(Ending.LENGTH)
            self.has_outrun = True
            return
        shown = piece.reasoning or (MARK.sub("", piece.text) if "<" in piece.text else piece.text)
        if shown:
            yield Delta(self.call.branch.id, shown, size, self.reader.kind_of(piece))
        for line in self.reader.feed(piece):
            if self.keeps_steps:
                yield from self._report()
            self._lines.append(line)
            if self.ends_with_line and line.step.text.endswith(LINE_END):
                self.ending, self.has_outrun = Ending.LINE, True
                return

    def keep(self, kept: Kept) -> None:
        """Take in more of a block."""
        block = self.kept.setdefault(kept.block, {})
        for name, text in kept.fields.items():
            block[name] = block.get(name, "") + text

    def end(self, ending: Ending) -> None:
        """The server says that it is over."""
        if self.ending is None:
            self.ending = ending
            self._lines += self.reader.end(with_line=ending is Ending.LINE)

    def settle(self, total: int, reported: Reported | None) -> Iterator[Outcome]:
        """The outcomes of an ended sample that took `total` tokens in this request."""
        ending = self.ending
        if ending is None:
            raise ValueError("a sample is settled after its end")
        self.is_settled = True
        self._charge_prompt(reported)
        if self.has_lost and ending is Ending.LENGTH:
            yield self._fail_short(total)
            return
        if reported is not None and reported.reasoning_tokens and not self.keeps_steps:
            self._lines = [_uncounted(line) for line in self._lines]
        hidden = self._hidden(total, reported)
        *lines, last = self._lines
        self._lines = lines
        yield from self._report()
        shown = total - hidden - self._shown
        step = replace(last.step, is_final=ending is Ending.TURN)
        usage = self._charged(shown, hidden, step.kind)
        yield Grown(self.call.branch.id, self._index, step, usage, _FINISHES[ending])

    def give_up(self, total: int, reported: Reported | None, *, message: str) -> Iterator[Outcome]:
        """The server ended it without an answer, after `total` tokens."""
        counted = self.reader.num_tokens
        yield from self.restart()
        self._charge_prompt(reported)
        self._lost += max(0, total - counted)
        yield self.fail(message)

    def restart(self) -> Iterator[Outcome]:
        """A request failed: keep what can be continued, count the rest as lost."""
        if self.keeps_steps:
            yield from self._report()
        lost = self.reader.num_tokens - self._shown
        if lost:
            self.has_lost = True
            self._lost += lost
        self.call = replace(self.call, max_tokens=self.call.max_tokens - self.reader.num_tokens)
        self.reader, self._lines, self._shown, self.is_empty = StepReader(), [], 0, False
        self.kept = {}

    def fail(self, message: str, *, retryable: bool = False) -> Failed:
        """The outcome of a sample that will not end; call `restart` first."""
        self.is_settled = True
        return Failed(self.call.branch.id, message, self._charged(), retryable)

    @property
    def _index(self) -> int:
        return len(self.call.grown)

    def _report(self) -> Iterator[Grown]:
        """Every complete line as a step with more to follow."""
        for line in self._lines:
            usage = self._charged(line.num_tokens, kind=line.step.kind)
            yield Grown(self.call.branch.id, self._index, line.step, usage)
            self._shown += line.num_tokens
            self.call = replace(
                self.call,
                grown=(*self.call.grown, line.step),
                drawn=self.call.drawn + line.num_tokens,
            )
        self._lines = []

    def _charge_prompt(self, reported: Reported | None) -> None:
        if reported is not None:
            self._prompt += 0 if self.prompt_tokens else reported.prompt_tokens
            self._cached += reported.cached_tokens
            self._written += reported.written_tokens

    def _fail_short(self, total: int) -> Failed:
        self._lost += total - self._shown
        return self.fail("tokens lost to a failed request left too few for the answer")

    def _charged(self, shown: int = 0, hidden: int = 0, kind: StepKind = StepKind.ANSWER) -> Usage:
        """The tokens of a step, and what was not charged before; those of a thought are hidden."""
        is_thought = kind is StepKind.THOUGHT
        visible, hidden = (0, hidden + shown) if is_thought else (shown, hidden)
        usage = Usage(
            self._prompt,
            self._cached,
            visible,
            hidden,
            discarded_tokens=self._lost,
            written_tokens=self._written,
        )
        self._prompt = self._cached = self._written = self._lost = 0
        return usage

    def _hidden(self, total: int, reported: Reported | None) -> int:
        """Reasoning as it is billed, whether or not (or how briefly) it is shown."""
        if reported is None or (self.reader.has_reasoning and self.keeps_steps):
            return 0
        counted = sum(line.num_tokens for line in self._lines) + self._shown
        return min(reported.reasoning_tokens, total - counted)


def _uncounted(line: Line) -> Line:
    """A thought of which the server itself says what it took."""
    return replace(line, num_tokens=0) if line.step.kind is StepKind.THOUGHT else line
