"""From pieces to steps: lines as they complete, thoughts and answer kept apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from mull.core.steps import Step, StepKind
from mull.policies.remote.marks import CLOSE, MARK, OPEN, may_be_cut
from mull.policies.remote.pieces import Piece

LINE_END = "\n"


@dataclass(frozen=True, slots=True)
class Line:
    """A step, and how many tokens it took."""

    step: Step
    num_tokens: int


@dataclass(slots=True)
class StepReader:
    """Reads one sample. Its request owns it.

    How the text was cut into pieces changes nothing, except that a piece with token ids is never
    parted. Where the server says nothing of tokens, a piece counts as one.
    """

    thinks: bool = False
    """Whether what comes next is a thought."""
    num_tokens: int = 0
    """Of all pieces so far."""
    says_anything: bool = False
    """Whether there was any text."""
    is_counted: bool = False
    """Whether every token is counted, by its id or by the server's running total."""
    has_reasoning: bool = False
    """Whether any thought was shown."""
    _reasons: bool = False
    """Whether thoughts come in a field of their own, so that other text ends them."""
    _text: list[str] = field(default_factory=list[str])
    _ids: list[int] = field(default_factory=list[int])
    _logprobs: list[float] = field(default_factory=list[float])
    _count: int = 0
    _has_gap: bool = False
    """Whether a token of the line is without its id; then the line has none at all."""
    _held: list[Piece] = field(default_factory=list[Piece])
    """Pieces that end in what may be half a mark."""

    def size_of(self, piece: Piece) -> int:
        """Tokens the piece adds, by the server's running total where there is one."""
        return max(0, piece.total - self.num_tokens) if piece.total else piece.num_tokens

    def kind_of(self, piece: Piece) -> StepKind:
        """Thought or answer, as far as what came before the piece tells."""
        thinks = bool(piece.reasoning) or (self.thinks and not self._reasons)
        return StepKind.THOUGHT if thinks else StepKind.ANSWER

    def feed(self, piece: Piece) -> Iterator[Line]:
        """Take in more; yield the lines it completes."""
        size = self.size_of(piece)
        if size != piece.num_tokens:
            piece = replace(piece, token_ids=(), logprobs=(), num_tokens=size)
        self.num_tokens += size
        self.says_anything = self.says_anything or bool(piece.text or piece.reasoning)
        self.is_counted = self.is_counted or bool(piece.token_ids) or piece.total > 0
        if piece.reasoning:
            self.has_reasoning = True
            yield from self._turn(thinks=True)
            self._reasons = True
            yield from self._add(piece.reasoning, size)
            return
        self._held.append(piece)
        text = "".join(each.text for each in self._held) if len(self._held) > 1 else piece.text
        if may_be_cut(text):
            return
        yield from self._release(text)

    def end(self, *, with_line: bool = False) -> Iterator[Line]:
        """What is left: always one last line, if only an empty one; `with_line` ends it."""
        if self._held:
            yield from self._release("".join(each.text for each in self._held))
        if with_line:
            self._text.append(LINE_END)
        yield self._line()

    def _release(self, text: str) -> Iterator[Line]:
        """Take in the held pieces, whose joined text is `text`."""
        held, self._held = self._held, []
        if self._reasons:
            self._reasons = False
            yield from self._turn(thinks=False)
        parts = [part for part in MARK.split(text) if part] if "<" in text else [text]
        if not self.is_counted:
            yield from self._release_text(parts, sum(each.num_tokens for each in held))
            return
        if parts and parts[0] == CLOSE:  # its token begins the step after it
            yield from self._mark(parts.pop(0))
        self._take_tokens(held)
        for part in parts:
            if part in {OPEN, CLOSE}:
                yield from self._mark(part)
            else:
                self._text.append(part)
        if LINE_END in text:
            yield self._line()

    def _release_text(self, parts: Sequence[str], size: int) -> Iterator[Line]:
        for part in parts:
            if part in {OPEN, CLOSE}:
                yield from self._mark(part)
            else:
                yield from self._add(part, size)
                size = 0
        self._count += size

    def _take_tokens(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self._ids += piece.token_ids
            self._logprobs += piece.logprobs
            self._count += piece.num_tokens
            self._has_gap = self._has_gap or len(piece.token_ids) < piece.num_tokens

    def _mark(self, mark: str) -> Iterator[Line]:
        if mark == CLOSE:
            yield from self._turn(thinks=False)
        self.thinks = mark == OPEN

    def _turn(self, *, thinks: bool) -> Iterator[Line]:
        """From thoughts to answer or back: what was said before is a step of its own."""
        if thinks is not self.thinks and "".join(self._text).strip():
            yield self._line()
        self.thinks = thinks

    def _add(self, text: str, size: int) -> Iterator[Line]:
        """Text without token ids, parted at its line ends; its tokens count for the last part."""
        *lines, rest = text.split(LINE_END)
        for number, line in enumerate(lines):
            self._text.append(line + LINE_END)
            if number == len(lines) - 1 and not rest:
                self._count += size
            yield self._line()
        if rest or not lines:
            self._text.append(rest)
            self._count += size

    def _line(self) -> Line:
        ids = () if self._has_gap else tuple(self._ids)
        logprobs = tuple(self._logprobs)
        step = Step(
            "".join(self._text),
            ids,
            logprobs if len(logprobs) == len(ids) else (),
            kind=StepKind.THOUGHT if self.thinks else StepKind.ANSWER,
        )
        line = Line(step, self._count)
        self._text, self._ids, self._logprobs = [], [], []
        self._count, self._has_gap = 0, False
        return line
