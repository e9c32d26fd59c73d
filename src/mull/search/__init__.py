"""Strategies by name. Each is a pure function of the tree, one file each."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from types import MappingProxyType
from typing import Final

from mull.core.answers import AnswerKey
from mull.core.codec import DecodeError, Json, decode
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import Sampling
from mull.core.protocols import Strategy
from mull.core.spec import Option, Spec
from mull.search.attempts import Attempt
from mull.search.best_of_n import BestOfN
from mull.search.early_stop import EarlyStop
from mull.search.greedy import Greedy
from mull.search.self_consistency import SelfConsistency

StrategyKind = type[Greedy] | type[BestOfN] | type[EarlyStop] | type[SelfConsistency]

STRATEGIES: Final[Mapping[str, StrategyKind]] = MappingProxyType(
    {
        "best_of_n": BestOfN,
        "early_stop": EarlyStop,
        "greedy": Greedy,
        "self_consistency": SelfConsistency,
    }
)
_GROUPS: Final = {"attempt": Attempt, "sampling": Sampling}
"""Fields that group options; a spec names their members directly."""


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
        if each.name in _GROUPS:
            options |= {member.name: False for member in fields(_GROUPS[each.name])}
        elif each.name != "answer_key":
            options[each.name] = each.default is MISSING
    return options


def strategy_of(spec: Spec, answer_key: AnswerKey) -> Strategy:
    """The strategy a spec describes; `BadInputError` for options it does not have or needs."""
    kind, known = strategy_named(spec.name), strategy_options(spec.name)
    for option in spec.options:
        if option not in known:
            raise UnknownNameError(f"option of strategy `{spec.name}`", option, known)
    for option, is_required in known.items():
        if is_required and spec.options.get(option) is None:
            raise BadInputError(f"strategy `{spec.name}` needs the option `{option}`")
    try:
        return replace(decode(kind, _grouped(spec.options)), answer_key=answer_key)
    except DecodeError as error:
        raise BadInputError(f"strategy `{spec.name}`: {error}") from error


def _grouped(options: Mapping[str, Option]) -> Mapping[str, Json]:
    groups = {
        group: {each.name: options[each.name] for each in fields(kind) if each.name in options}
        for group, kind in _GROUPS.items()
    }
    members = {name for group in groups.values() for name in group}
    rest = {name: value for name, value in options.items() if name not in members}
    return {**rest, **{group: members for group, members in groups.items() if members}}


__all__ = ["STRATEGIES", "StrategyKind", "strategy_named", "strategy_of", "strategy_options"]
