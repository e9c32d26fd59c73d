"""Recorded samples: what some model once answered, one JSON line each.

A file begins with a header line and has one sample a line after it; `docs/replay.md` describes
both. Samples of one problem are in the order of their lines. A line that cannot be read is
reported and costs only itself.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from re import compile as compile_pattern
from typing import Final, cast

from mull.core.codec import DecodeError, Json, decode, encode, parse_json
from mull.core.digest import content_digest
from mull.core.errors import BadInputError
from mull.core.problem import Message, Role
from mull.core.score import Verdict
from mull.core.steps import Step, StepKind
from mull.core.usage import Usage

FORMAT: Final = "mull-recording"
VERSION: Final = 1
OPEN: Final = "<think>"
CLOSE: Final = "</think>"
_PIECES: Final = compile_pattern(r"</?think>|[^\n<]*\n|[^\n<]+|<")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line."""

    format: str
    version: int
    model: str
    """Whose samples these are."""
    source: str = ""
    """Where they come from, for a person."""


@dataclass(frozen=True, slots=True)
class Record:
    """One sample of one problem."""

    problem: str | tuple[Message, ...]
    """The user's message, or the whole conversation."""
    text: str = ""
    """What the model wrote; thoughts may stand between `<think>` and `</think>`."""
    answer: str | None = None
    """The answer somebody read off the text, which is then all thought. Empty: there is none. None:
    the text outside of thoughts is the answer."""
    error: str = ""
    """Why there is no sample: replayed as a failure."""
    tokens: int = 0
    """Generated tokens, those of thoughts in `text` included."""
    hidden_tokens: int = 0
    """Generated before them and not part of `text`."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """The part of `prompt_tokens` that was served from a cache."""
    seconds: float = 0.0
    """From the request to the last token."""
    money_usd: float = 0.0
    score: float | None = None
    """What a verifier made of it, in [0, 1]; never the word of somebody who knows the answer."""
    verdict: Verdict = Verdict.UNKNOWN
    """What a checker that cannot see a reference was sure of."""

    def __post_init__(self) -> None:
        counts = (self.tokens, self.hidden_tokens, self.prompt_tokens, self.cached_tokens)
        amounts = (self.seconds, self.money_usd)
        if min(counts) < 0 or not all(isfinite(each) and each >= 0 for each in amounts):
            raise ValueError("tokens, seconds and money are finite and not below zero")
        if self.cached_tokens > self.prompt_tokens:
            raise ValueError("`cached_tokens` are part of `prompt_tokens` and cannot be more")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"`score` is {self.score}; it must lie in [0, 1]")

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that states the problem."""
        if isinstance(self.problem, str):
            return (Message(Role.USER, self.problem),)
        return self.problem

    @property
    def steps(self) -> tuple[Step, ...]:
        """The sample line by line; the last step ends the turn, if only with an empty line."""
        has_answer = self.answer is not None
        lines = list(_lines(self.text, thinks_throughout=has_answer))
        if has_answer or not lines:
            lines.append(Step(self.answer or "", kind=StepKind.ANSWER))
        last = lines.pop()
        return (*lines, Step(last.text, kind=last.kind, is_final=True))

    @property
    def usage(self) -> Usage:
        """What the sample took; calls and seconds are for whoever replays it to count."""
        return Usage(
            self.prompt_tokens,
            self.cached_tokens,
            self.tokens,
            self.hidden_tokens,
            money_usd=self.money_usd,
        )


def _lines(text: str, *, thinks_throughout: bool) -> Iterator[Step]:
    """The lines of a text; its think marks are no part of them."""
    thinks, held = thinks_throughout, ""
    for piece in cast("list[str]", _PIECES.findall(text)):
        is_mark = piece in {OPEN, CLOSE}
        if not is_mark:
            held += piece
        if held and (is_mark or held.endswith("\n")):
            yield Step(held, kind=StepKind.THOUGHT if thinks else StepKind.ANSWER)
            held = ""
        if is_mark:
            thinks = thinks_throughout or piece == OPEN
    if held:
        yield Step(held, kind=StepKind.THOUGHT if thinks else StepKind.ANSWER)


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that could not be read."""

    line: int
    """From 1."""
    reason: str


@dataclass(frozen=True, slots=True)
class Recording:
    """The samples of one model, by problem."""

    model: str
    samples: Mapping[tuple[Message, ...], tuple[Record, ...]]
    name: str = "the recording"
    """What messages call it: its file."""
    version: str = ""
    """Digest of the content: whatever changes the samples."""
    faults: tuple[Fault, ...] = field(default=())

    @classmethod
    def of(
        cls, model: str, records: Iterable[Record], *, name: str = "the recording"
    ) -> "Recording":
        """The recording of these records, in their order."""
        samples = dict[tuple[Message, ...], list[Record]]()
        content = list[str]()
        for record in records:
            samples.setdefault(record.messages, []).append(record)
            content.append(record_line(record))
        grouped = {messages: tuple(each) for messages, each in samples.items()}
        return cls(model, grouped, name, content_digest(model, *content))


def header_line(model: str, source: str = "") -> str:
    """The first line of a file, without its end."""
    return json.dumps(encode(Header(FORMAT, VERSION, model, source)))


def record_line(record: Record) -> str:
    """A sample's line, without its end."""
    return json.dumps(encode(record), ensure_ascii=False)


def parse_recording(lines: Iterable[bytes], name: str) -> Recording:
    """Read the lines of the file `name`.

    Raises `BadInputError` where the header is missing or of another version, and where no line
    holds a sample.
    """
    numbered = enumerate(lines, start=1)
    header = _header(next(numbered, (1, b""))[1], name)
    records, faults = list[Record](), list[Fault]()
    for number, line in numbered:
        if not line.strip():
            continue
        try:
            records.append(decode(Record, parse_line(line)))
        except (DecodeError, ValueError) as error:
            faults.append(Fault(number, str(error)))
    if not records:
        first = f": line {faults[0].line}: {faults[0].reason}" if faults else ""
        raise BadInputError(f"`{name}` holds no recorded sample{first}")
    found = Recording.of(header.model, records, name=name)
    return Recording(found.model, found.samples, name, found.version, tuple(faults))


def parse_line(line: bytes) -> Json:
    """The JSON value of a line; ValueError if it is none."""
    return parse_json(line.decode("utf-8"))


def _header(line: bytes, name: str) -> Header:
    hint = f"a recording begins with the line `{header_line('MODEL')}`"
    try:
        data = parse_line(line)
    except ValueError as error:
        raise BadInputError(f"`{name}`, line 1: no header of a recording", hint=hint) from error
    known = cast("Mapping[str, Json]", data if isinstance(data, Mapping) else {})
    if known.get("format") != FORMAT:
        raise BadInputError(f"`{name}`, line 1: no header of a recording", hint=hint)
    if known.get("version") != VERSION:
        raise BadInputError(
            f"`{name}` is a recording of version `{known.get('version')}`; this mull reads "
            f"version {VERSION}",
            hint="write it again, or use the version of mull that wrote it",
        )
    try:
        return decode(Header, data)
    except DecodeError as error:
        raise BadInputError(f"`{name}`, line 1: {error}", hint=hint) from error
