"""Our HTTP client against servers that speak it byte by byte, on both event loops."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from mull.core.errors import BadInputError
from mull.policies.remote import connection as connections
from mull.policies.remote import pool as pools
from mull.policies.remote.address import Address
from mull.policies.remote.client import seconds_to_wait
from mull.policies.remote.connection import Connection, Response
from mull.policies.remote.pool import Pool

Asks = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CERTIFICATES = Path(__file__).parent / "certificates"
BODY = b'{"choices":[{"text":"four"}]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
SIZED = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = (
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    b"3;name=value\r\n" + BODY[:3] + b"\r\n%x\r\n" % (len(BODY) - 3) + BODY[3:] + b"\r\n0\r\n\r\n"
)
PRELIMINARY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + SIZED
UNTIL_CLOSED = HEAD + b"Connection: close\r\n\r\n" + BODY
TOLD_LENGTH = {"sized": SIZED, "chunked": CHUNKED, "preliminary": PRELIMINARY}


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    def on_loop(scenario: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(20):
                await scenario()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(whole())

    return on_loop


Run = Callable[[Callable[[], Awaitable[None]]], None]


class Behind:
    """A server that handles each connection by `asks`, and counts them."""

    def __init__(self, asks: Asks, *, secure: ssl.SSLContext | None = None) -> None:
        self.asks, self.secure = asks, secure
        self.heads = list[bytes]()
        self.num_connections = self.num_open = 0
        self.root = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        self.num_open += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):  # the client may leave
                await self.asks(reader, writer)
        finally:
            self.num_open -= 1
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """A whole request; its body."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        lines = head.lower().split(b"\r\n")
        sizes = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
        return await reader.readexactly(sizes[0]) if sizes else b""


@asynccontextmanager
async def serving(asks: "Callable[[Behind], Asks]", **options: object) -> AsyncGenerator[Behind]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asks(behind)(reader, writer)

    secure = options.get("secure")
    assert secure is None or isinstance(secure, ssl.SSLContext)
    behind = Behind(handle)
    server = await asyncio.start_server(behind.handle, "127.0.0.1", 0, ssl=secure)
    port = server.sockets[0].getsockname()[1]
    behind.root = f"{'https' if secure else 'http'}://127.0.0.1:{port}"
    async with server:
        yield behind


@asynccontextmanager
async def pooled(
    root: str, *, connect: float = 5, silent: float = 5, limit: int = 8, keeps_alive: bool = True
) -> AsyncGenerator[Pool]:
    pool = Pool(root, connect, silent, limit, keeps_alive)
    try:
        yield pool
    finally:
        await pool.close()


def says(*answers: bytes) -> Callable[[Behind], Asks]:
    """Each request of a connection is answered by the next, the last again and again."""

    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            number = 0
            while True:
                await behind.read(reader)
                writer.write(answers[min(number, len(answers) - 1)])
                await writer.drain()
                number += 1

        return handle

    return asks


def says_once(*pieces: bytes, pause: float = 0.0) -> Callable[[Behind], Asks]:
    """One answer in pieces, and the connection ends."""

    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await behind.read(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)

        return handle

    return asks


async def until_asked(behind: Behind) -> None:
    while not behind.heads:
        await asyncio.sleep(0.001)


async def get(pool: Pool, path: str = "/v1/models") -> bytes:
    response = await pool.ask("GET", path, {})
    try:
        assert response.status == 200
        return await response.read()
    finally:
        response.close()


