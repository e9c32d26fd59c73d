"""The loop over one state: every turn reads some known tokens, and every live row draws one.

There is no phase of reading and none of drawing. Whoever is admitted has known tokens; those that
are not in memory are read, up to a budget a turn, beside the rows that draw; and whoever has all
but its last token there is a row. Axes: N rows, T tokens that are read, C hidden width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.alone import LoneAttention
from mull.engine.attention import RowAttention
from mull.engine.blocks import BLOCK
from mull.engine.counts import Counts
from mull.engine.layout import Family, lay_out
from mull.engine.reading import Chain, ChainAttention, chains_of
from mull.engine.requests import Boundary, EngineSettings, EngineStats, Report, Request
from mull.engine.rows import Place, Rows
from mull.engine.sampling import draw
from mull.engine.store import Branch, Store, Tip
from mull.engine.waiting import WaitingLine
from mull.models.inference import Attend, InferenceDecoder

TOKENS_A_TURN: Final = 1024
"""Known tokens that are read in one turn, so that rows are not held up for longer."""


class Reader(NamedTuple):
    """An admitted request whose prompt is being read."""

    number: int
    request: Request
    place: Place


class Batch:
    """All that grows and all that waits. The worker owns it."""

    def __init__(self, decoder: InferenceDecoder, settings: EngineSettings) -> None:
        self._decoder = decoder
        self._max_rows = settings.max_rows
        self._store = Store(decoder, settings.max_kv_bytes)
        self._rows = Rows(settings.max_rows, settings.punctuation, decoder.config.vocab_size)
        self._groups = decoder.config.num_heads // decoder.config.num_kv_heads
        self._waiting = WaitingLine[Request]()
        self._readers = list[Reader]()
        self._attention: RowAttention | None = None
        """None where rows have come, gone or grown into another block."""
        self._counts = Counts()
        self._lone: LoneAttention | None = None
        """The last row's that was by itself."""

    @property
    def is_busy(self) -> bool:
        """Whether a turn would do anything."""
        return bool(self._rows.count or self._readers or self._waiting)

    def add(self, requests: Iterable[tuple[int, Request]]) -> None:
        """Get these in line."""
        self._waiting.add(requests)

    def stats(self) -> EngineStats:
        """What it holds now, and what it has done."""
        return self._counts.stats(
            self._store,
            num_rows=self._rows.count + len(self._readers),
            num_waiting=len(self._waiting),
        )

    def forget(self) -> None:
        """Drop what is kept of texts that nobody needs now."""
        self._store.forget()

    @torch.inference_mode()
    def cancel(self, numbers: Collection[int]) -> None:
        """Forget these, wherever they are; what they held is free at once."""
        gone = set(numbers)
        self._waiting.remove(gone)
        for reader in self._readers:
            if reader.number in gone:
                self._store.promised -= reader.place.promised
                self._store.end(reader.place.tip)
        self._readers = [reader for reader in self._readers if reader.number not in gone]
        self._retire(self._rows.having(gone))

    @torch.inference_mode()
    def turn(self) -> Report | None:
        """Read what there is to read, and draw one token for every row; what is there to tell."""
        start = perf_counter()
        self._admit()
        nodes = self._store.take_unread(TOKENS_A_TURN)
        if not nodes and not self._rows.count:
            return None
        chains = chains_of(nodes)
        hidden = self._computed(chains) if self._rows.count != 1 else self._computed_alone(chains)
        for node in nodes:
            node.computed = len(node.tokens)
        count = self._rows.count
        if not count:
            self._counts.turn(perf_counter() - start)
            return None
        drawn = draw(self._decoder.logits(hidden), self._rows.draws())
        boundaries = self._rows.take(drawn, perf_counter() - start)
        report = self._rows.report(boundaries, self._decoder.bytes_per_token)
        self._keep((boundaries == Boundary.ONE_STEP) | (boundaries == Boundary.LENGTH))
        self._retire(boundaries >= Boundary.ONE_STEP)
        self._counts.turn(perf_counter() - start, count)
        return report

    def check(self) -> None:
        """Raise AssertionError if rows, memory and line contradict each other."""
        rows = self._rows
        rows.check()
        assert rows.count + len(self._readers) <= self._max_rows, "more rows than there is room for"
        places = [reader.place for reader in self._readers]
        private = [rows.own(row) for row in range(rows.count)]
        self._store.check(
            [*rows.tips, *(place.tip for place in places)],
            np.concatenate((*private, np.zeros(0, np.int64))),
        )
        promised = int(rows.promised.sum()) + sum(place.promised for place in places)
        assert self._store.promised == promised, "a promise is forgotten"

    def _admit(self) -> None:
        """Let in whom there is room for, were each to grow to its limit; the others wait."""
        while (request := self._waiting.first()) is not None:
            if self._rows.count + len(self._readers) >= self._max_rows:
                break
            beginning = request.prompt[:-1]
            left = min(request.max_tokens, self._decoder.config.max_positions - len(request.prompt))
            cost, promised = self._store.cost(beginning), -(-left // BLOCK)
            if cost.blocks + promised > self._store.spare:
                break
            number = self._waiting.take()
            self._store.promised += promised
            place = Place(self._store.begin(beginning), left, promised, cost.known)
            self._readers.append(Reader(number, request, place))
            self._counts.admit(len(request.prompt), cost.known)
        self._let_draw()

    def _let_draw(self) -> None:
        """Those whose beginning is computed become rows."""
        still = list[Reader]()
        for reader in self._readers:
            if reader.place.tip.is_computed:
                self._rows.add(*reader)
                self._attention = None
            else:
                still.append(reader)
        self._readers = still

    def _allocate(self) -> None:
        """A private block for every row whose last token has none."""
        full = self._rows.full()
        if len(full):
            self._rows.give(full, self._store.take_private(len(full)))
            self._attention = None

    def _computed(self, chains: Sequence[Chain]) -> Tensor:
        """Hidden states (N, C) after each row's last token; chains are read along the way."""
        self._allocate()
        rows, count = self._rows, self._rows.count
        drawing = self._row_attention() if count else None  # first of all: it orders the rows
        if not chains:
            assert drawing is not None
            return self._forward(rows.tokens, rows.positions, drawing)
        reading = ChainAttention(chains, self._store, self._groups)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            read = reading(layer, queries[count:], keys[count:], values[count:])
            if drawing is None:
                return read
            return torch.cat((drawing(layer, queries[:count], keys[:count], values[:count]), read))

        tokens = np.concatenate([rows.tokens, *(chain.tokens for chain in chains)])
        positions = np.concatenate([rows.positions, *(chain.positions for chain in chains)])
        return self._forward(tokens, positions, attend)[:count]

    def _computed_alone(self, chains: Sequence[Chain]) -> Tensor:
        """The same for one row, whose tokens are read as known ones are: one matrix a layer."""
        alone = self._settled()
        if alone is None:
            return self._computed(chains)
        if not chains and (lone := self._lone_attention(alone.tip)) is not None:
            return self._forward(self._rows.tokens, self._rows.positions, lone)
        chains = (alone, *chains)
        reading = ChainAttention(chains, self._store, self._groups)
        tokens = np.concatenate([chain.tokens for chain in chains])
        positions = np.concatenate([chain.positions for chain in chains])
        return self._forward(tokens, positions, reading)[:1]

    def _lone_attention(self, tip: Tip) -> LoneAttention | None:
        """How a row by itself attends from here; None where its sequence is scattered."""
        lone = self._lone
        if lone is None or lone.node is not tip.node or lone.size != self._store.memory.size:
            self._lone = LoneAttention.of(self._store, tip, self._groups)
        else:
            lone.move(tip.length)
        return self._lone

    def _settled(self) -> Chain | None:
        """Put a row by itself into the tree, its last token too; None if there is no room."""
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

    def _forward(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64], attend: Attend
    ) -> Tensor:
        tensor = self._store.tensor
        return self._decoder.forward(tensor(tokens), tensor(positions), attend)

    def _row_attention(self) -> RowAttention:
        """How this turn's rows attend. They are put in the order of the tree for it."""
        rows, memory = self._rows, self._store.memory
        if self._attention is None or self._attention.size != memory.size:
            families = self._families()
            layout = lay_out(families, rows.blocks, rows.num_blocks, rows.offsets + 1)
            self._attention = RowAttention(layout, memory, self._groups)
        self._attention.begin(rows.offsets % BLOCK)
        return self._attention

    def _families(self) -> list[Family]:
        members = dict[Tip, list[int]]()
        for row, tip in enumerate(self._rows.tips):
            members.setdefault(tip, []).append(row)
        in_order = sorted((tip.entries, rows) for tip, rows in members.items())
        self._rows.sort(np.array([row for _, rows in in_order for row in rows]))
        ends = np.cumsum([len(rows) for _, rows in in_order]).tolist()
        return [
            Family(entries, end - len(rows), end)
            for (entries, rows), end in zip(in_order, ends, strict=True)
        ]

    def _keep(self, worth: NDArray[np.bool_]) -> None:
        """Put into the tree what rows that end here may be asked to go on from."""
        rows, tips = self._rows, self._rows.tips
        ended: list[int] = np.flatnonzero(worth).tolist()
        kept = self._store.publish(
            Branch(tips[row], rows.sequence(row)[:-1], rows.own(row)) for row in ended
        )
        for tip in kept:
            if tip is not None:
                self._store.end(tip)

    def _retire(self, gone: NDArray[np.bool_]) -> None:
        if not gone.any():
            return
        rows, store = self._rows, self._store
        places = np.flatnonzero(gone)
        store.promised -= int(rows.promised[places].sum())
        store.free_private(np.concatenate([rows.own(row) for row in places.tolist()]))
        tips = rows.tips
        for row in places.tolist():
            store.end(tips[row])
        rows.retire(gone)
        self._attention = None
