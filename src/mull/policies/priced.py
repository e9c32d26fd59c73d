"""Money: any policy, with the prices of its provider."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Final

from mull.core.errors import BadInputError
from mull.core.expansion import Call, Delta, NodeId, Outcome
from mull.core.ledger import Bound
from mull.core.protocols import Capabilities, Policy
from mull.core.usage import Usage

_MARKS: Final = 64
"""Tokens a chat template is taken to add around one message, at most."""


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens. None: as other tokens of that side cost."""

    input: float
    output: float
    cached: float | None = None
    """Of input tokens served from a cache."""
    written: float | None = None
    """Of input tokens that a cache is made to keep."""
    reasoning: float | None = None
    """Of hidden tokens, shown or not."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached", "written", "reasoning"):
            price: float | None = getattr(self, name)
            if price is not None and not (isfinite(price) and price >= 0):
                raise BadInputError(
                    f"price `{name}` is {price}; it must be zero or more US dollars per million"
                )

    def cost(self, usage: Usage) -> float:
        """US dollars. Of what was lost nobody knows whether it was reasoning: it is the dearer."""
        read = usage.prompt_tokens - usage.cached_tokens - usage.written_tokens
        lost = usage.verifier_tokens + usage.discarded_tokens
        total = read * self.input + lost * self._dearest_output
        for num_tokens, price, usual in (
            (usage.cached_tokens, self.cached, self.input),
            (usage.written_tokens, self.written, self.input),
            (usage.visible_tokens, self.output, self.output),
            (usage.hidden_tokens, self.reasoning, self.output),
        ):
            total += num_tokens * (usual if price is None else price)
        return total / 1e6

    def worst(self, usage: Usage) -> float:
        """The same, whatever a cache does with the prompt and whatever is reasoning."""
        dearest_input = max(self.input, self.cached or 0.0, self.written or 0.0)
        total = usage.prompt_tokens * dearest_input + usage.generated_tokens * self._dearest_output
        return total / 1e6

    @property
    def _dearest_output(self) -> float:
        return max(self.output, self.reasoning or 0.0)


@dataclass(frozen=True, slots=True)
class Tier(Rates):
    """What all tokens of a request cost whose prompt is longer than so many tokens."""

    above: int = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Prices(Rates):
    """What a model costs: its rates, and those of long prompts."""

    tiers: tuple[Tier, ...] = ()
    version: str | None = None
    """Which prices these are: the table and the row they come from. None: they were typed."""

    def of(self, usage: Usage, *, length: int | None = None) -> float:
        """What this usage costs, in US dollars.

        Args:
            usage: What was spent.
            length: Tokens of the request's prompt; None: those of the usage.
        """
        length = usage.prompt_tokens if length is None else length
        reached = [each for each in self.tiers if each.above < length]
        return max(reached, key=lambda each: each.above, default=self).cost(usage)

    def worst_of(self, usage: Usage) -> float:
        """What this usage costs at most, where its prompt has no more tokens than it says."""
        reached = [each for each in self.tiers if each.above < usage.prompt_tokens]
        return max(each.worst(usage) for each in (self, *reached))


@dataclass(frozen=True, slots=True)
class PricedPolicy:
    """The same policy; every outcome also carries what it cost.

    Its bound is soft. What a provider adds to a prompt is not known before the call, so that the
    quote of the prompt (a token a byte, and some for every message) is no promise.
    """

    policy: Policy
    prices: Prices

    @property
    def capabilities(self) -> Capabilities:
        """Those of the policy itself, but for the bound."""
        return replace(self.policy.capabilities, bound=Bound.SOFT)

    def quote(self, call: Call) -> Usage:
        """The policy's own quote and the price of it, the prompt included."""
        quoted = self.policy.quote(call)
        worst = replace(quoted, prompt_tokens=max(quoted.prompt_tokens, _longest_prompt(call)))
        return replace(quoted, money_usd=quoted.money_usd + self.prices.worst_of(worst))

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """What the policy gives, priced; before it that the calls are made, whose prompts cost."""
        known = {call.branch.id: call for call in calls}
        lengths = dict[tuple[NodeId, ...], int]()
        for call in calls:
            yield Delta(call.branch.id, "", 0)
        async with aclosing(self.policy.expand(calls)) as outcomes:
            async for each in outcomes:
                if isinstance(each, Delta):
                    yield each
                else:
                    length = _length(known.get(each.branch_id), each.usage, lengths)
                    usage, money = each.usage, self.prices.of(each.usage, length=length)
                    yield replace(each, usage=replace(usage, money_usd=usage.money_usd + money))

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """As the policy does."""
        await self.policy.release(node_ids)


def _length(call: Call | None, usage: Usage, lengths: dict[tuple[NodeId, ...], int]) -> int:
    """Tokens of the prompt that an outcome's tokens were drawn after.

    One outcome of a request carries its prompt, and siblings may share a request: so the length is
    kept by where they grow. Where it is not known yet, it is the longest there can be.
    """
    if call is None:
        return usage.prompt_tokens
    place = call.branch.parents
    if usage.prompt_tokens:
        lengths[place] = max(usage.prompt_tokens, lengths.get(place, 0))
    return lengths.get(place) or _longest_prompt(call)


def _longest_prompt(call: Call) -> int:
    """Tokens: no text has more of them than bytes."""
    texts = [turn.content for turn in call.trajectory.problem.messages]
    texts += [step.text for step in call.trajectory.steps]
    return sum(len(text.encode("utf-8", "replace")) + _MARKS for text in texts)
