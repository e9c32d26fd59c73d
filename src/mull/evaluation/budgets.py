"""What "N samples' worth" means to each strategy.

One sample of a problem takes `depth` steps. The rules below give a strategy about `N * depth` steps
to grow. They only aim: what is reported is what was measured, so an arm that spends more than its
budget's worth is seen to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mull.core.errors import UnknownNameError
from mull.core.spec import Option

Options = Mapping[str, Option]


EXPANSION: Final = 4
"""Steps drawn from one place, where a strategy has the choice (Snell et al. 2024, Beeching et al.
2024)."""
TAPERED: Final = "tapered_beam"
"""Beam search with another width a level, as an arm of its own."""


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
    strategy: str | None = None
    """Of `mull.search`, where the arm's name is another."""


def _samples(n: int, depth: int) -> Options:  # noqa: ARG001  (the rules' signature)
    return {"n": n}


def _one_at_a_time(n: int, depth: int) -> Options:  # noqa: ARG001
    # Replayed, looking after every sample costs no time, and it is the cheapest form there is.
    return {"n": n, "width": 1}


def _nothing(n: int, depth: int) -> Options:  # noqa: ARG001
    return {}


def _rerank(n: int, depth: int) -> Options:  # noqa: ARG001
    return {"n": n, "keep": max(1, n // 8)}


def _places(n: int) -> int:
    """Places kept a level so that N steps grow from them."""
    return max(1, n // EXPANSION)


def _beam(n: int, depth: int) -> Options:  # noqa: ARG001
    return {"width": _places(n), "expansion": min(n, EXPANSION)}


def _dvts(n: int, depth: int) -> Options:  # noqa: ARG001
    return {"subtrees": _places(n), "expansion": min(n, EXPANSION)}


def _width(n: int, depth: int) -> Options:  # noqa: ARG001
    return {"width": n}


def _tapered(n: int, depth: int) -> Options:
    """Wide where a step decides most.

    N first steps, 2 N from the better half of them, then N a level from the best quarter, which are
    completed greedily at the end.
    """
    half, quarter = max(1, n // 2), _places(n)
    levels = [f"{n}:{half}", f"{EXPANSION}:{quarter}"]
    levels += [f"{EXPANSION}:{quarter}"] * max(0, depth - 3)
    return {"shape": ",".join([*levels[: max(1, depth - 1)], "finish"])}


def _tot_bfs(n: int, depth: int) -> Options:
    """The first level grows from the root alone, so the others may grow a little more."""
    proposals = min(n, 2 * EXPANSION)
    left = n * depth - proposals
    return {"breadth": max(1, left // (proposals * max(1, depth - 1))), "proposals": proposals}


def _tot_dfs(n: int, depth: int) -> Options:
    proposals = min(n, EXPANSION)
    return {"visits": max(1, n * depth // proposals), "proposals": proposals}


def _steps(n: int, depth: int) -> Options:
    return {"n": n * depth}


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "greedy": Rule(_nothing, has_one_budget=True),
        "best_of_n": Rule(_samples, is_replayed=True, draws_all=True),
        "self_consistency": Rule(_samples, is_replayed=True, draws_all=True),
        "early_stop": Rule(_one_at_a_time, is_replayed=True),
        "weighted_best_of_n": Rule(_samples, is_replayed=True, draws_all=True),
        "rerank": Rule(_rerank, is_replayed=True, draws_all=True),
        "revise": Rule(_samples),
        "beam": Rule(_beam),
        TAPERED: Rule(_tapered, strategy="beam"),
        "dvts": Rule(_dvts),
        "rebase": Rule(_width),
        "particles": Rule(_width),
        "tot_bfs": Rule(_tot_bfs),
        "tot_dfs": Rule(_tot_dfs),
        "mcts": Rule(_steps),
        "best_first": Rule(_steps),
    }
)
"""One rule a strategy, and those of arms with names of their own."""


def rule_of(name: str) -> Rule:
    """How the arm of this name is given a budget; UnknownNameError if there is none."""
    try:
        return RULES[name]
    except KeyError:
        raise UnknownNameError("strategy", name, RULES) from None


def strategy_behind(name: str) -> str:
    """The strategy of `mull.search` that an arm's name stands for."""
    return rule_of(name).strategy or name
