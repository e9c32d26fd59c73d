"""The host's side of the rows of a batch: where each branch stands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mull.engine.blocks import BLOCK
from mull.engine.randomness import uniforms
from mull.engine.requests import Boundary, Punctuation, Report, Request
from mull.engine.sampling import Drawn, Draws
from mull.engine.store import Tip

ROW: Final = np.dtype(
    [
        ("number", np.int64),  # of its request
        ("token", np.int64),  # the last one
        ("length", np.int64),  # tokens of the sequence; all but the last are computed
        ("shared", np.int64),  # how many of them stand in the tree
        ("promised", np.int64),  # private blocks it may yet take
        ("blocks", np.int64),  # private blocks it has
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
        ("cached", np.int64),  # prompt tokens that others had computed, until reported
        ("held", np.float64),  # token-seconds in memory since the last piece
        ("discarded", np.int64),  # guesses that came to nothing since then
        ("in_vain", np.float64),  # FLOPs on those
    ],
    align=True,  # torch takes no column whose stride is not a multiple of its items
)
Which = NDArray[np.int64] | slice
"""Some rows: all of them, or those at these places."""
EVERY: Final = slice(None)
DRAWS: Final = np.uint64(0)
"""The stream of a seed that tokens are drawn from."""
_BREAK: Final = 1
_LATE_BREAK: Final = 2
_STOP: Final = 3
_FIRST_BUFFER: Final = 32


class Place(NamedTuple):
    """What a request was given to grow in."""

    tip: Tip
    """All of its prompt but the last token."""
    left: int
    """Tokens it may draw."""
    promised: int
    """Private blocks it may take."""
    cached_tokens: int
    """Tokens of the prompt that others had computed."""


class Rows:
    """One record a live row, in the order in which the forward pass takes them. The batch owns it.

    Rows are dense: `retire` closes holes from the end.
    """

    def __init__(self, max_rows: int, punctuation: Punctuation, vocab_size: int) -> None:
        self.count = 0
        self._table = np.zeros(max_rows, ROW)
        self._step_tokens = np.zeros((max_rows, _FIRST_BUFFER), np.int64)
        self._step_logprobs = np.zeros((max_rows, _FIRST_BUFFER), np.float64)
        self._tips = np.empty(max_rows, np.object_)
        self._beginnings = np.empty(max_rows, np.object_)
        self._blocks = np.zeros((max_rows, _FIRST_BUFFER // BLOCK), np.int64)
        # One more than there are positions: the token drawn last may not have its block yet.
        self._private_tokens = np.zeros((max_rows, _FIRST_BUFFER + 1), np.int64)
        self._marks = _marks(punctuation, vocab_size)

    @property
    def _live(self) -> NDArray[Any]:
        return self._table[: self.count]

    @property
    def positions(self) -> NDArray[np.int64]:
        """Where the last token of each row stands in its sequence."""
        return self._live["length"] - 1

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where it stands among those of the row that are not in the tree."""
        return self.positions - self._live["shared"]

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The last token of each row."""
        return self._live["token"]

    @property
    def tips(self) -> Sequence[Tip]:
        """Where each row leaves the tree."""
        return self._tips[: self.count].tolist()

    @property
    def blocks(self) -> NDArray[np.int64]:
        """(rows, most): the private blocks of each row, the first `num_blocks` of each."""
        return self._blocks[: self.count]

    @property
    def num_blocks(self) -> NDArray[np.int64]:
        """Private blocks of each row."""
        return self._live["blocks"]

    def add(self, number: int, request: Request, place: Place) -> None:
        """Append a row whose last prompt token is the first that is not in the tree."""
        sampling, row, shared = request.sampling, self.count, place.tip.length
        self._tips[row], self._beginnings[row] = place.tip, request.prompt[:shared]
        self._private_tokens[row, 0] = request.prompt[-1]
        self._table[row] = (
            number,
            request.prompt[-1],
            len(request.prompt),
            shared,
            place.promised,
            0,
            place.left,
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
            place.cached_tokens,
            0.0,
            0,
            0.0,
        )
        self.count += 1

    def full(self, width: int) -> NDArray[np.int64]:
        """Rows that have no private block yet for the last of `width` tokens from here."""
        return np.flatnonzero(self.offsets + width > self._live["blocks"] * BLOCK)

    def give(self, rows: NDArray[np.int64], blocks: NDArray[np.int64]) -> None:
        """Append one private block to each of these rows."""
        places = self._live["blocks"][rows]
        if places.max() >= self._blocks.shape[1]:
            width = self._blocks.shape[1]
            self._blocks = np.pad(self._blocks, ((0, 0), (0, width)))
            self._private_tokens = np.pad(self._private_tokens, ((0, 0), (0, width * BLOCK)))
        self._blocks[rows, places] = blocks
        self._live["blocks"][rows] += 1
        self._live["promised"][rows] -= 1

    def renumber(self, moved: NDArray[np.int64]) -> None:
        """Every private block has the number that stands at its old one."""
        held = np.arange(self._blocks.shape[1]) < self._live["blocks"][:, None]
        blocks = self._blocks[: self.count]
        blocks[held] = moved[blocks[held]]

    def own(self, row: int) -> NDArray[np.int64]:
        """One row's private blocks."""
        return self._blocks[row, : self._live["blocks"][row]]

    def sequence(self, row: int) -> tuple[int, ...]:
        """All tokens of a row."""
        num_private = self._table["length"][row] - self._table["shared"][row]
        private = self._private_tokens[row, :num_private]
        return self._beginnings[row] + tuple(private.tolist())

    def move(self, row: int, tip: Tip) -> None:
        """All but the last token of this row stand in the tree now, and its blocks are gone."""
        self._beginnings[row] = self.sequence(row)[:-1]
        self._tips[row] = tip
        self._live["shared"][row], self._live["blocks"][row] = tip.length, 0
        self._private_tokens[row, 0] = self._live["token"][row]

    def append(self, row: int, tip: Tip) -> int:
        """Its last token stands in the tree too; by how much what it may take changes."""
        live = self._live
        self._beginnings[row] += (int(live["token"][row]),)
        self._tips[row] = tip
        live["shared"][row] = tip.length
        before = int(live["promised"][row])
        live["promised"][row] = -(-live["left"][row] // BLOCK)
        return int(live["promised"][row]) - before

    def sort(self, order: NDArray[np.int64]) -> None:
        """Put row `order[i]` at place i."""
        for column in self._columns:
            column[: self.count] = column[order]

    @property
    def promised(self) -> NDArray[np.int64]:
        """Private blocks each row may yet take."""
        return self._live["promised"]

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return (
            self._table,
            self._step_tokens,
            self._step_logprobs,
            self._tips,
            self._beginnings,
            self._blocks,
            self._private_tokens,
        )

    def draws(self, ahead: int = 0, *, stream: np.uint64 = DRAWS) -> Draws:
        """How every row's next token is drawn, or the one so far ahead; by numbers of a stream."""
        live = self._live
        chance = uniforms(live["seed"] ^ stream, live["drawn"] + ahead)
        return Draws(chance, live["temperature"], live["top_k"], live["top_p"], live["min_p"])

    def hold(self, seconds: float) -> None:
        """Every row was in memory for so long."""
        self._live["held"] += self._live["length"] * seconds

    def take(self, which: Which, drawn: Drawn) -> NDArray[np.int64]:
        """Append a token to some rows; returns the `Boundary` of each of those."""
        rows = np.arange(self.count)[which]
        live = self._live[which]
        self._keep(rows, drawn, live["in_step"])
        self._private_tokens[rows, live["length"] - live["shared"]] = drawn.token_ids
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
        self._live[which] = live
        return boundaries

    def discard(self, which: Which, guesses: NDArray[np.int64], flops: NDArray[np.float64]) -> None:
        """So many guesses for each of some rows came to nothing."""
        self._live["discarded"][which] += guesses
        self._live["in_vain"][which] += flops

    def _keep(self, rows: NDArray[np.int64], drawn: Drawn, places: NDArray[np.int64]) -> None:
        """Put the tokens down in their rows' current steps."""
        width = self._step_tokens.shape[1]
        if places.max() >= width:
            self._step_tokens = np.pad(self._step_tokens, ((0, 0), (0, width)))
            self._step_logprobs = np.pad(self._step_logprobs, ((0, 0), (0, width)))
        self._step_tokens[rows, places] = drawn.token_ids
        self._step_logprobs[rows, places] = drawn.logprobs

    def report(
        self, which: Which, boundaries: NDArray[np.int64], bytes_per_token: int
    ) -> Report | None:
        """What is new of those of some rows that stream or have reached a boundary; or None."""
        is_new = self._live["streams"][which] | (boundaries != Boundary.INSIDE)
        rows, boundaries = np.arange(self.count)[which][is_new], boundaries[is_new]
        if not len(rows):
            return None
        told = self._table[rows]
        columns = np.arange(int(told["in_step"].max()))
        new = (columns >= told["reported"][:, None]) & (columns < told["in_step"][:, None])
        report = Report(
            numbers=told["number"].tolist(),
            counts=(told["in_step"] - told["reported"]).tolist(),
            boundaries=boundaries.tolist(),
            cached_tokens=told["cached"].tolist(),
            kv_byte_seconds=(told["held"] * bytes_per_token).tolist(),
            discarded_tokens=told["discarded"].tolist(),
            discarded_flops=told["in_vain"].tolist(),
            token_ids=self._step_tokens[rows, : len(columns)][new].tolist(),
            logprobs=self._step_logprobs[rows, : len(columns)][new].round(6).tolist(),
        )
        told["in_step"] *= boundaries == Boundary.INSIDE
        told["reported"] = told["in_step"]
        told["cached"] = told["held"] = told["discarded"] = told["in_vain"] = 0
        self._table[rows] = told
        return report

    def retire(self, gone: NDArray[np.bool_]) -> None:
        """Drop rows; rows from the end move into their places."""
        count = self.count - int(gone.sum())
        holes = np.flatnonzero(gone[:count])
        movers = np.flatnonzero(~gone[count:]) + count
        for column in self._columns:
            column[holes] = column[movers]
        self._tips[count : self.count] = self._beginnings[count : self.count] = None
        self.count = count

    def check(self) -> None:
        """Raise AssertionError if a row contradicts itself or another."""
        live = self._live
        assert len(np.unique(live["number"])) == self.count, "a request has two rows"
        assert (live["left"] > 0).all(), "a row is over and still there"
        assert (live["reported"] <= live["in_step"]).all(), "more is reported than was drawn"
        assert (live["in_step"] <= live["drawn"]).all(), "a step is longer than its branch"
        assert (live["promised"] >= 0).all(), "a row takes more than it was promised"
        assert (self.offsets >= 0).all(), "a row stands in the tree"
        assert (live["blocks"] * BLOCK >= self.offsets).all(), "a computed token has no block"

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
