"""Runs a batch of the float64 toy to its end and keeps what it said."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from hypothesis import strategies as st
from toys import NEWLINE, STOP, TOKENIZER, toy_decoder

from mull.core.expansion import Sampling
from mull.engine.batch import Batch
from mull.engine.requests import Boundary, EngineSettings, Punctuation, Report, Request
from mull.models.inference import InferenceDecoder
from mull.models.tokenizer import END_THINK

MODEL: Final = toy_decoder().double()
DECODER: Final = InferenceDecoder(MODEL, dtype=torch.float64, device="cpu")
DRAFT_MODEL: Final = toy_decoder(1).double()
DRAFT: Final = InferenceDecoder(DRAFT_MODEL, dtype=torch.float64, device="cpu")
PUNCTUATION: Final = Punctuation(
    frozenset({STOP}), frozenset({NEWLINE}), frozenset({TOKENIZER.token_id(END_THINK)})
)
PROMPTS: Final = ((1, 4, 300, 5), (1, 4, 301, 5), (1, 4, *range(300, 320), 5), (1,))

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 3, 5000]),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.1]),
)
requests = st.builds(
    Request,
    prompt=st.sampled_from(PROMPTS),
    seed=st.integers(0, 2**64 - 1),
    max_tokens=st.integers(1, 24),
    sampling=samplings,
    one_step=st.booleans(),
    streams=st.booleans(),
)


@dataclass(slots=True)
class Said:
    """What one request came to."""

    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    boundaries: list[Boundary] = field(default_factory=list[Boundary])
    sizes: list[int] = field(default_factory=list[int])
    """Tokens of each piece."""
    cached_tokens: list[int] = field(default_factory=list[int])
    kv_byte_seconds: float = 0.0


def batch_of(
    max_rows: int = 8,
    *,
    max_kv_bytes: int = 1 << 24,
    punctuation: Punctuation = PUNCTUATION,
    guesses: int | None = None,
) -> Batch:
    """A batch of the toy, for which another guesses so many tokens a turn, or none."""
    settings = EngineSettings(
        Path(),
        punctuation,
        max_rows=max_rows,
        max_kv_bytes=max_kv_bytes,
        draft_tokens=guesses or 1,
    )
    return Batch(DECODER, settings, None if guesses is None else DRAFT)


def pieces(report: Report) -> Iterator[tuple[int, Said]]:
    """Each piece of a report by its number."""
    start = 0
    for index, number in enumerate(report.numbers):
        end = start + report.counts[index]
        yield (
            number,
            Said(
                report.token_ids[start:end],
                report.logprobs[start:end],
                [Boundary(report.boundaries[index])],
                [end - start],
                [report.cached_tokens[index]],
                report.kv_byte_seconds[index],
            ),
        )
        start = end


def keep(said: dict[int, Said], report: Report | None) -> None:
    for number, piece in pieces(report) if report else ():
        all_said = said.setdefault(number, Said())
        all_said.token_ids += piece.token_ids
        all_said.logprobs += piece.logprobs
        all_said.boundaries += piece.boundaries
        all_said.sizes += piece.sizes
        all_said.cached_tokens += piece.cached_tokens
        all_said.kv_byte_seconds += piece.kv_byte_seconds


def run(
    requests: Mapping[int, Request] | Sequence[Request],
    *,
    max_rows: int = 8,
    arrivals: Mapping[int, int] | None = None,
    cancels: Mapping[int, int] | None = None,
    guesses: int | None = None,
) -> dict[int, Said]:
    """Grow the requests, each from the turn it arrives at to the one it is cancelled at."""
    numbered = dict(requests) if isinstance(requests, Mapping) else dict(enumerate(requests))
    arrivals, cancels = arrivals or {}, cancels or {}
    batch, said, turn = batch_of(max_rows, guesses=guesses), dict[int, Said](), 0
    last = max([*arrivals.values(), *cancels.values(), 0])
    while batch.is_busy or turn <= last:
        batch.add(
            (number, request)
            for number, request in numbered.items()
            if arrivals.get(number, 0) == turn
        )
        batch.cancel([number for number, at in cancels.items() if at == turn])
        keep(said, batch.turn())
        batch.check()
        turn += 1
    return said


def alone(request: Request, *, guesses: int | None = None) -> Said:
    """What a request says with the batch to itself."""
    return run([request], max_rows=1, guesses=guesses)[0]


def same(ours: Said, expected: Said) -> bool:
    """Whether two samples of one request are the same, however they were cut into pieces."""
    return (
        ours.token_ids == expected.token_ids
        and ours.boundaries[-1:] == expected.boundaries[-1:]
        and all(map(math.isclose, ours.logprobs, expected.logprobs))
    )
