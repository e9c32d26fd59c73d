"""Attention over a layout: products over what is shared, products over what is not, one softmax.

Axes: N rows, H key-value heads, G query heads that share one, D head width, n units of R rows,
C chunks of 16 columns. Scores and mixed values have one row more than there are, for nobody.
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
    """A segment's operands."""

    rows: slice
    """Of (N+1)*G."""
    columns: slice
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
    bias: Tensor
    """(n, 16): hides what is not filled."""
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
    """One token of each row reads all before it. Holds until the layout or the memory changes."""

    def __init__(self, layout: Layout, memory: Memory, groups: int) -> None:
        self._memory = memory
        self._groups = groups
        self._layout = layout
        self.size = memory.size
        """Blocks of the memory it was made for; it must not outlive a change."""
        self._bias = _bias(memory.keys.dtype, memory.keys.device)
        self._segments = [self._view(segment) for segment in layout.segments]
        self._private = self._private_products(layout.private)
        self._units = [self._private]
        if layout.shared is not None:
            keys, values = memory.gathered(self._tensor(layout.shared.blocks))
            self._units.append(self._products(layout.shared, list(keys), list(values)))
        rows = (layout.num_rows + 1) * groups
        shape = (memory.heads, rows, layout.num_chunks * BLOCK)
        self._scores = memory.keys.new_full(shape, -torch.inf)
        self.begin(layout.offsets)

    def begin(self, offsets: NDArray[np.int64]) -> None:
        """Let each row's token stand at this place (N,) of its growing block."""
        units, growing = self._layout.private, self._layout.growing
        units.filled[growing] = offsets + 1
        self._private.bias = self._bias.index_select(0, self._tensor(units.filled))
        blocks = self._tensor(units.blocks[growing])
        self._slots = self._memory.private_slots(blocks, self._tensor(offsets))

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        memory, count = self._memory, queries.shape[0]
        memory.write_private(layer, self._slots, keys, values)
        queries = queries.view(count, memory.heads, self._groups, memory.width).transpose(0, 1)
        # One key-value head needs no other order, and would be left in the fused product's rows.
        queries = queries.contiguous().view(memory.heads, count * self._groups, memory.width)
        weights = self._weights(layer, queries)
        return self._mix(layer, weights, count)

    def _weights(self, layer: int, queries: Tensor) -> Tensor:
        """What each row makes of each position (H, (N+1)*G, C*16)."""
        for segment in self._segments:
            part = self._scores[:, segment.rows, segment.columns]
            torch.bmm(queries[:, segment.rows], segment.keys[layer], out=part)
        rows, width = queries.view(-1, self._groups * self._memory.width), self._memory.width
        for units in self._units:
            keys = units.operand(units.keys[layer])
            chosen = rows.index_select(0, units.queries).view(keys.shape[0], -1, width)
            scores = torch.bmm(chosen, keys)  # (n*H, R*G, 16)
            scores.view(units.bias.shape[0], -1, BLOCK).add_(units.bias[:, None])
            self._scores.view(-1, BLOCK).index_copy_(0, units.chunks, scores.view(-1, BLOCK))
        return torch.softmax(self._scores, -1)

    def _mix(self, layer: int, weights: Tensor, count: int) -> Tensor:
        """Values (N, H*G*D) by weight."""
        heads, width = self._memory.heads, self._memory.width
        mixed = weights.new_zeros((heads, (count + 1) * self._groups, width))
        for segment in self._segments:
            part = weights[:, segment.rows, segment.columns]
            mixed[:, segment.rows].baddbmm_(part, segment.values[layer])
        rows = mixed.view(-1, self._groups * width)
        for units in self._units:
            values = units.operand(units.values[layer])
            chosen = weights.view(-1, BLOCK).index_select(0, units.chunks)
            parts = torch.bmm(chosen.view(values.shape[0], -1, BLOCK), values)  # (n*H, R*G, D)
            rows.index_add_(0, units.mixed, parts.view(-1, self._groups * width))
        mixed = mixed.view(heads, count + 1, self._groups * width)[:, :count]
        return mixed.transpose(0, 1).reshape(count, -1)

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
        return View(rows, slice(column, column + segment.length), keys, values)

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
            self._bias.index_select(0, self._tensor(units.filled)),
            keys,
            values,
        )

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        tensor = torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]
        return tensor.to(self._memory.keys.device)


def _bias(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(17, 16): row f hides the positions from f on."""
    hidden = torch.ones((BLOCK + 1, BLOCK), dtype=torch.bool).triu()
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf).to(device)
