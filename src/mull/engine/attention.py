"""Attention over a layout: products over what is shared, products over what is not, one softmax.

Axes: N rows of w tokens each, H key-value heads, G queries of a row that share one (those of all
its w tokens), D head width, n units of R rows, C chunks of 16 columns. Scores and mixed values have
one row more than there are, for nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.blocks import BLOCK
from mull.engine.layout import Layout, Segment, Units
from mull.engine.memory import Memory


class View(NamedTuple):
    """A segment's operands, all of them views."""

    queries: Tensor
    """(H, rows*G, D)."""
    scores: Tensor
    """(H, rows*G, length)."""
    weights: Tensor
    """The same of the weights."""
    mixed: Tensor
    """(H, rows*G, D)."""
    keys: list[Tensor]
    """A layer: (H, D, length)."""
    values: list[Tensor]
    """A layer: (H, length, D)."""


@dataclass(slots=True)
class Products:
    """The operands of all units of one kind. The attention that made them owns them."""

    queries: Tensor
    """(n*H*R,) of H*N: the rows of queries."""
    chunks: Tensor
    """(n*H*R*G,) of H*(N+1)*G*C: the chunks of scores."""
    mixed: Tensor
    """(n*H*R,) of H*(N+1): the rows of mixed values."""
    shape: tuple[int, int, int]
    """(n*H, R*G, D): of the queries."""
    bias: Tensor
    """(n*H, 1, 16), or (n*H, R*G, 16) where tokens of a row read differently far."""
    keys: Sequence[Tensor]
    """A layer: (n*H, D, 16), or all blocks where `blocks` says which."""
    values: Sequence[Tensor]
    """A layer: (n*H, 16, D), or all blocks."""
    blocks: Tensor | None = None
    """(n*H,): which of all blocks, to be copied at each use; None if they stand side by side."""

    def operand(self, tensor: Tensor) -> Tensor:
        """A layer's keys or values of exactly these units."""
        return tensor if self.blocks is None else tensor.index_select(0, self.blocks)


