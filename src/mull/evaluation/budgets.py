"""What "N samples' worth" means to each strategy.

One sample of a problem takes `depth` steps. The rules below give a strategy about `N * depth` steps
to grow. They only aim: what is reported is what was measured, so an arm that spends more than its
budget's worth is seen to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mull.core.spec import Option

Options = Mapping[str, Option]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one strategy is given a budget."""

    options: Callable[[int, int], Options]
    """From N and the depth to the strategy's options."""
    is_replayed: bool = False
    """Whether it draws whole answers from the problem and nothing else, so that it can be evaluated
    on recorded rollouts without asking the model."""
    draws_all: bool = False
    """Whether it draws all N of them, whatever the first ones were: a fair draw for pass@k."""
    has_one_budget: bool = False
    """Whether N makes no difference to it."""


def _samples(n: int, depth: int) -> Options:  # noqa: ARG001  (the rules' signature)
    return {"n": n}


def _one_at_a_time(n: int, depth: int) -> Options:  # noqa: ARG001
    # Replayed, looking after every sample costs no time, and it is the cheapest form there is.
    return {"n": n, "width": 1}


def _nothing(n: int, depth: int) -> Options:  # noqa: ARG001
    return {}


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "greedy": Rule(_nothing, has_one_budget=True),
        "best_of_n": Rule(_samples, is_replayed=True, draws_all=True),
        "self_consistency": Rule(_samples, is_replayed=True, draws_all=True),
        "early_stop": Rule(_one_at_a_time, is_replayed=True),
    }
)
"""One rule a strategy; a test holds it against `mull.search.STRATEGIES`."""
