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
"""Answers that `auto` draws at once where it may stop between them."""


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
    problem = problem_of(model, messages)
    effort = wishes.effort or sampled.effort
    strategy = _strategy(problem, named, wishes, effort)
    if strategy is None:
        choice = _plain(sampled, wishes)
    else:
        if sampled.choices != 1:
            hint = "`mull.n` is the number of answers that are drawn"
            raise refuse("n", "a search gives one answer", hint=hint)
        choice = _search(strategy, named, sampled, wishes, effort)
    plan, budget = plan_search(problem, choice).fitted(model), wishes.budget.budget()
    content = (dumps(encode(each), sort_keys=True) for each in (plan.strategy, budget))
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


def problem_of(model: OpenModel, messages: tuple[Message, ...]) -> Problem:
    """The problem a conversation states to a model."""
    last = messages[-1] if messages else None
    if last is None or last.role is not Role.USER:
        raise refuse("messages", "the last message must be the user's")
    if len(messages) == 1:
        return model.problem(last.content)
    if model.knows_only_puzzles:
        raise refuse(
            "messages",
            "this model knows its puzzles alone: it reads one user message and nothing before it",
        )
    alone = model.problem(last.content)
    return Problem(messages, alone.answer_kind, alone.metadata)


def _strategy(
    problem: Problem, named: Named, wishes: MullFields, effort: Effort | None
) -> str | None:
    """The strategy's name; None for plain answers."""
    strategy = wishes.strategy or named.strategy
    if strategy is None and (wishes.n is not None or wishes.verifier is not None):
        strategy = "best_of_n"
    if strategy is None and effort not in {None, "none", "minimal"}:
        strategy = AUTO
    if strategy != AUTO:
        return strategy
    if wishes.verifier is not None or find_verifier("auto", problem.answer_kind) is not None:
        return "early_stop"
    # No two free texts are the same answer, so a vote among them would decide nothing.
    return None if problem.answer_kind is AnswerKind.TEXT else "self_consistency"


def _plain(sampled: Sampled, wishes: MullFields) -> SearchChoice:
    if wishes.width is not None:
        raise refuse("mull.width", "only a search has a width")
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
    strategy: str, named: Named, sampled: Sampled, wishes: MullFields, effort: Effort | None
) -> SearchChoice:
    is_greedy = strategy == "greedy"
    if sampled.temperature == 0 and not is_greedy:
        hint = "strategy `greedy` decodes at temperature 0"
        raise refuse("temperature", "at 0 every answer of a search would be the same", hint=hint)
    n = wishes.n or named.n
    is_auto = n is None and AUTO in {wishes.strategy, named.strategy}
    if is_auto or (n is None and effort is not None and not is_greedy):
        n = EFFORTS[effort or ("high" if named.is_deep else "medium")]
    width = wishes.width
    if width is None and strategy == "early_stop" and n is not None:
        width = min(n, _WIDTH)
    settings = SearchSettings(
        n,
        width,
        temperature=None if is_greedy else sampled.temperature,
        max_tokens=sampled.max_tokens,
        thinking=_thinking(effort),
        top_p=None if is_greedy else sampled.top_p,
    )
    return SearchChoice(strategy, settings, wishes.verifier or "auto")


def _thinking(effort: Effort | None) -> Thinking | None:
    return Thinking.OFF if effort == "none" else None
