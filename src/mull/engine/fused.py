"""A pass over rows as one compiled call. For fp32 on a CPU.

Holds until the layout or the memory changes. Axes: N rows of w tokens each, H key-value heads, G
query heads that share one, D head width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine import frames as at
from mull.engine.blocks import BLOCK
from mull.engine.compiled import compiled
from mull.engine.layout import Layout
from mull.engine.memory import Memory
from mull.models.inference import MARGIN, PANEL, InferenceDecoder

Numbers = NDArray[np.int64]


class FusedRows:
    """The last tokens of each row read all before them, and each what is before it."""

    def __init__(
        self, decoder: InferenceDecoder, layout: Layout, memory: Memory, *, width: int
    ) -> None:
        self._layout, self._version = layout, memory.version
        self.model = model_of(decoder, memory)
        config, rows = decoder.config, layout.num_rows
        count, columns = rows * width, layout.num_chunks * BLOCK
        each, depth = config.num_heads // config.num_kv_heads, config.head_dim
        self._lengths = np.zeros((rows, width), np.int64)
        self._tokens, self._positions = np.zeros((2, count), np.int64)
        self._logits = torch.empty(count, config.vocab_size)
        queries = count * each
        self._held: dict[int, Numbers | Tensor] = {
            at.TABLE: layout.private.blocks[layout.units],
            at.LENGTHS: self._lengths,
            at.TOKENS: self._tokens,
            at.POSITIONS: self._positions,
            at.STREAM: torch.empty(count, config.hidden_size + MARGIN),
            at.NORMED: torch.empty(count, config.hidden_size),
            at.NEW: torch.empty(count, (each + 2) * config.num_kv_heads * depth),
            at.ASKED: torch.empty(config.num_kv_heads, queries, depth),
            at.SCORES: torch.empty(queries, columns),
            at.MIXED: torch.empty(queries, depth),
            at.SUMS: torch.empty(queries),
            at.COLUMN_KEYS: torch.empty(depth, PANEL),
            at.RESULT: torch.empty(count, config.hidden_size),
            at.WIDE: torch.empty(count, 2 * config.ffn_size),
            at.GATED: torch.empty(count, config.ffn_size),
            at.LOGITS: self._logits,
            **_segments(layout),
        }
        self.frame = np.zeros(at.FRAME, np.int64)
        self.frame[[at.ROWS, at.WIDTH, at.MOST]] = rows, width, layout.units.shape[1]
        self.frame[[at.COLUMNS, at.SEGMENTS]] = columns, len(layout.segments)
        for place, held in self._held.items():
            self.frame[place] = _address(held)

    def holds(self, layout: Layout, memory: Memory) -> bool:
        """Whether it is still good."""
        return self._layout is layout and self._version == memory.version

    def logits(self, offsets: Numbers, tokens: Numbers, positions: Numbers) -> Tensor:
        """(N*w, V) after these tokens (N*w,); good until the next pass.

        `offsets` (N, w) are their places among those that each row has to itself.
        """
        np.add(offsets, 1, out=self._lengths)
        self._tokens[:], self._positions[:] = tokens, positions
        compiled().forward(_address(self.model), _address(self.frame))
        return self._logits


def model_of(decoder: InferenceDecoder, memory: Memory) -> Numbers:
    """What a model's passes are told of it; see frames.py."""
    config = decoder.config
    pairs = zip(memory.keys, memory.values, strict=True)
    layers = [
        [_address(each) for each in (block.attend, block.mix, block.widen, block.narrow, *pair)]
        for block, pair in zip(decoder.blocks, pairs, strict=True)
    ]
    model = np.zeros(at.MODEL + len(layers) * at.LAYER, np.int64)
    model[at.MODEL :] = np.array(layers).ravel()
    model[at.LAYERS], model[at.HIDDEN] = config.num_layers, config.hidden_size
    model[at.HEADS], model[at.EACH] = config.num_kv_heads, config.num_heads // config.num_kv_heads
    model[at.DEPTH], model[at.FFN] = config.head_dim, config.ffn_size
    model[at.VOCAB] = config.vocab_size
    model[at.EMBEDDING], model[at.TURNS] = map(_address, (decoder.embedding, decoder.turns))
    model[at.HEAD] = _address(decoder.head)
    return model


def _address(of: Numbers | Tensor) -> int:
    return of.data_ptr() if isinstance(of, Tensor) else of.ctypes.data


def _segments(layout: Layout) -> dict[int, Numbers]:
    """All runs, and how many columns those of each row fill."""
    shared = np.zeros(layout.num_rows, np.int64)
    runs = list[tuple[int, ...]]()
    for start, length, chunk, first, end in layout.segments:
        runs.append((first, end, start, length, chunk * BLOCK))
        shared[first:end] = (chunk - (-length // BLOCK)) * BLOCK  # the last is the deepest
    return {at.RUNS: np.array(runs, np.int64).reshape(-1, at.RUN), at.SHARED: shared}
