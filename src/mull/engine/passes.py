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
from mull.engine.layout import Layout
from mull.engine.memory import Memory
from mull.engine.native import Native, NativeRowAttention
from mull.engine.reading import Chain, ChainAttention
from mull.engine.store import Store
from mull.models.inference import Attend, InferenceDecoder


class Passes:
    """Passes of one model. The batch owns it."""

    def __init__(
        self,
        decoder: InferenceDecoder,
        store: Store,
        memory: Memory,
        *,
        width: int = 1,
        library: Native | None = None,
    ) -> None:
        self.decoder = decoder
        self.groups = decoder.config.num_heads // decoder.config.num_kv_heads
        self._store = store
        self._memory = memory
        self._width = width
        self._library = library
        self.decoder.kernels = library
        self._attention: RowAttention | NativeRowAttention | None = None
        """Good for as long as rows neither come, go nor grow into another block."""

    def over_rows(
        self, layout: Layout, offsets: NDArray[np.int64]
    ) -> RowAttention | NativeRowAttention:
        """How rows attend from these places (N, w) among those they have to themselves."""
        attention = self._attention
        if attention is None or not attention.holds(layout, self._memory):
            attention = self._made_for(layout)
        attention.begin(offsets)
        self._attention = attention
        return attention

    def _made_for(self, layout: Layout) -> RowAttention | NativeRowAttention:
        made_of, width = (layout, self._memory, self.groups), self._width
        if self._library is None:
            return RowAttention(*made_of, width=width)
        return NativeRowAttention(self._library, *made_of, width=width)

    def computed(
        self,
        tokens: NDArray[np.int64],
        positions: NDArray[np.int64],
        drawing: Attend | None,
        chains: Sequence[Chain] = (),
    ) -> Tensor:
        """Hidden states (N*w, C) after rows' tokens (N*w,); chains are read along the way."""
        if drawing is None:
            return self.read(chains)[:0]
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
