"""Draws whole completions from a policy, from the start of a problem or from a state on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from mull.core.expansion import Sampling
from mull.core.seeds import derive_seed
from mull.engine import Engine, Request

Steps = tuple[tuple[int, ...], ...]
"""Token ids of the steps of a completion or of its beginning, control tokens included."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion as far as the policy took it."""

    steps: Steps
    is_right: bool
    """Whether its answer is right, by the rules of its problem."""


class Sampler(Protocol):
    """Completes one problem."""

    async def __call__(self, start: Steps, count: int) -> list[Rollout]:
        """`count` independent completions that begin with the steps of `start`.

        Ask for each start once: the same start may draw the same again.
        """
        ...


@dataclass(frozen=True, slots=True)
class EngineSampler:
    """Completes one problem with a policy's engine."""

    engine: Engine
    prompt: tuple[int, ...]
    """The problem, as the policy reads it."""
    check: Callable[[Steps], bool]
    """Whether a whole completion is right."""
    seed: int
    sampling: Sampling = Sampling()
    max_tokens: int = 256

    async def __call__(self, start: Steps, count: int) -> list[Rollout]:
        """See `Sampler`."""
        completions = await self._grow(start, count, one_step=False)
        return [Rollout(steps, self.check(steps)) for steps in completions]

    async def next_steps(self, start: Steps, count: int) -> list[Steps]:
        """`start` with one more step, `count` times; ask for each start once."""
        return await self._grow(start, count, one_step=True)

    async def _grow(self, start: Steps, count: int, *, one_step: bool) -> list[Steps]:
        given = tuple(chain.from_iterable(start))
        seed = derive_seed(self.seed, len(start), *given)
        requests = [
            Request(
                self.prompt + given,
                derive_seed(seed, number),
                self.max_tokens,
                sampling=self.sampling,
                one_step=one_step,
            )
            for number in range(count)
        ]
        drawn = [list(start) for _ in requests]
        async for piece in self.engine.generate(requests):
            drawn[piece.request].append(piece.token_ids)
        return [tuple(steps) for steps in drawn]


def prefixes(steps: Steps) -> Sequence[Steps]:
    """Every beginning of whole steps, the shortest first, without the empty one."""
    return [steps[:end] for end in range(1, len(steps) + 1)]
