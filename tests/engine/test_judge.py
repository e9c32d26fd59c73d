"""Scoring in the engine's process."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch
from toy_batches import PUNCTUATION
from toy_rewards import write_toy_reward_model
from toys import write_toy_checkpoint

from mull.core.errors import BadInputError, CheckpointError, EngineError
from mull.engine import Dtype, Engine, EngineSettings, Request
from mull.models.reward import load_reward_model

SEQUENCES = [(1, 4, 300, 5, 301), (1, 4), (1, 4, *range(300, 340)), (1, 4, 300, 5, 301, 302)]
PLACES = [(0, 4), (1,), (41, 3, 10), ()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_reward_model(tmp_path_factory.mktemp("reward"))


@asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[Engine, None]:
    engine = await Engine.start(EngineSettings(folder, PUNCTUATION, Dtype.FLOAT64))
    try:
        yield engine
    finally:
        await engine.close()


async def test_scores_are_those_of_each_sequence_alone_in_the_order_asked(folder: Path) -> None:
    async with running(folder) as engine:
        scored, again = await asyncio.gather(
            engine.score(SEQUENCES, PLACES), engine.score(SEQUENCES[::-1], PLACES[::-1])
        )
        assert await engine.score([], []) == []
    model, familiarity = load_reward_model(folder, dtype=torch.float64)
    assert familiarity is not None
    for sequence, places, first, same in zip(SEQUENCES, PLACES, scored, again[::-1], strict=True):
        with torch.inference_mode():
            early, late = model.look(torch.tensor([sequence]))
            expected = model.score(late)[0]
        assert len(first.outputs) == len(same.outputs) == len(places)
        for place, told, twice in zip(places, first.outputs, same.outputs, strict=True):
            assert told == pytest.approx(twice, abs=1e-5)
            assert told[:2] == pytest.approx(expected[place].tolist(), abs=1e-5)
            assert told[2] == pytest.approx(familiarity(early[0, place]).item(), rel=1e-4)


async def test_who_goes_on_from_a_text_reads_only_what_is_new(folder: Path) -> None:
    text = tuple(range(300, 340))
    async with running(folder) as engine:
        await engine.score([text[:21]], [(20,)])
        grown, same, aside = await engine.score(
            [text, text, (*text[:10], 5, 6)], [(9, 39), (9, 39), (9,)]
        )
        again = (await engine.score([text], [(39, 9)]))[0]
    assert [each.cached_tokens for each in (grown, same, aside, again)] == [21, 40, 10, 40]
    assert grown.outputs == same.outputs == again.outputs[::-1]
    assert aside.outputs == grown.outputs[:1]


async def test_a_score_that_nobody_waits_for_is_forgotten(folder: Path) -> None:
    async with running(folder) as engine:
        os.kill(engine.worker_id, signal.SIGSTOP)
        waiting = asyncio.create_task(engine.score([(1, 2)], [(1,)]))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        os.kill(engine.worker_id, signal.SIGCONT)
        assert len(await engine.score([(1, 3)], [(1,)])) == 1


BAD = {
    "0 tokens": ([()], [()]),
    "129 tokens": ([(1,) * 129], [(0,)]),
    "beyond": ([(1, 9999)], [(0,)]),
    "outside": ([(1, 2)], [(2,)]),
    "1 lists of places for 2": ([(1,), (2,)], [(0,)]),
}


async def test_what_cannot_be_scored_is_refused_by_name(folder: Path) -> None:
    async with running(folder) as engine:
        for error, (sequences, places) in BAD.items():
            with pytest.raises(BadInputError, match=error):
                await engine.score(sequences, places)
        with pytest.raises(BadInputError, match="a reward model generates nothing"):
            _ = [piece async for piece in engine.generate([Request((1,), 0, 5)])]
        assert len(await engine.score([(1, 2)], [(1,)])) == 1


async def test_memory_without_room_for_one_text_is_refused(folder: Path) -> None:
    with pytest.raises(BadInputError, match="leave no room for one row"):
        await Engine.start(EngineSettings(folder, PUNCTUATION, max_kv_bytes=1000))


async def test_a_policys_engine_scores_nothing(tmp_path: Path) -> None:
    async with running(write_toy_checkpoint(tmp_path)) as engine:
        with pytest.raises(BadInputError, match="the engine runs a policy"):
            await engine.score([(1, 2)], [(1,)])


async def test_who_waits_for_a_score_hears_that_the_worker_died(folder: Path) -> None:
    async with running(folder) as engine:
        os.kill(engine.worker_id, signal.SIGSTOP)
        waiting = asyncio.create_task(engine.score([(1, 2)], [(1,)]))
        await asyncio.sleep(0.05)
        os.kill(engine.worker_id, signal.SIGKILL)
        with pytest.raises(EngineError, match="the engine's process ended"):
            await waiting
        with pytest.raises(EngineError):
            await engine.score([(1, 2)], [(1,)])


async def test_a_reward_model_that_cannot_be_read_is_a_checkpoint_error(tmp_path: Path) -> None:
    folder = write_toy_reward_model(tmp_path)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        await Engine.start(EngineSettings(folder, PUNCTUATION))
