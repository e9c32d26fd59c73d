"""Models that are named `SCHEME:PLACE`: what each scheme takes, and how it is opened.

A new kind of model is one class and one line in `SCHEMES`, or an entry point of the group
`mull.policies`. What it is made of is plain data and travels in the journal, so that a resumed
solve opens the same model. A secret is never among it, only the name of the environment variable
that holds it.
"""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, cast

from mull.build.keys import KeyUse
from mull.build.prices import listed_prices, parted, price_options, prices_in
from mull.build.recordings import read_recording
from mull.build.scripts import read_script
from mull.core.codec import DecodeError, decode, encode
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.protocols import Policy
from mull.core.spec import Option, Spec
from mull.policies.priced import PricedPolicy, Prices
from mull.policies.replay import ReplayPolicy

if TYPE_CHECKING:
    from mull.policies.openai import OpenAISettings
    from mull.policies.remote.address import Address
    from mull.policies.remote.hosted import HostedSettings

BY_PROVIDER: Final = frozenset({"openai", "anthropic", "gemini"})
"""Schemes whose models cost what their provider says, and nothing where nobody knows that."""
SERVED_TOKENS: Final = 4_096
"""What an answer of theirs may take where nobody says: they reason at length, and what is cut off
is no answer."""
GROUP: Final = "mull.policies"
"""Entry points whose names are schemes and whose objects are classes like those here."""


class Served(Protocol):
    """One model of a scheme. A frozen dataclass of plain values, of which `place` comes first.

    Making one checks it (`BadInputError`) without opening anything or reading a key.
    """

    example: ClassVar[str]
    """How such a model is named."""

    @property
    def place(self) -> str:
        """What stands after the scheme."""
        ...

    def open(self) -> AbstractAsyncContextManager[Policy]:
        """The policy, for as long as the block lasts."""
        ...


def _settle(model: "Scripted | Replay") -> None:
    """Name the file so that it is found from any folder: a solve may be resumed elsewhere."""
    object.__setattr__(model, "place", str(Path(model.place).expanduser().absolute()))


@dataclass(frozen=True, slots=True)
class Scripted:
    """Replies from a file; see `scripts`."""

    example: ClassVar[str] = "scripted:FILE"
    place: str

    def __post_init__(self) -> None:
        _settle(self)

    def open(self) -> AbstractAsyncContextManager[Policy]:
        """The policy that says what the file says."""
        return nullcontext(read_script(self.place))


@dataclass(frozen=True, slots=True)
class Replay:
    """Recorded samples from a file; see `recordings`."""

    example: ClassVar[str] = "replay:FILE"
    place: str

    def __post_init__(self) -> None:
        _settle(self)

    def open(self) -> AbstractAsyncContextManager[Policy]:
        """The policy that repeats what was recorded."""
        return nullcontext(ReplayPolicy(read_recording(Path(self.place))))


@dataclass(frozen=True, slots=True)
class OpenAI:
    """A model behind an OpenAI-compatible server. None: as suits what is found there."""

    example: ClassVar[str] = "openai:http://HOST:PORT/v1#MODEL"
    place: str
    key: str | None = None
    """Environment variable that holds the key; None: the provider's own, or `MULL_API_KEY`."""
    dialect: str | None = None
    wire: str | None = None
    siblings: str | None = None
    thinking_tokens: int | None = None
    """A budget of thoughts, where the server takes one."""
    effort: str | None = None
    """Of reasoning: none, minimal, low, medium, high, xhigh or max, as far as the server knows."""
    in_flight: int = 64
    """Requests at once; more wait their turn."""
    silent_seconds: float = 120.0
    """Without a single byte, after which the server counts as gone."""
    attempts: int = 5
    """Requests in all for one sample."""

    def __post_init__(self) -> None:
        self._settings()

    @property
    def address(self) -> "Address":
        """Where it is served."""
        from mull.policies.openai.dialects import openai_address

        return openai_address(self.place)

    def open(self) -> AbstractAsyncContextManager[Policy]:
        """Connect with the key that the environment holds now."""
        from mull.policies.openai import open_openai_policy
        from mull.policies.remote.address import ApiKey

        settings = self._settings()
        key = ApiKey.from_environment(settings.key_variable, os.environ)
        return open_openai_policy(self.address, key, settings=settings)

    @property
    def key_use(self) -> KeyUse | None:
        """See `key_use`."""
        from mull.policies.openai.dialects import openai_key_variable

        address = self.address
        return key_sent(self.key, openai_key_variable(address), address.url)

    def _settings(self) -> "OpenAISettings":
        from mull.policies.openai import OpenAISettings
        from mull.policies.openai.dialects import openai_key_variable
        from mull.policies.openai.thinking import OpenAIThinking

        named = OpenAISettings.named(self.dialect, self.wire, self.siblings)
        return replace(
            named,
            thinking=OpenAIThinking(self.thinking_tokens, self.effort),
            key_variable=self.key or openai_key_variable(self.address),
            max_in_flight=self.in_flight,
            timeouts=replace(named.timeouts, silent=self.silent_seconds),
            retries=replace(named.retries, attempts=self.attempts),
        )


