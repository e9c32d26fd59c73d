"""The loop over one state: every turn reads some known tokens, and every live row draws one.

There is no phase of reading and none of drawing. Whoever is admitted has known tokens; those that
are not in memory are read, up to a budget a turn, beside the rows that draw; and whoever has all
but its last token there is a row. Where a second model drafts, a row draws up to `width` tokens a
turn: what was guessed is looked at as known tokens are, and what is refused is forgotten. Axes:
N rows, w tokens of each in a turn, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.alone import Alone
from mull.engine.blocks import BLOCK, BlockIds
from mull.engine.cap import Cap
from mull.engine.counts import Counts
from mull.engine.drafting import Window, decide, guess
from mull.engine.layout import Family, Layout, lay_out
from mull.engine.passes import Passes
from mull.engine.reading import Chain, chains_of
from mull.engine.requests import (
    Boundary,
    EngineSettings,
    EngineStats,
    Given,
    Report,
    Request,
    Weighed,
)
from mull.engine.rows import EVERY, Place, Rows
from mull.engine.sampling import Drawn, draw
from mull.engine.store import Branch, Store, Tip
from mull.engine.waiting import WaitingLine
from mull.engine.weighing import Text, Weighing
from mull.models.inference import InferenceDecoder

TOKENS_A_TURN: Final = 1024
"""Known tokens that are read in one turn, so that rows are not held up for longer."""


NOTHING: Final = np.zeros(0, np.int64)


class Reader(NamedTuple):
    """An admitted request whose prompt is being read."""

    number: int
    request: Request
    place: Place


class Batch:
    """All that grows and all that waits. The worker owns it."""

    def __init__(
        self,
        decoder: InferenceDecoder,
        settings: EngineSettings,
        draft: InferenceDecoder | None = None,
        cap: Cap | None = None,
    ) -> None:
        self._decoder = decoder
        self._max_rows = settings.max_rows
        self._store = Store(decoder, cap or Cap(settings.max_kv_bytes), draft)
        self._store.on_move = self._renumber
        self._rows = Rows(settings.max_rows, settings.punctuation, decoder.config.vocab_size)
        self._width = 1 if draft is None else settings.draft_tokens
        memories = self._store.memories
        self._passes = Passes(decoder, self._store, memories[0], width=self._width)
        self._draft = draft and Passes(draft, self._store, memories[1])
        self._alone = Alone(self._passes, self._store, self._rows)
        self._waiting = WaitingLine[Request | Given]()
        self._weighing = Weighing(self._passes, self._store)
        self._readers = list[Reader]()
        self._layout: Layout | None = None
        """None where rows have come, gone or grown into another block."""
        self._counts = Counts()

    @property
    def is_busy(self) -> bool:
        """Whether a turn would do anything."""
        return bool(self._rows.count or self._readers or self._waiting or self._weighing.open)

    def add(self, requests: Iterable[tuple[int, Request | Given]]) -> None:
        """Get these in line."""
        self._waiting.add(requests)

    def stats(self) -> EngineStats:
        """What it holds now, and what it has done."""
        return self._counts.stats(
            self._store,
            num_rows=self._rows.count + len(self._readers) + len(self._weighing.open),
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
        self._store.cap.content(self._store)  # who is first now will be refused anew
        for reader in self._readers:
            if reader.number in gone:
                self._store.promised -= reader.place.promised
                self._store.end(reader.place.tip)
        self._readers = [reader for reader in self._readers if reader.number not in gone]
        self._weighing.cancel(gone)
        self._retire(self._rows.having(gone))

    @torch.inference_mode()
    def turn(self) -> Report | None:
        """Read what there is to read, and draw one token for every row; what is there to tell."""
        start = perf_counter()
        self._admit()
        nodes = self._store.take_unread(TOKENS_A_TURN)
        if not nodes and not self._rows.count:
            return None
        drawn = self._drawn(chains_of(nodes))
        for node in nodes:
            node.computed = len(node.tokens)
        self._rows.hold(perf_counter() - start)
        report = None if drawn is None else self._settle(drawn)
        self._counts.turn(perf_counter() - start)
        return report

    def _drawn(self, chains: Sequence[Chain]) -> Drawn | Window | None:
        """Every row's next tokens, None without any row; chains are read along the way."""
        if self._draft is not None and self._rows.count:
            return self._guessed(self._draft, chains)
        if not self._rows.count:
            for passes in filter(None, (self._passes, self._draft)):
                passes.read(chains)
            return None
        is_alone = self._rows.count == 1 and self._decoder.kernels is None
        logits = self._alone.logits(chains) if is_alone else None
        if logits is None:
            logits = self._logits(chains)
        return draw(logits, self._rows.draws(), self._decoder.kernels)

    def _guessed(self, draft: Passes, chains: Sequence[Chain]) -> Window:
        """The same where a small model guesses ahead."""
        self._allocate()
        layout, rows, width = self._laid_out(), self._rows, self._width
        guesses = guess(draft, rows, layout, width, chains)
        ahead = np.arange(width)
        offsets = rows.offsets[:, None] + ahead
        positions = np.minimum(
            rows.positions[:, None] + ahead, self._decoder.config.max_positions - 1
        )
        tokens = guesses.token_ids[:, :-1].ravel()
        logits = self._passes.over_rows(layout, offsets, tokens, positions.ravel(), chains)
        window = decide(guesses, logits, rows)
        self._counts.accepted_tokens += int(window.accepted.sum())
        self._counts.refused_tokens += int((window.accepted < width).sum())
        return window

    def _settle(self, drawn: Drawn | Window) -> Report | None:
        """Give rows their tokens; what is to be told of it."""
        if isinstance(drawn, Drawn):
            boundaries = self._rows.take(EVERY, drawn)
            reports = [self._rows.report(EVERY, boundaries, self._store.bytes_per_token)]
            self._counts.drawn_tokens += self._rows.count
        else:
            boundaries = np.full(self._rows.count, Boundary.INSIDE, np.int64)
            reports = [self._settle_one(drawn, ahead, boundaries) for ahead in range(self._width)]
        self._keep((boundaries == Boundary.ONE_STEP) | (boundaries == Boundary.LENGTH))
        self._retire(boundaries >= Boundary.ONE_STEP)
        return Report.joined([each for each in reports if each is not None])

    def _settle_one(
        self, window: Window, ahead: int, boundaries: NDArray[np.int64]
    ) -> Report | None:
        """Give rows that have come so far one token of their window; fills in `boundaries`."""
        rows = self._rows
        going = np.flatnonzero((window.counts > ahead) & (boundaries < Boundary.ONE_STEP))
        if not len(going):
            return None
        drawn = Drawn(window.token_ids[going, ahead], window.logprobs[going, ahead])
        boundaries[going] = rows.take(going, drawn)
        self._counts.drawn_tokens += len(going)
        is_last = (window.counts[going] == ahead + 1) | (boundaries[going] >= Boundary.ONE_STEP)
        last, in_vain = going[is_last], self._width - ahead - 1
        guesses = self._width - np.minimum(window.accepted[last], ahead + 1)
        rows.discard(last, guesses, self._flops(rows.positions[last], in_vain))
        return rows.report(going, boundaries[going], self._store.bytes_per_token)

    def _flops(self, positions: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """Of both models on so many positions from these on."""
        flops = np.zeros(len(positions))
        for passes in filter(None, (self._passes, self._draft)):
            config = passes.decoder.config
            context = config.flops_per_token(1) - config.flops_per_token(0)
            contexts = count * (positions + 1) + count * (count - 1) // 2
            flops += count * config.flops_per_token(0) + contexts * context
        return flops

    @torch.inference_mode()
    def weigh(self) -> Weighed | None:
        """Weigh texts whose beginning a turn has read; what there is to tell."""
        start = perf_counter()
        likelihoods = self._weighing.turn(TOKENS_A_TURN)
        if not likelihoods:
            return None
        self._counts.turn(perf_counter() - start)
        return Weighed(likelihoods)

    def check(self) -> None:
        """Raise AssertionError if rows, memory and line contradict each other."""
        rows = self._rows
        rows.check()
        assert rows.count + len(self._readers) <= self._max_rows, "more rows than there is room for"
        places = [reader.place for reader in (*self._readers, *self._weighing.open)]
        private = [rows.own(row) for row in range(rows.count)]
        self._store.check(
            [*rows.tips, *(place.tip for place in places)],
            np.concatenate((*private, np.zeros(0, np.int64))),
        )
        promised = int(rows.promised.sum())
        promised += sum(place.promised for place in places)
        assert self._store.promised == promised, "a promise is forgotten"

    def _admit(self) -> None:
        """Let in whom there is room for, were each to grow to its limit; the others wait."""
        store, cap = self._store, self._store.cap
        while (asked := self._waiting.first()) is not None and cap.may_admit(store):
            if self._rows.count + len(self._readers) >= self._max_rows:
                break
            tokens, num_shared, left = self._wants(asked)
            # What is guessed beyond the limit has to stand somewhere, too.
            promised = -(-(left + self._width - 1) // BLOCK)
            cost = store.cost(tokens[:num_shared])
            if cost.blocks + promised > store.spare:
                cap.refuse(store)
                break
            cap.content(store)
            number = self._waiting.take()
            store.promised += promised
            place = Place(store.begin(tokens[:num_shared]), left, promised, cost.known)
            if isinstance(asked, Request):
                self._readers.append(Reader(number, asked, place))
            else:
                self._weighing.open.append(Text(number, asked, place))
            self._counts.admit(len(tokens), cost.known)
        self._let_draw()

    def _wants(self, asked: Request | Given) -> tuple[tuple[int, ...], int, int]:
        """Its known tokens, how many of them others may share, and how many come behind those."""
        if isinstance(asked, Given):
            return asked.token_ids, asked.start - 1, asked.num_read
        length = len(asked.prompt)
        left = min(asked.max_tokens, self._decoder.config.max_positions - length)
        return asked.prompt, length - 1, left

    def _let_draw(self) -> None:
        """Those whose beginning is computed become rows."""
        still = list[Reader]()
        for reader in self._readers:
            if reader.place.tip.is_computed:
                self._rows.add(*reader)
                self._layout = None
            else:
                still.append(reader)
        self._readers = still

    def _allocate(self) -> None:
        """A private block for every row whose last token has none."""
        full = self._rows.full(self._width)
        if len(full):
            self._rows.give(full, self._store.take_private(len(full)))
            self._layout = None

    def _logits(self, chains: Sequence[Chain]) -> Tensor:
        """(N, V) after each row's last token; chains are read along the way."""
        self._allocate()
        layout, rows = self._laid_out(), self._rows  # first of all: it orders the rows
        offsets = rows.offsets[:, None]
        return self._passes.over_rows(layout, offsets, rows.tokens, rows.positions, chains)

    def _laid_out(self) -> Layout:
        """What this turn's rows read. They are put in the order of the tree for it."""
        if self._layout is None:
            families = self._families()  # first of all: it orders the rows
            passes = filter(None, (self._passes, self._draft))
            self._layout = lay_out(
                families,
                self._rows.blocks,
                self._rows.num_blocks,
                only_runs=any(each.decoder.kernels is not None for each in passes),
            )
        return self._layout

    def _renumber(self, moved: BlockIds) -> None:
        """Blocks have other numbers now."""
        self._rows.renumber(moved)
        self._layout = None

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
        self._layout = None
