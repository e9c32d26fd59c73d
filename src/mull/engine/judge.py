"""A reward model at work: texts are read through the prefix tree, each part of them once.

There is nothing to draw, so a turn is a step of catching up: known tokens get their keys, values
and outputs. The outputs of every position are kept beside its keys, so that whoever goes on from
a text finds what was said of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from time import perf_counter
from typing import NamedTuple, cast

import numpy as np
import torch

from mull.engine.cap import Cap
from mull.engine.counts import Counts
from mull.engine.prefixes import PrefixNode
from mull.engine.reading import ChainAttention, chains_of
from mull.engine.requests import EngineSettings, EngineStats, Judged, Judgement, Reading
from mull.engine.store import Store, Tip
from mull.engine.waiting import WaitingLine
from mull.models.inference import InferenceJudge

TOKENS_A_TURN = 2048
"""Known tokens that are read in one turn, so that a small call is not held up for longer."""


class Open(NamedTuple):
    """An admitted reading."""

    number: int
    reading: Reading
    tip: Tip
    cached_tokens: int


class Judge:
    """All that is read and all that waits. The worker owns it."""

    def __init__(
        self, model: InferenceJudge, settings: EngineSettings, cap: Cap | None = None
    ) -> None:
        self._model = model
        self._groups = model.config.num_heads // model.config.num_kv_heads
        self._store = Store(model, cap or Cap(settings.max_kv_bytes))
        self._waiting = WaitingLine[Reading]()
        self._open = list[Open]()
        self._counts = Counts()

    @property
    def is_busy(self) -> bool:
        """Whether a turn would do anything."""
        return bool(self._open or self._waiting)

    def add(self, readings: Iterable[tuple[int, Reading]]) -> None:
        """Get these in line."""
        self._waiting.add(readings)

    def stats(self) -> EngineStats:
        """What it holds now, and what it has done."""
        return self._counts.stats(
            self._store, num_rows=len(self._open), num_waiting=len(self._waiting)
        )

    def forget(self) -> None:
        """Drop what is kept of texts that nobody needs now."""
        self._store.forget()

    @torch.inference_mode()
    def cancel(self, numbers: Collection[int]) -> None:
        """Forget these, wherever they are."""
        gone = set(numbers)
        self._waiting.remove(gone)
        self._store.cap.content(self._store)  # who is first now will be refused anew
        for each in self._open:
            if each.number in gone:
                self._store.end(each.tip)
        self._open = [each for each in self._open if each.number not in gone]

    @torch.inference_mode()
    def turn(self) -> Judged | None:
        """Read what there is to read; what can be said of whoever is read to the end."""
        self._admit()
        nodes = self._store.take_unread(TOKENS_A_TURN)
        if nodes:
            start = perf_counter()
            self._read(nodes)
            self._counts.turn(perf_counter() - start)
        done = [each for each in self._open if each.tip.is_computed]
        if not done:
            return None
        self._open = [each for each in self._open if not each.tip.is_computed]
        judged = Judged([(each.number, self._judgement(each)) for each in done])
        for each in done:
            self._store.end(each.tip)
        return judged

    def check(self) -> None:
        """Raise AssertionError if memory and line contradict each other."""
        self._store.check([each.tip for each in self._open], np.zeros(0, np.int64))

    def _admit(self) -> None:
        """Let in whom there is room for; the others wait."""
        cap = self._store.cap
        while (reading := self._waiting.first()) is not None and cap.may_admit(self._store):
            cost = self._store.cost(reading.token_ids)
            if cost.blocks > self._store.spare:
                cap.refuse(self._store)
                break
            cap.content(self._store)
            number, tip = self._waiting.take(), self._store.begin(reading.token_ids)
            self._open.append(Open(number, reading, tip, cost.known))
            self._counts.admit(len(reading.token_ids), cost.known)

    def _read(self, nodes: Sequence[PrefixNode]) -> None:
        chains, tensor = chains_of(nodes), self._store.tensor
        attention = ChainAttention(chains, self._store, self._groups)
        tokens = tensor(np.concatenate([chain.tokens for chain in chains]))
        positions = tensor(np.concatenate([chain.positions for chain in chains]))
        outputs = self._model.judge(tokens, positions, attention)
        self._store.memory.outputs.index_copy_(0, attention.slots, outputs)
        for node in nodes:
            node.computed = len(node.tokens)

    def _judgement(self, read: Open) -> Judgement:
        slots = self._store.tensor(self._store.slots(read.tip)[list(read.reading.places)])
        # Torch leaves the type of its lists open.
        rows = cast("list[list[float]]", self._store.memory.outputs[slots].tolist())  # pyright: ignore[reportUnknownMemberType]
        return Judgement(tuple(map(tuple, rows)), read.cached_tokens)
