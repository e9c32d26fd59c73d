"""Finding out who is there: dialect, version, models; and what of the table is true."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Self, TypeVar

from mull.core.clock import Clock, SystemClock
from mull.core.errors import BadInputError, UnknownNameError
from mull.policies.openai.dialects import (
    OTHER,
    Dialect,
    Siblings,
    WireKind,
    dialect_named,
    dialect_of_host,
)
from mull.policies.openai.policy import OpenAIPolicy, Served
from mull.policies.openai.prompts import Renderer
from mull.policies.openai.thinking import AS_IT_DOES, OpenAIThinking
from mull.policies.openai.trial import tried
from mull.policies.openai.wires import ChatWire, CompletionsWire, LlamaCppWire
from mull.policies.remote.address import Address, ApiKey
from mull.policies.remote.client import CallError, Client, Timeouts, open_client
from mull.policies.remote.fields import Fields, count_of, fields_of, items_of, text_of
from mull.policies.remote.growth import Grower, Notices, Retries
from mull.policies.remote.wires import Wire

_SIGNS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "llama.cpp": ("/props", "default_generation_settings", "build_info"),
        "sglang": ("/server_info", "tokenizer_path", "version"),
        "vllm": ("/version", "version", "version"),
    }
)
"""What only this server has: a path, a field of its answer, and the field with its version."""


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """How to talk to a server. None: as suits what is found there."""

    dialect: str | None = None
    wire: WireKind | None = None
    siblings: Siblings | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    max_in_flight: int = 64
    """Requests at once; more wait their turn."""
    thinking: OpenAIThinking = AS_IT_DOES
    key_variable: str = ""
    """Where the key comes from: what a refusal names."""

    def __post_init__(self) -> None:
        if self.dialect is not None:
            dialect_named(self.dialect)
        for name, value in (
            ("max_in_flight", self.max_in_flight),
            ("timeouts.silent", self.timeouts.silent),
            ("retries.attempts", self.retries.attempts),
        ):
            if not value > 0:
                raise BadInputError(f"`{name}` is {value}; it must be above zero")

    @classmethod
    def named(cls, dialect: str | None, wire: str | None, siblings: str | None) -> Self:
        """Settings by their names; `UnknownNameError` for a name that is none."""
        return cls(
            dialect,
            None if wire is None else _member(WireKind, "wire", wire),
            None if siblings is None else _member(Siblings, "way to ask for siblings", siblings),
        )


E = TypeVar("E", bound=StrEnum)


def _member(kind: type[E], what: str, name: str) -> E:
    try:
        return kind(name)
    except ValueError:
        raise UnknownNameError(what, name, kind) from None


@asynccontextmanager
async def open_openai_policy(
    address: Address,
    key: ApiKey | None = None,
    *,
    settings: OpenAISettings = OpenAISettings(),
    clock: Clock = SystemClock(),
) -> AsyncGenerator[OpenAIPolicy, None]:
    """Connect to a server, find out what it is, and talk to it for as long as the block lasts.

    Raises `BadInputError` where nobody answers, the key is refused or the address is no such API,
    and `UnknownNameError` for a model that is not served there.
    """
    notices = Notices()
    async with open_client(address, key, timeouts=settings.timeouts) as client:
        found = await _recognise(client, settings.dialect)
        dialect, version = found.dialect, found.version
        model, window = await _served_model(client, notices, settings.key_variable)
        window = window or found.window
    dialect = replace(dialect, siblings=settings.siblings or dialect.siblings)
    thinking = settings.thinking
    kind = settings.wire or thinking.wire(dialect)
    thinking.check(dialect, kind)
    async with open_client(
        address,
        key,
        timeouts=settings.timeouts,
        max_in_flight=settings.max_in_flight,
        keeps_alive=dialect.keeps_alive,
    ) as client:
        if dialect.is_own_machine:
            wire = _wire_of(dialect, kind, model, thinking)
            dialect = await tried(client, dialect, wire, notices)
        wire, renderer = _wire_of(dialect, kind, model, thinking), Renderer(client, dialect, model)
        grower = Grower(
            client,
            dialect.bound,
            wire,
            renderer if wire.needs_prompt else None,
            settings.retries,
            clock,
            notices,
            window=window,
        )
        try:
            yield OpenAIPolicy(Served(model, dialect, kind, version, window, thinking), grower)
        finally:
            await renderer.close()


def _wire_of(dialect: Dialect, kind: WireKind, model: str, thinking: OpenAIThinking) -> Wire:
    if kind is WireKind.CHAT:
        return ChatWire(dialect, model, thinking)
    if dialect.name == "llama.cpp":
        return LlamaCppWire(dialect)
    return CompletionsWire(dialect, model)


class _Found(NamedTuple):
    """What a server was recognised as."""

    dialect: Dialect
    version: str = ""
    window: int = 0


async def _recognise(client: Client, named: str | None) -> _Found:
    """What a server is: by name, by host, or by what only that server has."""
    known = dialect_named(named) if named else dialect_of_host(client.address.host)
    if known is not None and not known.is_own_machine:
        return _Found(known)
    for name, (path, sign, version) in _SIGNS.items():
        if known is not None and known.name != name:
            continue
        try:
            found = await client.get(path)
        except CallError:
            continue
        if sign in found:
            dialect = dialect_named(name)
            slots = count_of(found.get("total_slots"))  # llama.cpp's bound on `n`
            dialect = replace(dialect, max_siblings=slots or dialect.max_siblings)
            settings = fields_of(found.get("default_generation_settings"))  # llama.cpp's
            return _Found(dialect, text_of(found.get(version)), count_of(settings.get("n_ctx")))
    return _Found(known or OTHER)


async def _served_model(client: Client, notices: Notices, variable: str) -> tuple[str, int]:
    """The model that was asked for, or the only one that is served, and its window (0: not told).

    Only vLLM and SGLang say here how long a sequence may be.
    """
    wanted = client.address.model
    try:
        found = await client.get("/v1/models")
    except CallError as error:
        if wanted is None or error.status not in {403, 404, 405, 501} or not _is_api(error):
            raise _unreachable(client, error, variable) from error
        notices.add(f"`{client.address.url}` lists no models; `{wanted}` is taken on trust")
        return wanted, 0
    cards = [fields_of(each) for each in items_of(found.get("data"))]
    served = {name: count_of(card.get("max_model_len")) for card in cards for name in _names(card)}
    if wanted is None and len(served) == 1:
        return next(iter(served.items()))
    if wanted is None:
        raise BadInputError(
            f"`{client.address.url}` serves {len(served)} models: {', '.join(served) or 'none'}",
            hint="name one of them after `#` in the address",
        )
    if wanted not in served:
        raise UnknownNameError(f"model of `{client.address.url}`", wanted, served)
    return wanted, served[wanted]


def _names(model: Fields) -> list[str]:
    aliases = [text_of(each) for each in items_of(model.get("aliases"))]
    return list(dict.fromkeys(name for name in (text_of(model.get("id")), *aliases) if name))


def _is_api(error: CallError) -> bool:
    """Whether the refusal came from an API rather than from some web page."""
    return "<html" not in error.message.lower()


def _unreachable(client: Client, error: CallError, variable: str) -> BadInputError:
    address, key = client.address, client.key
    if error.status in {401, 403}:
        whose = f"the key from `{key.source}`" if key else "a request without a key"
        return BadInputError(
            f"`{address.url}` refuses {whose} ({error.status})",
            hint=f"put the server's key into the environment variable `{variable}`"
            if variable
            else "pass the server's key",
        )
    if error.status is None and "not a JSON object" not in error.message:
        return BadInputError(
            f"nobody can be talked to at `{address.url}`: {error.message}",
            hint="start the server, or correct the address",
        )
    return BadInputError(
        f"`{address.url}` is no OpenAI-compatible API: {error.message}",
        hint="such addresses mostly end in `/v1`",
    )
