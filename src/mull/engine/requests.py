"""What is asked of the engine and what it answers. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from itertools import chain
from pathlib import Path
from typing import Final, Self

from mull.core.expansion import Sampling

BLOCK: Final = 16
"""Positions in a block of the key-value memory."""


class Dtype(StrEnum):
    """Numerical formats a model can run in."""

    FLOAT64 = "float64"
    """Exact enough that samples do not depend on the batch; for tests."""
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """Half the memory; faster than float32 from about 32 rows on."""


@dataclass(frozen=True, slots=True)
class Punctuation:
    """The token ids that structure a model's text."""

    stops: frozenset[int]
    """Each ends the turn."""
    steps: frozenset[int]
    """Each ends a step."""
    late_steps: frozenset[int] = frozenset()
    """Each ends a step that it does not begin."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One model and how to run it."""

    folder: Path
    """The checkpoint."""
    punctuation: Punctuation
    dtype: Dtype = Dtype.FLOAT32
    device: str = "cpu"
    compiled: bool = True
    """Whether compiled kernels are used; for fp32 on a CPU."""
    max_rows: int = 512
    """Branches that grow at once; others wait."""
    max_kv_bytes: int = 2 << 30
    """What the key-value cache of all rows may come to, were each to grow to its limit."""
    judge: Path | None = None
    """A reward model to be run beside it, in one process and under one cap on memory."""
    draft: Path | None = None
    """The checkpoint of a smaller model of the same vocabulary that guesses ahead; samples have
    the same distribution as without it."""
    draft_tokens: int = 4
    """Tokens a row that it guesses a turn, 1 to 16."""


@dataclass(frozen=True, slots=True)
class Request:
    """One branch to grow."""

    prompt: tuple[int, ...]
    """Requests of equal prompt that wait together share one pass over it."""
    seed: int
    """In [0, 2**64). Token number t is drawn from (seed, t) alone."""
    max_tokens: int
    """At least 1; the model's window may end it earlier."""
    drawn: int = 0
    """The number t of the first token to draw."""
    sampling: Sampling = Sampling()
    one_step: bool = False
    """End after the first step."""
    streams: bool = False
    """Report each token at once, not only whole steps."""

    @property
    def weight(self) -> int:
        """Tokens that it may take to serve it."""
        return len(self.prompt) + self.max_tokens


@dataclass(frozen=True, slots=True)
class Given:
    """One text whose tokens are to be weighed, not drawn."""

    token_ids: tuple[int, ...]
    start: int
    """The first token that is weighed: at least 1, below the text's length."""

    @property
    def num_read(self) -> int:
        """Tokens that have to be read to weigh it: the last one is none of them."""
        return len(self.token_ids) - self.start

    @property
    def weight(self) -> int:
        """Tokens that it may take to serve it."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How probable the model finds a given text."""

    logprobs: tuple[float, ...]
    """Natural logarithms of its tokens from `start` on, each after all before it, untempered."""
    cached_tokens: int
    """How many of the text's tokens had been read for another."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One text that a reward model is to judge."""

    token_ids: tuple[int, ...]
    places: tuple[int, ...]
    """Where, from 0."""

    @property
    def weight(self) -> int:
        """Tokens that it may take to serve it."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a reward model says of one text."""

    outputs: tuple[tuple[float, ...], ...]
    """A place: the head's outputs, then how far it is from what the model was trained on (about 1
    where all is familiar)."""
    cached_tokens: int
    """How many of the text's tokens had been read for another."""


class Boundary(IntEnum):
    """What lies behind the last token of a piece."""

    INSIDE = 0
    """More of the same step."""
    STEP = 1
    """Another step."""
    ONE_STEP = 2
    """Nothing: the one step that was asked for is complete."""
    STOP = 3
    """Nothing: the turn has ended."""
    LENGTH = 4
    """Nothing: the limit or the window is reached, maybe inside a step."""

    @property
    def is_end(self) -> bool:
        """Whether the request is over."""
        return self >= Boundary.ONE_STEP


