"""The batched loop: every live branch draws one token a turn; branches come and go between turns.

A prompt is read once for all branches that wait for it, and its cache is copied into their rows.
Axes: B rows, C hidden width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mull.engine.requests import Boundary, EngineSettings, Report, Request
from mull.engine.rows import Rows
from mull.engine.sampling import draw
from mull.engine.waiting import Numbered, Prompt, WaitingLine
from mull.models.inference import CachedDecoder, KeyValueCache

FIRST_ROWS: Final = 16
MAX_PREFILL_TOKENS: Final = 16_384
"""Prompt tokens read together, padding included."""
PREFILL_CHUNK: Final = 512
"""Positions of a prompt read in one pass."""


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """A prompt's keys and values, in a row of a cache, and the hidden state (C,) at its end."""

    cache: KeyValueCache
    row: int
    hidden: Tensor


class Batch:
    """All that grows and all that waits. The worker owns it."""

    def __init__(self, decoder: CachedDecoder, settings: EngineSettings) -> None:
        self._decoder = decoder
        self._max_rows = settings.max_rows
        self._max_positions = decoder.config.max_positions
        self._max_tokens = settings.max_kv_bytes // decoder.bytes_per_token
        self._rows = Rows(settings.max_rows, settings.punctuation, decoder.config.vocab_size)
        self._cache = decoder.new_cache(0, 0)
        self._waiting = WaitingLine()
        self._read = dict[Prompt, ReadPrompt]()
        """Prompts that somebody still waits for after others have gone ahead."""

    @property
    def is_busy(self) -> bool:
        """Whether a turn would do anything."""
        return bool(self._rows.count or self._waiting)

    def add(self, requests: Iterable[tuple[int, Request]]) -> None:
        """Get these in line."""
        for number, request in requests:
            self._waiting.add(number, request)

    @torch.inference_mode()
    def cancel(self, numbers: Collection[int]) -> None:
        """Forget these, wherever they are; what they held is free at once."""
        self._waiting.remove(set(numbers))
        self._retire(self._rows.having(numbers))
        self._forget_prompts()

    @torch.inference_mode()
    def turn(self) -> Report | None:
        """Draw one token for every live row, newcomers included; what is there to tell."""
        start = perf_counter()
        hidden = [self._extended()] if self._rows.count else []
        hidden += self._admit()
        if not hidden:
            return None
        drawn = draw(self._decoder.logits(torch.cat(hidden)), self._rows.draws())
        boundaries = self._rows.take(drawn, perf_counter() - start)
        report = self._rows.report(boundaries, self._decoder.bytes_per_token)
        self._retire(boundaries >= Boundary.ONE_STEP)
        return report

    def check(self) -> None:
        """Raise AssertionError if rows, cache and line contradict each other."""
        rows, cache = self._rows, self._cache
        rows.check()
        assert rows.count <= min(self._max_rows, cache.rows), "more rows than there is room for"
        assert (rows.lengths - 1 <= cache.slots).all(), "a row is longer than the cache"
        reserved = rows.count * _rounded(rows.longest)
        assert rows.count <= 1 or reserved <= self._max_tokens, "more is promised than there is"
        assert cache.rows <= 1 or cache.rows * cache.slots <= self._max_tokens, "too large a cache"
        assert all(prompt in self._waiting for prompt in self._read), "a prompt is kept in vain"

    def _extended(self) -> Tensor:
        """Hidden states (B, C) after each row's last token."""
        positions = self._rows.lengths - 1
        self._make_room(self._rows.count, int(positions.max()) + 1)
        tokens = self._tensor(self._rows.tokens)[:, None]
        where = self._tensor(positions)[:, None]
        return self._decoder.extend(tokens, where, self._cache)[:, 0]

    def _retire(self, gone: NDArray[np.bool_]) -> None:
        if not gone.any():
            return
        movers, holes = self._rows.retire(gone)
        if len(movers):
            self._cache.copy_rows(self._cache, self._tensor(movers), self._tensor(holes))

    def _admit(self) -> list[Tensor]:
        """Move whom there is room for from the line into rows; their hidden states (B, C)."""
        newcomers = self._newcomers()
        if not newcomers:
            return []
        prompts = {each.request.prompt for each in newcomers}
        unread = prompts - self._read.keys()
        for group in _groups(unread):
            self._read_prompts(group)
        first = self._rows.count
        longest = max(int(self._rows.lengths.max(initial=0)), *map(len, prompts))
        self._make_room(first + len(newcomers), longest)
        for number, request in newcomers:
            # The first of a new prompt pays for reading it; the others find it cached.
            cached = 0 if request.prompt in unread else len(request.prompt)
            unread.discard(request.prompt)
            self._rows.add(number, request, self._left(request), cached)
        self._fork(newcomers, first)
        hidden = torch.stack([self._read[each.request.prompt].hidden for each in newcomers])
        self._forget_prompts()
        return [hidden]

    def _newcomers(self) -> list[Numbered]:
        """Whom there is room for: rows, and cache even if all rows grow to their limits."""
        taken = list[Numbered]()
        longest = self._rows.longest
        while (request := self._waiting.first()) is not None:
            longest = max(longest, len(request.prompt) + self._left(request))
            rows = self._rows.count + len(taken) + 1
            # One row always fits: settings with less room than a window are refused.
            if rows > self._max_rows or (rows > 1 and rows * _rounded(longest) > self._max_tokens):
                break
            taken.append(self._waiting.take())
        return taken

    def _left(self, request: Request) -> int:
        return min(request.max_tokens, self._max_positions - len(request.prompt))

    def _read_prompts(self, prompts: Sequence[Prompt]) -> None:
        """One pass over several prompts, padded at the end with what nobody will look at."""
        longest = max(map(len, prompts))
        padded = np.zeros((len(prompts), longest), np.int64)
        for row, prompt in enumerate(prompts):
            padded[row, : len(prompt)] = prompt
        cache = self._decoder.new_cache(len(prompts), longest)
        positions = torch.arange(longest, device=self._decoder.device).expand(padded.shape)
        tokens, passes = self._tensor(padded), list[Tensor]()
        for start in range(0, longest, PREFILL_CHUNK):
            new = slice(start, min(start + PREFILL_CHUNK, longest))
            passes.append(self._decoder.extend(tokens[:, new], positions[:, new], cache))
        hidden = torch.cat(passes, dim=1)  # (B, T, C)
        for row, prompt in enumerate(prompts):
            self._read[prompt] = ReadPrompt(cache, row, hidden[row, len(prompt) - 1])

    def _fork(self, newcomers: Sequence[Numbered], first: int) -> None:
        """Copy each newcomer's prompt into its row; rows begin at `first`."""
        by_cache = dict[KeyValueCache, tuple[list[int], list[int]]]()
        for row, each in enumerate(newcomers, start=first):
            read = self._read[each.request.prompt]
            of, to = by_cache.setdefault(read.cache, ([], []))
            of.append(read.row)
            to.append(row)
        for cache, (of, to) in by_cache.items():
            self._cache.copy_rows(cache, self._tensor(np.array(of)), self._tensor(np.array(to)))

    def _forget_prompts(self) -> None:
        """Keep only prompts that are still waited for, each in a cache of its own."""
        kept = dict[Prompt, ReadPrompt]()
        for prompt, read in self._read.items():
            if prompt in self._waiting:
                single = self._decoder.new_cache(1, len(prompt))
                row = torch.tensor([read.row], device=self._decoder.device)
                single.copy_rows(read.cache, row, torch.zeros_like(row))
                kept[prompt] = ReadPrompt(single, 0, read.hidden.clone())
        self._read = kept

    def _make_room(self, rows: int, slots: int) -> None:
        """Let the cache hold so many rows and slots, and hardly more slots than that."""
        slots, cache = _rounded(slots), self._cache
        if rows <= cache.rows and slots <= cache.slots <= slots + slots // 2:
            return
        wanted = cache.rows if rows <= cache.rows else max(FIRST_ROWS, 2 * cache.rows, rows)
        affordable = max(rows, self._max_tokens // slots)
        cache.resize(min(wanted, self._max_rows, affordable), slots)

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        contiguous = np.ascontiguousarray(array)
        tensor = torch.from_numpy(contiguous)  # pyright: ignore[reportUnknownMemberType]
        return tensor.to(self._decoder.device)


def _rounded(slots: int) -> int:
    """Up to an eighth more: seldom laid out anew, and little read in vain."""
    chunk = 8 * max(1, slots // 64)
    return -(-slots // chunk) * chunk


def _groups(prompts: Iterable[Prompt]) -> list[list[Prompt]]:
    """Prompts of similar length together, each group small enough for one pass."""
    groups = list[list[Prompt]]()
    for prompt in sorted(prompts, key=lambda each: (len(each), each)):
        if groups and (len(groups[-1]) + 1) * len(prompt) <= MAX_PREFILL_TOKENS:
            groups[-1].append(prompt)
        else:
            groups.append([prompt])
    return groups