class Wire(asyncio.Transport):
    """What a connection is told to do with its socket."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.is_aborted = True


async def fed(data: bytes, cuts: list[int], *, ends: bool) -> tuple[Response, Connection, Wire]:
    """A connection that gets these bytes, cut there, and maybe ends."""
    wire, connection = Wire(), Connection(silent=60)
    connection.connection_made(wire)
    response = connection.ask(b"", lambda _: None)
    for start, stop in pairwise([0, *sorted(cuts), len(data)]):
        if start < stop and not wire.is_aborted:
            connection.data_received(data[start:stop])
    if ends:
        connection.connection_lost(None)
    return response, connection, wire


async def everything(response: Response) -> bytes:
    await response.begin()
    return await response.read()


@given(st.sampled_from([*TOLD_LENGTH]), st.lists(st.integers(0, 200), max_size=8))
def test_an_answer_is_the_same_however_it_is_cut(name: str, cuts: list[int]) -> None:
    async def scenario() -> None:
        data = TOLD_LENGTH[name]
        cuts_inside = [min(each, len(data)) for each in cuts]
        response, connection, _ = await fed(data, cuts_inside, ends=False)
        assert await everything(response) == BODY
        assert (response.status, response.content_type) == (200, "application/json")
        response.close()
        assert connection.is_idle
        connection.connection_lost(None)

    asyncio.run(scenario())


@given(st.sampled_from([*TOLD_LENGTH]), st.data())
def test_an_answer_that_is_cut_off_is_never_whole(name: str, data: st.DataObject) -> None:
    async def scenario() -> None:
        whole = TOLD_LENGTH[name]
        size = data.draw(st.integers(0, len(whole) - 1))
        response, _, _ = await fed(whole[:size], [], ends=True)
        with pytest.raises(ConnectionError, match="ended before"):
            await everything(response)

    asyncio.run(scenario())


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_whatever_comes_is_an_answer_or_a_connection_error(noise: bytes, cuts: list[int]) -> None:
    async def scenario() -> None:
        data = HEAD[:15] + noise
        response, _, _ = await fed(data, [min(each, len(data)) for each in cuts], ends=True)
        with suppress(ConnectionError):
            await everything(response)
        response.close()

    asyncio.run(scenario())


def test_an_answer_without_a_length_ends_with_its_connection(run: Run) -> None:
    async def scenario() -> None:
        async with serving(says_once(UNTIL_CLOSED)) as behind, pooled(behind.root) as pool:
            assert await get(pool) == BODY

    run(scenario)


def test_a_connection_carries_one_request_after_another(run: Run) -> None:
    async def scenario() -> None:
        async with serving(says(SIZED, CHUNKED)) as behind, pooled(behind.root) as pool:
            for _ in range(5):
                assert await get(pool) == BODY
            assert behind.num_connections == 1

    run(scenario)


def test_without_keeping_alive_every_request_has_its_own(run: Run) -> None:
    async def scenario() -> None:
        async with (
            serving(says(SIZED)) as behind,
            pooled(behind.root, keeps_alive=False) as pool,
        ):
            for _ in range(3):
                assert await get(pool) == BODY
            assert behind.num_connections == 3
            assert all(b"Connection: close" in head for head in behind.heads)

    run(scenario)


@pytest.mark.parametrize("extra", [SIZED, b"garbage"], ids=["an-answer-more", "garbage"])
def test_what_nobody_asked_for_answers_nobody(run: Run, extra: bytes) -> None:
    """An answer to come must not be one that was there before its request."""
    other = SIZED.replace(b"four", b"five")

    async def scenario() -> None:
        async with (
            serving(says(SIZED + extra.replace(b"four", b"evil"), other)) as behind,
            pooled(behind.root) as pool,
        ):
            for _ in range(3):
                assert await get(pool) == BODY
            assert behind.num_connections == 3

    run(scenario)


def test_a_connection_that_the_server_closed_is_not_used(run: Run) -> None:
    async def scenario() -> None:
        async with serving(says_once(SIZED)) as behind, pooled(behind.root) as pool:
            for _ in range(3):
                assert await get(pool) == BODY
                await asyncio.sleep(0.05)
            assert behind.num_connections == 3

    run(scenario)


def test_a_connection_that_nobody_used_for_long_is_not_trusted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "IDLE", 0.01)

    async def scenario() -> None:
        async with serving(says(SIZED)) as behind, pooled(behind.root) as pool:
            await get(pool)
            await asyncio.sleep(0.05)
            await get(pool)
            assert behind.num_connections == 2

    run(scenario)


def test_requests_beyond_the_limit_wait_their_turn(run: Run) -> None:
    most = 0

    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal most
            while True:
                await behind.read(reader)
                most = max(most, behind.num_open)
                await asyncio.sleep(0.01)
                writer.write(SIZED)

        return handle

    async def scenario() -> None:
        async with serving(asks) as behind, pooled(behind.root, limit=3) as pool:
            assert await asyncio.gather(*(get(pool) for _ in range(12))) == [BODY] * 12
            assert most == behind.num_connections == 3

    run(scenario)


def test_who_gives_up_frees_the_server_and_the_turn(run: Run) -> None:
    left = asyncio.Event()

    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await behind.read(reader)
            if behind.num_connections > 1:
                writer.write(SIZED)
                return
            writer.write(CHUNKED[:-20])
            try:
                await reader.read()
            finally:  # also by a reset, where the client had not read all
                left.set()

        return handle

    async def scenario() -> None:
        left.clear()
        async with serving(asks) as behind, pooled(behind.root, limit=1) as pool:
            asking = asyncio.create_task(get(pool))
            await until_asked(behind)
            waiting = asyncio.create_task(get(pool))
            asking.cancel()
            await left.wait()
            assert await waiting == BODY
            with pytest.raises(asyncio.CancelledError):
                await asking

    run(scenario)


def test_a_silent_server_is_given_up(run: Run) -> None:
    async def scenario() -> None:
        for pieces in ((), (CHUNKED[:-20],)):
            async with (
                serving(says_once(*pieces, b"", pause=30)) as behind,
                pooled(behind.root, silent=0.1) as pool,
            ):
                with pytest.raises(TimeoutError, match=r"nothing came for 0\.1 s"):
                    await get(pool)

    run(scenario)


def test_a_slow_server_is_not_silent(run: Run) -> None:
    pieces = [CHUNKED[number : number + 20] for number in range(0, len(CHUNKED), 20)]

    async def scenario() -> None:
        async with (
            serving(says_once(*pieces, pause=0.08)) as behind,
            pooled(behind.root, silent=0.3) as pool,
        ):
            assert await get(pool) == BODY

    run(scenario)


def test_a_slow_reader_lets_the_server_wait_and_misses_nothing(run: Run) -> None:
    size = 30 * 2**20
    head = HEAD + b"Content-Length: %d\r\n\r\n" % size
    sent = 0

    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await behind.read(reader)
            writer.write(head)
            for _ in range(30):
                writer.write(b"x" * 2**20)
                await writer.drain()
                sent += 2**20

        return handle

    async def scenario() -> None:
        nonlocal sent
        sent = 0
        async with serving(asks) as behind, pooled(behind.root, silent=0.1) as pool:
            response = await pool.ask("GET", "/", {})
            await asyncio.sleep(0.3)
            assert sent < size  # it waits
            assert len(await response.read()) == size
            response.close()

    run(scenario)


def test_what_we_break_off_is_not_whole(run: Run) -> None:
    """Its end was never told, and the connection ended: but it was us who ended it."""
    half = HEAD + b"\r\n" + BODY[:10]

    async def scenario() -> None:
        async with (
            serving(says_once(half, b"", pause=30)) as behind,
            pooled(behind.root, silent=0.1) as pool,
        ):
            response = await pool.ask("GET", "/", {})
            await asyncio.sleep(0.3)  # nobody reads while it is found to be silent
            assert await response.some() == BODY[:10]
            with pytest.raises(TimeoutError):
                await response.some()
            response.close()
            response = await pool.ask("GET", "/", {})
            await asyncio.sleep(0.05)
            await pool.close()
            await response.some()
            with pytest.raises(ConnectionAbortedError):
                await response.some()
            response.close()

    run(scenario)


def test_no_request_is_sent_where_the_server_has_ended() -> None:
    """Between its end and the loss of the connection lies a turn of the loop."""

    async def scenario() -> None:
        response, connection, _ = await fed(SIZED, [], ends=False)
        assert await everything(response) == BODY
        response.close()
        assert connection.is_idle
        connection.eof_received()
        assert not connection.is_idle
        connection.connection_lost(None)

    asyncio.run(scenario())


def test_a_refusal_of_what_is_still_being_sent_is_read(run: Run) -> None:
    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\n\r\ntoo large")
            writer.write_eof()
            await asyncio.sleep(10)

        return handle

    async def scenario() -> None:
        async with serving(asks) as behind, pooled(behind.root) as pool:
            response = await pool.ask("POST", "/", {}, b"x" * 50_000_000)
            assert (response.status, await response.read()) == (413, b"too large")
            response.close()

    run(scenario)


def test_what_follows_an_answer_changes_nothing_of_it(run: Run) -> None:
    evil = HEAD.replace(b"application/json", b"evil/x") + b"Content-Encoding: gzip\r\n\r\nevil"
    trailers = CHUNKED[:-2] + b"Content-Type: evil/x\r\nRetry-After: 99\r\n\r\n"
    below = b"HTTP/1.1 099 Odd\r\nContent-Length: 4\r\n\r\nEVIL" + SIZED

    async def scenario() -> None:
        for answer in (SIZED + evil, trailers, below):
            async with serving(says_once(answer)) as behind, pooled(behind.root) as pool:
                response = await pool.ask("GET", "/", {})
                assert await response.read() == BODY
                assert response.content_type == "application/json"
                assert "retry-after" not in response.headers
                response.close()

    run(scenario)


@pytest.mark.parametrize("endless", [b"X: y\r\n", b"Z" * 1_000], ids=["trailers", "one"])
def test_what_brings_nothing_is_cut(run: Run, endless: bytes) -> None:
    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await behind.read(reader)
            writer.write(CHUNKED[:-2] + b"A: ")
            while True:
                writer.write(endless)
                await writer.drain()

        return handle

    async def scenario() -> None:
        async with serving(asks) as behind, pooled(behind.root) as pool:
            with pytest.raises(ConnectionError, match="headers and the like"):
                await get(pool)

    run(scenario)


def test_a_reader_who_is_done_keeps_the_connection_of_an_answer_that_ends(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LINGER", 0.5)
    first, end = CHUNKED[:-5], CHUNKED[-5:]

    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for number in range(6):
                await behind.read(reader)
                writer.write(first)
                await writer.drain()
                await asyncio.sleep(0.005 if number < 5 else 5)
                writer.write(end)

        return handle

    async def scenario() -> None:
        async with serving(asks) as behind, pooled(behind.root, limit=1) as pool:
            for number in range(7):
                response = await pool.ask("GET", "/", {})
                size = 0
                while size < len(BODY):
                    size += len(await response.some())
                response.is_done = True
                response.close()
                assert behind.num_connections == (1 if number < 6 else 2)

    run(scenario)


def test_a_closed_pool_makes_no_connection(run: Run) -> None:
    async def scenario() -> None:
        async with serving(says_once(b"", pause=30)) as behind:
            async with pooled(behind.root, limit=1) as pool:
                asking = [asyncio.create_task(get(pool)) for _ in range(3)]
                await until_asked(behind)
            found = await asyncio.gather(*asking, return_exceptions=True)
            assert [type(each) for each in found] == [ConnectionAbortedError] * 3
            with pytest.raises(ConnectionAbortedError):
                await get(pool)
            assert behind.num_connections == 1

    run(scenario)


def test_an_answer_without_end_is_cut(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LONGEST_BODY", 100_000)
    monkeypatch.setattr(connections, "_LONGEST_HEAD", 1_000)
    body = HEAD + b"\r\n" + b"x" * 200_000
    head = HEAD + b"X: y\r\n" * 300

    async def scenario() -> None:
        for answer, told in (
            (body, "more than 100,000 bytes"),
            (head, "more than 1,000 bytes of headers"),
        ):
            async with (
                serving(says_once(answer, b"", pause=1)) as behind,
                pooled(behind.root) as pool,
            ):
                with pytest.raises(ConnectionError, match=told):
                    await get(pool)

    run(scenario)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "no answer"),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "no answer"),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", "no answer"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "no answer",
        ),
        (
            HEAD + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            "coding `gzip`",
        ),
        (b"", "ended before"),
    ],
    ids=["another-protocol", "two-lengths", "two-framings", "upgrade", "packed", "nothing"],
)
def test_what_is_no_answer_is_a_connection_error(run: Run, answer: bytes, told: str) -> None:
    async def scenario() -> None:
        async with serving(says_once(answer)) as behind, pooled(behind.root) as pool:
            for _ in range(2):  # and takes no turn with it
                with pytest.raises(ConnectionError, match=told):
                    await get(pool)

    run(scenario)


def test_an_answer_before_the_request_is_sent_costs_the_connection(run: Run) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"

    def asks(behind: Behind) -> Asks:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(refusal)
            await asyncio.sleep(5)

        return handle

    async def scenario() -> None:
        async with serving(asks) as behind, pooled(behind.root) as pool:
            for number in range(2):
                response = await pool.ask("POST", "/", {}, b"x" * 50_000_000)
                assert response.status == 413
                response.close()
                assert behind.num_connections == number + 1

    run(scenario)


def test_a_path_can_add_no_header(run: Run) -> None:
    async def scenario() -> None:
        async with serving(says(SIZED)) as behind, pooled(behind.root) as pool:
            await get(pool, "/v1/models/a b\r\nX-Evil: 1?alt=sse&b=%20ü")
            (head,) = behind.heads
            first = head.split(b"\r\n")[0]
            assert first == b"GET /v1/models/a%20b%0D%0AX-Evil:%201?alt=sse&b=%20%C3%BC HTTP/1.1"
            assert b"Host: " + behind.root.removeprefix("http://").encode() in head

    run(scenario)


def test_a_dead_address_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_FIRST", 0.2)

    async def scenario() -> None:
        async with serving(says(SIZED)) as behind, pooled(behind.root) as pool:
            port, asked = int(behind.root.rpartition(":")[2]), 0

            async def addresses(*_: object, **__: object) -> list[object]:
                nonlocal asked
                asked += 1
                return [(0, 0, 0, "", (each, port)) for each in ("127.0.0.99", "127.0.0.1")]

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
            assert await asyncio.gather(*(get(pool) for _ in range(4))) == [BODY] * 4
            assert asked == 1  # for all of them

    asyncio.run(scenario())


def test_nobody_there_is_said(run: Run) -> None:
    async def scenario() -> None:
        async with serving(says(SIZED)) as behind:
            root = behind.root
        async with pooled(root) as pool:
            with pytest.raises(ConnectionRefusedError):
                await get(pool)
        async with pooled("http://nobody.invalid") as pool:
            with pytest.raises(OSError, match=r"name|address|known"):
                await get(pool)

    run(scenario)


def test_who_did_not_answer_comes_last_and_the_last_has_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_FIRST", 0.05)
    monkeypatch.setattr(pools, "_RESOLVED", 0.0)
    tried = list[str]()

    async def scenario() -> None:
        async with (
            serving(says(SIZED)) as behind,
            pooled(behind.root, keeps_alive=False, connect=2) as pool,
        ):
            loop, port = asyncio.get_running_loop(), int(behind.root.rpartition(":")[2])
            connect = loop.create_connection

            async def addresses(*_: object, **__: object) -> list[object]:
                return [(0, 0, 0, "", (each, port)) for each in ("dead", "slow")]

            async def connecting(factory: Any, host: str, port: int, **rest: Any) -> Any:
                tried.append(host)
                await asyncio.sleep(30 if host == "dead" else 0.2)
                return await connect(factory, "127.0.0.1", port, **rest)

            monkeypatch.setattr(loop, "getaddrinfo", addresses)
            monkeypatch.setattr(loop, "create_connection", connecting)
            assert await get(pool) == BODY
            with pytest.raises(TimeoutError):  # now the slow one has little time, the dead one all
                await get(pool)
            assert tried == ["dead", "slow", "slow", "dead"]
            assert await get(pool) == BODY

    asyncio.run(scenario())


def test_connecting_has_its_own_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: Pool) -> list[tuple[str, int]]:
        await asyncio.sleep(30)
        return []

    monkeypatch.setattr(Pool, "_addresses", never)

    async def scenario() -> None:
        async with pooled("http://127.0.0.1:1", connect=0.05, limit=1) as pool:
            for _ in range(2):
                with pytest.raises(TimeoutError, match=r"no connection within 0\.05 s"):
                    await get(pool)

    run(scenario)


def test_a_certificate_must_be_trusted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(CERTIFICATES / "cert.pem", CERTIFICATES / "key.pem")

    async def refused() -> None:
        async with serving(says(SIZED), secure=secure) as behind, pooled(behind.root) as pool:
            with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
                await get(pool)

    async def trusted() -> None:
        async with (
            serving(says(SIZED, CHUNKED), secure=secure) as behind,
            pooled(behind.root) as pool,
        ):
            for _ in range(3):
                assert await get(pool) == BODY
            assert behind.num_connections == 1

    pools._trusted.cache_clear()  # pyright: ignore[reportPrivateUsage]
    run(refused)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "cert.pem"))
    pools._trusted.cache_clear()  # pyright: ignore[reportPrivateUsage]
    try:
        run(trusted)
    finally:
        pools._trusted.cache_clear()  # pyright: ignore[reportPrivateUsage]


def test_over_tls_an_answer_whose_length_is_not_told_is_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(CERTIFICATES / "cert.pem", CERTIFICATES / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "cert.pem"))

    async def scenario() -> None:
        async with (
            serving(says_once(UNTIL_CLOSED), secure=secure) as behind,
            pooled(behind.root) as pool,
        ):
            with pytest.raises(ConnectionError, match="ended before"):
                await get(pool)

    pools._trusted.cache_clear()  # pyright: ignore[reportPrivateUsage]
    try:
        run(scenario)
    finally:
        pools._trusted.cache_clear()  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    "header", ["inf", "1e400", "nan", f"Mon, 01 Jan {'9' * 40} 00:00:00 GMT", "soon", "-inf"]
)
def test_a_wait_that_is_none_is_not_read(header: str) -> None:
    assert seconds_to_wait(header) is None


def test_a_name_that_no_host_has_is_refused() -> None:
    with pytest.raises(BadInputError, match="no address"):
        Address.parse(f"http://{'a' * 70}.example/v1")
