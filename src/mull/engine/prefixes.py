"""Token sequences whose keys and values are in memory: a tree of blocks, shared by all solves.

A radix tree (as in SGLang's RadixAttention, Zheng et al. 2024) whose edges are cut at multiples of
the block size. Knows tokens and blocks, not tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Final, NamedTuple

from mull.engine.blocks import BLOCK

Tokens = tuple[int, ...]
GONE: Final = -1
"""The last use of a block that was dropped."""


@dataclass(slots=True, eq=False)
class PrefixNode:
    """One block of a sequence. The tree owns it."""

    parent: PrefixNode | None
    """None for the root, which has no block."""
    start: int
    """Tokens before it: a multiple of the block size."""
    block: int
    tokens: Tokens
    """What it holds: 1 to 16, fewer only where nothing follows."""
    computed: int = 0
    """How many of those have their keys and values."""
    waits: bool = False
    """Whether it is in line to get the others."""
    children: dict[int, list[PrefixNode]] = field(default_factory=dict[int, "list[PrefixNode]"])
    """By their first token."""
    pins: int = 0
    """Branches that end here, and children that are pinned."""
    last_used: int = 0

    @property
    def end(self) -> int:
        """Tokens up to its end."""
        return self.start + len(self.tokens)

    @property
    def path(self) -> list[PrefixNode]:
        """From the first block to this one."""
        nodes, node = list[PrefixNode](), self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


class Match(NamedTuple):
    """The longest known beginning of a sequence."""

    node: PrefixNode
    """Where it ends; the root where nothing is known."""
    length: int
    """In tokens. The last block may hold more than that."""


class PrefixTree:
    """All shared sequences. What no branch uses stays until its room is needed."""

    def __init__(self, clock: Iterator[int] | None = None) -> None:
        self.root: Final = PrefixNode(None, 0, -1, ())
        self.num_blocks = 0
        self.num_pinned = 0
        """Blocks that a branch needs; the others may be evicted."""
        self._clock = clock or count(1)
        self._idle = list[tuple[int, int, PrefixNode]]()
        """A heap by last use. Entries whose node has been used since are void."""

    def match(self, tokens: Sequence[int], *, known: PrefixNode | None = None) -> Match:
        """The longest known beginning of `tokens`, which begin as `known` does; nothing changes."""
        # Another block may begin as it does, and go on better.
        node = self.root if known is None or known.parent is None else known.parent
        position, end = node.end, len(tokens)
        while position < end:
            wanted = tuple(tokens[position : position + BLOCK])
            best, length = _closest(node.children.get(wanted[0], ()), wanted)
            if best is not None:
                node, position = best, position + length
            if length < BLOCK:
                break
        return Match(node, position)

    def add(self, parent: PrefixNode, tokens: Tokens, block: int) -> PrefixNode:
        """Put a new block under a full one, or under the root."""
        assert parent.end % BLOCK == 0, "a block is put behind a part of one"
        node = PrefixNode(parent, parent.end, block, tokens, last_used=next(self._clock))
        parent.children.setdefault(tokens[0], []).append(node)
        self.num_blocks += 1
        self._offer(node)
        return node

    def pin(self, node: PrefixNode) -> None:
        """A branch needs all tokens up to here."""
        while node.parent is not None:
            node.pins += 1
            if node.pins > 1:
                return
            self.num_pinned += 1
            node = node.parent

    def unpin(self, node: PrefixNode) -> None:
        """The branch is gone. Blocks that were never computed and that nobody needs must go."""
        while node.parent is not None:
            node.pins -= 1
            assert node.pins >= 0, "a node is let go of more often than it was held"
            if node.pins:
                return
            self.num_pinned -= 1
            node.last_used = next(self._clock)
            self._offer(node)
            node = node.parent

    @property
    def oldest(self) -> int | None:
        """When the block that has been idle longest was last used; None if all are needed."""
        while self._idle:
            last_used, _, node = self._idle[0]
            if last_used == node.last_used and _is_idle(node):
                return last_used
            heappop(self._idle)
        return None

    def evict(self) -> int:
        """Drop the block that has been idle longest and that nothing follows; its number."""
        assert self.oldest is not None, "all blocks are needed"
        return self.remove(heappop(self._idle)[2])

    def remove(self, node: PrefixNode) -> int:
        """Drop a block that no branch needs and that nothing follows; its number."""
        assert _is_idle(node), "a block is dropped that is needed"
        assert node.parent is not None, "the root has no block"
        siblings = node.parent.children[node.tokens[0]]
        siblings.remove(node)
        if not siblings:
            del node.parent.children[node.tokens[0]]
        self.num_blocks -= 1
        node.last_used = GONE
        self._offer(node.parent)
        return node.block

    def nodes(self) -> Iterator[PrefixNode]:
        """All blocks, parents first."""
        found = [self.root]
        for node in found:
            found += [child for siblings in node.children.values() for child in siblings]
        return iter(found[1:])

    def check(self, ends: Sequence[PrefixNode]) -> None:
        """Raise AssertionError unless exactly these are where branches end, repeats counted."""
        pins = Counter(map(id, ends))
        nodes = list(self.nodes())
        for node in (self.root, *nodes):
            children = [child for siblings in node.children.values() for child in siblings]
            assert node is self.root or 0 < len(node.tokens) <= BLOCK, "a block is overfull"
            assert not children or len(node.tokens) in {0, BLOCK}, "a part of a block is followed"
            assert node.computed <= len(node.tokens), "more is computed than known"
            assert all(child.start == node.end for child in children), "a child is out of place"
            expected = pins[id(node)] + sum(child.pins > 0 for child in children)
            assert node is self.root or node.pins == expected, "a block has lost a user"
            assert node.computed == len(node.tokens) or node.pins, "a block waits for nobody"
        assert self.num_blocks == len(nodes), "blocks are miscounted"
        assert self.num_pinned == sum(node.pins > 0 for node in nodes), "pins are miscounted"

    def _offer(self, node: PrefixNode) -> None:
        """Let it be evicted, if it is idle."""
        if node.parent is not None and _is_idle(node):
            heappush(self._idle, (node.last_used, next(self._clock), node))


def _is_idle(node: PrefixNode) -> bool:
    return not node.pins and not node.children and node.last_used != GONE


def _closest(nodes: Sequence[PrefixNode], wanted: Tokens) -> tuple[PrefixNode | None, int]:
    """The one that begins most as is wanted, and for how many tokens; there may be hundreds."""
    best, length = None, 0
    for node in nodes:
        if node.tokens == wanted:
            return node, len(wanted)
        beginning = wanted[: length + 1]
        while node.tokens[: length + 1] == beginning and length < len(wanted):
            best, length = node, length + 1
            beginning = wanted[: length + 1]
    return best, length
