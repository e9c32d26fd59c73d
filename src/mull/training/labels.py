"""What a state is worth, told by rollouts: Monte-Carlo fractions and OmegaPRM's binary search.

A state is a beginning of a completion, told by its exact tokens. Its value is the probability that
the policy completes it rightly.
"""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

from mull.training.rollouts import Rollout, Sampler, Steps, prefixes

ALPHA: Final = 0.5
BETA: Final = 0.9
LENGTH: Final = 500.0
EXPLORATION: Final = 0.125
"""OmegaPRM's constants (Luo et al. 2024): alpha, beta, L in tokens, c_puct."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What rollouts say of one state: how many of them came out right."""

    successes: int
    trials: int

    @property
    def value(self) -> float:
        """The Monte-Carlo estimate; unbiased where trials do not depend on outcomes."""
        return self.successes / self.trials


@dataclass(frozen=True, slots=True)
class Explored:
    """The rollouts of one problem and what they say of the states on them."""

    rollouts: tuple[Rollout, ...]
    evidence: dict[Steps, Evidence]
    num_drawn: int
    """Completions that were paid for."""


async def monte_carlo(sample: Sampler, *, traces: int, rollouts: int) -> Explored:
    """`traces` completions of the problem, and `rollouts` from each state on the first of them.

    Every rollout is evidence for all states it passes from where it was begun on (Math-Shepherd,
    Wang et al. 2023, with each rollout's own later states used as well). Where to roll out from
    depends on no outcome, so that every label is unbiased.
    """
    begun = [(rollout, 0) for rollout in await sample((), traces)]
    states = prefixes(begun[0][0].steps)[:-1] if rollouts else ()
    for state, drawn in zip(
        states, await gather(*(sample(state, rollouts) for state in states)), strict=True
    ):
        begun += [(rollout, len(state)) for rollout in drawn]
    # What a rollout was begun from is told by where its own steps start: the states before have
    # been chosen already, and counting the rollout for them would count their choice twice.
    counts = dict[Steps, list[bool]]()
    for rollout, start in begun:
        for state in prefixes(rollout.steps)[max(0, start - 1) :]:
            counts.setdefault(state, []).append(rollout.is_right)
    evidence = {state: Evidence(sum(each), len(each)) for state, each in counts.items()}
    return Explored(tuple(rollout for rollout, _ in begun), evidence, len(begun))


@dataclass(slots=True)
class Known:
    """The states that have been rolled out, and the rollouts. Owned by one problem's search."""

    evidence: dict[Steps, Evidence] = field(default_factory=dict[Steps, Evidence])
    drawn: list[tuple[Steps, Rollout]] = field(default_factory=list[tuple[Steps, Rollout]])
    """Every rollout with the state it was begun from."""
    divided: set[int] = field(default_factory=set[int])
    """Places in `drawn` of those whose first error has been looked for."""
    visits: dict[Steps, int] = field(default_factory=dict[Steps, int])
    """How often a rollout of a state has been divided."""

    async def look(self, sample: Sampler, state: Steps, rollouts: int) -> Evidence:
        """The state's evidence, rolled out on the first visit."""
        if state not in self.evidence:
            drawn = await sample(state, rollouts)
            successes = sum(rollout.is_right for rollout in drawn)
            self.evidence[state] = Evidence(successes, rollouts)
            self.drawn += [(state, rollout) for rollout in drawn]
        return self.evidence[state]

    def choose(self) -> tuple[Steps, Rollout] | None:
        """Take the wrong rollout of an undecided state that is to be divided next, and its state.

        Q = alpha^(1 - MC) * beta^(length / L) prefers what is wrong although it should be right;
        U = c * sqrt(sum of visits) / (1 + visits) what was seldom visited.
        """
        total = sqrt(sum(self.visits.values()))

        def rank(place: int) -> float:
            state, rollout = self.drawn[place]
            length = sum(map(len, rollout.steps[len(state) :]))
            quality = ALPHA ** (1 - self.evidence[state].value) * BETA ** (length / LENGTH)
            return quality + EXPLORATION * total / (1 + self.visits.get(state, 0))

        undivided = (place for place in range(len(self.drawn)) if place not in self.divided)
        chosen = max(filter(self._is_promising, undivided), key=rank, default=None)
        if chosen is None:
            return None
        self.divided.add(chosen)
        state, rollout = self.drawn[chosen]
        self.visits[state] = self.visits.get(state, 0) + 1
        return state, rollout

    def _is_promising(self, place: int) -> bool:
        state, rollout = self.drawn[place]
        return not rollout.is_right and 0 < self.evidence[state].value < 1


async def first_error(
    sample: Sampler, known: Known, steps: Steps, *, start: int, rollouts: int
) -> int:
    """After how many steps a wrong completion is lost, by binary search.

    That is the shortest beginning, longer than `start` steps, from which none of `rollouts`
    completions comes out right; O(log steps) beginnings are looked at. Assumes that what is lost
    stays lost.
    """
    low, high = start, len(steps)  # a beginning of `low` steps can be saved, one of `high` cannot
    while high - low > 1:
        middle = (low + high) // 2
        is_lost = not (await known.look(sample, steps[:middle], rollouts)).successes
        low, high = (low, middle) if is_lost else (middle, high)
    return high


async def omega(sample: Sampler, *, rollouts: int, searches: int, max_drawn: int) -> Explored:
    """OmegaPRM: divide promising wrong rollouts at their first error, `searches` times at most.

    Begins no search once `max_drawn` completions are paid for, and ends when no state is undecided
    any more. Only the rollouts that were drawn for a state are evidence for it.
    """
    known = Known()
    await known.look(sample, (), rollouts)
    for _ in range(searches):
        chosen = known.choose() if len(known.drawn) < max_drawn else None
        if chosen is None:
            break
        state, rollout = chosen
        await first_error(sample, known, rollout.steps, start=len(state), rollouts=rollouts)
    completions = tuple(rollout for _, rollout in known.drawn)
    evidence = {each.steps: Evidence(int(each.is_right), 1) for each in completions}
    evidence.update((state, each) for state, each in known.evidence.items() if state)
    return Explored(completions, evidence, len(completions))
