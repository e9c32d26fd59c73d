"""What a request comes to, whichever API it came by."""

from dataclasses import dataclass, replace
from json import dumps
from secrets import randbits
from types import MappingProxyType
from typing import Final

from mull.build import (
    OpenModel,
    SearchChoice,
    SearchPlan,
    SearchSettings,
    Wish,
    check_priced,
    find_verifier,
    plan_search,
)
from mull.core.codec import encode
from mull.core.digest import content_digest
from mull.core.errors import UnknownNameError
from mull.core.expansion import Thinking
from mull.core.problem import AnswerKind, Message, Problem, Role
from mull.core.usage import Budget
from mull.policies.scheduling import Tier
from mull.search import STRATEGIES
from mull.search.attempts import Attempt
from mull.server.errors import refuse
from mull.server.fields import Effort, MullFields
from mull.server.names import AUTO, Named
from mull.verifiers import VERIFIERS

EFFORTS: Final = MappingProxyType(
    {"none": 1, "minimal": 1, "low": 4, "medium": 16, "high": 64, "xhigh": 256, "max": 1024}
)
"""Answers that `auto` may draw; `none` also answers without reasoning."""
_WIDTH: Final = 4
"""Answers that are drawn at once where it may be enough after them."""
_QUALITIES: Final = MappingProxyType({False: 0.95, True: 0.99})
"""What `auto` and `deep` want where nobody says."""

_HASTY: Final = MappingProxyType({False: ("early_stop", "self_consistency"), True: ("best_of_n",)})
"""Searches that end as soon as they are decided, without and with a quality that is wanted. Behind
a server how fast each call is is chance, as its samples mostly are; a local model's are not."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """How an API's own fields ask for an answer to be drawn."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    choices: int = 1
    """Plain answers wanted side by side."""
    effort: Effort | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One solve to be done."""

    model: str
    problem: Problem
    plan: SearchPlan
    budget: Budget
    seed: int
    tier: Tier
    is_plain: bool
    """Every branch is an answer of its own; else one answer is searched for."""
    shows_progress: bool
    shows_reasoning: bool
    digest: str
    """Equal for equal requests, whatever seed the server drew."""

    def shrunk(self, factor: float) -> "Order":
        """The same search, with this part of the tokens it might take; at least one answer's."""
        strategy = self.plan.strategies(self.plan.strategy)
        n: int = getattr(strategy, "n", 1)
        attempt: Attempt = getattr(strategy, "attempt", Attempt())
        most = max(attempt.max_tokens, int(factor * n * attempt.max_tokens))
        limit = min(self.budget.max_tokens or most, most)
        return replace(self, budget=replace(self.budget, max_tokens=limit))


def order_of(
    named: Named,
    model: OpenModel,
    messages: tuple[Message, ...],
    sampled: Sampled,
    wishes: MullFields,
) -> Order:
    """The order that a request comes to; raises what names the field that cannot be honoured."""
    check_known(wishes)
    if wishes.budget.money is not None:
        check_priced(model.spec, "mull.budget.money", named.model)
    problem = problem_of(model, messages, wishes.answer_kind)
    effort = wishes.effort or sampled.effort
    asked = _asked(named, wishes, effort)
    strategy = _fitting(problem, named, wishes) if asked == AUTO else asked
    if strategy is None:
        choice = _plain(sampled, wishes)
    else:
        if sampled.choices != 1:
            hint = "`mull.n` is the number of answers that are drawn"
            raise refuse("n", "a search gives one answer", hint=hint)
        wish = _wish(model, named, wishes, is_auto=asked == AUTO)
        hastens = model.is_served and strategy in _HASTY[wish is not None]
        choice = _search(strategy, named, sampled, wishes, wish, hastens=hastens)
    plan, budget = plan_search(problem, choice).fitted(model), wishes.budget.budget()
    parts = (plan.strategy, plan.controller, budget)
    content = (dumps(encode(each), sort_keys=True) for each in parts)
    return Order(
        named.model,
        problem,
        plan,
        budget,
        randbits(31) if sampled.seed is None else sampled.seed,
        wishes.tier or Tier.STANDARD,
        strategy is None,
        bool(wishes.progress),
        bool(wishes.reasoning),
        content_digest(named.model, problem.id, *content, str(sampled.seed)),
    )


def check_known(wishes: MullFields) -> None:
    """Refuse what would have this server load code, read files or call hosts of a client's choice.

    The library takes names that do; a request has the built-in ones alone.
    """
    for kind, name, known in (
        ("strategy", wishes.strategy, (AUTO, *STRATEGIES)),
        ("verifier", wishes.verifier, ("auto", "none", *VERIFIERS)),
    ):
        if name is not None and name not in known:
            raise UnknownNameError(kind, name, known)


