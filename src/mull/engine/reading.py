"""Known tokens get their keys and values: many tokens of many sequences in one pass.

Axes: T tokens of all chains, t of one, S positions it sees, H key-value heads, G query heads that
share one, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.blocks import BLOCK, BlockIds
from mull.engine.memory import Memory
from mull.engine.prefixes import PrefixNode
from mull.engine.store import Store, Tip

COPIED: Final = 16_384
"""Numbers that are copied in the time of one more product: the most a chain of a crowd reads."""


class Chain(NamedTuple):
    """Consecutive tokens of one sequence that have no keys and values yet."""

    tokens: tuple[int, ...]
    tip: Tip
    """Where they end; or begin, where they stand in blocks of their own."""
    blocks: BlockIds | None = None
    """Those blocks."""

    @property
    def positions(self) -> NDArray[np.int64]:
        """Their places in the sequence."""
        start = self.tip.length - (0 if self.blocks is not None else len(self.tokens))
        return np.arange(start, start + len(self.tokens))

    def path(self, store: Store) -> NDArray[np.int64]:
        """The positions in memory of the whole sequence, up to the last of them."""
        if self.blocks is None:
            return store.slots(self.tip)
        own = (self.blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()[: len(self.tokens)]
        return np.concatenate((store.slots(self.tip), own))


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


class Crowd(NamedTuple):
    """What the tokens of m chains read, side by side: t is the most of one, S that of what it sees.

    Copying what a short chain reads costs less than the operations of one more product.
    """

    tokens: Tensor
    """(m*t,): which of all tokens; repeats where a chain is shorter."""
    rows: Tensor
    """(m*H*S,): what they see, as (position, head) rows in memory."""
    mask: Tensor
    """(m, 1, t, S): hides what is none of theirs."""
    kept: Tensor
    """Places among (m*t,) of those that are no repeats, in order of `places`."""
    places: Tensor
    """Which of all tokens those are."""


class ChainAttention:
    """Every token of some chains reads all before it in its sequence."""

    def __init__(
        self, chains: Sequence[Chain], store: Store, groups: int, memory: Memory | None = None
    ) -> None:
        self._store, self._memory, self._groups = store, memory or store.memory, groups
        paths = [chain.path(store) for chain in chains]
        counts = [len(chain.tokens) for chain in chains]
        self.slots: Final = store.tensor(
            np.concatenate([path[-count:] for path, count in zip(paths, counts, strict=True)])
        )
        """(T,): the positions in memory of all tokens."""
        starts = np.cumsum([0, *counts])
        crowds = dict[int, list[int]]()
        alone = list[int]()
        for at, path in enumerate(paths):
            is_short = len(path) * self._memory.heads * self._memory.width <= COPIED
            (crowds.setdefault(counts[at].bit_length(), []) if is_short else alone).append(at)
        alone += [each.pop() for each in crowds.values() if len(each) == 1]
        self._sights = [self._sight(int(starts[at]), counts[at], paths[at]) for at in alone]
        self._crowds = [
            self._crowd(starts[each], [counts[at] for at in each], [paths[at] for at in each])
            for each in crowds.values()
            if each
        ]

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Attend`."""
        self._memory.write_shared(layer, self.slots, keys, values)
        if len(self._sights) == 1 and not self._crowds:
            return self._attend(layer, queries, self._sights[0])
        mixed = queries.new_empty((queries.shape[0], queries.shape[1] * queries.shape[2]))
        for sight in self._sights:
            mixed[sight.part] = self._attend(layer, queries[sight.part], sight)
        for crowd in self._crowds:
            mixed.index_copy_(0, crowd.places, self._attend_all(layer, queries, crowd))
        return mixed

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

    def _attend_all(self, layer: int, queries: Tensor, crowd: Crowd) -> Tensor:
        """All chains of a crowd: of (T, H*G, D) those that are kept, (kept, H*G*D)."""
        heads, width = self._memory.heads, self._memory.width
        chains, _, count, _ = crowd.mask.shape
        keys, values = self._memory.read_heads(layer, crowd.rows)
        shape = (chains, count, heads, self._groups, width)
        queries = queries.index_select(0, crowd.tokens).view(shape).permute(0, 2, 3, 1, 4)
        queries = queries.reshape(chains * heads, self._groups * count, width)
        scores = torch.bmm(queries, keys.view(chains * heads, -1, width).transpose(1, 2))
        scores.view(chains, heads * self._groups, count, -1).add_(crowd.mask)
        mixed = torch.bmm(torch.softmax(scores, -1), values.view(chains * heads, -1, width))
        mixed = mixed.view(chains, heads * self._groups, count, width).transpose(1, 2)
        return mixed.reshape(chains * count, -1).index_select(0, crowd.kept)

    def _sight(self, start: int, count: int, path: NDArray[np.int64]) -> Sight:
        is_run = path[-1] - path[0] == len(path) - 1 and bool((np.diff(path) == 1).all())
        run = (int(path[0]), len(path)) if is_run else None
        mask = None
        if count > 1:
            shape = (count, len(path))
            mask = self._memory.keys.new_full(shape, -torch.inf).triu(len(path) - count + 1)
        return Sight(slice(start, start + count), run, self._store.tensor(path), mask)

    def _crowd(
        self, starts: NDArray[np.int64], counts: list[int], paths: list[NDArray[np.int64]]
    ) -> Crowd:
        count, length = np.array(counts), np.array([len(path) for path in paths])
        place = np.arange(max(counts), dtype=np.int64)
        column = np.arange(max(map(len, paths)), dtype=np.int64)
        slots = np.zeros((len(paths), len(column)), np.int64)
        for row, path in enumerate(paths):
            slots[row, : len(path)] = path
        heads = self._memory.heads
        rows = slots[:, None] * heads + np.arange(heads)[:, None]  # (m, H, S)
        # A repeat is the last token again, and sees what that sees.
        token = np.minimum(place, count[:, None] - 1)  # (m, t)
        sees = column <= ((length - count)[:, None] + token)[..., None]
        tensor, is_kept = self._store.tensor, place < count[:, None]
        mask = self._memory.keys.new_zeros(sees.shape).masked_fill_(~tensor(sees), -torch.inf)
        tokens = starts[:, None] + token
        return Crowd(
            tensor(tokens.ravel()),
            tensor(rows.ravel()),
            mask[:, None],
            tensor(np.flatnonzero(is_kept)),
            tensor(tokens[is_kept]),
        )
