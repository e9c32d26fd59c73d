"""A row by itself: its keys stand in one run, so attention is two products where they are.

Axes: S positions there is room for before the next block, H key-value heads, G query heads that
share one, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from mull.engine.blocks import BLOCK
from mull.engine.passes import Passes
from mull.engine.reading import Chain
from mull.engine.rows import Rows
from mull.engine.store import Branch, Store, Tip


class LoneAttention:
    """The next token of one sequence reads all before it, until the sequence fills its block."""

    def __init__(self, store: Store, tip: Tip, start: int, groups: int) -> None:
        memory = store.memory
        self.version: Final = memory.version
        """Of the memory it was made for; it must not outlive a change."""
        self.node: Final = tip.node
        self._memory = memory
        self._start = start
        room = tip.node.start + BLOCK
        self._keys = [each.narrow(2, start, room) for each in memory.shared_keys]  # (H, D, S)
        self._values = [each.narrow(1, start, room) for each in memory.shared_values]  # (H, S, D)
        self._shape = (memory.heads, groups, memory.width)
        self._bias = memory.keys.new_empty((1, 1, room))
        self._slot = torch.empty(1, dtype=torch.int64, device=memory.keys.device)
        self.move(tip.length)

    @classmethod
    def of(cls, store: Store, tip: Tip, groups: int) -> LoneAttention | None:
        """For a token at this tip; None where its sequence is scattered."""
        first, *_ = path = tip.node.path
        is_run = all(node.block == first.block + place for place, node in enumerate(path))
        return cls(store, tip, first.block * BLOCK, groups) if is_run else None

    def move(self, length: int) -> None:
        """The token is now the sequence's `length`th, in the same block."""
        self._bias.fill_(-torch.inf)[..., :length] = 0.0
        self._slot.fill_(self._start + length - 1)

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        self._memory.write_shared(layer, self._slot, keys, values)
        scores = torch.baddbmm(self._bias, queries.view(self._shape), self._keys[layer])
        return torch.bmm(torch.softmax(scores, -1), self._values[layer]).view(1, -1)


class Alone:
    """How a row by itself goes on, where passes are not compiled. The batch owns it."""

    def __init__(self, passes: Passes, store: Store, rows: Rows) -> None:
        self._passes, self._store, self._rows = passes, store, rows
        self._attention: LoneAttention | None = None
        """The last one."""

    def logits(self, chains: Sequence[Chain]) -> Tensor | None:
        """(1, V) after its last token, which is read as known ones are: one matrix a layer.

        Chains are read along the way. None if there is no room for that.
        """
        mine, passes = self._settled(), self._passes
        if mine is None:
            return None
        if not chains and (attention := self._attending(mine.tip)) is not None:
            hidden = passes.forward(self._rows.tokens, self._rows.positions, attention)
        else:
            hidden = passes.read((mine, *chains))[:1]
        return passes.decoder.logits(hidden)

    def _attending(self, tip: Tip) -> LoneAttention | None:
        """How it attends from here; None where its sequence is scattered."""
        last = self._attention
        if last is None or last.node is not tip.node or last.version != self._store.memory.version:
            self._attention = LoneAttention.of(self._store, tip, self._passes.groups)
        else:
            last.move(tip.length)
        return self._attention

    def _settled(self) -> Chain | None:
        """Put it into the tree, its last token too; None if there is no room."""
        rows, store = self._rows, self._store
        [tip] = rows.tips
        if rows.num_blocks[0]:
            [settled] = store.publish([Branch(tip, rows.sequence(0)[:-1], rows.own(0))])
            if settled is None:
                return None
            store.free_private(rows.own(0))
            rows.move(0, settled)
            store.end(tip)
            tip = settled
        longer = store.append(tip, rows.sequence(0))
        if longer is None:
            return None
        store.promised += rows.append(0, longer)
        return Chain((int(rows.tokens[0]),), longer)
