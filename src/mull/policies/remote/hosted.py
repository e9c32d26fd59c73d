"""What policies over one provider's own API have in common."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mull.core.clock import Clock
from mull.core.codec import Json
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import Call, ExpansionKind, Failed, NodeId, Outcome
from mull.core.ledger import Bound
from mull.core.problem import Message, Role
from mull.core.protocols import Capabilities
from mull.core.usage import Usage
from mull.policies.remote.address import DEFAULT_KEY_VARIABLE, Address, ApiKey
from mull.policies.remote.client import CallError, Client, Timeouts, open_client
from mull.policies.remote.fields import Fields, fields_of, items_of, text_of
from mull.policies.remote.growth import Blocks, Grower, Retries, streamed
from mull.policies.remote.wires import Wire
from mull.policies.revising import conversation as revised

KINDS: Final = frozenset({ExpansionKind.FINISH, ExpansionKind.REVISE})


@dataclass(frozen=True, slots=True)
class HostedSettings:
    """How to talk to a provider."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    max_in_flight: int = 64
    """Requests at once; more wait their turn."""


def hosted_settings(in_flight: int, silent_seconds: float, attempts: int) -> HostedSettings:
    """Settings by their plain values; `BadInputError` for one that is not above zero."""
    settings = HostedSettings(
        Timeouts(silent=silent_seconds), Retries(attempts=attempts), in_flight
    )
    for name, value in (
        ("in_flight", in_flight),
        ("silent_seconds", silent_seconds),
        ("attempts", attempts),
    ):
        if not value > 0:
            raise BadInputError(f"`{name}` is {value}; it must be above zero")
    return settings


DEFAULT_SETTINGS: Final = HostedSettings()


@dataclass(frozen=True, slots=True)
class HostedPolicy:
    """Grows whole answers, and revisions of them, over one provider's API.

    A turn that was cut cannot be taken up in the middle: providers that reason refuse to have words
    put in their mouth.
    """

    name: str
    """Model and whatever else changes its samples."""
    bound: Bound
    grower: Grower = field(repr=False)
    refusal: Callable[[Call], str | None] = field(repr=False)
    """Why a call cannot be made as it is asked; None if it can."""

    @property
    def capabilities(self) -> Capabilities:
        """Whole answers and revisions."""
        return Capabilities(self.name, KINDS, self.bound)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the provider was found to do otherwise than it says."""
        return tuple(self.grower.notices.texts)

    def quote(self, call: Call) -> Usage:
        """Every token the call may draw; requests that are repeated draw from the same."""
        return Usage(visible_tokens=call.max_tokens)

    async def expand(self, calls: Sequence[Call]) -> AsyncGenerator[Outcome, None]:
        """Grow all calls at once; see `Policy.expand`. Closing it closes their connections."""
        able = list[Call]()
        for call in calls:
            refusal = self._shape(call) or self.refusal(call)
            if refusal is None:
                able.append(call)
            else:
                yield Failed(call.branch.id, f"`{self.name}` {refusal}")
        growing = [partial(self.grower.grow, [call], keeps_steps=False) for call in able]
        async with aclosing(streamed(growing)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def release(self, node_ids: Collection[NodeId]) -> None:
        """Forget the signed thoughts that ended in these nodes."""
        for node_id in node_ids:
            self.grower.memory.pop(node_id, None)

    def _shape(self, call: Call) -> str | None:
        kind = call.branch.expansion.kind
        if kind not in KINDS:
            return f"offers no `{kind}` expansions"
        if call.grown:
            return "cannot continue what is already said"
        if kind is ExpansionKind.FINISH and call.bases[0].steps:
            return "answers from the beginning only"
        if kind is ExpansionKind.REVISE and not call.bases[0].is_finished:
            return "can revise only an answer that has ended"
        return None


@dataclass(frozen=True, slots=True)
class HostedModel:
    """One model of one provider, not connected yet."""

    name: str
    wire: Wire
    bound: Bound
    refusal: Callable[[Call], str | None]
    headers: Mapping[str, str] = field(repr=False)
    card: str
    """The path of what the provider says of the model."""
    listing: str
    """The path of the list of its models."""
    memory: dict[NodeId, Blocks] = field(default_factory=dict[NodeId, Blocks], repr=False)
    """Shared with the wire."""


@asynccontextmanager
async def open_hosted_policy(
    model: HostedModel,
    address: Address,
    key: ApiKey | None,
    settings: HostedSettings,
    clock: Clock,
) -> AsyncGenerator[HostedPolicy, None]:
    """Talk to a model for as long as the block lasts; see `check_model` for what it raises."""
    async with open_client(
        address,
        key,
        timeouts=settings.timeouts,
        max_in_flight=settings.max_in_flight,
        headers=model.headers,
    ) as client:
        await check_model(client, model.card, model.listing)
        grower = Grower(
            client,
            model.bound,
            model.wire,
            retries=settings.retries,
            clock=clock,
            memory=model.memory,
        )
        yield HostedPolicy(model.name, model.bound, grower, model.refusal)


def conversation(call: Call) -> tuple[str, list[Message]]:
    """The system's words, and the turns of the problem and of what is to be revised.

    The answer to be revised is the last but one turn, without its thoughts.
    """
    problem, expansion = call.bases[0].problem, call.branch.expansion
    if expansion.kind is ExpansionKind.REVISE:
        problem = revised(call.bases[0], expansion.feedback)
    system = [turn.content for turn in problem.messages if turn.role is Role.SYSTEM]
    return "\n\n".join(system), [turn for turn in problem.messages if turn.role is not Role.SYSTEM]


def address_of(place: str, provider: str) -> Address:
    """The address a place names: a model of the provider, or a URL with one as its fragment."""
    address = Address.parse(place if "://" in place else f"{provider}#{place}")
    if address.model is None:
        raise BadInputError(
            f"`{place}` names no model", hint="write it after `#`, as in `http://HOST:PORT#MODEL`"
        )
    return address


def key_variable_of(address: Address, provider: str, variable: str) -> str:
    """Where the key is looked for: a provider's own goes to that provider alone."""
    own = Address.parse(provider)
    return variable if address.host == own.host else DEFAULT_KEY_VARIABLE


async def check_model(client: Client, path: str, listing: str) -> Fields:
    """What the provider says of the model at `path`.

    Raises `BadInputError` where nobody answers or the key is refused, and `UnknownNameError` for a
    model that is not there.
    """
    address, key = client.address, client.key
    try:
        return await client.get(path)
    except CallError as error:
        if error.status in {401, 403} or (error.status == 400 and "key" in error.message.lower()):
            whose = f"the key from `{key.source}`" if key else "a request without a key"
            raise BadInputError(
                f"`{address.url}` refuses {whose} ({error.status})",
                hint="put the key into the environment variable that it is read from",
            ) from error
        if error.status == 404:
            known = await _known(client, listing)
            raise UnknownNameError(
                f"model of `{address.url}`", address.model or "", known
            ) from error
        raise BadInputError(
            f"nobody can be talked to at `{address.url}`: {error.message}",
            hint="correct the address, or try again later",
        ) from error


async def _known(client: Client, listing: str) -> list[str]:
    """The models that are listed; none where that fails too."""
    try:
        found = await client.get(listing)
    except CallError:
        return []
    listed = [
        fields_of(each) for each in (*items_of(found.get("data")), *items_of(found.get("models")))
    ]
    names = [text_of(each.get("id")) or text_of(each.get("name")) for each in listed]
    return [name.removeprefix("models/") for name in names if name]


def given(**fields: Json) -> dict[str, Json]:
    """Those that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
