"""Strategies by name. Each is a pure function of the tree, one file each."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, replace
from types import MappingProxyType
from typing import Final

from mull.core.answers import AnswerKey
from mull.core.codec import DecodeError, Json, decode
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import Sampling
from mull.core.protocols import Strategy
from mull.core.spec import Option, Spec
from mull.core.states import StateKey, no_state
from mull.search.attempts import Attempt
from mull.search.beam import Beam
from mull.search.best_first import BestFirst
from mull.search.best_of_n import BestOfN
from mull.search.dvts import Dvts
from mull.search.early_stop import EarlyStop
from mull.search.greedy import Greedy
from mull.search.judges import Judges
from mull.search.mcts import Mcts
from mull.search.particles import Particles
from mull.search.rebase import Rebase
from mull.search.rerank import Rerank
from mull.search.revise import Revise
from mull.search.self_consistency import SelfConsistency
from mull.search.steps import Stepwise
from mull.search.tot_bfs import TotBfs
from mull.search.tot_dfs import TotDfs
from mull.search.weighted_best_of_n import WeightedBestOfN

Sampled = Greedy | BestOfN | EarlyStop | SelfConsistency | WeightedBestOfN | Rerank | Revise
"""Strategies that draw whole answers."""
Guided = Beam | Dvts | Rebase | Particles | TotBfs | TotDfs | Mcts | BestFirst
"""Strategies that look at unfinished paths."""
StrategyKind = type[Sampled] | type[Guided]

STRATEGIES: Final[Mapping[str, StrategyKind]] = MappingProxyType(
    {
        "beam": Beam,
        "best_first": BestFirst,
        "best_of_n": BestOfN,
        "dvts": Dvts,
        "early_stop": EarlyStop,
        "greedy": Greedy,
        "mcts": Mcts,
        "particles": Particles,
        "rebase": Rebase,
        "rerank": Rerank,
        "revise": Revise,
        "self_consistency": SelfConsistency,
        "tot_bfs": TotBfs,
        "tot_dfs": TotDfs,
        "weighted_best_of_n": WeightedBestOfN,
    }
)
_GROUPS: Final = {"attempt": Attempt, "judges": Judges, "sampling": Sampling, "steps": Stepwise}
"""Fields that group options; a spec names their members directly."""
_FORMULAS: Final = frozenset({"attraction", "resample"})
"""Fields for another function than the one an option names."""


def strategy_named(name: str) -> StrategyKind:
    """The strategy class; `UnknownNameError` if there is none of that name."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise UnknownNameError("strategy", name, STRATEGIES) from None


def strategy_options(name: str) -> Mapping[str, bool]:
    """The options a spec of this strategy may hold, and whether each is required."""
    options = dict[str, bool]()
    for each in fields(strategy_named(name)):
        members = fields(_GROUPS[each.name]) if each.name in _GROUPS else (each,)
        options |= {
            member.name: member.default is MISSING for member in members if not _is_injected(member)
        }
    return options


def _is_injected(each: "Field[object]") -> bool:
    """Whether a field holds a function: those are handed over, not named by a spec."""
    return callable(each.default) or each.name in _FORMULAS


def unguided() -> tuple[str, ...]:
    """Strategies that need neither a guide nor a verifier."""
    return tuple(
        name
        for name in STRATEGIES
        if not any(strategy_options(name).get(judge) for judge in ("guide", "verifier"))
    )


def strategy_of(spec: Spec, answer_key: AnswerKey, state_key: StateKey = no_state) -> Strategy:
    """The strategy a spec describes; `BadInputError` for options it does not have or needs."""
    kind, known = strategy_named(spec.name), strategy_options(spec.name)
    for option in spec.options:
        if option not in known:
            raise UnknownNameError(f"option of strategy `{spec.name}`", option, known)
    for option, is_required in known.items():
        if is_required and spec.options.get(option) is None:
            raise missing_option(spec.name, option)
    injected = {"answer_key": answer_key, "state_key": state_key}
    wanted = {each.name for each in fields(kind)}
    try:
        strategy = decode(kind, _grouped(kind, spec.options))
    except DecodeError as error:
        raise BadInputError(f"strategy `{spec.name}`: {error}") from error
    return replace(strategy, **{name: key for name, key in injected.items() if name in wanted})


def missing_option(strategy: str, option: str) -> BadInputError:
    """The error for a strategy that cannot work without an option."""
    if option not in {"guide", "verifier"}:
        return BadInputError(f"strategy `{strategy}` needs the option `{option}`")
    whom = "a step verifier to steer by" if option == "guide" else "a verifier"
    example = " such as `mull-prm` or `countdown`" if option == "guide" else ""
    return BadInputError(
        f"strategy `{strategy}` needs the option `{option}`: {whom}",
        hint=f"name one{example}, or use a strategy that needs none: {', '.join(unguided())}",
    )


def _grouped(kind: StrategyKind, options: Mapping[str, Option]) -> Mapping[str, Json]:
    """The options as the strategy's fields hold them: members of a group inside it."""
    rest, groups = dict[str, Json](options), dict[str, Json]()
    for group in (each.name for each in fields(kind) if each.name in _GROUPS):
        names = [each.name for each in fields(_GROUPS[group]) if each.name in rest]
        if names:
            groups[group] = {name: rest.pop(name) for name in names}
    return rest | groups


__all__ = [
    "STRATEGIES",
    "StrategyKind",
    "missing_option",
    "strategy_named",
    "strategy_of",
    "strategy_options",
    "unguided",
]
