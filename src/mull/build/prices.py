"""What models cost: prices as options of a spec, typed or out of the table of an extra."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, cast

from mull.build.extras import needs_extra
from mull.core.codec import Json, decode, encode, parse_json
from mull.core.errors import BadInputError
from mull.core.spec import Option, Spec
from mull.policies.priced import Prices

if TYPE_CHECKING:
    from mull.policies.remote.address import Address

PREFIX: Final = "price_"
"""Of the options of a spec that hold the `Prices` of its model."""
EXAMPLE: Final = "openai/gpt-5-mini"
"""How a row of the table is named."""
INSTALL: Final = "pip install 'mull[prices]'"


def price_options(prices: Prices) -> dict[str, Option]:
    """Prices as options of a spec: what is journalled is what is charged when a solve goes on."""
    told = cast("dict[str, Json]", encode(prices))
    if prices.tiers:
        told["tiers"] = json.dumps(told["tiers"], sort_keys=True)
    return {f"{PREFIX}{name}": cast("Option", each) for name, each in told.items()}


def parted(options: Mapping[str, Option]) -> tuple[dict[str, Option], dict[str, Option]]:
    """The options of a spec that are its scheme's own, and those of `price_options`."""
    own = {name: each for name, each in options.items() if not name.startswith(PREFIX)}
    return own, {name: each for name, each in options.items() if name not in own}


def is_priced(spec: Spec) -> bool:
    """Whether what a model costs is part of how it is opened."""
    return any(name.startswith(PREFIX) for name in spec.options)


def price_version(spec: Spec) -> str | None:
    """Which prices a model's calls are counted at; None where they were typed, or are none."""
    version = spec.options.get(f"{PREFIX}version")
    return version if isinstance(version, str) else None


def same_model(one: Spec, other: Spec) -> bool:
    """Whether both open the same model, whatever it may have come to cost meanwhile."""
    return one.name == other.name and parted(one.options)[0] == parted(other.options)[0]


def prices_in(options: Mapping[str, Option]) -> Prices | None:
    """The prices among the options of a spec; None where there are none."""
    given = parted(options)[1]
    told: dict[str, Json] = {name.removeprefix(PREFIX): each for name, each in given.items()}
    try:
        if isinstance(tiers := told.get("tiers"), str):
            told["tiers"] = parse_json(tiers)
        return decode(Prices, told) if told else None
    except ValueError as error:  # a `DecodeError` is one
        raise BadInputError(f"the prices of a model: {error}") from error


def has_table() -> bool:
    """Whether the extra is installed."""
    return find_spec("genai_prices") is not None


def listed_prices(address: "Address") -> Prices | None:
    """What the provider behind an address charges for its model; None where the table has neither.

    No provider speaks plain http, so that a server of one's own does not have the table loaded.
    """
    if not (address.model and address.url.startswith("https://") and has_table()):
        return None
    from mull.build.price_table import prices_at

    return prices_at(address.url, address.model)


def row_prices(row: str) -> Prices:
    """The prices of a row by its name, `PROVIDER/MODEL`; `BadInputError` if there is none."""
    with needs_extra("prices", f'`prices = "{row}"`'):
        from mull.build.price_table import prices_in_row
    provider, _, model = row.partition("/")
    if (found := prices_in_row(provider, model)) is None:
        raise BadInputError(
            f"the table of prices has no `{row}`",
            hint=f'write `prices = "PROVIDER/MODEL"` as in `{EXAMPLE}`, or the prices themselves',
        )
    return found
