"""One model and where its keys and values live: passes over rows and over texts that are read.

Axes: N rows of w tokens each, T tokens that are read, C hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.attention import RowAttention
from mull.engine.fused import FusedRows
from mull.engine.layout import Layout
from mull.engine.memory import Memory
from mull.engine.reading import Chain, ChainAttention
from mull.engine.store import Store
from mull.models.inference import Attend, InferenceDecoder


class Passes:
    """Passes of one model. The batch owns it."""

    def __init__(
        self, decoder: InferenceDecoder, store: Store, memory: Memory, *, width: int = 1
    ) -> None:
        self.decoder = decoder
        self.groups = decoder.config.num_heads // decoder.config.num_kv_heads
        self._store = store
        self._memory = memory
        self._width = width
        self._attention: RowAttention | None = None
        """Good for as long as rows neither come, go nor grow into another block."""
        self._fused: FusedRows | None = None
        """The same, where there are kernels."""

    def over_rows(
        self,
        layout: Layout,
        offsets: NDArray[np.int64],
        tokens: NDArray[np.int64],
        positions: NDArray[np.int64],
        chains: Sequence[Chain] = (),
    ) -> Tensor:
        """Logits (N*w, V) after rows' tokens (N*w,); chains are read along the way.

        The tokens stand at `offsets` (N, w) among those that each row has to itself.
        """
        if self.decoder.kernels is None:
            attention = self._attending(layout)
            attention.begin(offsets)
            hidden = self._together(tokens, positions, attention, chains)
            return self.decoder.logits(hidden)
        if chains:
            self.read(chains)
        return self._fused_for(layout).logits(offsets, tokens, positions)

    def _attending(self, layout: Layout) -> RowAttention:
        attention = self._attention
        if attention is None or not attention.holds(layout, self._memory):
            attention = RowAttention(layout, self._memory, self.groups, width=self._width)
        self._attention = attention
        return attention

    def _fused_for(self, layout: Layout) -> FusedRows:
        fused = self._fused
        if fused is None or not fused.holds(layout, self._memory):
            fused = FusedRows(self.decoder, layout, self._memory, width=self._width)
        self._fused = fused
        return fused

    def _together(
        self,
        tokens: NDArray[np.int64],
        positions: NDArray[np.int64],
        drawing: Attend,
        chains: Sequence[Chain],
    ) -> Tensor:
        """Hidden states (N*w, C) after rows' tokens (N*w,), in one pass with the chains."""
        if not chains:
            return self.forward(tokens, positions, drawing)
        count = len(tokens)
        reading = ChainAttention(chains, self._store, self.groups, self._memory)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            read = reading(layer, queries[count:], keys[count:], values[count:])
            return torch.cat((drawing(layer, queries[:count], keys[:count], values[:count]), read))

        tokens = np.concatenate([tokens, *(chain.tokens for chain in chains)])
        positions = np.concatenate([positions, *(chain.positions for chain in chains)])
        return self.forward(tokens, positions, attend)[:count]

    def read(self, chains: Sequence[Chain]) -> Tensor:
        """Hidden states (T, C) after every token of some texts."""
        reading = ChainAttention(chains, self._store, self.groups, self._memory)
        tokens = np.concatenate([chain.tokens for chain in chains])
        positions = np.concatenate([chain.positions for chain in chains])
        return self.forward(tokens, positions, reading)

    def forward(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64], attend: Attend
    ) -> Tensor:
        """Hidden states after these tokens."""
        tensor = self._store.tensor
        return self.decoder.forward(tensor(tokens), tensor(positions), attend)
