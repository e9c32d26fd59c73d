"""What the gateway costs: against the bare server behind it, in one run, on one machine.

    python benchmarks/gateway.py [--requests 2000] [--rounds 300] [--beside NAME=COMMAND]

Starts a server that answers at once (its own process), `mull serve` before it (its own process),
and asks both in turn. CPU time is that of the gateway's process alone, as the kernel counts it.
`--beside` measures another gateway the same way: a command that is told the port to listen at by
`{port}`, and by `{upstream}` the address of the server that answers (whose model is `fake`).
"""

import argparse
import asyncio
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

CALL_SECONDS = 0.1
"""Of one call of the best-of-64."""
SEARCHES = 60
SAID = {"role": "assistant", "content": "4"}
WHOLE = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }
).encode()
KEY = {"authorization": "Bearer x"}
BODY = {"messages": [{"role": "user", "content": "What is 2 + 2?"}]}


def chunk(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n"


GAME = "Use 4, 9, 10 and 13 once each with + - * / to make 24."
RIGHT = chunk("(13 - 9) * (10 - 4)")
WINNER = 32
"""Which of the calls of a search that ends early is right, by when they come."""
TOKEN = chunk(" word")
LAST = chunk(None, "stop")
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\n'


class Upstream:
    """The server behind, as bare as can be."""

    def __init__(self) -> None:
        self.slowest = 0.0
        self.left_at = 0.0
        self.num_racing = 0
        self.won_at = 0.0
        self.losers = list[float]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] == "/v1/models":
            return await self.reply(send, b'{"data":[{"id":"fake"}]}')
        if scope["path"] == "/seen":
            lost = [left - self.won_at for left in self.losers]
            seen = {"slowest": self.slowest, "left": self.left_at, "lost": lost}
            self.slowest, self.num_racing, self.losers = 0.0, 0, []
            return await self.reply(send, json.dumps(seen).encode())
        if scope["path"] != "/v1/chat/completions":
            return await self.reply(send, b'{"error":{"message":"no"}}', 404)
        asked = json.loads(body)
        if not asked.get("stream"):
            return await self.reply(send, WHOLE)
        return await self.stream(receive, send, asked["max_tokens"])

    async def reply(self, send: Any, body: bytes, status: int = 200) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def stream(self, receive: Any, send: Any, max_tokens: int) -> None:
        """1: one call of a search; 2: for ever; 3: one of many is right; else so many events."""
        started = time.monotonic()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def write(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        if max_tokens == 1:
            await asyncio.sleep(CALL_SECONDS)
        elif max_tokens == 2:
            await write(TOKEN)
            await receive()  # until the client has left
            self.left_at = time.monotonic()
            return
        elif max_tokens == 3:
            await self.race(receive, write)
            return
        else:
            for _ in range(max_tokens):
                await write(TOKEN)
        await write(TOKEN + LAST + USAGE + b"data: [DONE]\n\n")
        await send({"type": "http.response.body", "body": b""})
        self.slowest = max(self.slowest, time.monotonic() - started)

    async def race(self, receive: Any, write: Any) -> None:
        """One call answers, and is right; the others until their client leaves."""
        self.num_racing += 1
        if self.num_racing == WINNER:
            await asyncio.sleep(2 * CALL_SECONDS)
            self.won_at = time.monotonic()
            await write(RIGHT + LAST + USAGE + b"data: [DONE]\n\n")
        else:
            await write(TOKEN)
            await receive()
            self.losers.append(time.monotonic())


def serve_upstream(port: int) -> None:
    uvicorn.run(Upstream(), port=port, log_level="critical", loop="uvloop", ws="none")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def bare_server(port: int) -> AsyncGenerator[str, None]:
    """The address of the server that answers."""
    bare = f"http://127.0.0.1:{port}/v1"
    async with running([sys.executable, __file__, "--upstream", str(port)]):
        await answering(f"{bare}/models")
        yield bare


@asynccontextmanager
async def running(command: list[str], **options: Any) -> AsyncGenerator[Any, None]:
    """A process, for as long as the block lasts."""
    process = subprocess.Popen(command, **options)  # noqa: S603
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def mull(bare: str, python: str = sys.executable) -> AsyncGenerator[tuple[str, int], None]:
    """The gateway's address and process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-m", "mull", "serve", "--port", "0", "--slots", "256"]
        command += ["--journal", f"{folder}/served.db", "--model", f"fake=openai:{bare}#fake"]
        started = time.perf_counter()
        async with running(command, stderr=subprocess.PIPE, text=True) as gateway:
            line = gateway.stderr.readline()
            while " at http" not in line:
                if not line:
                    raise SystemExit("`mull serve` did not start")
                line = gateway.stderr.readline()
            say_ready(gateway.pid, time.perf_counter() - started)
            yield line.split(" at ")[1].strip(), gateway.pid


@asynccontextmanager
async def peer(command: str, bare: str, port: int) -> AsyncGenerator[tuple[str, int], None]:
    """Another gateway's address and process."""
    words = [each.format(port=port, upstream=bare) for each in shlex.split(command)]
    environment = {**os.environ, "OPENAI_API_KEY": "x"}
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        async with running(words, env=environment, stdout=log, stderr=log) as process:
            url = f"http://127.0.0.1:{port}/v1"
            await answering(f"{url}/models")
            say_ready(process.pid, time.perf_counter() - started)
            yield url, process.pid


def say_ready(pid: int, seconds: float) -> None:
    cpu, size = cpu_seconds(pid), memory(pid)
    say(f"ready after {seconds:.2f} s, {cpu:.2f} s of CPU; {size:.0f} MB idle")


def memory(pid: int) -> float:
    """Megabytes that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (size,) = [line.split()[1] for line in status.splitlines() if "VmRSS" in line]
    return int(size) / 1024


async def answering(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(2000):
            try:
                async with session.get(url) as response:
                    await response.read()
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def ask(session: aiohttp.ClientSession, url: str, **fields: Any) -> bytes:
    body = {"model": "fake", **BODY, **fields}
    async with session.post(f"{url}/chat/completions", json=body, headers=KEY) as response:
        data = await response.read()
        if response.status != 200:
            raise SystemExit(f"{response.status}: {data!r}")
        return data


async def added_latency(
    session: aiohttp.ClientSession, bare: str, url: str, rounds: int
) -> tuple[float, float]:
    """Milliseconds of one request at a time, bare and through the gateway, in turn."""
    seconds: dict[str, list[float]] = {bare: [], url: []}
    for _ in range(rounds):
        for each, taken in seconds.items():
            start = time.perf_counter()
            await ask(session, each)
            taken.append(time.perf_counter() - start)
    return statistics.median(seconds[bare]) * 1e3, statistics.median(seconds[url]) * 1e3


async def cpu_of(pid: int, work: Any, count: int) -> float:
    """Microseconds of the gateway's CPU for each of `count` things."""
    before = cpu_seconds(pid)
    await work
    return (cpu_seconds(pid) - before) / count * 1e6


async def crowd(session: aiohttp.ClientSession, url: str, requests: int) -> None:
    """So many requests, 32 at a time."""

    async def some() -> None:
        for _ in range(requests // 32):
            await ask(session, url)

    await asyncio.gather(*(some() for _ in range(32)))


async def streams(session: aiohttp.ClientSession, url: str, num_events: int) -> None:
    """Eight streams of many events."""
    asking = (ask(session, url, stream=True, max_tokens=num_events) for _ in range(8))
    await asyncio.gather(*asking)


async def best_of_64(
    session: aiohttp.ClientSession, bare: str, url: str, **fields: Any
) -> list[float]:
    """Milliseconds beyond the slowest of the 64 calls."""
    beyond = list[float]()
    root = bare.removesuffix("/v1")
    for _ in range(SEARCHES):
        async with session.get(f"{root}/seen") as response:
            await response.read()
        start = time.perf_counter()
        await ask(session, url, max_tokens=1, **fields)
        taken = time.perf_counter() - start
        async with session.get(f"{root}/seen") as response:
            beyond.append((taken - (await response.json())["slowest"]) * 1e3)
    return beyond


async def losing(session: aiohttp.ClientSession, bare: str, url: str) -> list[float]:
    """Milliseconds from a right answer to the server behind hearing that 63 others are not wanted.

    From its last byte, so that reading and checking it count too, to the last of them.
    """
    heard = list[float]()
    root = bare.removesuffix("/v1")
    game = {"messages": [{"role": "user", "content": GAME}], "mull": {"width": 64}}
    for _ in range(SEARCHES):
        await ask(session, url, model="es-64-fake", max_tokens=3, **game)
        await asyncio.sleep(0.1)
        async with session.get(f"{root}/seen") as seen:
            lost = (await seen.json())["lost"]
        if len(lost) != 63:
            raise SystemExit(f"only {len(lost)} of 63 calls were cancelled")
        heard.append(max(lost) * 1e3)
    return heard


async def cancelling(session: aiohttp.ClientSession, bare: str, url: str, rounds: int) -> float:
    """Milliseconds from a client's leaving to the server behind hearing of it; the median."""
    heard = list[float]()
    root = bare.removesuffix("/v1")
    body = {"model": "fake", **BODY, "stream": True, "max_tokens": 2}
    for _ in range(rounds):
        response = await session.post(f"{url}/chat/completions", json=body, headers=KEY)
        await response.content.readany()
        left = time.monotonic()
        response.close()
        await asyncio.sleep(0.3)
        async with session.get(f"{root}/seen") as seen:
            heard.append((await seen.json())["left"] - left)
    return statistics.median(heard) * 1e3


async def measure(requests: int, rounds: int, peers: list[str]) -> None:
    port = 18_000 + os.getpid() % 1000
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        bare_server(port) as bare,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        say("mull")
        async with mull(bare) as (url, pid):
            await passing(session, bare, url, pid, requests, rounds)
            await searching(session, bare, url, pid)
        for number, each in enumerate(peers, start=1):
            name, _, command = each.partition("=")
            say(name)
            async with peer(command, bare, port + number) as (url, pid):
                await passing(session, bare, url, pid, requests // 4, rounds // 2)


async def passing(  # noqa: PLR0917
    session: aiohttp.ClientSession, bare: str, url: str, pid: int, requests: int, rounds: int
) -> None:
    """Plain requests and streams."""
    await crowd(session, url, 320)
    direct, through = await added_latency(session, bare, url, rounds)
    say(f"one at a time: {direct:.2f} ms bare, {through:.2f} ms through the gateway, "
        f"{through - direct:+.2f} ms added (p50)")  # fmt: skip
    cpu = await cpu_of(pid, crowd(session, url, requests), requests // 32 * 32)
    say(f"32 at a time: {cpu:.0f} µs CPU a request, {1e6 / cpu:,.0f} requests/s a core")
    num_events = 10 * requests
    cpu = await cpu_of(pid, streams(session, url, num_events), 8 * num_events)
    say(f"streams: {cpu:.2f} µs CPU an event")


async def searching(session: aiohttp.ClientSession, bare: str, url: str, pid: int) -> None:
    """Best of 64, and clients that leave."""
    before = cpu_seconds(pid)
    beyond = await best_of_64(session, bare, url, model="bon-64-fake")
    cpu = (cpu_seconds(pid) - before) / SEARCHES * 1e3
    low, middle, high = statistics.quantiles(beyond, n=4)
    say(f"best of 64: {middle:.1f} ms beyond its slowest call (p50 of {SEARCHES}; quartiles "
        f"{low:.1f} and {high:.1f}), {cpu:.1f} ms CPU")  # fmt: skip
    lost = await losing(session, bare, url)
    say(f"63 calls beside a right answer: {statistics.median(lost):.1f} ms until the server behind "
        f"has heard of all (p50 of {SEARCHES}; worst {max(lost):.1f})")  # fmt: skip
    heard = await cancelling(session, bare, url, 15)
    say(f"a client leaves: {heard:.1f} ms until the server behind hears of it (p50)")
    say(f"memory: {memory(pid):.0f} MB")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--upstream", type=int)
    options = parser.parse_args()
    if options.upstream:
        serve_upstream(options.upstream)
    else:
        asyncio.run(measure(options.requests, options.rounds, options.beside))


if __name__ == "__main__":
    main()