@dataclass(frozen=True, slots=True)
class Anthropic:
    """A Claude model, by its name or behind another address."""

    example: ClassVar[str] = "anthropic:MODEL"
    place: str
    key: str | None = None
    """Environment variable that holds the key; None: `ANTHROPIC_API_KEY`, for Anthropic alone."""
    thinking_tokens: int | None = None
    """A fixed budget of thoughts, within the tokens of an answer."""
    effort: str | None = None
    """Adaptive thinking: low, medium, high, xhigh or max."""
    in_flight: int = 64
    silent_seconds: float = 120.0
    attempts: int = 5

    def __post_init__(self) -> None:
        from mull.policies.anthropic import AnthropicThinking

        _ = self.address
        AnthropicThinking(self.thinking_tokens, self.effort)
        _hosted(self)

    @property
    def address(self) -> "Address":
        """Where it is served."""
        from mull.policies.anthropic import anthropic_address

        return anthropic_address(self.place)

    def open(self) -> AbstractAsyncContextManager[Policy]:
        """Talk to the model with the key that the environment holds now."""
        from mull.policies import anthropic
        from mull.policies.remote.address import ApiKey

        address = self.address
        variable = self.key or anthropic.anthropic_key_variable(address)
        return anthropic.open_anthropic_policy(
            address,
            ApiKey.from_environment(variable, os.environ),
            thinking=anthropic.AnthropicThinking(self.thinking_tokens, self.effort),
            settings=_hosted(self),
        )

    @property
    def key_use(self) -> KeyUse | None:
        """See `key_use`."""
        from mull.policies.anthropic import anthropic_key_variable

        address = self.address
        return key_sent(self.key, anthropic_key_variable(address), address.url)


@dataclass(frozen=True, slots=True)
class Gemini:
    """A Gemini model, by its name or behind another address."""

    example: ClassVar[str] = "gemini:MODEL"
    place: str
    key: str | None = None
    """Environment variable that holds the key; None: `GEMINI_API_KEY`, for Google alone."""
    thinking_tokens: int | None = None
    """A budget of thoughts, for Gemini 2.5: 0 is none, -1 as many as it likes."""
    thinking_level: str | None = None
    """Since Gemini 3: minimal, low, medium, high or xhigh."""
    in_flight: int = 64
    silent_seconds: float = 120.0
    attempts: int = 5

    def __post_init__(self) -> None:
        from mull.policies.gemini import GeminiThinking

        _ = self.address
        GeminiThinking(self.thinking_tokens, self.thinking_level)
        _hosted(self)

    @property
    def address(self) -> "Address":
        """Where it is served."""
        from mull.policies.gemini import gemini_address

        return gemini_address(self.place)

    def open(self) -> AbstractAsyncContextManager[Policy]:
        """Talk to the model with the key that the environment holds now."""
        from mull.policies import gemini
        from mull.policies.remote.address import ApiKey

        address = self.address
        variable = self.key or gemini.gemini_key_variable(address)
        return gemini.open_gemini_policy(
            address,
            ApiKey.from_environment(variable, os.environ),
            thinking=gemini.GeminiThinking(self.thinking_tokens, self.thinking_level),
            settings=_hosted(self),
        )

    @property
    def key_use(self) -> KeyUse | None:
        """See `key_use`."""
        from mull.policies.gemini import gemini_key_variable

        address = self.address
        return key_sent(self.key, gemini_key_variable(address), address.url)


