"""From what a caller chose to a solver: the one place where a set-up is wired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mull.build.config import NO_FILE, Config
from mull.build.controllers import (
    FIXED,
    Wish,
    check_drawn,
    controller_of,
    controller_spec,
    drawn_at_most,
)
from mull.build.judges import NamedJudge
from mull.build.judging import (
    AUTO,
    NONE,
    VerifierChoice,
    checked_source,
    find_verifier,
    verifier_of,
)
from mull.build.models import OpenModel
from mull.build.own import STRATEGIES, as_verifier, is_own, own_strategy
from mull.build.ready import close_verifiers, open_verifiers, parts_of
from mull.build.schemes import SERVED_TOKENS
from mull.build.strategies import (
    OWN,
    SearchSettings,
    StrategyTable,
    missing_own,
    own_name,
    strategy_spec,
)
from mull.core.errors import BadInputError
from mull.core.events import SolveStarted
from mull.core.expansion import ExpansionKind
from mull.core.problem import Problem
from mull.core.protocols import Journal, Policy, Strategy, Verifier
from mull.core.score import Source
from mull.core.spec import SolveSpec, Spec
from mull.policies.revising import RevisingPolicy
from mull.solver import Solver
from mull.verifiers import GenerativeJudge
from mull.verifiers.function import Check

Judge = str | VerifierChoice | Verifier | Check
"""A verifier as a caller says it."""


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """How a problem is to be searched and checked, as the caller says it."""

    strategy: str | Spec | Strategy = "best_of_n"
    """By name, by name with options, or the caller's own."""
    settings: SearchSettings = field(default_factory=SearchSettings)
    """For a strategy by name, before the options of a spec; one of the caller's own has its own."""
    verifier: Judge | None = AUTO
    """A name, `auto` (the exact checker of the problem's kind, or none), `none` or None, what a
    configuration describes, or an object or function of the caller's own."""
    guide: Judge | None = None
    """Who steers a search step by step; None: whom the strategy's options name."""
    wish: Wish | None = None
    """How good an answer is wanted; None: as the strategy gives it."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A search that fits its problem: everything a solver needs but the model."""

    strategy: Spec
    strategies: StrategyTable
    verifiers: tuple[Verifier, ...] = ()
    made: tuple[Verifier, ...] = ()
    """Those of them that were made by name, to be closed with the plan."""
    controller: Spec = FIXED

    def fitted(self, model: OpenModel) -> "SearchPlan":
        """The same search as it goes with this model.

        Where nobody says how long answers may be they are as long as a served model needs, and no
        longer than its window. What a prompt leaves of that the policy finds out call by call.
        """
        options = self.strategy.options
        has_limit = self.strategy.name.startswith(OWN) or "max_tokens" in options
        if has_limit or not model.is_served:
            return self
        window = model.policy.capabilities.window
        longest = min(SERVED_TOKENS, window) if window else SERVED_TOKENS
        spec = replace(self.strategy, options={**options, "max_tokens": longest})
        return replace(self, strategy=spec)

    async def open(self) -> None:
        """Open the verifiers that need it; an error here comes before anything is spent."""
        await open_verifiers(self.verifiers)

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
            self.controller,
            tuple(verifier.source for verifier in self.verifiers),
        )
        return Solver(
            spec,
            _able_to_revise(model.policy),
            self.verifiers,
            controller_of(self.controller, self.strategy),
            self.strategies,
            journal,
        )


def _able_to_revise(policy: Policy) -> Policy:
    is_able = ExpansionKind.REVISE in policy.capabilities.kinds
    return policy if is_able else RevisingPolicy(policy)


def _refuse_self_praise(verifiers: Sequence[Verifier], policy: Policy) -> None:
    """A model likes its own text: its verdict needs a second one beside it, or the user's word."""
    for part in parts_of(verifiers) if len(verifiers) == 1 else ():
        judge = part.judge if isinstance(part, NamedJudge) else part
        is_own = isinstance(judge, GenerativeJudge) and (
            judge.model == policy.capabilities.model and not judge.may_judge_itself
        )
        if is_own:
            raise BadInputError(
                f"`{policy.capabilities.model}` would be the only judge of its own answers",
                hint="judge with another model, or allow it: `may_judge_itself = true` in "
                "`mull.toml`, `GenerativeJudge(..., may_judge_itself=True)` in Python",
            )


