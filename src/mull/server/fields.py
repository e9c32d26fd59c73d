"""mull's own fields: `mull` in a request's body, or headers for clients that can set no field."""

from collections.abc import Mapping
from math import inf
from typing import Final, Literal, TypeVar

import msgspec

from mull.core.problem import AnswerKind
from mull.core.usage import Budget
from mull.policies.scheduling import Tier
from mull.server.errors import refuse
from mull.server.wire import decoded, from_words

S = TypeVar("S", bound=msgspec.Struct)

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class BudgetFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hard limits on one solve, everything it does counted."""

    tokens: int | None = None
    """Generated tokens, hidden and discarded ones included."""
    seconds: float | None = None
    money: float | None = None
    """US dollars."""

    def budget(self, *, field: str = "mull.budget") -> Budget:
        """As the solver takes it; ApiError for a limit of zero or less."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not 0 < value < inf:
                hint = "leave it out for no limit"
                raise refuse(f"{field}.{name}", f"{value} is not above zero", hint=hint)
        return Budget(self.tokens, self.seconds, max_money_usd=self.money)


class MullFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to think, how much, and what to show of it. None: as the model's name says."""

    answer_kind: AnswerKind | None = None
    """What kind of answer is asked for; by itself a built-in puzzle's, else `text`."""
    strategy: str | None = None
    n: int | None = None
    """Answers to draw."""
    width: int | None = None
    """Answers drawn at once, where a strategy may stop between them."""
    verifier: str | None = None
    quality: float | None = None
    """The chance of being right that is wanted of a search's answer, above 0 and below 1."""
    abstain: bool | None = None
    """Whether an answer below that is kept back."""
    effort: Effort | None = None
    tier: Tier | None = None
    budget: BudgetFields = BudgetFields()
    progress: bool | None = None
    """Whether a stream shows what happens before the answer."""
    reasoning: bool | None = None
    """Whether the model's thoughts are shown, as `reasoning_content`."""


_PREFIX: Final = "x-mull-"
_HEADERS: Final = {
    f"{_PREFIX}{name.replace('_', '-')}": name
    for name in MullFields.__struct_fields__
    if name != "budget"
}
_BUDGET_HEADERS: Final = {
    f"{_PREFIX}budget-{name}": name for name in BudgetFields.__struct_fields__
}


def mull_fields(given: msgspec.Raw | None, headers: Mapping[str, str]) -> MullFields:
    """The fields of a request; one that body and headers give differently is refused."""
    body = decoded(MullFields, given, at="mull") if given else MullFields()
    words: dict[str, object] = {n: headers[h] for h, n in _HEADERS.items() if h in headers}
    budget = {n: headers[h] for h, n in _BUDGET_HEADERS.items() if h in headers}
    if not words and not budget:
        return body
    if budget:
        words["budget"] = budget
    return _merged(body, from_words(MullFields, words, at="mull"), at="mull")


def _merged(body: S, headers: S, *, at: str) -> S:
    values = dict[str, object]()
    for name in body.__struct_fields__:
        first, second = getattr(body, name), getattr(headers, name)
        if isinstance(first, msgspec.Struct):
            values[name] = _merged(first, second, at=f"{at}.{name}")
        elif first is not None and second is not None and first != second:
            raise refuse(f"{at}.{name}", "the body and a header say different things")
        else:
            values[name] = second if first is None else first
    return type(body)(**values)
