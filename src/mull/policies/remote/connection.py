"""One HTTP/1.1 connection: a request, its answer, and then the next request.

llhttp reads what comes. Whatever goes wrong is an `OSError`, as it is for sockets.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_READ_AHEAD: Final = 2**18
"""Bytes of an answer that wait for their reader; beyond it the server has to wait too."""
_LONGEST_HEAD: Final = 2**17
"""Bytes that bring nothing of the body, one after the other."""
_LONGEST_BODY: Final = 2**26
"""Bytes of an answer that is read whole; beyond them the server is broken."""
_CODED: Final = "transfer-encoding"
_LINGER: Final = 0.05
"""Seconds in which an answer that nobody needs the end of may end, to keep its connection."""
IDLE: Final = 15.0
"""Seconds after which a connection that nobody used is not trusted to be there still."""


@dataclass(slots=True, eq=False)
class Response:
    """An answer as it comes. Who asked owns it, and closes it."""

    connection: "Connection" = field(repr=False)
    on_close: Callable[["Response"], None] = field(repr=False)
    """Told once, when it is no longer wanted."""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """By their names in small letters."""
    is_whole: bool = False
    """Whether its end has come."""
    is_done: bool = False
    """Set by its reader, who needs nothing that is still to come but its end."""
    may_keep: bool = False
    """Whether the connection can carry another request after it."""
    _parser: HttpResponseParser = field(init=False, repr=False)
    _is_begun: bool = False
    """Whether the head is complete."""
    _num_empty: int = 0
    """Bytes since the last that belonged to the body."""
    _chunks: list[bytes] = field(default_factory=list[bytes], repr=False)
    _size: int = 0
    _failure: OSError | None = None
    _waiter: asyncio.Future[None] | None = None
    _is_closed: bool = False
    _farewell: asyncio.TimerHandle | None = None
    """Until when the end may come after the answer was closed."""
    _has_left: bool = False

    def __post_init__(self) -> None:
        self._parser = HttpResponseParser(self)

    @property
    def content_type(self) -> str:
        """What the body is, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def begin(self) -> None:
        """Wait for the head."""
        while not self._is_begun:
            await self._more()
        coding = self.headers.get("content-encoding", "").strip().lower()
        if coding not in {"", "identity"}:
            raise ConnectionError(f"an answer in the coding `{coding}`, which was not asked for")

    async def some(self) -> bytes:
        """What came since the last time, a byte at least; nothing at the end."""
        while not self._chunks:
            if self.is_whole:
                return b""
            await self._more()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks, self._size = [], 0
        self.connection.resume()
        return data

    async def read(self) -> bytes:
        """All of it."""
        parts, size = list[bytes](), 0
        while data := await self.some():
            parts.append(data)
            size += len(data)
            if size > _LONGEST_BODY:
                raise ConnectionError(f"an answer of more than {_LONGEST_BODY:,} bytes")
        return b"".join(parts)

    def close(self) -> None:
        """Give the connection back, or end it where the answer is not over: the server may stop."""
        if self._is_closed:
            return
        self._is_closed = True
        if self.is_done and not self.is_whole and self._failure is None:
            self._farewell = asyncio.get_running_loop().call_later(_LINGER, self._let_go)
        else:
            self._let_go()

    def feed(self, data: bytes) -> None:
        """Take in more from the server; OSError for what is no HTTP."""
        if self.is_whole:
            raise ConnectionError("something came after the answer")
        self._num_empty += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise ConnectionError(f"what came is no answer: {error}") from error
        if self._num_empty > _LONGEST_HEAD:
            raise ConnectionError(f"more than {_LONGEST_HEAD:,} bytes of headers and the like")
        self._wake()

    def end(self, error: OSError | None) -> None:
        """The connection is gone. That ends an answer whose length was not told.

        But for TLS: there nobody tells such an end from one that somebody in between has made.
        """
        if self.is_whole or self._failure is not None:
            self._wake()
            return
        is_endless = not any(each in self.headers for each in ("content-length", _CODED))
        if error is None and self._is_begun and is_endless and not self.connection.is_safe:
            self.is_whole = True
        else:
            self._failure = error or ConnectionError("the connection ended before the answer did")
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header; those after the body, and after the answer, mean nothing here."""
        if self._is_begun:
            return
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take in the end of the head; that of a preliminary answer is none."""
        if self._is_begun:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers = {}
        else:
            self._is_begun = True

    def on_body(self, data: bytes) -> None:
        """Take in a piece of the body."""
        if self.is_whole or not self._is_begun:
            return
        self._num_empty = 0
        self._chunks.append(data)
        self._size += len(data)
        if self._size > _READ_AHEAD:
            self.connection.pause()

    def on_message_begin(self) -> None:
        """Take in the first byte of an answer; one after the end is one that nobody asked for."""
        self.may_keep = False

    def on_message_complete(self) -> None:
        """Take in the end of an answer."""
        if self._is_begun and not self.is_whole:
            self.is_whole = True
            self.may_keep = self._parser.should_keep_alive()

    async def _more(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._farewell is not None and (self.is_whole or self._failure is not None):
            asyncio.get_running_loop().call_soon(self._let_go)

    def _let_go(self) -> None:
        if self._has_left:
            return
        self._has_left = True
        if self._farewell is not None:
            self._farewell.cancel()
        self.connection.leave()
        del self._parser  # which holds this
        self.on_close(self)


@dataclass(slots=True, eq=False)
class Connection(asyncio.Protocol):
    """A connection that is open. Its pool owns it."""

    silent: float
    """Seconds without a byte after which the server counts as gone."""
    is_safe: bool = False
    """Whether it goes over TLS."""
    is_open: bool = False
    idle_since: float = 0.0
    _transport: asyncio.Transport = field(init=False, repr=False)
    _response: Response | None = None
    _heard: float = 0.0
    _alarm: asyncio.TimerHandle | None = None
    _is_paused: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether it can carry a request now."""
        return self.is_open and self._response is None

    def ask(self, data: bytes, on_close: Callable[[Response], None]) -> Response:
        """Send a request; its answer is to come."""
        response = self._response = Response(self, on_close)
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        if self._alarm is None:
            self._alarm = loop.call_later(self.silent, self._listen)
        self._transport.write(data)
        return response

    def leave(self) -> None:
        """The answer is no longer wanted; what is left of it costs the connection."""
        response = self._response
        is_over = response is not None and response.is_whole and response.may_keep
        if not is_over or self._is_paused or self._transport.get_write_buffer_size():
            self.abort(ConnectionAbortedError("the request was given up"))
        self._response = None

    def abort(self, error: OSError) -> None:
        """End it at once."""
        self.is_open = False
        if self._response is not None:
            self._response.end(error)
        self._transport.abort()

    def pause(self) -> None:
        """Read no more for now."""
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and self.is_open:
            self._is_paused = False
            self._heard = asyncio.get_running_loop().time()
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not say so
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._heard = asyncio.get_running_loop().time()
        try:
            if self._response is None:
                raise ConnectionError("something came that nobody asked for")
            self._response.feed(data)
        except OSError as error:
            self.abort(error)

    def eof_received(self) -> None:
        """Nothing more will come: no request is to be sent that way."""
        self.is_open = False
        if self._response is not None:
            self._response.end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.is_open = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._response is not None:
            error = exc if exc is None or isinstance(exc, OSError) else ConnectionError(str(exc))
            self._response.end(error)
            self._response = None

    def _listen(self) -> None:
        """See whether the server has been silent, or the connection idle, for too long."""
        self._alarm = None
        loop = asyncio.get_running_loop()
        is_waiting = self._response is not None and not self._response.is_whole
        left = self._heard + (self.silent if is_waiting else IDLE) - loop.time()
        if is_waiting and self._is_paused:
            left = self.silent
        if left > 0:
            self._alarm = loop.call_later(left, self._listen)
        elif is_waiting:
            self.abort(TimeoutError(f"nothing came for {self.silent:g} s"))
        elif self._response is None:
            self.abort(ConnectionAbortedError("nobody used the connection"))
