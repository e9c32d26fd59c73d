"""Plain requests to a model behind an OpenAI-compatible server go straight through.

Whatever that server understands (tools, images, formats) it gets, byte for byte but for the model's
name and `mull`. The gateway adds what it is there for: its turn in the queue, the tenant's account,
and the difference between an answer and a failure. Nothing is journalled.
"""

import asyncio
import re
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final

import msgspec

from mull.build import Passage, check_priced
from mull.core.ledger import Refused
from mull.core.usage import Budget, Usage
from mull.policies.remote.client import RETRYABLE_STATUS, seconds_to_wait
from mull.policies.remote.connection import Response
from mull.server.accounts import Payer
from mull.server.chat_request import MAX_CHOICES, StreamOptions, count
from mull.server.errors import ApiError, refuse, upstream_failed
from mull.server.fields import MullFields
from mull.server.gateway import Gateway, out_of_quota
from mull.server.http import Exchange
from mull.server.wire import decoded

PATH: Final = "/v1/chat/completions"
UNBOUNDED: Final = 4096
"""Tokens an answer may take where an account has a limit and the request names none."""
_LENGTHS: Final = ("max_tokens", "max_completion_tokens")
_BEYOND: Final = ("n_predict", "n_cmpl", "best_of")
"""Fields of some servers that win over the length or the number of choices that all know."""
_DONE: Final = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)
"""At the start of a line, where no text of a model can stand."""
_PROMPT_BYTES: Final = 4
"""About as many make a token, where the server never says how many were read."""
_DEARER: Final = frozenset({"priority", "fast"})
"""What `service_tier` asks a provider to do sooner, for more money than the usual prices."""
_OWN: Final = frozenset({401, 403})
"""What the server behind says to this server, and not to its client."""


