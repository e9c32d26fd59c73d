"""`mull serve`, killed again and again under load: the answers are those of one that lived."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mull.core.events import NodeGrown
from mull.core.state import replay
from mull.store import SqliteJournal

STATEMENTS = [f"question {number}" for number in range(6)]
NUM_LINES = 40


def write_script(path: Path) -> None:
    """Answers of many lines, all different."""
    replies = {
        statement: [
            "".join(f"{statement} sample {sample} line {line}\n" for line in range(NUM_LINES))
            for sample in range(3)
        ]
        for statement in STATEMENTS
    }
    path.write_text(json.dumps({"replies": replies, "seconds_per_step": 0.015}))


@contextmanager
def server(
    folder: Path, journal: str
) -> Generator[tuple[str, "subprocess.Popen[str]"], None, None]:
    """`mull serve` as a process, and its address."""
    process = subprocess.Popen(  # noqa: S603  (our own command)
        [
            *(sys.executable, "-m", "mull", "serve", "--port", "0", "--slots", "7"),
            *("--journal", str(folder / journal), "--model", f"scripted:{folder}/toy.json"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    with process:
        try:
            assert process.stderr is not None
            yield process.stderr.readline().split(" at ")[1].strip(), process
        finally:
            process.kill()


async def ask(url: str, statement: str) -> Any:
    """Ask as a client that will ask again; None where the server died meanwhile."""
    body = {
        "model": "toy",
        "messages": [{"role": "user", "content": statement}],
        "seed": 3,
        "max_tokens": 10_000,
        "n": 3,
    }
    headers = {"idempotency-key": statement}
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/chat/completions", json=body, headers=headers) as response,
        ):
            return await response.json()
    except aiohttp.ClientError:
        return None


async def traces(path: Path) -> dict[str, Any]:
    """Every solve of a journal: its tree's content, its step events and whether it has ended."""
    found = dict[str, Any]()
    async with SqliteJournal(path) as journal:
        for summary in await journal.solves():
            events = await journal.load(summary.solve_id)
            state = replay(events)
            state.tree.check()
            grown = [each.grown for each in events if isinstance(each, NodeGrown)]
            keys = [(each.branch_id, each.index) for each in grown]
            assert len(set(keys)) == len(keys), "no step is there twice"
            # What a call cost may differ: one that was cut off has read its prompt twice.
            nodes = [(each.id, each.inputs, each.step, each.finish) for each in state.tree.nodes()]
            found[summary.solve_id] = (nodes, state.tree.branches(), state.ended)
    return found


@pytest.mark.parametrize(
    "num_kills", [10, pytest.param(200, marks=pytest.mark.full)], ids=["10", "200"]
)
@pytest.mark.timeout(900)
async def test_a_server_that_is_killed_loses_nothing_and_mixes_nothing_up(
    tmp_path: Path, num_kills: int
) -> None:
    write_script(tmp_path / "toy.json")
    chance = random.Random(num_kills)
    num_left = num_kills
    while num_left:
        journal = f"killed-{num_left}.db"
        for _ in range(min(5, num_left)):
            with server(tmp_path, journal) as (url, process):
                asking = [asyncio.create_task(ask(url, each)) for each in STATEMENTS]
                await asyncio.sleep(chance.uniform(0.05, 0.5))
                process.kill()
                await asyncio.gather(*asking)
            num_left -= 1
        with server(tmp_path, journal) as (url, _):
            answers = await asyncio.gather(*(ask(url, each) for each in STATEMENTS))
        await check(tmp_path, journal, answers)


async def check(folder: Path, journal: str, answers: list[Any]) -> None:
    """Every answer is its question's, and every tree that of a run that nobody interrupted."""
    for statement, answer in zip(STATEMENTS, answers, strict=True):
        texts = [choice["message"]["content"] for choice in answer["choices"]]
        assert texts == [
            "\n".join(f"{statement} sample {sample} line {line}" for line in range(NUM_LINES))
            for sample in range(3)
        ]
        assert answer["usage"]["mull"]["calls"] >= 3
    killed = await traces(folder / journal)
    assert len(killed) == len(STATEMENTS), "no request began a second solve"
    if not (folder / "whole.db").exists():
        with server(folder, "whole.db") as (url, _):
            await asyncio.gather(*(ask(url, each) for each in STATEMENTS))
    assert killed == await traces(folder / "whole.db")
