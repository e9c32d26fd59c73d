"""What a training step reads: rows of one fixed length, each packed with whole traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

ROW_LENGTH: Final = 160
"""Tokens a row: the longest chain problem with its trace, or five 4-number countdown traces."""
IGNORED: Final = -100
"""The target of a position that is not trained on (PyTorch's own convention)."""
PADDING: Final = -1
TRUNK: Final = 0
"""The segment that every later token of its row may look at."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of shape (rows, ROW_LENGTH), all int64.

    Tokens of one segment see each other (backwards) and the row's trunk, segment 0. A row is either
    a tree (the trunk states some numbers; each branch names a target and reaches for it) or a
    sequence of unrelated documents with segments from 1. Padding is segment -1.
    """

    tokens: Tensor
    positions: Tensor
    segments: Tensor
    targets: Tensor

    def to(self, device: str) -> Batch:
        """The same on another device."""
        return Batch(
            self.tokens.to(device),
            self.positions.to(device),
            self.segments.to(device),
            self.targets.to(device),
        )

    def attention_bias(self, dtype: torch.dtype) -> Tensor:
        """See the function of this name."""
        return attention_bias(self.segments, dtype)


def attention_bias(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """(rows, 1, T, T) of segments (rows, T): 0 where a query may look, else very negative."""
    queries, keys = segments[:, :, None], segments[:, None, :]
    size = segments.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=segments.device).tril()
    hidden = ~(causal & ((queries == keys) | (keys == TRUNK)))
    return hidden[:, None].to(dtype) * -1e9


def concatenate(batches: list[Batch]) -> Batch:
    """One batch of all rows."""
    return Batch(
        torch.cat([batch.tokens for batch in batches]),
        torch.cat([batch.positions for batch in batches]),
        torch.cat([batch.segments for batch in batches]),
        torch.cat([batch.targets for batch in batches]),
    )
