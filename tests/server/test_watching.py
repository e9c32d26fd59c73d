"""What a server says of itself, and what it must not wait for."""

import asyncio
import time
from pathlib import Path

import aiohttp
from aiohttp import web
from server.serving import scripted, serving
from servers.fake import FakeServer, Json, says
from servers.threads import running

from mull import solve_async
from mull.build import OpenModel
from mull.core.problem import Problem
from mull.core.spec import Spec
from mull.engine import EngineStats
from mull.policies.scripted import ScriptedPolicy
from mull.store import SqliteJournal

SAID = ("It is 41", "It is 42")
ASKS = "What is six times seven?"


class Stuck(ScriptedPolicy):
    """Its engine says nothing any more."""

    async def stats(self) -> EngineStats:
        """Never."""
        await asyncio.Event().wait()
        raise AssertionError("an event came that nobody sets")


async def test_metrics_come_though_an_engine_hangs() -> None:
    policy = Stuck(scripted({ASKS: SAID}).script)
    async with serving(policy, slots=2) as served, aiohttp.ClientSession() as session:
        before = time.monotonic()
        async with session.get(f"{served.url}/metrics") as response:
            text = await response.text()
    assert response.status == 200
    assert time.monotonic() - before < 5
    assert 'mull_engine_up{model="toy"} 0.0' in text
    assert 'mull_calls{model="toy",state="waiting"} 0.0' in text


async def likes_42(request: web.Request, body: Json) -> web.StreamResponse:
    solution = body["messages"][-1]["content"].partition("solution]")[2]
    return await says("right" if "42" in solution else "wrong")(request, body)


async def test_a_solve_that_goes_on_here_has_its_judge_again(tmp_path: Path) -> None:
    """It was begun elsewhere, with a judge that the journal names, and ran out of budget."""
    policy, path = scripted({ASKS: SAID}), tmp_path / "kept.db"
    with running(FakeServer(lambda _: likes_42)) as judge:
        begun = await solve_async(
            Problem.of(ASKS),
            model=OpenModel(policy, Spec("scripted", {"file": "toy"})),
            strategy="early_stop",
            n=2,
            width=1,
            verifier=f"judge:openai:{judge.url}#fake-1",
            budget_tokens=70,
            max_tokens=4,
            journal=path,
        )
        async with (
            SqliteJournal(path) as journal,
            serving(policy, journal=journal, slots=2) as served,
            aiohttp.ClientSession() as session,
        ):
            url = f"{served.url}/v1/solves/{begun.solve_id}/extend"
            async with session.post(url, json={"budget": {"tokens": 5000}}) as response:
                assert response.status == 200, await response.text()
            live = served.gateway.solves.live.get(begun.solve_id)
            if live is not None:
                await live.solution()
            state = await served.gateway.solves.state(begun.solve_id, "")
    assert begun.answer == SAID[0], "its budget ended before its judge was asked"
    assert state.ended is not None
    assert state.ended.answer == SAID[1]
    assert len(judge.bodies) == 2
