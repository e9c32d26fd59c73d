"""Money: any policy, with the prices of its provider."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
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
class Prices:
    """US dollars per million tokens. Reasoning, shown or not, and lost tokens cost as output."""

    input: float
    output: float
    cached: float | None = None
    """Of input tokens served from a cache; None: as any input."""

    def __post_init__(self) -> None:
        for name, price in (
            ("input", self.input),
            ("output", self.output),
            ("cached", self.cached),
        ):
            if price is not None and not (isfinite(price) and price >= 0):
                raise BadInputError(
                    f"price `{name}` is {price}; it must be zero or more US dollars per million"
                )

    def of(self, usage: Usage) -> float:
        """What this usage costs, in US dollars."""
        cached = self.input if self.cached is None else self.cached
        read = usage.prompt_tokens - usage.cached_tokens
        total = read * self.input + usage.cached_tokens * cached
        return (total + usage.generated_tokens * self.output) / 1e6


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
        texts = [turn.content for turn in call.trajectory.problem.messages]
        texts += [step.text for step in call.trajectory.steps]
        num_prompt = sum(len(text.encode("utf-8", "replace")) + _MARKS for text in texts)
        worst = replace(quoted, prompt_tokens=max(quoted.prompt_tokens, num_prompt))
        return replace(quoted, money_usd=quoted.money_usd + self.prices.of(worst))

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """What the policy gives, priced."""
        async with aclosing(self.policy.expand(calls)) as outcomes:
            async for each in outcomes:
                yield (
                    each
                    if isinstance(each, Delta)
                    else replace(each, usage=self._priced(each.usage))
                )

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """As the policy does."""
        await self.policy.release(node_ids)

    def _priced(self, usage: Usage) -> Usage:
        return replace(usage, money_usd=usage.money_usd + self.prices.of(usage))
