"""From what a caller chose to a solver: the one place where a set-up is wired."""

from collections.abc import Sequence
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
from mull.core.errors import BadInputError
from mull.core.expansion import ExpansionKind
from mull.core.problem import Problem
from mull.core.protocols import Journal, Policy, Strategy, Verifier
from mull.core.spec import SolveSpec, Spec
from mull.policies.revising import RevisingPolicy
from mull.solver import Solver
from mull.verifiers import GenerativeJudge
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
        """The solver of this plan. Its solves can be set up again from their journal.

        `BadInputError` for a judge that would be alone in judging its own model's text.
        """
        _refuse_self_praise(self.verifiers, model.policy)
        spec = SolveSpec(
            model.policy.capabilities.model,
            model.spec,
            self.strategy,
            verifiers=tuple(verifier.source for verifier in self.verifiers),
        )
        return Solver(
            spec,
            _able_to_revise(model.policy),
            self.verifiers,
            Fixed(self.strategy),
            self.strategies,
            journal,
        )


def _able_to_revise(policy: Policy) -> Policy:
    is_able = ExpansionKind.REVISE in policy.capabilities.kinds
    return policy if is_able else RevisingPolicy(policy)


def _refuse_self_praise(verifiers: Sequence[Verifier], policy: Policy) -> None:
    """A model likes its own text: its verdict needs a second one beside it, or the user's word."""
    for verifier in verifiers if len(verifiers) == 1 else ():
        is_own = isinstance(verifier, GenerativeJudge) and (
            verifier.model == policy.capabilities.model and not verifier.may_judge_itself
        )
        if is_own:
            raise BadInputError(
                f"`{policy.capabilities.model}` would be the only judge of its own answers",
                hint="judge with another model or add an exact checker; "
                "`GenerativeJudge(..., may_judge_itself=True)` allows it",
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