class Head(msgspec.Struct, frozen=True):
    """The fields that the gateway itself must understand."""

    model: str
    mull: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    service_tier: str | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether its stream is to end with what it cost."""
        return self.stream_options is not None and self.stream_options.include_usage


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Answer(msgspec.Struct, frozen=True):
    choices: list[msgspec.Raw]
    usage: _Usage | None = None


@dataclass(slots=True)
class Passing:
    """One request on its way through. Owned by its handler."""

    exchange: Exchange
    passage: Passage
    head: Head
    body: bytes
    worst: Usage
    """What it may cost: what it does cost where nobody stayed to be told."""
    usage: Usage = Usage()
    num_events: int = 0
    """Streamed: about as many tokens, where the server never says how many."""
    _rest: bytes = b""
    is_whole: bool = False
    """Whether the mark of a good end has come."""
    is_owed: bool = False
    """Whether the server was set to work and has not failed."""

    async def pass_on(self) -> None:
        """Ask, and hand back what comes; ApiError for what is no answer."""
        self.is_owed = True
        try:
            await self._pass_on()
        except Exception:  # but no cancellation: who leaves does not take the work back
            self.is_owed = False
            raise

    async def _pass_on(self) -> None:
        try:
            async with self.passage.post(PATH, self.body) as response:
                if response.status != 200:
                    raise await self._refusal(response)
                if self.head.stream:
                    await self._stream(response)
                else:
                    await self._whole(await response.read())
        except OSError as error:
            message = f"the server of model `{self.head.model}` broke off: {type(error).__name__}"
            raise upstream_failed(message, retryable=True) from error

    async def _refusal(self, response: Response) -> ApiError:
        """Its refusal in its own words, where they are for the client."""
        name, status = self.head.model, response.status
        if status in _OWN:
            message = f"the server of model `{name}` does not accept this server's key"
            return upstream_failed(message, retryable=False)
        told = self.passage.message_in(await response.read())
        wait = seconds_to_wait(response.headers.get("retry-after"))
        if 400 <= status < 500:
            kind = "rate_limit_error" if status == 429 else "invalid_request_error"
            return ApiError(status, told or f"model `{name}` refuses", kind=kind, retry_after=wait)
        message = f"the server of model `{name}` answered {status}: {told}".removesuffix(": ")
        failure = upstream_failed(message, retryable=status in RETRYABLE_STATUS)
        failure.retry_after = wait or failure.retry_after
        return failure

    async def _whole(self, data: bytes) -> None:
        try:
            answer = msgspec.json.decode(data, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"the server of model `{self.head.model}` gave no completion"
            raise upstream_failed(message, retryable=False) from error
        self._count(answer.usage)
        wanted = self.head.n or 1
        if len(answer.choices) < wanted:  # some servers leave `n` unread
            found = f"{len(answer.choices)} of {wanted} choices"
            message = f"the server of model `{self.head.model}` gave {found}"
            raise upstream_failed(message, retryable=False)
        await self.exchange.send_bytes(data, ((b"content-type", b"application/json"),))

    async def _stream(self, response: Response) -> None:
        is_stream = response.content_type == "text/event-stream"
        first = await self._first(response) if is_stream else b""
        if not first:
            message = f"the server of model `{self.head.model}` gave no stream"
            raise upstream_failed(message, retryable=is_stream)
        async with self.exchange.event_stream():
            await self.exchange.send_events(first)
            self.exchange.first_text = time.perf_counter()
            while chunk := await response.some():
                if ready := self._ready(chunk):
                    await self.exchange.send_events(ready)
            if not self.is_whole:
                message = f"the server of model `{self.head.model}` broke off its stream"
                raise upstream_failed(message, retryable=True)

    async def _first(self, response: Response) -> bytes:
        """The first events; until they are there, a failure still has a status of its own."""
        while chunk := await response.some():
            if ready := self._ready(chunk):
                return ready
        return b""

    def _ready(self, chunk: bytes) -> bytes:
        """The events that are complete; one is looked into only where it must be."""
        data = (self._rest + chunk) if self._rest else chunk
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        end = data.rfind(b"\n\n") + 2
        if end < 2:
            self._rest = data
            return b""
        ready, self._rest = data[:end], data[end:]
        self.num_events += ready.count(b"data:")
        if b"[DONE]" in ready and _DONE.search(ready):  # the first look is the cheaper one
            self.is_whole = True
        if b'"usage"' not in ready:
            return ready
        return b"".join(part + b"\n\n" for part in ready.split(b"\n\n") if self._is_asked(part))

    def _is_asked(self, part: bytes) -> bool:
        """Whether an event is for the client; that of the usage may be for us alone."""
        if not part.startswith(b"data:") or _DONE.match(part):
            return bool(part)
        try:
            event = msgspec.json.decode(part[5:], type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return True
        self._count(event.usage)
        return bool(event.choices) or self.head.wants_usage

    def _count(self, usage: _Usage | None) -> None:
        if usage is None:
            return
        details, prompt = usage.completion_tokens_details, usage.prompt_tokens_details
        hidden = min(usage.completion_tokens, (details and details.reasoning_tokens) or 0)
        self.usage = Usage(
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=(prompt and prompt.cached_tokens) or 0,
            visible_tokens=usage.completion_tokens - hidden,
            hidden_tokens=hidden,
            written_tokens=(prompt and prompt.cache_write_tokens) or 0,
        )

    def spent(self) -> Usage:
        """What it cost, as the server says; else by the events that came, else the worst case."""
        usage = self.usage
        if usage == Usage() and self.num_events:
            num_read = len(self.body) // _PROMPT_BYTES
            usage = Usage(prompt_tokens=num_read, discarded_tokens=self.num_events)
        elif usage == Usage() and self.is_owed:
            return self.worst
        return self.passage.priced(usage)


async def pass_through(
    gateway: Gateway, exchange: Exchange, passage: Passage, data: bytes, wishes: MullFields
) -> None:
    """Answer a plain request by the server behind its model."""
    gateway.check_open(exchange.caller)
    head, account = decoded(Head, data), exchange.caller.account
    budget = wishes.budget.budget()
    room = passage.room(len(data))
    limit = _limit(head, budget, room, has_cap=account.budget != Budget())
    tokens = (limit or 0) * (count("n", head.n, at_most=MAX_CHOICES) or 1)
    worst = passage.dearest(Usage(prompt_tokens=len(data), visible_tokens=tokens, calls=1))
    if budget.max_money_usd is not None:
        check_priced(gateway.models[head.model].spec, "mull.budget.money", head.model)
    if budget.max_money_usd is not None and worst.money_usd > budget.max_money_usd:
        raise refuse("mull.budget.money", f"this request may cost ${worst.money_usd:.4f}")
    passing = Passing(exchange, passage, head, _outgoing(data, passage, head, limit), worst)
    if head.service_tier in _DEARER and (budget.max_money_usd or account.limits_money):
        why = f"nobody knows what `{head.service_tier}` costs, and money is limited"
        raise refuse("service_tier", why)
    payer = Payer(account)
    claim = await payer.reserve(worst)
    if isinstance(claim, Refused):
        raise out_of_quota(exchange.caller, f"the {claim.limit.value} limit is reached")
    try:
        async with gateway.turn(exchange.caller, head.model, wishes.tier, tokens):
            work = _in_time(passing.pass_on(), budget.max_seconds)
            if gateway.tracing is not None:
                model = gateway.models[head.model]
                work = gateway.tracing.passed(work, head.model, model, passing.spent)
            await exchange.unless_left(work)
    finally:
        await payer.settle(claim, passing.spent())
        gateway.metrics.observe_usage(head.model, passing.spent())


def _limit(head: Head, budget: Budget, room: int, *, has_cap: bool) -> int | None:
    """The tokens one answer may take; None: as the server behind sees fit.

    Where it is not the client's own number it is none that the window (`room`) cannot hold.
    """
    lengths = (count(name, getattr(head, name)) for name in _LENGTHS)
    asked = min((each for each in lengths if each is not None), default=None)
    if budget.max_tokens is not None:
        part = budget.max_tokens // max(1, head.n or 1)
        if part < 1:
            raise refuse("mull.budget.tokens", "it is less than a token for each choice")
        return min(asked or room or part, part)
    is_capped = has_cap or budget.max_money_usd is not None
    return asked or (min(UNBOUNDED, room or UNBOUNDED) if is_capped else None)


def _outgoing(data: bytes, passage: Passage, head: Head, limit: int | None) -> bytes:
    """The request as the server behind gets it: all fields as they came but for a few."""
    fields = decoded(dict[str, msgspec.Raw], data)
    fields.pop("mull", None)
    fields["model"] = _raw(passage.model)
    for name, value in passage.thinking.items():
        fields.setdefault(name, _raw(value))
    if limit is not None:
        if beyond := [name for name in _BEYOND if name in fields]:
            raise refuse(beyond[0], "it would pass the limit of tokens", hint="leave it out")
        for name in _LENGTHS:
            fields.pop(name, None)
        is_old = head.max_tokens is not None and head.max_completion_tokens is None
        fields["max_tokens" if is_old else passage.length_field] = _raw(limit)
    if head.stream:
        fields["stream_options"] = _raw({"include_usage": True})
    return msgspec.json.encode(fields)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


async def _in_time(work: Coroutine[object, object, None], seconds: float | None) -> None:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await work
    except TimeoutError:
        if not limit.expired():
            raise
        message = f"the budget of {seconds} seconds passed before the answer was there"
        raise ApiError(504, message, kind="timeout_error", code="budget_seconds") from None
