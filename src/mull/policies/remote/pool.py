"""Connections to one server, kept open from one request to the next."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from urllib.parse import quote, urlsplit

from mull.policies.remote.connection import IDLE, Connection, Response

_RESOLVED: Final = 10.0
"""Seconds for which the addresses of a name are remembered."""
_FIRST: Final = 2.0
"""Seconds for one address where there are others; the last of them has what is left."""
_UNQUOTED: Final = "/%:?&=@!$'()*+,;~"
"""What a path may hold as it is, beside letters, digits and `-._`."""

Place = tuple[str, int]
"""An address and a port."""


@dataclass(slots=True, eq=False)
class Pool:
    """The way to one server. Whoever opened it closes it."""

    root: str
    """`http://HOST:PORT`, or https."""
    connect: float
    """Seconds within which a connection stands."""
    silent: float
    """Seconds without a byte after which the server counts as gone."""
    max_in_flight: int = 64
    """Requests at once; more wait their turn."""
    keeps_alive: bool = True
    """Else every request has a connection of its own."""
    _host: str = field(init=False)
    _port: int = field(init=False)
    _is_safe: bool = field(init=False)
    _fixed: str = field(init=False)
    """The headers of every request."""
    _turn: asyncio.Semaphore = field(init=False, repr=False)
    _idle: deque[Connection] = field(default_factory=deque[Connection], repr=False)
    """The last used last."""
    _busy: set[Connection] = field(default_factory=set[Connection], repr=False)
    _known: list[Place] = field(default_factory=list[Place], repr=False)
    """Addresses of the host."""
    _silent: set[Place] = field(default_factory=set[Place], repr=False)
    """Those that did not answer when they were tried last: the others come before them."""
    _is_closed: bool = False
    _known_until: float = 0.0
    _resolving: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.root)
        self._is_safe = parts.scheme == "https"
        self._host = (parts.hostname or "").encode("idna").decode()
        self._port = parts.port or (443 if self._is_safe else 80)
        host = f"[{self._host}]" if ":" in self._host else self._host
        place = host if parts.port is None else f"{host}:{parts.port}"
        kept = "" if self.keeps_alive else "Connection: close\r\n"
        self._fixed = f" HTTP/1.1\r\nHost: {place}\r\nAccept-Encoding: identity\r\n{kept}"
        self._turn = asyncio.Semaphore(self.max_in_flight)

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        """The answer to a request, as soon as its head is there; whoever asks closes it.

        Raises `OSError` for a server that is not there or is cut off, and `TimeoutError` (which is
        one too) for one that is silent. No redirect is followed.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {quote(path, safe=_UNQUOTED)}{self._fixed}{lines}{length}\r\n"
        data = head.encode("latin-1") + (body or b"")
        await self._turn.acquire()
        try:
            connection = self._kept() or await self._connect()
            response = connection.ask(data, self._take_back)
        except BaseException:
            self._turn.release()
            raise
        self._busy.add(connection)
        try:
            self._check_open()
            await response.begin()
        except BaseException:
            response.close()
            raise
        return response

    async def close(self) -> None:
        """End all connections, those of requests that are not over too; no others are made."""
        self._is_closed = True
        for connection in (*self._idle, *self._busy):
            connection.abort(_closed())
        self._idle.clear()
        await asyncio.sleep(0)  # until the loop has closed their sockets

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()

    def _take_back(self, response: Response) -> None:
        """A request is over."""
        connection, now = response.connection, asyncio.get_running_loop().time()
        self._busy.remove(connection)
        self._turn.release()
        if connection.is_idle and self.keeps_alive and not self._is_closed:
            connection.idle_since = now
            self._idle.append(connection)
        else:
            connection.abort(_closed())
        while self._idle and self._idle[0].idle_since + IDLE < now:
            self._idle.popleft().abort(_closed())

    def _kept(self) -> Connection | None:
        """A connection that is open and free."""
        self._check_open()
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_idle and connection.idle_since + IDLE > now:
                return connection
            connection.abort(_closed())
        return None

    async def _connect(self) -> Connection:
        """A new connection, to the first address that answers."""
        limit = asyncio.timeout(self.connect)
        try:
            async with limit:
                return await self._first_of(await self._addresses())
        except OSError as error:
            self._known_until = 0.0
            if limit.expired():
                raise TimeoutError(f"no connection within {self.connect:g} s") from error
            raise

    async def _first_of(self, known: Sequence[Place]) -> Connection:
        loop = asyncio.get_running_loop()
        failure: OSError = ConnectionError(f"`{self._host}` has no address")
        for number, address in enumerate(known, start=1):
            seconds = None if number == len(known) else min(_FIRST, self.connect / len(known))
            try:
                async with asyncio.timeout(seconds):
                    _, connection = await loop.create_connection(
                        lambda: Connection(self.silent, self._is_safe),
                        *address,
                        ssl=_trusted() if self._is_safe else None,
                        server_hostname=self._host if self._is_safe else None,
                    )
            except OSError as error:
                failure = error
                self._silent.add(address)
            else:
                self._silent.discard(address)
                return connection
        raise failure

    async def _addresses(self) -> Sequence[Place]:
        """Where the host is, asked for once by all who wait for it; who answered last is first."""
        loop = asyncio.get_running_loop()
        async with self._resolving:
            if loop.time() >= self._known_until:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._known = list(dict.fromkeys((str(each[4][0]), self._port) for each in found))
                self._silent &= {*self._known}
                self._known_until = loop.time() + _RESOLVED
            return sorted(self._known, key=self._silent.__contains__)


def _closed() -> ConnectionAbortedError:
    return ConnectionAbortedError("the connection was closed here")


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates of the system; to read them takes a tenth of a second, so only for https."""
    return ssl.create_default_context()
