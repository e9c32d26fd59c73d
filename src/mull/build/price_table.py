"""The table of prices in the package `genai-prices`. Imported only where it is wanted.

The table is part of the package: nothing is ever fetched. A provider is known by its address, so
that a server of one's own is never taken for one. Prices that differ by the hour are the dearest of
the day, and all are those of the day on which they are read.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from genai_prices import __version__
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    Provider,
    TieredPrices,
    TimeOfDateConstraint,
)

from mull.policies.priced import Prices, Tier

_KEYS: Final = MappingProxyType(
    {
        "input": "input_mtok",
        "output": "output_mtok",
        "cached": "cache_read_mtok",
        "written": "cache_write_mtok",
        "reasoning": "output_reasoning_mtok",
    }
)
_BESIDE: Final = ("requests_kcount", "output_citation_mtok")
"""What some rows charge for every request beside its tokens; nobody can say how much beforehand."""


def prices_at(url: str, model: str) -> Prices | None:
    """What the provider with this address charges for a model; None where either is unknown."""
    return _found(model, None, url)


def prices_in_row(provider: str, model: str) -> Prices | None:
    """What a provider charges for a model, by their names."""
    return _found(model, provider, None)


def _found(model: str, provider: str | None, url: str | None) -> Prices | None:
    try:
        return _prices_of(*get_snapshot().find_provider_model(model, None, provider, url))
    except LookupError:
        return None


def _prices_of(provider: Provider, model: ModelInfo) -> Prices | None:
    """A row as prices; None for one that is not priced by its tokens alone."""
    alternatives = _of_today(model)
    for each in alternatives:
        if each.input_mtok is None or each.output_mtok is None:
            return None
        if any(getattr(each, key) is not None for key in _BESIDE):
            return None
    starts = {
        tier.start
        for each in alternatives
        for price in vars(each).values()
        if isinstance(price, TieredPrices)
        for tier in price.tiers
    }
    return Prices(
        **_dearest(alternatives, 0),
        tiers=tuple(
            Tier(**_dearest(alternatives, each + 1), above=each) for each in sorted(starts)
        ),
        version=f"genai-prices {__version__}, {provider.id}/{model.id}",
    )


def _of_today(model: ModelInfo) -> Sequence[ModelPrice]:
    """The prices of every hour of this day."""
    now = datetime.now(UTC)
    moments = [now]
    for each in () if isinstance(model.prices, ModelPrice) else model.prices:
        if isinstance(each.constraint, TimeOfDateConstraint):
            edges = (each.constraint.start_time, each.constraint.end_time)
            moments += [datetime.combine(now.date(), edge) for edge in edges]
    return [model.get_prices(each) for each in moments]


def _dearest(alternatives: Sequence[ModelPrice], length: int) -> dict[str, float]:
    """The rates of prompts of that many tokens, by name; those that no alternative has are out."""
    found = dict[str, float]()
    for name, key in _KEYS.items():
        for each in alternatives:
            price: Decimal | TieredPrices | None = getattr(each, key)
            if price is not None:
                found[name] = max(found.get(name, 0.0), _at(price, length))
    return found


def _at(price: Decimal | TieredPrices, length: int) -> float:
    if isinstance(price, Decimal):
        return float(price)
    reached = [tier.price for tier in price.tiers if tier.start < length]
    return float(reached[-1] if reached else price.base)
