"""Blocks, the tree over them and the memory behind them, kept in step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.blocks import BLOCK, BlockIds, BlockPool
from mull.engine.cap import NEVER, Cap
from mull.engine.memory import Memory
from mull.engine.prefixes import GONE, Match, PrefixNode, PrefixTree, Tokens
from mull.models.inference import InferenceTrunk

FIRST_BLOCKS: Final = 512
"""What the memory has room for at first."""


class Tip(NamedTuple):
    """Where a branch leaves the tree: after `length` tokens, the last of them in `node`.

    Others may have put more into the node's block; the branch reads only its own part.
    """

    node: PrefixNode
    length: int

    @property
    def is_computed(self) -> bool:
        """Whether all keys and values up to here are there."""
        return self.node.start + self.node.computed >= self.length

    @property
    def entries(self) -> tuple[tuple[int, int], ...]:
        """Each block up to here, and how many of its positions the branch reads."""
        blocks = [node.block for node in self.node.path]
        return tuple(
            (block, min(BLOCK, self.length - index * BLOCK)) for index, block in enumerate(blocks)
        )


class Branch(NamedTuple):
    """One that has private positions."""

    tip: Tip
    tokens: Tokens
    """From its beginning."""
    blocks: BlockIds
    """What holds those behind the tip."""


class Cost(NamedTuple):
    """What a branch would take from the room that is left."""

    blocks: int
    """That it would keep from being evicted, new ones included."""
    known: int
    """Tokens at its beginning that are there, or on their way."""


class Store:
    """All keys and values. The batch owns it.

    Shared blocks belong to the tree, private ones to branches. `promised` blocks are those that
    branches may yet take: together with what is held and cannot be evicted they never pass the
    limit, so that a branch, once begun, always finds room.
    """

    def __init__(
        self, network: InferenceTrunk, cap: Cap, draft: InferenceTrunk | None = None
    ) -> None:
        networks = [network] if draft is None else [network, draft]
        self.bytes_per_token: Final = sum(each.bytes_per_token for each in networks)
        self._block_bytes: Final = self.bytes_per_token * BLOCK
        self.cap: Final = cap
        self.tree: Final = PrefixTree(cap.clock)
        self.pool: Final = BlockPool(cap.max_bytes // self._block_bytes)
        self.memories: Final = [Memory(each) for each in networks]
        """A block is one of each: what two models keep of the same positions."""
        self.memory: Final = self.memories[0]
        self.num_private = 0
        self.promised = 0
        self._unread = deque[PrefixNode]()
        self._copies = list[tuple[BlockIds, BlockIds]]()
        self._moves = list[tuple[BlockIds, BlockIds, BlockIds]]()
        self._unwritten = set[int]()
        """Blocks that these two, of one call, are yet to fill."""
        self.on_move: Callable[[BlockIds], None] = _forget_moves
        """Told the new number of every block, by the old one, where blocks were moved."""
        cap.join(self)

    @property
    def spare(self) -> int:
        """Blocks that could be promised."""
        return self.cap.spare_bytes // self._block_bytes

    @property
    def needed_bytes(self) -> int:
        """See `Holder`."""
        return (self.tree.num_pinned + self.num_private + self.promised) * self._block_bytes

    @property
    def size_bytes(self) -> int:
        """See `Holder`."""
        return self.pool.size * self._block_bytes

    @property
    def oldest(self) -> float:
        """See `Holder`."""
        return 0 if self.pool.size > self.pool.num_taken else self._oldest_idle

    @property
    def _oldest_idle(self) -> float:
        oldest = self.tree.oldest
        return NEVER if oldest is None else oldest

    def give(self, num_bytes: int, older: float) -> None:
        """See `Holder`. Never called while a turn of its own is under way."""
        wanted = -(-num_bytes // self._block_bytes)
        while (free := self.pool.size - self.pool.num_taken) < wanted:
            if self._oldest_idle >= (older if free else NEVER):
                break
            self.pool.free(np.array([self.tree.evict()]))
        self._shrink(self.pool.size - min(free, wanted))

    def cost(self, tokens: Tokens) -> Cost:
        """What a branch that begins with these tokens needs."""
        return self._cost(tokens, self.tree.match(tokens))

    def _cost(self, tokens: Tokens, match: Match) -> Cost:
        node, known = match
        blocks = -(-len(tokens) // BLOCK) - known // BLOCK
        if known % BLOCK and known in {node.end, len(tokens)}:
            blocks -= 1  # it goes on in the block where it ends, or not at all
        while not node.pins and node.parent is not None:
            blocks += 1
            node = node.parent
        return Cost(blocks, known)

    def begin(self, tokens: Tokens) -> Tip:
        """Pin the path of these tokens for a branch; what of it is missing will be read."""
        match = self.tree.match(tokens)
        if match.length == len(tokens):
            self.tree.pin(match.node)
            return Tip(match.node, len(tokens))
        tip = self._grow(match, tokens, is_computed=False)
        self._write()
        return tip

    def end(self, tip: Tip) -> None:
        """The branch is gone, or stands elsewhere now."""
        node = tip.node
        self.tree.unpin(node)
        # Nobody waits any longer for what was to be read for it alone.
        while not node.pins and not node.children and node.parent is not None:
            if node.computed == len(node.tokens):
                return
            if node.computed:
                node.tokens = node.tokens[: node.computed]
                return
            parent = node.parent
            self.pool.free(np.array([self.tree.remove(node)]))
            node = parent

    def take_private(self, count: int) -> BlockIds:
        """Blocks for branches, out of what was promised them."""
        self._make_room(count)
        self.promised -= count
        self.num_private += count
        return self.pool.take_low(count)

    def free_private(self, blocks: BlockIds) -> None:
        """Branches are gone and these with them."""
        self.pool.free(blocks)
        self.num_private -= len(blocks)

    def forget(self) -> None:
        """Drop all that no branch needs now."""
        while self.tree.num_blocks > self.tree.num_pinned:
            self.pool.free(np.array([self.tree.evict()]))

    def publish(self, branches: Iterable[Branch]) -> list[Tip | None]:
        """Copy branches' private positions into the tree; where each ends there, pinned.

        None for a branch, and nothing changes, if there is no room for a copy.
        """
        tips = [self._publish(*branch) for branch in branches]
        self._write()
        return tips

    def _publish(self, tip: Tip, tokens: Tokens, blocks: BlockIds) -> Tip | None:
        match = self.tree.match(tokens, known=tip.node)
        reached = Tip(*match)
        if reached.length < tip.length or not reached.is_computed:
            return None
        if self.spare < self._cost(tokens, match).blocks:
            return None
        if match.length == len(tokens):
            self.tree.pin(match.node)
            return Tip(match.node, len(tokens))
        end = self._grow(match, tokens, is_computed=True)
        private = np.arange(match.length, len(tokens)) - tip.length
        slots = self.slots(end)[match.length :]
        self._moves.append((blocks[private // BLOCK], private % BLOCK, slots))
        self._unwritten.update((slots // BLOCK).tolist())
        return end

    def _write(self) -> None:
        """Move in memory what the tree says already: in one operation, however many branches."""
        if self._copies:
            sources, slots = self._joined(self._copies)
            for memory in self.memories:
                memory.copy_shared(sources, slots)
        if self._moves:
            blocks, offsets, slots = self._joined(self._moves)
            for memory in self.memories:
                memory.publish(blocks, offsets, slots)
        self._copies, self._moves = [], []
        self._unwritten.clear()

    def _joined(self, parts: Sequence[tuple[NDArray[np.int64], ...]]) -> Iterator[Tensor]:
        return (self.tensor(np.concatenate(column)) for column in zip(*parts, strict=True))

    def append(self, tip: Tip, tokens: Tokens) -> Tip | None:
        """Move a branch on by the last of its tokens, which is about to be computed.

        None, and nothing changes, if that takes a block and there is none.
        """
        node, length = tip
        if length == node.end and length % BLOCK and tip.is_computed:
            node.tokens += tokens[length:]
            node.computed += 1
            return Tip(node, length + 1)
        if not self.spare:
            return None
        end = self._grow(Match(node, length), tokens, is_computed=True)
        self._write()
        self.end(tip)
        return end

    def slots(self, tip: Tip) -> NDArray[np.int64]:
        """The positions in memory of all tokens up to a tip."""
        blocks = np.array([node.block for node in tip.node.path], np.int64)
        return (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()[: tip.length]

    def take_unread(self, budget: int) -> list[PrefixNode]:
        """The next blocks to be read, in order, of at most so many tokens together."""
        taken = list[PrefixNode]()
        while self._unread:
            node = self._unread[0]
            missing = len(node.tokens) - node.computed
            if node.last_used != GONE and missing:
                budget -= missing
                if budget < 0 and taken:
                    break
                taken.append(node)
            self._unread.popleft().waits = False
        return taken

    def tensor(self, array: NDArray[np.int64] | NDArray[np.bool_]) -> Tensor:
        """On the memory's device."""
        tensor = torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]
        return tensor.to(self.memory.keys.device)

    def check(self, tips: Sequence[Tip], private: BlockIds) -> None:
        """Raise AssertionError unless exactly these branches hold what is held."""
        self.tree.check([tip.node for tip in tips])
        assert self.num_private == len(private), "private blocks are miscounted"
        shared = np.array([node.block for node in self.tree.nodes()], np.int64)
        self.pool.check(np.concatenate((private, shared)))
        assert self.promised >= 0, "more is taken than was promised"
        self.cap.check()
        sizes = {memory.size for memory in self.memories}
        assert sizes == {self.pool.size}, "memory and pool differ in size"
        for node in self.tree.nodes():
            assert node.computed == len(node.tokens) or node.waits, "a block is forgotten"

    def _grow(self, match: Match, tokens: Tokens, *, is_computed: bool) -> Tip:
        """Put the rest of `tokens` behind a match, and pin the end."""
        node, length = match
        self.tree.pin(node)  # it must not be evicted for the sake of its own continuation
        start, blocks = length, self._new_blocks(match, len(tokens))
        if length % BLOCK and length == node.end:
            start = self._extend(node, tokens, is_computed=is_computed)
        elif length % BLOCK:
            assert node.parent is not None
            start = node.start + BLOCK
            copy = self.tree.add(node.parent, tokens[node.start : start], int(blocks[0]))
            self._copy(node, copy, length - node.start)
            self._finish(copy, is_computed=is_computed)
            blocks = blocks[1:]
            self.tree.pin(copy)
            self.tree.unpin(node)
            node = copy
        first = node
        for block in blocks.tolist():
            node = self.tree.add(node, tokens[start : start + BLOCK], block)
            self._finish(node, is_computed=is_computed)
            start += BLOCK
        self.tree.pin(node)
        self.tree.unpin(first)
        return Tip(node, len(tokens))

    def _new_blocks(self, match: Match, length: int) -> BlockIds:
        node, known = match
        count = -(-length // BLOCK) - known // BLOCK
        if known % BLOCK and known == node.end:
            count -= 1  # it goes on in the block where it ends
        if not count:
            return np.zeros(0, np.int64)
        self._make_room(count)
        return self.pool.take_run(count, after=node.block if node.parent else None)

    def _extend(self, node: PrefixNode, tokens: Tokens, *, is_computed: bool) -> int:
        end = node.start + BLOCK
        node.tokens = tokens[node.start : end]
        self._finish(node, is_computed=is_computed)
        return end

    def _copy(self, node: PrefixNode, copy: PrefixNode, count: int) -> None:
        """Take over the first tokens of a block, as far as they are computed."""
        copy.computed = min(count, node.computed)
        if copy.computed:
            offsets = np.arange(copy.computed)
            if node.block in self._unwritten:
                self._write()
            self._copies.append((node.block * BLOCK + offsets, copy.block * BLOCK + offsets))
            self._unwritten.add(copy.block)

    def _finish(self, node: PrefixNode, *, is_computed: bool) -> None:
        if is_computed:
            node.computed = len(node.tokens)
        elif not node.waits:
            node.waits = True
            self._unread.append(node)

    def _make_room(self, count: int) -> None:
        """Let `count` blocks be free: grow while half of all is in use, evict from then on.

        Idle blocks may be more than that as long as they are a quarter of the cap: trees of many
        searches that grow a step at a time are nearly all idle, and would be read again and again.
        """
        while (missing := count - self.pool.size + self.pool.num_taken) > 0:
            idle = self.tree.num_blocks - self.tree.num_pinned
            most = self.cap.room(self) // self._block_bytes
            if 2 * idle > self.pool.size and 4 * idle * self._block_bytes > self.cap.max_bytes:
                self.pool.free(np.array([self.tree.evict()]))
            elif self.pool.size < most:
                self._enlarge(min(most, max(FIRST_BLOCKS, 2 * self.pool.size)))
            elif not self.cap.make_room(self, missing * self._block_bytes, self._oldest_idle):
                self.pool.free(np.array([self.tree.evict()]))

    def _enlarge(self, size: int) -> None:
        self.pool.resize(size)
        for memory in self.memories:
            memory.resize(size)

    def _shrink(self, size: int) -> None:
        """Pack what is held into so many blocks: private ones low, shared ones high, in order."""
        nodes, taken = list(self.tree.nodes()), self.pool.taken
        shared = np.sort(np.array([node.block for node in nodes], np.int64))
        private = np.setdiff1d(taken, shared, assume_unique=True)
        moved = np.full(self.pool.size, GONE)
        moved[private] = np.arange(len(private))
        moved[shared] = np.arange(size - len(shared), size)
        sources = np.zeros(size, np.int64)
        sources[moved[taken]] = taken
        for memory in self.memories:
            memory.rearrange(self.tensor(sources))
        for node in nodes:
            node.block = int(moved[node.block])
        self.pool.rearrange(moved[taken], size)
        self.on_move(moved)


def _forget_moves(moved: BlockIds) -> None:
    """Where nobody else has block numbers."""
