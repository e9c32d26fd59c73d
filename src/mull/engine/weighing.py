"""Known texts are weighed: their tokens are read as any others are, and their probabilities told.

What stands before the first token that is weighed is shared through the prefix tree. What is
weighed is read in one pass, in blocks of its own that are free again after it: its logits are
wanted, which nobody keeps, so there is nothing to share.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from mull.engine.passes import Passes
from mull.engine.reading import Chain
from mull.engine.requests import Given, Likelihood
from mull.engine.rows import Place
from mull.engine.sampling import normalised, onto
from mull.engine.store import Store


class Text(NamedTuple):
    """An admitted text."""

    number: int
    given: Given
    place: Place
    """What it was given to be read in, behind all before the token before the first weighed."""


class Weighing:
    """The texts that are being weighed. The batch owns it."""

    def __init__(self, passes: Passes, store: Store) -> None:
        self._passes = passes
        self._store = store
        self.open = list[Text]()

    def cancel(self, numbers: Collection[int]) -> None:
        """Forget these."""
        for number, _, place in self.open:
            if number in numbers:
                self._store.promised -= place.promised
                self._store.end(place.tip)
        self.open = [each for each in self.open if each.number not in numbers]

    def turn(self, budget: int) -> list[tuple[int, Likelihood]]:
        """Read those whose beginning has been, up to a budget of tokens together, at least one."""
        ready = list[Text]()
        for each in self.open:
            budget -= each.given.num_read
            if each.place.tip.is_computed and (budget >= 0 or not ready):
                ready.append(each)
        if not ready:
            return []
        taken = [self._store.take_private(each.place.promised) for each in ready]
        chains = [
            Chain(given.token_ids[given.start - 1 : -1], place.tip, blocks)
            for (_, given, place), blocks in zip(ready, taken, strict=True)
        ]
        logits = self._passes.decoder.logits(self._passes.read(chains))
        wanted = np.concatenate([given.token_ids[given.start :] for _, given, _ in ready])
        logprobs = normalised(logits).gather(-1, onto(wanted[:, None], logits))[:, 0]
        ends = np.cumsum([given.num_read for _, given, _ in ready])
        parts = np.split(logprobs.double().cpu().numpy().round(6), ends[:-1])
        for _, _, place in ready:
            self._store.end(place.tip)
        self._store.free_private(np.concatenate(taken))
        self.open = [each for each in self.open if each not in ready]
        return [
            (number, Likelihood(tuple(part.tolist()), place.cached_tokens))
            for (number, _, place), part in zip(ready, parts, strict=True)
        ]
