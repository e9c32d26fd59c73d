"""Results as arrays over problems: what every reader of an evaluation reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from mull.core.usage import Usage
from mull.evaluation.arms import Arm
from mull.evaluation.config import EvalConfig
from mull.evaluation.intervals import Floats
from mull.evaluation.matched import Curves
from mull.evaluation.results import Key, Result
from mull.evaluation.strata import Chosen, strata_of
from mull.tasks import Example, pass_at_k


class Axis(StrEnum):
    """What compute is counted in. A claim of "k times cheaper" names its axis."""

    TOKENS = "tokens"
    """Generated, for any purpose. A verifier that only reads generates none."""
    FLOPS = "flops"
    """Everything: reading, generating, judging steps, branches that were dropped."""
    SECONDS = "seconds"
    """Of the wall, at full batches on the machine it ran on."""

    @property
    def meaning(self) -> str:
        """For people, per problem."""
        return {"tokens": "generated tokens", "flops": "FLOPs, everything charged"}.get(
            self.value, "seconds of the run"
        )


_SPENT: Final[Mapping[Axis, Callable[[Usage], float]]] = {
    Axis.TOKENS: lambda usage: usage.generated_tokens,
    Axis.FLOPS: lambda usage: usage.flops,
    Axis.SECONDS: lambda usage: usage.seconds,
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One arm: results by budget, problem and seed."""

    arm: Arm
    budgets: tuple[int, ...]
    results: tuple[tuple[tuple[Result, ...], ...], ...]
    """[budgets][problems][seeds]"""

    @property
    def num_problems(self) -> int:
        """Rows of every array."""
        return len(self.results[0])

    @property
    def num_seeds(self) -> int:
        """Solves of every problem, averaged within it."""
        return len(self.results[0][0])

    def mean(self, fact: Callable[[Result], float]) -> Floats:
        """A fact of every result as [problems, budgets], averaged over seeds."""
        return np.array(
            [
                [sum(map(fact, seeds)) / len(seeds) for seeds in problems]
                for problems in self.results
            ],
            dtype=np.float64,
        ).T

    def right(self) -> Floats:
        """Share of a problem's seeds whose answer is right: [problems, budgets]."""
        return self.mean(lambda result: result.is_right)

    def cost(self, axis: Axis) -> Floats:
        """What a problem cost: [problems, budgets]."""
        return self.mean(lambda result: _SPENT[axis](result.spent))

    def curves(self, axis: Axis) -> Curves:
        """Cost and accuracy of every problem."""
        return Curves(self.cost(axis), self.right())

    def passes(self) -> Floats | None:
        """pass@n for every budget n, unbiased from all samples of all seeds together.

        [problems, budgets]; None for an arm whose answers are no fair draw.
        """
        if not self.arm.rule.draws_all:
            return None
        counts = [_counts(seeds) for seeds in self.results[-1]]
        rows = [[pass_at_k(drawn, right, n) for n in self.budgets] for drawn, right in counts]
        return np.array(rows, dtype=np.float64)

    def unseen_pass_at_1(self) -> Floats | None:
        """pass@1 of every problem from the second half of its samples, which no smaller budget saw.

        None for an arm whose answers are no fair draw, or which has one sample.
        """
        half = self.budgets[-1] // 2
        if not self.arm.rule.draws_all or half not in self.budgets:
            return None
        first, whole = self.results[self.budgets.index(half)], self.results[-1]
        drawn = (self.budgets[-1] - half) * self.num_seeds
        pairs = zip(first, whole, strict=True)
        rates = [(_counts(every)[1] - _counts(some)[1]) / drawn for some, every in pairs]
        return np.array(rates, dtype=np.float64)


def _counts(seeds: Sequence[Result]) -> tuple[int, int]:
    """Samples drawn and samples that are right, whether or not they finished."""
    drawn = sum(result.budget for result in seeds)
    return drawn, sum(result.num_right for result in seeds)


def sheets_of(
    config: EvalConfig, examples: Sequence[Example], results: Mapping[Key, Result]
) -> tuple[Sheet, ...]:
    """The sheet of every arm of every model. KeyError if results are missing."""
    return tuple(
        _sheet(config, arm, examples, results)
        for model in config.models
        for arm in config.arms(model)
    )


def _sheet(
    config: EvalConfig, arm: Arm, examples: Sequence[Example], results: Mapping[Key, Result]
) -> Sheet:
    budgets = config.budgets_of(arm)
    by_budget = tuple(
        tuple(
            tuple(results[arm.name, budget, each.id, seed] for seed in config.seeds_of(arm))
            for each in examples
        )
        for budget in budgets
    )
    return Sheet(arm, budgets, by_budget)


def strata_for(sheets: Sequence[Sheet], model: str) -> dict[str, Chosen]:
    """Difficulty for one model, from samples that only its largest budget saw; empty without."""
    for sheet in sheets:
        rates = sheet.unseen_pass_at_1() if sheet.arm.model == model else None
        if rates is not None:
            return strata_of([float(rate) for rate in rates])
    return {}
