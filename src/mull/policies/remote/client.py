"""HTTP to one server: JSON in, JSON or a stream of JSON events out, failures told apart.

A failure is a `CallError`, whatever its cause. The client retries nothing: what a retry would cost
is known only to who asked.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONEncoder
from math import isfinite, nan
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from mull.core.codec import Json
from mull.core.errors import MullError
from mull.policies.remote.address import Address, ApiKey
from mull.policies.remote.connection import Response
from mull.policies.remote.fields import NOTHING, Fields, fields_of, items_of, parse, text_of
from mull.policies.remote.pool import Pool

RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_SHOWN: Final = 300
"""Characters of a server's own words in a message."""
_LINE_LIMIT: Final = 8 * 2**20
"""Bytes of one event; beyond it the server is broken."""

_encoded: Final = JSONEncoder(separators=(",", ":")).encode


class CallError(MullError):
    """One request did not bring what it was made for."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """Of the HTTP answer; None where there was none."""
        self.retryable = retryable
        self.retry_after = retry_after
        """Seconds the server asks to wait."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds after which a server counts as gone."""

    connect: float = 10.0
    silent: float = 120.0
    """Without a single byte, the wait for the first one included."""


@dataclass(frozen=True, slots=True)
class Client:
    """One connection pool to one server."""

    pool: Pool = field(repr=False)
    address: Address
    key: ApiKey | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    async def get(self, path: str) -> Fields:
        """The JSON object at a path; `CallError` if there is none."""
        async with self._request("GET", path, None) as response:
            return self._object(await response.read(), response, path)

    async def post(self, path: str, body: Mapping[str, Json]) -> Fields:
        """The JSON object a request is answered with; `CallError` if there is none."""
        async with self._request("POST", path, body) as response:
            return self._object(await response.read(), response, path)

    async def events(self, path: str, body: Mapping[str, Json]) -> AsyncGenerator[Fields, None]:
        """The JSON events a request is answered with: one, if the server does not stream.

        Closing it closes the connection, which tells the server to stop. It simply ends where the
        server ends it; whether that was too early is for the reader to judge.
        """
        async with self._request("POST", path, body) as response:
            if response.content_type != "text/event-stream":
                yield self._object(await response.read(), response, path)
                return
            rest = b""
            while chunk := await response.some():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if not line.startswith(b"data:"):
                        continue  # comments, event names and the blank lines between events
                    data = line[5:].strip()
                    if data == b"[DONE]":
                        response.is_done = True
                        return
                    yield self._object(data, response, path)
                if len(rest) > _LINE_LIMIT:
                    raise CallError(f"`{self.address.at(path)}` sent an event without an end")

    async def ask(self, method: str, path: str, body: bytes | None) -> Response:
        """The answer to a request, whatever its status; see `Pool.ask`."""
        kind = {} if body is None else {"Content-Type": "application/json"}
        place = self.address.at(path).removeprefix(self.pool.root)
        return await self.pool.ask(method, place, {**self.headers, **kind}, body)

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Mapping[str, Json] | None
    ) -> AsyncGenerator[Response, None]:
        """An answer that is not an error; it is closed at the end unless it was read to its end."""
        try:
            response = await self.ask(
                method, path, None if body is None else _encoded(body).encode()
            )
            try:
                if response.status != 200:
                    raise self._refusal(response, await response.read(), path)
                yield response
            finally:
                response.close()
        except TimeoutError as error:
            raise CallError(f"`{self.address.at(path)}` is silent: {_brief(error)}") from error
        except OSError as error:
            told = self._safe(_brief(error))
            raise CallError(f"`{self.address.at(path)}` broke off: {told}") from error

    def _object(self, data: bytes, response: Response, path: str) -> Fields:
        try:
            value = parse(data)
        except ValueError:
            value = None
        found = fields_of(value)
        if not found:
            kind, shown = response.content_type, self._safe(data.decode("utf-8", "replace"))
            where = self.address.at(path)
            raise CallError(f"`{where}` answered {kind}, not a JSON object: {shown!r}")
        if "error" in found and found["error"] is not None:
            told = self._safe(_told(found) or str(found))
            raise CallError(f"`{self.address.at(path)}` says: {told}")
        return found

    def _refusal(self, response: Response, data: bytes, path: str) -> CallError:
        try:
            found = _first(parse(data))
        except ValueError:
            found = NOTHING
        told = _told(found) or data.decode("utf-8", "replace")
        return CallError(
            f"`{self.address.at(path)}` answered {response.status}: {self._safe(told)}",
            status=response.status,
            retryable=response.status in RETRYABLE_STATUS,
            retry_after=seconds_to_wait(response.headers.get("retry-after")) or _retry_delay(found),
        )

    def _safe(self, text: str) -> str:
        """A server's own words, short, on one line and without the key."""
        text = self.key.redact(text) if self.key else text
        return " ".join(text.split())[:_SHOWN]


@asynccontextmanager
async def open_client(
    address: Address,
    key: ApiKey | None = None,
    *,
    timeouts: Timeouts = Timeouts(),
    max_in_flight: int = 64,
    keeps_alive: bool = True,
    headers: Mapping[str, str] | None = None,
) -> AsyncGenerator[Client, None]:
    """A client for as long as the block lasts; requests beyond `max_in_flight` wait.

    Without `keeps_alive` every request has a connection of its own. `headers` carry the key where
    it is not a bearer's.
    """
    if headers is None:
        headers = {"Authorization": f"Bearer {key.secret}"} if key else {}
    parts = urlsplit(address.url)
    pool = Pool(
        f"{parts.scheme}://{parts.netloc}",
        timeouts.connect,
        timeouts.silent,
        max_in_flight,
        keeps_alive,
    )
    try:
        yield Client(pool, address, key, MappingProxyType(dict(headers)))
    finally:
        await pool.close()


def seconds_to_wait(header: str | None, *, now: datetime | None = None) -> float | None:
    """What a `Retry-After` header asks for, in seconds or as a date; None if nothing readable."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header, now or datetime.now(UTC))
    return max(0.0, seconds) if isfinite(seconds) else None


def _seconds_until(date: str, now: datetime) -> float:
    """Not finite for what is no date."""
    try:
        until = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return nan
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return (until - now).total_seconds()


def _first(answer: object) -> Fields:
    """The answer, or the first of a list of them: Gemini's errors may come in one."""
    return fields_of(next(iter(items_of(answer)), answer))


def _retry_delay(answer: Fields) -> float | None:
    """Seconds that Google's `RetryInfo` asks to wait."""
    details = items_of(fields_of(answer.get("error")).get("details"))
    delays = (text_of(fields_of(each).get("retryDelay")) for each in details)
    return next((seconds_to_wait(each.removesuffix("s")) for each in delays if each), None)


def told_in(data: bytes) -> str:
    """What a body that is an error says; empty where it is no JSON object."""
    try:
        return _told(fields_of(parse(data)))
    except ValueError:
        return ""


def _told(answer: Fields) -> str:
    """What a server says went wrong, in the shapes that exist."""
    error = answer.get("error")
    return (
        text_of(fields_of(error).get("message"))
        or text_of(error)
        or text_of(answer.get("message"))
        or text_of(answer.get("detail"))
    )


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