def problem_of(
    model: OpenModel, messages: tuple[Message, ...], kind: AnswerKind | None = None
) -> Problem:
    """The problem a conversation states to a model."""
    last = messages[-1] if messages else None
    if last is None or last.role is not Role.USER:
        raise refuse("messages", "the last message must be the user's")
    if len(messages) == 1:
        return model.problem(last.content, kind)
    if model.knows_only_puzzles:
        raise refuse(
            "messages",
            "this model knows its puzzles alone: it reads one user message and nothing before it",
        )
    alone = model.problem(last.content, kind)
    return Problem(messages, alone.answer_kind, alone.metadata)


def _asked(named: Named, wishes: MullFields, effort: Effort | None) -> str | None:
    """The strategy's name, or `auto`; None for plain answers."""
    strategy = wishes.strategy or named.strategy
    if strategy is not None:
        return strategy
    if wishes.quality is not None:
        return AUTO
    if wishes.n is not None or wishes.verifier is not None:
        return "best_of_n"
    return None if effort in {None, "none", "minimal"} else AUTO


def _fitting(problem: Problem, named: Named, wishes: MullFields) -> str | None:
    """What `auto` means for a problem; ApiError where a quality is wanted that means nothing."""
    if wishes.verifier is not None or find_verifier("auto", problem.answer_kind) is not None:
        return "best_of_n"
    if problem.answer_kind is not AnswerKind.TEXT:
        return "self_consistency"
    # No two free texts are the same answer, so a vote among them would decide nothing.
    if wishes.quality is not None or named.quality is not None:
        hint = "say what the answer is with `mull.answer_kind`, or name a `mull.verifier`"
        raise refuse("mull.quality", "nobody can check a free text, and no two agree", hint=hint)
    return None


def _plain(sampled: Sampled, wishes: MullFields) -> SearchChoice:
    if wishes.width is not None:
        raise refuse("mull.width", "only a search has a width")
    _check_no_abstention(wishes)
    is_greedy = sampled.temperature == 0
    if is_greedy and sampled.choices > 1:
        raise refuse("n", "at temperature 0 all choices would be one")
    settings = SearchSettings(
        None if is_greedy else sampled.choices,
        temperature=sampled.temperature or None,
        max_tokens=sampled.max_tokens,
        thinking=_thinking(wishes.effort or sampled.effort),
        top_p=None if is_greedy else sampled.top_p,
    )
    return SearchChoice("greedy" if is_greedy else "best_of_n", settings, "none")


def _search(
    strategy: str,
    named: Named,
    sampled: Sampled,
    wishes: MullFields,
    wish: Wish | None,
    *,
    hastens: bool,
) -> SearchChoice:
    is_greedy, effort = strategy == "greedy", wishes.effort or sampled.effort
    if sampled.temperature == 0 and not is_greedy:
        hint = "strategy `greedy` decodes at temperature 0"
        raise refuse("temperature", "at 0 every answer of a search would be the same", hint=hint)
    n = wishes.n or named.n
    if n is None and not is_greedy and (wish is not None or effort is not None):
        n = EFFORTS[effort or ("high" if named.is_deep else "medium")]
    width = wishes.width if wish is None else None
    if width is None and strategy == "early_stop" and n is not None:
        width = min(n, _WIDTH)
    settings = SearchSettings(
        n,
        width,
        temperature=None if is_greedy else sampled.temperature,
        max_tokens=sampled.max_tokens,
        thinking=_thinking(effort),
        top_p=None if is_greedy else sampled.top_p,
        on_arrival=hastens or None,
    )
    return SearchChoice(strategy, settings, wishes.verifier or "auto", wish=wish)


def _wish(model: OpenModel, named: Named, wishes: MullFields, *, is_auto: bool) -> Wish | None:
    """How good an answer is wanted: as the request says, or as `auto` does where it does not."""
    if None not in {wishes.quality, named.quality} and wishes.quality != named.quality:
        raise refuse("mull.quality", "it differs from that in the model's name")
    quality = named.quality if wishes.quality is None else wishes.quality
    if quality is None and is_auto:
        quality = _QUALITIES[named.is_deep]
    if quality is None:
        _check_no_abstention(wishes)
        return None
    if not 0 < quality < 1:
        hint = "it is the chance of being right that is wanted, such as 0.9"
        raise refuse("mull.quality", f"{quality} does not lie above 0 and below 1", hint=hint)
    return Wish(quality, bool(wishes.abstain), wishes.width or _WIDTH, model.agreements)


def _check_no_abstention(wishes: MullFields) -> None:
    if wishes.abstain:
        raise refuse("mull.abstain", "only what has a `quality` can fall short of it")


def _thinking(effort: Effort | None) -> Thinking | None:
    return Thinking.OFF if effort == "none" else None
