"""From what a caller chose to a solver: the one place where a set-up is wired."""

from dataclasses import dataclass, field

from mull.build.models import OpenModel
from mull.build.own import STRATEGIES, as_verifier, is_own, own_strategy, own_verifier
from mull.build.rewards import close_verifiers
from mull.build.strategies import (
    AUTO,
    OWN,
    SearchSettings,
    StrategyTable,
    find_verifier,
    missing_own,
    own_name,
    strategy_spec,
    verifier_of,
)
from mull.control import Fixed
from mull.core.problem import Problem
from mull.core.protocols import Journal, Strategy, Verifier
from mull.core.spec import SolveSpec, Spec
from mull.solver import Solver
from mull.verifiers.function import Check


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """How a problem is to be searched and checked, as the caller says it."""

    strategy: str | Spec | Strategy = "best_of_n"
    """By name, by name with options, or the caller's own."""
    settings: SearchSettings = field(default_factory=SearchSettings)
    """For a strategy by name, before the options of a spec; one of the caller's own has its own."""
    verifier: str | Verifier | Check | None = AUTO
    """A name, `auto` (the exact checker of the problem's kind, or none), `none` or None, or an
    object or function of the caller's own."""
    guide: str | Verifier | Check | None = None
    """Who steers a search step by step; None: whom the strategy's options name."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A search that fits its problem: everything a solver needs but the model."""

    strategy: Spec
    strategies: StrategyTable
    verifiers: tuple[Verifier, ...] = ()
    made: tuple[Verifier, ...] = ()
    """Those of them that were made by name, to be closed with the plan."""

    async def aclose(self) -> None:
        """End what was started for this plan alone."""
        await close_verifiers(self.made)

    def solver(self, model: OpenModel, journal: Journal) -> Solver:
        """The solver of this plan. Its solves can be set up again from their journal."""
        spec = SolveSpec(
            model.policy.capabilities.model,
            model.spec,
            self.strategy,
            verifiers=tuple(verifier.source for verifier in self.verifiers),
        )
        return Solver(
            spec,
            model.policy,
            self.verifiers,
            Fixed(self.strategy),
            self.strategies,
            journal,
        )


def plan_search(problem: Problem, choice: SearchChoice) -> SearchPlan:
    """Names into objects. `BadInputError` for unknown names and for what does not fit together."""
    strategy = Spec(choice.strategy) if isinstance(choice.strategy, str) else choice.strategy
    steering = choice.guide or _guide_in(strategy)
    verifier, guide = _verifier(problem, choice.verifier), _verifier(problem, steering)
    made_here = _there(
        verifier if isinstance(choice.verifier, str) else None,
        guide if isinstance(steering, str) else None,
    )
    if not isinstance(strategy, Spec):
        spec = Spec(own_name(strategy))
        table = StrategyTable({spec.name: strategy})
        return SearchPlan(spec, table, _there(verifier, guide), made_here)
    if is_own(STRATEGIES, strategy.name):
        options = {**strategy.options, **choice.settings.options()}
        spec = Spec(own_name(strategy.name), options)
        table = StrategyTable({spec.name: own_strategy(strategy.name, options)})
        return SearchPlan(spec, table, _there(verifier, guide), made_here)
    spec = strategy_spec(
        strategy,
        choice.settings,
        None if verifier is None else verifier.source,
        guide=None if guide is None else guide.source,
        insists=choice.verifier != AUTO,
    )
    used = _there(verifier if "verifier" in spec.options else None, guide)
    return SearchPlan(spec, StrategyTable(), used, made_here)


def _guide_in(strategy: Spec | Strategy) -> str | None:
    """The guide that a spec's options name."""
    named = strategy.options.get("guide") if isinstance(strategy, Spec) else None
    return named if isinstance(named, str) else None


def _there(*judges: Verifier | None) -> tuple[Verifier, ...]:
    """Those that are there; one that plays several parts once."""
    return tuple({each.source: each for each in judges if each is not None}.values())


def _verifier(problem: Problem, choice: str | Verifier | Check | None) -> Verifier | None:
    if choice is None or isinstance(choice, str):
        return find_verifier(choice or "none", problem.answer_kind)
    return as_verifier(choice)


def plan_again(
    spec: SolveSpec,
    *,
    strategy: str | Strategy | None = None,
    verifier: str | Verifier | Check | None = None,
    guide: str | Verifier | Check | None = None,
) -> SearchPlan:
    """The plan of a journalled solve. What its author made must be passed again.

    What is named `module:name` is the author's too: a journal alone never runs code.
    """
    own = {} if strategy is None else {own_name(strategy): _strategy_again(strategy, spec)}
    if spec.strategy.name.startswith(OWN) and spec.strategy.name not in own:
        raise missing_own("strategy", spec.strategy.name)
    judges = (own_verifier(each) if isinstance(each, str) else each for each in (verifier, guide))
    passed = _there(*(as_verifier(each) for each in judges if each is not None))
    by_source = {each.source: each for each in passed}
    verifiers = tuple(
        by_source[source] if source in by_source else verifier_of(source)
        for source in spec.verifiers
    )
    made = tuple(each for each in verifiers if each.source not in by_source)
    return SearchPlan(spec.strategy, StrategyTable(own), verifiers, made)


def _strategy_again(strategy: str | Strategy, spec: SolveSpec) -> Strategy:
    if not isinstance(strategy, str):
        return strategy
    return own_strategy(strategy, spec.strategy.options)
