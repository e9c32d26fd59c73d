"""The host's side of the rows of a batch: where each branch stands."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mull.engine.randomness import uniforms
from mull.engine.requests import Boundary, Punctuation, Report, Request
from mull.engine.sampling import Drawn, Draws

ROW: Final = np.dtype(
    [
        ("number", np.int64),  # of its request
        ("token", np.int64),  # the last one
        ("length", np.int64),  # tokens of the sequence; all but the last drawn are in the cache
        ("left", np.int64),  # tokens that may still be drawn
        ("seed", np.uint64),
        ("drawn", np.int64),  # the number of the next token
        ("temperature", np.float64),
        ("top_k", np.int64),  # 0: no filter
        ("top_p", np.float64),
        ("min_p", np.float64),
        ("one_step", np.bool_),
        ("streams", np.bool_),
        ("in_step", np.int64),  # tokens of the current step
        ("reported", np.int64),  # how many of those have been
        ("cached", np.int64),  # prompt tokens that came from a fork, until reported
        ("held", np.float64),  # token-seconds in the cache since the last piece
    ],
    align=True,  # torch takes no column whose stride is not a multiple of its items
)
_BREAK: Final = 1
_LATE_BREAK: Final = 2
_STOP: Final = 3
_FIRST_BUFFER: Final = 32


class Rows:
    """One record a live row, in the order of the key-value cache. The batch owns it.

    Rows are dense: `retire` fills holes from the end and says how the cache must follow.
    """

    def __init__(self, max_rows: int, punctuation: Punctuation, vocab_size: int) -> None:
        self.count = 0
        self._table = np.zeros(max_rows, ROW)
        self._step_tokens = np.zeros((max_rows, _FIRST_BUFFER), np.int64)
        self._step_logprobs = np.zeros((max_rows, _FIRST_BUFFER), np.float64)
        self._marks = _marks(punctuation, vocab_size)

    @property
    def _live(self) -> NDArray[Any]:
        return self._table[: self.count]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row's sequence, prompt and drawn."""
        return self._live["length"]

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The token each row drew last."""
        return self._live["token"]

    @property
    def longest(self) -> int:
        """The most tokens any row may come to; 0 without rows."""
        live = self._live
        return int((live["length"] + live["left"]).max(initial=0))

    def add(self, number: int, request: Request, left: int, cached_tokens: int) -> None:
        """Append a row whose prompt is in the cache and that may draw `left` tokens."""
        sampling = request.sampling
        self._table[self.count] = (
            number,
            request.prompt[-1],
            len(request.prompt),
            left,
            request.seed,
            request.drawn,
            sampling.temperature,
            sampling.top_k or 0,
            sampling.top_p,
            sampling.min_p,
            request.one_step,
            request.streams,
            0,
            0,
            cached_tokens,
            0.0,
        )
        self.count += 1

    def draws(self) -> Draws:
        """How every row's next token is drawn."""
        live = self._live
        chance = uniforms(live["seed"], live["drawn"])
        return Draws(chance, live["temperature"], live["top_k"], live["top_p"], live["min_p"])

    def take(self, drawn: Drawn, seconds: float) -> NDArray[np.int64]:
        """Append each row's token; returns each row's `Boundary`. `seconds` is what it took."""
        live = self._live
        live["held"] += live["length"] * seconds
        self._keep(drawn, live["in_step"])
        live["token"] = drawn.token_ids
        marks = self._marks[drawn.token_ids]
        breaks = (marks == _BREAK) | ((marks == _LATE_BREAK) & (live["in_step"] > 0))
        live["length"] += 1
        live["drawn"] += 1
        live["in_step"] += 1
        live["left"] -= 1
        boundaries = np.where(breaks, np.int64(Boundary.STEP), np.int64(Boundary.INSIDE))
        boundaries[live["left"] == 0] = Boundary.LENGTH
        boundaries[breaks & live["one_step"]] = Boundary.ONE_STEP
        boundaries[marks == _STOP] = Boundary.STOP
        return boundaries

    def _keep(self, drawn: Drawn, places: NDArray[np.int64]) -> None:
        """Put the tokens down in their rows' current steps."""
        width = self._step_tokens.shape[1]
        if places.max() >= width:
            self._step_tokens = np.pad(self._step_tokens, ((0, 0), (0, width)))
            self._step_logprobs = np.pad(self._step_logprobs, ((0, 0), (0, width)))
        rows = np.arange(self.count)
        self._step_tokens[rows, places] = drawn.token_ids
        self._step_logprobs[rows, places] = drawn.logprobs

    def report(self, boundaries: NDArray[np.int64], bytes_per_token: int) -> Report | None:
        """What is new of rows that stream or have reached a boundary; None if nothing is."""
        rows = np.flatnonzero(self._live["streams"] | (boundaries != Boundary.INSIDE))
        if not len(rows):
            return None
        told = self._table[rows]
        columns = np.arange(int(told["in_step"].max()))
        new = (columns >= told["reported"][:, None]) & (columns < told["in_step"][:, None])
        report = Report(
            numbers=told["number"].tolist(),
            counts=(told["in_step"] - told["reported"]).tolist(),
            boundaries=boundaries[rows].tolist(),
            cached_tokens=told["cached"].tolist(),
            kv_byte_seconds=(told["held"] * bytes_per_token).tolist(),
            token_ids=self._step_tokens[rows, : len(columns)][new].tolist(),
            logprobs=self._step_logprobs[rows, : len(columns)][new].round(6).tolist(),
        )
        told["in_step"] *= boundaries[rows] == Boundary.INSIDE
        told["reported"] = told["in_step"]
        told["cached"] = told["held"] = 0
        self._table[rows] = told
        return report

    def retire(self, gone: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Drop rows; rows from the end move into their places: (where from, where to)."""
        count = self.count - int(gone.sum())
        holes = np.flatnonzero(gone[:count])
        movers = np.flatnonzero(~gone[count:]) + count
        for column in (self._table, self._step_tokens, self._step_logprobs):
            column[holes] = column[movers]
        self.count = count
        return movers, holes

    def check(self) -> None:
        """Raise AssertionError if a row contradicts itself or another."""
        live = self._live
        assert len(np.unique(live["number"])) == self.count, "a request has two rows"
        assert (live["left"] > 0).all(), "a row is over and still there"
        assert (live["reported"] <= live["in_step"]).all(), "more is reported than was drawn"
        assert (live["in_step"] <= live["drawn"]).all(), "a step is longer than its branch"

    def having(self, numbers: Collection[int]) -> NDArray[np.bool_]:
        """Which rows grow the requests of these numbers."""
        return np.isin(self._live["number"], list(numbers))


def _marks(punctuation: Punctuation, vocab_size: int) -> NDArray[np.uint8]:
    """What each token does to a step, as a table over the vocabulary."""
    marks = np.zeros(vocab_size, np.uint8)
    marks[list(punctuation.late_steps)] = _LATE_BREAK
    marks[list(punctuation.steps)] = _BREAK
    marks[list(punctuation.stops)] = _STOP
    return marks
