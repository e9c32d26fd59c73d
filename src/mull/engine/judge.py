"""A reward model at work: whole sequences in padded batches, without a cache.

Axes: B rows, T tokens, C hidden width, P places, L outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self, cast

import torch
from torch import Tensor

from mull.engine.requests import EngineSettings, Ready
from mull.models.reward import Familiarity, Look, RewardModel, load_reward_model

MAX_TOKENS: Final = 8_192
"""Read in one pass, padding included."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A reward model and its idea of what is familiar."""

    model: RewardModel
    familiarity: Familiarity | None
    device: str

    @classmethod
    def load(cls, settings: EngineSettings) -> Self:
        """Raises `CheckpointError`."""
        dtype = getattr(torch, settings.dtype.value)
        model, familiarity = load_reward_model(settings.folder, dtype=dtype, device=settings.device)
        return cls(model, familiarity, settings.device)

    @property
    def ready(self) -> Ready:
        """What the owner is told."""
        config = self.model.config
        return Ready(
            config.vocab_size, config.max_positions, 0, self.model.card.head.num_outputs + 1
        )

    @torch.inference_mode()
    def read(
        self, sequences: Sequence[tuple[int, ...]], places: Sequence[tuple[int, ...]]
    ) -> list[list[float]]:
        """The outputs and the distance at every place of every sequence, in order."""
        found: list[list[list[float]]] = [[] for _ in sequences]
        for group in _groups(sequences):
            look = self._look([sequences[each] for each in group])
            pairs = [(row, place) for row, each in enumerate(group) for place in places[each]]
            where = torch.tensor(pairs, dtype=torch.int64).view(-1, 2)
            seen = Look(*(each[where[:, 0], where[:, 1]] for each in look))
            judged = iter(_listed(self._judge(seen)))
            for each in group:
                found[each] = [next(judged) for _ in places[each]]
        return [outputs for each in found for outputs in each]

    def _look(self, sequences: Sequence[tuple[int, ...]]) -> Look:
        """Padded at the end, where causal attention never looks."""
        longest = max(map(len, sequences))
        padded = [list(each) + [0] * (longest - len(each)) for each in sequences]
        return self.model.look(torch.tensor(padded, device=self.device))

    def _judge(self, seen: Look) -> Tensor:
        """(P, L + 1) of places (P, C)."""
        outputs = self.model.score(seen.late).float()
        if self.familiarity is None:
            distance = torch.zeros(len(outputs), device=outputs.device)
        else:
            distance = self.familiarity(seen.early)
        return torch.cat((outputs, distance[:, None]), dim=-1)


def _listed(rows: Tensor) -> list[list[float]]:
    return cast("list[list[float]]", rows.tolist())  # pyright: ignore[reportUnknownMemberType]


def _groups(sequences: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Places of sequences of similar length, each group small enough for one pass."""
    group, ordered = list[int](), sorted(range(len(sequences)), key=lambda at: len(sequences[at]))
    for at in ordered:
        if group and (len(group) + 1) * len(sequences[at]) > MAX_TOKENS:
            yield group
            group = []
        group.append(at)
    if group:
        yield group