class RowAttention:
    """The last `width` tokens of each row read all before them, and each what is before it.

    Holds until the layout or the memory changes.
    """

    def __init__(self, layout: Layout, memory: Memory, groups: int, *, width: int = 1) -> None:
        self._memory = memory
        self._heads_a_key, groups = groups, groups * width
        self._groups = groups
        self._row_width = groups * memory.width
        self._layout = layout
        self._version = memory.version
        self._bias = _bias(memory.keys.dtype, memory.keys.device)
        heads, rows, depth = memory.heads, layout.num_rows, memory.width
        # One row more than there are, for nobody.
        shape = (heads, (rows + 1) * groups, layout.num_chunks * BLOCK)
        self._scores = memory.keys.new_full(shape, -torch.inf)
        self._weights = torch.empty_like(self._scores)
        self._weight_chunks = self._weights.view(-1, BLOCK)
        self._score_chunks = self._scores.view(-1, BLOCK)
        self._queries = memory.keys.new_empty((heads, rows, groups, depth))
        self._query_rows = self._queries.view(-1, self._row_width)
        by_head = (rows, width, heads, self._row_width // width)
        self._queries_by_row = self._queries.view(heads, rows, width, -1).permute(1, 2, 0, 3)
        self._mixed = memory.keys.new_empty((heads, (rows + 1) * groups, depth))
        self._mixed_rows = self._mixed.view(-1, self._row_width)
        mixed = self._mixed.view(heads, rows + 1, width, -1)[:, :rows]
        self._mixed_by_row = mixed.permute(1, 2, 0, 3)
        self._result = memory.keys.new_empty((rows * width, by_head[2] * by_head[3]))
        self._result_heads = self._result.view(by_head)
        self._by_head = by_head
        self._given: Tensor | None = None
        """The queries of the last pass; a pass gives the same tensor at every layer."""
        self._given_heads = self._result_heads
        self._segments = [self._view(segment) for segment in layout.segments]
        self._private = self._private_products(layout.private)
        self._units = [self._private]
        if layout.shared is not None:
            keys, values = memory.gathered(self._tensor(layout.shared.blocks))
            self._units.append(self._products(layout.shared, list(keys), list(values)))

    def holds(self, layout: Layout, memory: Memory) -> bool:
        """Whether it is still good."""
        return self._layout is layout and self._version == memory.version

    def begin(self, offsets: NDArray[np.int64]) -> None:
        """Let each row's tokens stand at these places (N, w) among those the row has to itself."""
        layout = self._layout
        filled = layout.filled(offsets + 1)
        if filled.shape[1] > 1:
            filled = np.repeat(filled, self._heads_a_key, axis=1)
        self._private.bias = self._hiding(filled)
        units = layout.units[np.arange(layout.num_rows)[:, None], offsets // BLOCK].ravel()
        blocks = self._tensor(layout.private.blocks[units])
        self._slots = self._memory.private_slots(blocks, self._tensor(offsets.ravel() % BLOCK))

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`. The result is good until the next layer."""
        memory = self._memory
        memory.write_private(layer, self._slots, keys, values)
        if queries is not self._given:
            self._given, self._given_heads = queries, queries.view(self._by_head)
        self._queries_by_row.copy_(self._given_heads)
        self._score(layer)
        torch.softmax(self._scores, -1, out=self._weights)
        self._mix(layer)
        self._result_heads.copy_(self._mixed_by_row)
        return self._result

    def _score(self, layer: int) -> None:
        """What each row makes of each position."""
        for segment in self._segments:
            torch.bmm(segment.queries, segment.keys[layer], out=segment.scores)
        for units in self._units:
            keys = units.operand(units.keys[layer])
            chosen = self._query_rows.index_select(0, units.queries)
            scores = torch.baddbmm(units.bias, chosen.view(units.shape), keys)  # (n*H, R*G, 16)
            self._score_chunks.index_copy_(0, units.chunks, scores.view(-1, BLOCK))

    def _mix(self, layer: int) -> None:
        """Values by weight."""
        self._mixed.zero_()
        for segment in self._segments:
            segment.mixed.baddbmm_(segment.weights, segment.values[layer])
        for units in self._units:
            values = units.operand(units.values[layer])
            chosen = self._weight_chunks.index_select(0, units.chunks)
            parts = torch.bmm(chosen.view(len(values), -1, BLOCK), values)  # (n*H, R*G, D)
            self._mixed_rows.index_add_(0, units.mixed, parts.view(-1, self._row_width))

    def _private_products(self, units: Units) -> Products:
        """They are read where they stand, or copied from all over the memory."""
        memory, heads = self._memory, self._memory.heads
        if self._layout.span is not None:
            first, end = self._layout.span
            span = slice(first * heads, end * heads)
            keys = [each[span] for each in memory.private_keys]
            return self._products(units, keys, [each[span] for each in memory.private_values])
        products = self._products(units, memory.private_keys, memory.private_values)
        blocks = units.blocks[:, None] * heads + np.arange(heads)
        products.blocks = self._tensor(blocks.ravel())
        return products

    def _view(self, segment: Segment) -> View:
        column = segment.chunk * BLOCK
        where = (segment.start, segment.length)
        keys = [each.narrow(2, *where) for each in self._memory.shared_keys]
        values = [each.narrow(1, *where) for each in self._memory.shared_values]
        rows = slice(segment.first * self._groups, segment.end * self._groups)
        columns = slice(column, column + segment.length)
        queries = self._queries.view(self._memory.heads, -1, self._memory.width)
        return View(
            queries[:, rows],
            self._scores[:, rows, columns],
            self._weights[:, rows, columns],
            self._mixed[:, rows],
            keys,
            values,
        )

    def _products(self, units: Units, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Products:
        heads, groups = np.arange(self._memory.heads)[:, None], np.arange(self._groups)
        num_rows, num_chunks = self._layout.num_rows, self._layout.num_chunks
        rows = units.rows[:, None]  # (n, 1, R)
        queries = heads * num_rows + np.minimum(rows, num_rows - 1)  # (n, H, R)
        mixed = heads * (num_rows + 1) + rows
        chunks = (mixed[..., None] * self._groups + groups) * num_chunks
        chunks += units.chunks[:, None, None, None]  # (n, H, R, G)
        return Products(
            self._tensor(queries.ravel()),
            self._tensor(chunks.ravel()),
            self._tensor(mixed.ravel()),
            (len(units.blocks) * len(heads), units.rows.shape[1] * len(groups), self._memory.width),
            self._hiding(units.filled[:, None]),
            keys,
            values,
        )

    def _hiding(self, filled: NDArray[np.int64]) -> Tensor:
        """(n*H, q, 16) for units of which queries read so much (n, q)."""
        chosen = self._tensor(np.repeat(filled, self._memory.heads, axis=0))
        return self._bias.index_select(0, chosen.view(-1)).view(*chosen.shape, BLOCK)

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        tensor = torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]
        return tensor.to(self._memory.keys.device)


def _bias(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(17, 16): row f hides the positions from f on."""
    hidden = torch.ones((BLOCK + 1, BLOCK), dtype=torch.bool).triu()
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf).to(device)
