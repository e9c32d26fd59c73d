"""CPU per call through the OpenAI-compatible policy, against the bare HTTP client.

    python benchmarks/openai_policy.py [--calls 4000] [--pieces 1] [--rounds 5]

A server in a process of its own answers at once. Both sides keep 32 requests in flight and take
turns, so that whatever else the machine does meets both. What is measured is the CPU time of this
process, against a client that reads the events and against one that only takes the bytes; the
median of the rounds' ratios is the result.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from statistics import median

import aiohttp
from aiohttp import web

from mull.core.expansion import Expansion, ExpansionKind, Grown
from mull.core.problem import Problem
from mull.core.tree import SearchTree
from mull.policies.openai import Address, OpenAIPolicy, open_openai_policy

IN_FLIGHT = 32
MODEL = "bench-1"


def serve(pipe: Connection, pieces: int) -> None:
    """Answer every request with the same stream of `pieces` pieces."""
    events = [
        *({"choices": [{"index": 0, "delta": {"content": " word"}}]} for _ in range(pieces)),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": pieces}},
    ]
    lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    body = b"".join([*lines, b"data: [DONE]\n\n"])

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="text/event-stream")

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": MODEL}]})

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", complete)
        app.router.add_get("/v1/models", models)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def bare(url: str, num_calls: int) -> None:
    """What anyone would write: post, read the events, take the text and the usage."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is six times seven?"}],
        "max_tokens": 256,
        "temperature": 1.0,
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    left = iter(range(num_calls))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in left:
            text = ""
            async with session.post(f"{url}/chat/completions", json=body) as response:
                async for line in response.content:
                    if line.startswith(b"data: {"):
                        for choice in json.loads(line[6:])["choices"]:
                            text += choice["delta"].get("content") or ""
            if not text:
                raise SystemExit("the server gave no text")

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))


async def bytes_only(url: str, num_calls: int) -> None:
    """The least a client can do: nothing in the answer is looked at."""
    body = {"model": MODEL, "messages": [], "stream": True}
    left = iter(range(num_calls))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(f"{url}/chat/completions", json=body) as response:
                await response.read()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))


async def through(policy: OpenAIPolicy, num_calls: int) -> None:
    """The same calls, 32 at a time, as branches of a tree."""
    tree = SearchTree(Problem.of("What is six times seven?"), policy.capabilities.model, seed=1)
    expansion = Expansion((tree.root,), ExpansionKind.FINISH, num_calls)
    calls = iter([tree.call(branch) for branch in tree.ask(expansion)])

    while wave := list(islice(calls, IN_FLIGHT)):
        stream = policy.expand(wave)
        ended = [each async for each in stream if isinstance(each, Grown) and each.finish]
        if len(ended) != len(wave):
            raise SystemExit("the policy lost calls")


async def cpu_ms(job: Callable[[], Awaitable[None]], num_calls: int) -> float:
    """CPU milliseconds of this process for one of `num_calls` calls."""
    before = time.process_time()
    await job()
    return (time.process_time() - before) / num_calls * 1000


@dataclass(frozen=True, slots=True)
class Round:
    """CPU milliseconds per call, one after another."""

    bytes_only: float
    bare: float
    policy: float


async def measure(url: str, num_calls: int, num_rounds: int) -> list[Round]:
    """Every side once a round."""
    rounds = list[Round]()
    async with open_openai_policy(Address.parse(f"{url}#{MODEL}")) as policy:
        await bare(url, 100)
        await through(policy, 100)
        for _ in range(num_rounds):
            rounds.append(
                Round(
                    await cpu_ms(lambda: bytes_only(url, num_calls), num_calls),
                    await cpu_ms(lambda: bare(url, num_calls), num_calls),
                    await cpu_ms(lambda: through(policy, num_calls), num_calls),
                )
            )
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--pieces", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, options.pieces), daemon=True
    )
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    rounds = asyncio.run(measure(url, options.calls, options.rounds))
    server.terminate()
    for name in ("bytes_only", "bare", "policy"):
        cost = median(getattr(each, name) for each in rounds)
        sys.stdout.write(f"{name:<20} {cost:.3f} ms CPU a call\n")
    for name in ("bare", "bytes_only"):
        ratios = sorted(each.policy / getattr(each, name) for each in rounds)
        spread = f"from {ratios[0]:.2f} to {ratios[-1]:.2f}"
        sys.stdout.write(f"policy / {name:<11} {median(ratios):.2f} ({spread})\n")


if __name__ == "__main__":
    main()
