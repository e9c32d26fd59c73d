"""What one evaluation is: problems, arms and how much each may spend."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, cast

from mull.core.codec import Json
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import Sampling, Thinking
from mull.core.spec import Option, Spec
from mull.engine import Dtype
from mull.evaluation.arms import BEST, GREEDY, VOTES, Arm, name_in, options_said
from mull.evaluation.budgets import rule_of, strategy_behind
from mull.evaluation.problems import ProblemSet
from mull.search import strategy_options, unguided
from mull.tasks import Form

FORMS: Final = ("reasoning", "direct")
LOCAL_TOKENS: Final = 256
"""Of a completion where nobody says: more than the longest trace of a shipped model takes."""
MAX_SEEDS: Final = 1_000
MAX_BUDGET: Final = 10_000
MAX_TEMPERATURE: Final = 10
_GROWING: Final = frozenset(
    {"models", "strategies", "forms", "budgets", "rollouts", "num_seeds", "has_baselines"}
)
SAMPLING: Final = ("temperature", "top_k", "top_p", "min_p")


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """All that decides the numbers; equal configurations and weights give equal results."""

    problems: ProblemSet
    models: tuple[str, ...]
    strategies: tuple[str, ...] = (BEST,)
    """By name, each with what is to hold for it at every budget: `beam+guide=random`."""
    forms: tuple[Form, ...] = ("reasoning",)
    budgets: tuple[int, ...] = (1, 4, 16, 64)
    """In samples' worth; `budgets.RULES` says what that is to each strategy."""
    rollouts: int = 1
    """Recorded a problem for the strategies that are replayed; at least the largest budget."""
    num_seeds: int = 1
    seed: int = 0
    """Solves use the seeds from here on, one after the other."""
    sampling: Sampling = Sampling()
    max_tokens: int = LOCAL_TOKENS
    """Per completion."""
    dtype: Dtype = Dtype.FLOAT32
    """Numerical format of the models: it changes what a seed draws."""
    verifier: str | None = None
    """By the name under which it speaks: judges answers; votes and greedy run without."""
    guide: str | None = None
    """Judges steps, for the strategies that search by them."""
    has_baselines: bool = True
    """Greedy, majority vote and, for countdown, blind legal play beside what is asked."""

    def __post_init__(self) -> None:
        for name in ("models", "strategies", "forms"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        object.__setattr__(self, "budgets", tuple(sorted(set(self.budgets))))
        _check_range("budgets", self.budgets, at_most=MAX_BUDGET)
        object.__setattr__(self, "rollouts", max(self.rollouts, self.budgets[-1]))
        _check_range("rollouts", (self.rollouts,), at_most=MAX_BUDGET)
        _check_range("seeds", (self.num_seeds,), at_most=MAX_SEEDS)
        _check_range("max_tokens", (self.max_tokens,), at_most=1_000_000)
        if not 0.0 < self.sampling.temperature <= MAX_TEMPERATURE:
            raise BadInputError(
                f"temperature is {self.sampling.temperature}; it must lie above 0 and not above "
                f"{MAX_TEMPERATURE}",
                hint="strategy `greedy` decodes at temperature 0",
            )
        self._check_names()

    def _check_names(self) -> None:
        for text in self.strategies:
            rule_of(name_in(text))
        for form in self.forms:
            if form not in FORMS:
                raise UnknownNameError("form", form, FORMS)
        if not (self.models and self.strategies and self.forms):
            raise BadInputError("an evaluation needs at least one model, strategy and form")
        for arm in self.arms(self.models[0]):
            _check_judges(arm)

    @property
    def has_blind_play(self) -> bool:
        """Whether the run has the baseline that knows the rules and nothing else."""
        return self.has_baselines and self.problems.task == "countdown"

    def arms(self, model: str) -> tuple[Arm, ...]:
        """Every arm of one model: what was asked for, then the baselines that were not."""
        wanted = list(self.strategies)
        if self.has_baselines:
            # Without a verifier best-of-n is a majority vote, and one is enough.
            has_vote = VOTES in wanted or (BEST in wanted and self.verifier is None)
            wanted += [] if has_vote else [VOTES]
            wanted += [] if GREEDY in wanted else [GREEDY]
        return tuple(
            Arm(model, form, text, self._options(text)) for form in self.forms for text in wanted
        )

    def _options(self, text: str) -> dict[str, Option]:
        said = options_said(text)
        known = strategy_options(strategy_behind(name_in(text)))
        unchecked = text in {VOTES, GREEDY}
        offered = {"verifier": None if unchecked else self.verifier, "guide": self.guide}
        judges = {name: judge for name, judge in offered.items() if judge and name in known}
        return {name: value for name, value in (judges | said).items() if value is not None}

    def spec(self, arm: Arm, budget: int) -> Spec:
        """The arm's strategy with this many samples' worth."""
        offered: Mapping[str, Option] = {
            "max_tokens": self.max_tokens,
            "thinking": (Thinking.AUTO if arm.form == "reasoning" else Thinking.OFF).value,
            **{name: getattr(self.sampling, name) for name in SAMPLING},
            **arm.rule.options(budget, self.problems.depth),
            **arm.options,
        }
        strategy = strategy_behind(arm.strategy)
        known = strategy_options(strategy)
        given = {name: value for name, value in offered.items() if value is not None}
        return Spec(strategy, {name: given[name] for name in given if name in known})

    def budgets_of(self, arm: Arm) -> tuple[int, ...]:
        """At what budgets an arm is measured, ascending.

        A replayed arm costs nothing to measure, so it is at every power of two as well: between
        sparse points a curve read off a straight line would be read too low.
        """
        rule = arm.rule
        if rule.has_one_budget:
            return (1,)
        if not rule.is_replayed:
            return self.budgets
        powers = [2**k for k in range(self.rollouts.bit_length())]
        return tuple(sorted({*powers, *self.budgets, self.rollouts // 2 or 1, self.rollouts}))

    def seeds_of(self, arm: Arm) -> range:
        """The seeds an arm is solved with; greedy decoding has one answer, whatever the seed."""
        return range(self.seed, self.seed + (1 if arm.strategy == GREEDY else self.num_seeds))

    @property
    def identity(self) -> Mapping[str, Json]:
        """What every result depends on beside its own key.

        The rest may grow: more models, strategies, budgets, seeds or problems are more results.
        """
        settings = {name: each for name, each in self.to_json().items() if name not in _GROWING}
        problems = cast("Mapping[str, Json]", settings["problems"])
        kept = {name: each for name, each in problems.items() if name != "count"}
        return {**settings, "problems": kept}

    def to_json(self) -> Mapping[str, Json]:
        """Every setting, defaults included."""
        return cast("Mapping[str, Json]", json.loads(json.dumps(asdict(self))))


def _check_judges(arm: Arm) -> None:
    """Refuse an arm that needs a verifier or a guide and has none."""
    for option, is_required in strategy_options(strategy_behind(arm.strategy)).items():
        if option not in {"verifier", "guide"} or not is_required or arm.options.get(option):
            continue
        free = ", ".join(unguided())
        raise BadInputError(
            f"strategy `{arm.strategy}` needs a {option} and there is none",
            hint=f"name one with `--{option}`, or choose one that does not: {free}",
        )


def _check_range(option: str, values: Sequence[int], *, at_most: int) -> None:
    if not values:
        raise BadInputError(f"`{option}` is empty; give at least one number")
    for value in values:
        if not 1 <= value <= at_most:
            raise BadInputError(f"`{option}` is {value}; it must lie between 1 and {at_most}")


def differences(there: Json, here: Json, path: str = "") -> list[str]:
    """Where two encoded configurations differ, in words a person can act on."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        names = [*there, *(name for name in here if name not in there)]
        return [
            line
            for name in names
            for line in differences(there.get(name), here.get(name), f"{path}.{name}".strip("."))
        ]
    return [] if there == here else [f"`{path}` is {_shown(there)} there and {_shown(here)} here"]


def _shown(value: Json) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "unset" if value is None else f"{value}"