def plan_search(problem: Problem, choice: SearchChoice) -> SearchPlan:
    """Names into objects. `BadInputError` for unknown names and for what does not fit together."""
    strategy = Spec(choice.strategy) if isinstance(choice.strategy, str) else choice.strategy
    steering = choice.guide or _guide_in(strategy)
    verifier, guide = _verifier(problem, choice.verifier), _verifier(problem, steering)
    made_here = _there(
        verifier if isinstance(choice.verifier, str | VerifierChoice) else None,
        guide if isinstance(steering, str | VerifierChoice) else None,
    )
    if choice.wish is not None:
        check_drawn(strategy.name if isinstance(strategy, Spec) else own_name(strategy))
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
    judge = verifier if "verifier" in spec.options else None
    used, table = _there(judge, guide), StrategyTable()
    if choice.wish is None:
        return SearchPlan(spec, table, used, made_here)
    spec = replace(spec, options={**spec.options, "n": drawn_at_most(table(spec))})
    controller = controller_spec(choice.wish, problem, judge)
    return SearchPlan(spec, table, used, made_here, controller)


def _guide_in(strategy: Spec | Strategy) -> str | None:
    """The guide that a spec's options name."""
    named = strategy.options.get("guide") if isinstance(strategy, Spec) else None
    return named if isinstance(named, str) else None


def _there(*judges: Verifier | None) -> tuple[Verifier, ...]:
    """Those that are there; one that plays several parts once."""
    return tuple({each.source: each for each in judges if each is not None}.values())


def _verifier(problem: Problem, choice: Judge | None) -> Verifier | None:
    if isinstance(choice, VerifierChoice):
        return choice.make()
    if choice is None or isinstance(choice, str):
        return find_verifier(choice or NONE, problem.answer_kind)
    return as_verifier(choice)


def plan_again(
    state: SolveStarted,
    *,
    strategy: str | Strategy | None = None,
    verifier: Judge | None = None,
    guide: Judge | None = None,
    config: Config = NO_FILE,
) -> SearchPlan:
    """The plan of a journalled solve. What its author made must be passed again.

    What is named `module:name` is the author's too: a journal alone never runs code, and sends a
    key only where the user's `config` does.
    """
    spec = state.spec
    own = {} if strategy is None else {own_name(strategy): _strategy_again(strategy, spec)}
    if spec.strategy.name.startswith(OWN) and spec.strategy.name not in own:
        raise missing_own("strategy", spec.strategy.name)
    passed = dict[str, Verifier]()
    theirs = set[str]()
    for choice in (verifier, guide):
        if (judge := _verifier(state.problem, choice)) is not None:
            passed[judge.source.verifier] = judge
            theirs |= set() if isinstance(choice, str | VerifierChoice) else {judge.source.verifier}
    verifiers = tuple(_again(source, passed, config) for source in spec.verifiers)
    made = tuple(each for each in verifiers if each.source.verifier not in theirs)
    return SearchPlan(spec.strategy, StrategyTable(own), verifiers, made, spec.controller)


def _again(source: Source, passed: Mapping[str, Verifier], config: Config) -> Verifier:
    """The verifier that spoke as `source`: passed again, in the user's settings, or by its name."""
    if source.verifier in passed:
        return checked_source(passed[source.verifier], source)
    described = config.verifier(source.verifier)
    if not isinstance(described, str):
        return checked_source(described.make(), source)
    return verifier_of(source, config.key_uses)


def _strategy_again(strategy: str | Strategy, spec: SolveSpec) -> Strategy:
    if not isinstance(strategy, str):
        return strategy
    return own_strategy(strategy, spec.strategy.options)
