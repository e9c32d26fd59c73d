"""Which keys each row reads, as few large products: drawn up anew when branches come or go.

What many rows share is a *segment*: one product for all of them over a run of blocks where it
stands (Hydragen, Juravsky et al. 2024). What few rows share, or what is scattered, is cut into
*units*, one block for up to four rows each, and all units are one batch of small products (as
DeFT's chunks, Yao et al. 2024). A row's private blocks are units of one row. So every key is read
once for those who share it, at any depth of the tree.

All scores of a row stand side by side, in chunks of 16 columns, and are normalised together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mull.engine.blocks import BLOCK

SHARERS: Final = 4
"""Rows of a unit of shared blocks."""
SEGMENT_COST: Final = 9.0
"""Microseconds a segment takes beyond its arithmetic, measured; only the ratio matters."""
UNIT_COST: Final = 1.0
"""Microseconds a unit takes."""
SPARSENESS: Final = 2
"""Private blocks are read where they stand unless they take up more than so many times the room."""

Numbers = NDArray[np.int64]
Entry = tuple[int, int]
"""A shared block and how many of its positions are read."""


class Family(NamedTuple):
    """Neighbouring rows with the same shared beginning."""

    entries: tuple[Entry, ...]
    first: int
    end: int
    """Its rows are [first, end)."""


class Segment(NamedTuple):
    """A run of shared positions and the rows that read it."""

    start: int
    """Its first position in memory, in tokens."""
    length: int
    chunk: int
    """The chunk of columns where its scores begin."""
    first: int
    end: int


class Units(NamedTuple):
    """Blocks and the rows that read each of them; n units of R rows."""

    blocks: Numbers
    """(n,)"""
    rows: Numbers
    """(n, R); the number of rows stands for nobody."""
    chunks: Numbers
    """(n,): the column of their scores."""
    filled: Numbers
    """(n,): positions that hold something to be read."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the rows of one batch read."""

    num_rows: int
    num_chunks: int
    segments: tuple[Segment, ...]
    shared: Units | None
    private: Units
    span: tuple[int, int] | None
    """The private units are all blocks of [first, end), read where they stand; else copied."""
    units: Numbers
    """(num_rows, most): the private unit of each row's first block, its second, and so on."""
    places: Numbers
    """(n,): which of its row's blocks a private unit is."""

    def filled(self, lengths: Numbers) -> Numbers:
        """(n, w): how much of its block each private unit reads, where rows have so many positions.

        `lengths` (num_rows, w) are those of w tokens a row, each of which reads what is before it.
        """
        nobody = np.zeros((1, lengths.shape[1]), np.int64)
        ends = np.concatenate((lengths, nobody))[self.private.rows[:, 0]]
        return np.clip(ends - self.places[:, None] * BLOCK, 0, BLOCK)


class Stretch(NamedTuple):
    """Consecutive blocks that the same rows share."""

    entries: tuple[Entry, ...]
    chunk: int
    first: int
    end: int

    def runs(self) -> Iterator[Segment]:
        """Cut where the next block is not the next in memory."""
        start = 0
        for index in range(1, len(self.entries) + 1):
            block = self.entries[index - 1][0]
            if index == len(self.entries) or self.entries[index][0] != block + 1:
                length = sum(filled for _, filled in self.entries[start:index])
                first_block = self.entries[start][0]
                yield Segment(first_block * BLOCK, length, self.chunk + start, self.first, self.end)
                start = index

    def units(self, nobody: int) -> Units:
        """The same as units of up to four rows."""
        blocks, filled = np.array(self.entries, np.int64).T
        groups = -(-(self.end - self.first) // SHARERS)
        rows = self.first + np.arange(groups * SHARERS).reshape(groups, SHARERS)
        rows[rows >= self.end] = nobody
        count = len(blocks)
        return Units(
            np.repeat(blocks, groups),
            np.tile(rows, (count, 1)),
            np.repeat(self.chunk + np.arange(count), groups),
            np.repeat(filled, groups),
        )


def lay_out(
    families: Sequence[Family],
    private_blocks: Numbers,
    num_private: Numbers,
    *,
    only_runs: bool = False,
) -> Layout:
    """Draw up what each row reads.

    Args:
        families: All rows, in order of their entries.
        private_blocks: (rows, most) block numbers; a row has the first `num_private` of them.
        num_private: (rows,) at least 1 each: there must be room for the token of this turn.
        only_runs: Whether all that is shared becomes segments, whatever one costs.
    """
    num_rows = len(num_private)
    segments, units = list[Segment](), list[Units]()
    for stretch in _stretches(list(families), 0):
        runs = list(stretch.runs())
        groups = -(-(stretch.end - stretch.first) // SHARERS)
        if only_runs or len(runs) * SEGMENT_COST <= groups * len(stretch.entries) * UNIT_COST:
            segments += runs
        else:
            units.append(stretch.units(num_rows))
    depth = max((len(family.entries) for family in families), default=0)
    private, span, of_rows = _private(private_blocks, num_private, depth)
    return Layout(
        num_rows,
        depth + int(num_private.max(initial=0)),
        tuple(segments),
        _joined(units) if units else None,
        private,
        span,
        of_rows,
        private.chunks - depth,
    )


def _stretches(families: Sequence[Family], depth: int) -> Iterator[Stretch]:
    """What all families share from `depth` on, then what parts of them do."""
    first, last = families[0].entries, families[-1].entries
    end, shortest = depth, min(len(first), len(last))
    # They are sorted: what the first and the last share, all do.
    while end < shortest and first[end] == last[end]:
        end += 1
    if end > depth:
        yield Stretch(first[depth:end], depth, families[0].first, families[-1].end)
    longer = (family for family in families if len(family.entries) > end)
    for _, group in groupby(longer, lambda family: family.entries[end]):
        yield from _stretches(list(group), end)


def _private(
    blocks: Numbers, counts: Numbers, depth: int
) -> tuple[Units, tuple[int, int] | None, Numbers]:
    most = np.arange(int(counts.max(initial=0)), dtype=np.int64)
    rows, places = np.nonzero(most < counts[:, None])
    used = blocks[rows, places]
    first, end = int(used.min()), int(used.max()) + 1
    of_rows = np.zeros((len(counts), len(most)), np.int64)
    if end - first > SPARSENESS * len(used):
        of_rows[rows, places] = np.arange(len(used))
        return Units(used, rows[:, None], depth + places, np.zeros_like(used)), None, of_rows
    span, at = end - first, used - first
    of_rows[rows, places] = at
    all_rows, all_places = np.full((span, 1), len(counts)), np.zeros(span, np.int64)
    all_rows[at, 0], all_places[at] = rows, places
    blocks = np.arange(first, end)
    units = Units(blocks, all_rows, depth + all_places, np.zeros_like(blocks))
    return units, (first, end), of_rows


def _joined(units: Sequence[Units]) -> Units:
    blocks, rows, chunks, filled = zip(*units, strict=True)
    return Units(*map(np.concatenate, (blocks, rows, chunks, filled)))