@dataclass(frozen=True, slots=True)
class Piece:
    """The next tokens of one request: the rest of a step, or less where it streams."""

    request: int
    """Its place in the requests passed to `generate`."""
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural logarithms under the untempered model, rounded to 1e-6."""
    boundary: Boundary
    cached_tokens: int
    """On a request's first piece: how much of its prompt another request's pass had computed."""
    kv_byte_seconds: float
    """Cache held since the last piece."""
    discarded_tokens: int = 0
    """Guesses of the draft since the last piece that were refused or came after such a one."""
    discarded_flops: float = 0.0
    """Of both models, on positions that came to nothing."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine holds now, and what it has done since it was started."""

    num_blocks: int
    """Of 16 positions, that somebody needs now."""
    num_shared: int
    """How many of those are in the prefix tree, where any branch may read them."""
    num_idle: int
    """Kept beside those, for whoever may ask for their text again."""
    max_blocks: int
    """That `max_kv_bytes` has room for."""
    num_rows: int
    """Branches that grow now."""
    num_waiting: int
    """Requests and texts that wait for room."""
    turns: int = 0
    """Passes over the model."""
    known_tokens: int = 0
    """Of prompts, and of texts to be judged."""
    cached_tokens: int = 0
    """The part of those that did not have to be read."""
    drawn_tokens: int = 0
    accepted_tokens: int = 0
    """Guesses of the draft that were taken."""
    refused_tokens: int = 0
    """Guesses that the model's own draw replaced; what was guessed behind them is not counted."""
    seconds: float = 0.0
    """That turns took."""

    @property
    def hit_rate(self) -> float:
        """Share of known tokens that did not have to be read; 0 where there were none."""
        return self.cached_tokens / self.known_tokens if self.known_tokens else 0.0

    @property
    def acceptance(self) -> float:
        """Share of the draft's guesses that were taken, of those that were looked at."""
        looked_at = self.accepted_tokens + self.refused_tokens
        return self.accepted_tokens / looked_at if looked_at else 0.0

    @property
    def rows_a_turn(self) -> float:
        """Batch size: branches that drew a token, on average over all turns."""
        return self.drawn_tokens / self.turns if self.turns else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Drawn in the time that turns took."""
        return self.drawn_tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """To the worker: what do you hold, and what have you done?"""

    number: int
    """Under which the answer comes."""


@dataclass(frozen=True, slots=True)
class Told:
    """From the worker: the answer to an `Ask`."""

    number: int
    stats: EngineStats


@dataclass(frozen=True, slots=True)
class Submit:
    """To the worker: grow these, each under a number of its own."""

    requests: Sequence[tuple[int, Request]]


@dataclass(frozen=True, slots=True)
class Forget:
    """To the worker: drop everything that nobody needs now."""


@dataclass(frozen=True, slots=True)
class Read:
    """To the worker of a reward model: judge these, each under a number of its own."""

    readings: Sequence[tuple[int, Reading]]


@dataclass(frozen=True, slots=True)
class Weigh:
    """To the worker: say how probable these are, each under a number of its own."""

    givens: Sequence[tuple[int, Given]]


@dataclass(frozen=True, slots=True)
class Weighed:
    """From the worker: how probable these are."""

    likelihoods: list[tuple[int, Likelihood]]


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the worker: free these; numbers that are over already are ignored."""

    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Judged:
    """From the worker of a reward model: what it says of these readings."""

    judgements: list[tuple[int, Judgement]]


@dataclass(frozen=True, slots=True)
class Ready:
    """From the worker: the model is loaded."""

    vocab_size: int
    max_positions: int
    bytes_per_sequence: int
    """What the longest sequence may take in memory."""
    num_outputs: int = 0
    """Of a reward model, the distance from its training among them; 0 of one that generates."""
    judge: Ready | None = None
    """The reward model beside it."""


@dataclass(frozen=True, slots=True)
class Broken:
    """From the worker, as its last words: why it ends."""

    message: str
    hint: str | None = None
    is_checkpoint: bool = False
    """Whether it is the model's files that cannot be used."""


@dataclass(frozen=True, slots=True)
class Report:
    """From the worker: the pieces of one turn of its loop, as columns of equal length."""

    numbers: list[int]
    counts: list[int]
    """How many of the tokens belong to each piece."""
    boundaries: list[int]
    cached_tokens: list[int]
    kv_byte_seconds: list[float]
    discarded_tokens: list[int]
    discarded_flops: list[float]
    token_ids: list[int]
    """Of all pieces, one after the other."""
    logprobs: list[float]

    @classmethod
    def joined(cls, reports: Sequence[Self]) -> Self | None:
        """All pieces of several, in order; None where there are none."""
        if len(reports) < 2:
            return reports[0] if reports else None
        names = [column.name for column in fields(cls)]
        parts = ([getattr(each, name) for each in reports] for name in names)
        return cls(*(list(chain.from_iterable(columns)) for columns in parts))
