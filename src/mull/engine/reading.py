"""Known tokens get their keys and values: many tokens of a sequence in one pass.

Axes: T tokens of all chains, t of one, S positions it sees, H key-value heads, G query heads that
share one, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.prefixes import PrefixNode
from mull.engine.store import Store, Tip


class Chain(NamedTuple):
    """Consecutive tokens of one sequence that have no keys and values yet."""

    tokens: tuple[int, ...]
    tip: Tip
    """Where they end."""

    @property
    def positions(self) -> NDArray[np.int64]:
        """Their places in the sequence."""
        return np.arange(self.tip.length - len(self.tokens), self.tip.length)


def chains_of(nodes: Sequence[PrefixNode]) -> list[Chain]:
    """Blocks in line, joined where one follows the other."""
    chains = list[Chain]()
    for node in nodes:
        tokens, tip = node.tokens[node.computed :], Tip(node, node.end)
        if chains and chains[-1].tip.node is node.parent:
            chains[-1] = Chain(chains[-1].tokens + tokens, tip)
        else:
            chains.append(Chain(tokens, tip))
    return chains


class Sight(NamedTuple):
    """What the tokens of one chain read."""

    part: slice
    """Which of all tokens they are."""
    run: tuple[int, int] | None
    """Start and length of the positions in memory, where these are one run."""
    path: Tensor
    """(S,): the positions in memory."""
    mask: Tensor | None
    """(t, S): hides later tokens of the chain; None for a single token."""


class ChainAttention:
    """Every token of some chains reads all before it in its sequence."""

    def __init__(self, chains: Sequence[Chain], store: Store, groups: int) -> None:
        self._memory, self._groups = store.memory, groups
        self._sights, slots, start = list[Sight](), list[NDArray[np.int64]](), 0
        for chain in chains:
            path, count = store.slots(chain.tip), len(chain.tokens)
            slots.append(path[-count:])
            is_run = path[-1] - path[0] == len(path) - 1 and bool((np.diff(path) == 1).all())
            run = (int(path[0]), len(path)) if is_run else None
            part = slice(start, start := start + count)
            self._sights.append(Sight(part, run, store.tensor(path), self._mask(count, path)))
        self._slots = store.tensor(np.concatenate(slots))

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        self._memory.write_shared(layer, self._slots, keys, values)
        mixed = [self._attend(layer, queries[each.part], each) for each in self._sights]
        return torch.cat(mixed) if len(mixed) > 1 else mixed[0]

    def _attend(self, layer: int, queries: Tensor, sight: Sight) -> Tensor:
        """One chain: (t, H*G, D) to (t, H*G*D)."""
        heads, width, count = self._memory.heads, self._memory.width, queries.shape[0]
        if sight.run is not None:
            keys = self._memory.shared_keys[layer].narrow(2, *sight.run)
            values = self._memory.shared_values[layer].narrow(1, *sight.run)
        else:
            keys, values = self._memory.read_shared(layer, sight.path)
        queries = queries.view(count, heads, self._groups, width).permute(1, 2, 0, 3)
        scores = torch.bmm(queries.reshape(heads, self._groups * count, width), keys)
        if sight.mask is not None:
            scores.view(heads, self._groups, count, -1).add_(sight.mask)
        mixed = torch.bmm(torch.softmax(scores, -1), values)  # (H, G*t, D)
        mixed = mixed.view(heads, self._groups, count, width).permute(2, 0, 1, 3)
        return mixed.reshape(count, -1)

    def _mask(self, count: int, path: NDArray[np.int64]) -> Tensor | None:
        if count == 1:
            return None
        shape = (count, len(path))
        return self._memory.keys.new_full(shape, -torch.inf).triu(len(path) - count + 1)