def key_sent(named: str | None, default: str, url: str) -> KeyUse | None:
    """The use of the key in the variable that was named, or else of the default one.

    None for a provider's own variable, which goes to that provider alone.
    """
    from mull.policies.remote.address import DEFAULT_KEY_VARIABLE

    if named is None and default != DEFAULT_KEY_VARIABLE:
        return None
    return KeyUse(named or default, url)


def _hosted(model: Anthropic | Gemini) -> "HostedSettings":
    from mull.policies.remote.hosted import hosted_settings

    return hosted_settings(model.in_flight, model.silent_seconds, model.attempts)


SCHEMES: Final[Mapping[str, type[Served]]] = MappingProxyType(
    {
        "anthropic": Anthropic,
        "gemini": Gemini,
        "openai": OpenAI,
        "replay": Replay,
        "scripted": Scripted,
    }
)
"""Every built-in scheme by its name."""


@cache
def schemes() -> Mapping[str, type[Served]]:
    """The built-in schemes and those that other packages bring."""
    found = {each.name: cast("type[Served]", each.load()) for each in entry_points(group=GROUP)}
    return MappingProxyType({**found, **SCHEMES})


def scheme_in(model: str) -> str | None:
    """The scheme a model's name starts with; None where it has none.

    `UnknownNameError` for what looks like one and is none.
    """
    scheme, colon, place = model.partition(":")
    if not colon or not scheme.isidentifier():
        return None
    if scheme not in schemes():
        raise UnknownNameError(f"model `{model}`: no scheme", scheme, schemes())
    if not place:
        raise BadInputError(
            f"model `{model}` names no place", hint=f"write `{schemes()[scheme].example}`"
        )
    return scheme


def settings_of(scheme: str) -> tuple[str, ...]:
    """What can be set for models of the scheme."""
    names = (each.name for each in fields(cast("type[Scripted]", schemes()[scheme])))
    return tuple(name for name in names if name != "place")


def spec_of(scheme: str, place: str, options: Mapping[str, Option]) -> Spec:
    """How such a model is opened, checked; `BadInputError` for what can never work.

    Without prices among the options they are those of its provider, where the table has them.
    """
    served = _served(scheme, parted({"place": place, **options})[0])
    prices = prices_in(options)
    if prices is None and isinstance(served, OpenAI | Anthropic | Gemini):
        prices = listed_prices(served.address)
    encoded = cast("Mapping[str, Option]", encode(served))
    return Spec(scheme, {**encoded, **({} if prices is None else price_options(prices))})


def key_use(spec: Spec) -> KeyUse | None:
    """The key that opening the model sends somewhere; None for none, and for a provider's own."""
    if spec.name not in BY_PROVIDER:
        return None
    model = _served(spec.name, parted(spec.options)[0])
    return model.key_use if isinstance(model, OpenAI | Anthropic | Gemini) else None


def open_served(spec: Spec) -> AbstractAsyncContextManager[Policy]:
    """The policy that a spec of `spec_of` describes."""
    opening = _served(spec.name, parted(spec.options)[0]).open()
    prices = prices_in(spec.options)
    return opening if prices is None else _priced(opening, prices)


@asynccontextmanager
async def _priced(
    opening: AbstractAsyncContextManager[Policy], prices: Prices
) -> AsyncGenerator[Policy, None]:
    async with opening as policy:
        yield PricedPolicy(policy, prices)


def _served(scheme: str, options: Mapping[str, Option]) -> Served:
    if scheme not in schemes():
        raise UnknownNameError("scheme of models", scheme, schemes())
    try:
        return decode(schemes()[scheme], options)
    except DecodeError as error:
        raise BadInputError(f"a model of scheme `{scheme}`: {error}") from error
