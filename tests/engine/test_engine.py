"""The engine as a process: streaming, cancelling, and what happens when it dies."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import torch
from toy_batches import PROMPTS, PUNCTUATION, alone
from toys import TOKENIZER, toy_decoder, write_toy_checkpoint

from mull.core.errors import BadInputError, CheckpointError, EngineError
from mull.core.expansion import Sampling
from mull.engine import Boundary, Dtype, Engine, EngineSettings, Piece, Request
from mull.models.checkpoint import save_checkpoint

PATIENCE = 30.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_checkpoint(tmp_path_factory.mktemp("toy"))


def settings_for(folder: Path, max_rows: int = 16) -> EngineSettings:
    return EngineSettings(folder, PUNCTUATION, Dtype.FLOAT64, max_rows=max_rows)


@asynccontextmanager
async def running(folder: Path, max_rows: int = 16) -> AsyncGenerator[Engine, None]:
    engine = await Engine.start(settings_for(folder, max_rows))
    try:
        yield engine
    finally:
        await engine.close()


async def collect(engine: Engine, requests: list[Request]) -> list[list[Piece]]:
    said = [list[Piece]() for _ in requests]
    async for piece in engine.generate(requests):
        said[piece.request].append(piece)
    return said


def token_ids(pieces: list[Piece]) -> list[int]:
    return [token for piece in pieces for token in piece.token_ids]


def is_running(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1]
    except FileNotFoundError:
        return False
    return state.split()[0] != "Z"


async def until_gone(process_id: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while is_running(process_id):
            await asyncio.sleep(0.02)


async def test_calls_that_share_the_process_each_get_their_own(folder: Path) -> None:
    first = [Request(PROMPTS[number % 4], number, 20) for number in range(9)]
    second = [Request(PROMPTS[0], number, 20, streams=True) for number in range(5)]
    async with running(folder, max_rows=4) as engine:
        said, streamed = await asyncio.gather(collect(engine, first), collect(engine, second))
        assert await collect(engine, []) == []
    for request, pieces in zip([*first, *second], [*said, *streamed], strict=True):
        expected = alone(request)
        assert token_ids(pieces) == expected.token_ids
        assert [piece.boundary for piece in pieces] == expected.boundaries
        assert pieces[0].kv_byte_seconds > 0
    assert all(len(piece.token_ids) == 1 for pieces in streamed for piece in pieces)


async def test_the_process_tells_what_it_has_done(folder: Path) -> None:
    async with running(folder) as engine:
        assert (await engine.stats()).turns == 0
        await collect(engine, [Request((4,), seed, 5) for seed in range(3)])
        stats, same = await asyncio.gather(engine.stats(), engine.stats())
        assert stats == same
        assert 3 <= stats.drawn_tokens <= 15
        assert stats.num_blocks == 0
    with pytest.raises(EngineError):
        await engine.stats()


async def test_closing_a_call_frees_its_rows_for_others(folder: Path) -> None:
    greedy = Sampling(temperature=0.0)
    async with running(folder, max_rows=1) as engine:
        hogs = [Request(PROMPTS[0], 0, 100, sampling=greedy, streams=True) for _ in range(500)]
        async with aclosing(engine.generate(hogs)) as pieces:
            await anext(pieces)
        # Behind 500 others on a single row this would take minutes.
        async with asyncio.timeout(PATIENCE):
            [said] = await collect(engine, [Request(PROMPTS[0], 7, 20)])
        assert token_ids(said) == alone(Request(PROMPTS[0], 7, 20)).token_ids


async def test_a_cancelled_task_leaves_the_engine_fit(folder: Path) -> None:
    async with running(folder, max_rows=2) as engine:
        hogs = [Request(PROMPTS[0], seed, 100) for seed in range(200)]
        task = asyncio.create_task(collect(engine, hogs))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        [said] = await collect(engine, [Request(PROMPTS[1], 7, 20)])
        assert said[-1].boundary.is_end


async def test_the_death_of_the_process_fails_every_call_and_the_next(folder: Path) -> None:
    async with running(folder, max_rows=1) as engine:
        hogs = [Request(PROMPTS[0], seed, 100) for seed in range(500)]
        calls = [asyncio.create_task(collect(engine, hogs)) for _ in range(2)]
        await asyncio.sleep(0.05)
        os.kill(engine.worker_id, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            results = await asyncio.gather(*calls, return_exceptions=True)
        for error in results:
            assert isinstance(error, EngineError)
            assert "exit code -9" in error.message
        with pytest.raises(EngineError, match="exit code -9"):
            await collect(engine, hogs)


async def test_a_closed_engine_fails_its_calls_and_ends_its_process(folder: Path) -> None:
    engine = await Engine.start(settings_for(folder, max_rows=1))
    call = asyncio.create_task(collect(engine, [Request(PROMPTS[0], 0, 100)] * 500))
    await asyncio.sleep(0.05)
    await engine.close()
    await engine.close()
    assert not is_running(engine.worker_id)
    with pytest.raises(EngineError, match="closed"):
        await call


async def test_an_error_in_the_process_reaches_the_caller(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(folder) as engine:
        engine._send("nonsense")  # pyright: ignore[reportPrivateUsage, reportArgumentType]
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(EngineError, match="no message to an engine: 'nonsense'"):
                await collect(engine, [Request(PROMPTS[0], seed, 100) for seed in range(500)])
    assert "Traceback" in capfd.readouterr().err


OWNER = """
import asyncio, sys
from pathlib import Path
from mull.engine import Engine, EngineSettings, Punctuation, Request
async def main():
    settings = EngineSettings(Path(sys.argv[1]), Punctuation(frozenset({2}), frozenset()))
    engine = await Engine.start(settings)
    print(engine.worker_id, flush=True)
    async for _ in engine.generate([Request((1,), seed, 100) for seed in range(100_000)]):
        pass
asyncio.run(main())
"""


async def test_the_process_dies_with_its_owner(folder: Path) -> None:
    with subprocess.Popen(  # noqa: S603  (our own interpreter)
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        worker_id = int(await asyncio.to_thread(owner.stdout.readline))
        assert is_running(worker_id)
        owner.kill()
    await until_gone(worker_id)


async def test_a_script_without_a_guard_can_start_an_engine(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    ended = OWNER.replace("async for _ in", "await engine.close()\n    return\n    async for _ in")
    script.write_text(ended, encoding="utf-8")
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, str(script), str(folder)], capture_output=True, check=True
    )
    assert not is_running(int(done.stdout))


async def test_an_engine_that_nobody_closed_holds_up_no_exit(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        OWNER.replace("async for _ in", "return\n    async for _ in"), encoding="utf-8"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, str(script), str(folder)], capture_output=True, check=True
    )
    assert not done.stderr
    await until_gone(int(done.stdout))


@pytest.mark.parametrize("name", ["torch", "llvmlite"])
async def test_what_the_process_would_lack_is_named(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match=f"needs the package `{name}`") as caught:
        await Engine.start(settings_for(folder))
    assert caught.value.hint == "pip install 'mull[local]'"


async def test_weights_that_cannot_be_read_are_a_checkpoint_error(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot read the weights") as caught:
        await Engine.start(settings_for(folder))
    assert caught.value.hint is not None


async def test_a_model_that_says_no_numbers_stops_and_says_so(tmp_path: Path) -> None:
    model = toy_decoder()
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    save_checkpoint(tmp_path, model, TOKENIZER, dtype=torch.float32)
    engine = await Engine.start(EngineSettings(tmp_path, PUNCTUATION))
    try:
        with pytest.raises(EngineError, match=r"^the model's logits are not numbers") as caught:
            await collect(engine, [Request(PROMPTS[0], 0, 5)])
        assert caught.value.hint is not None
    finally:
        await engine.close()


async def test_settings_without_room_for_a_row_are_refused(folder: Path) -> None:
    with pytest.raises(BadInputError, match="no room for one row"):
        await Engine.start(EngineSettings(folder, PUNCTUATION, max_kv_bytes=1000))


BAD_REQUESTS = {
    "prompt": [
        Request((), 0, 5),
        Request((1,) * 128, 0, 5),
        Request((1536,), 0, 5),
        Request((-1,), 0, 5),
    ],
    "max_tokens": [Request((1,), 0, 0)],
    "seed": [Request((1,), -1, 5), Request((1,), 2**64, 5)],
    "drawn": [Request((1,), 0, 5, drawn=-1)],
    "temperature": [
        Request((1,), 0, 5, sampling=Sampling(temperature=value))
        for value in (-1.0, float("inf"), float("nan"))
    ],
    "top_k": [Request((1,), 0, 5, sampling=Sampling(top_k=0))],
    "top_p": [Request((1,), 0, 5, sampling=Sampling(top_p=value)) for value in (0.0, 1.1)],
    "min_p": [Request((1,), 0, 5, sampling=Sampling(min_p=value)) for value in (-0.1, 1.1)],
}


async def test_requests_that_cannot_be_grown_are_refused_by_name(folder: Path) -> None:
    async with running(folder) as engine:
        for name, requests in BAD_REQUESTS.items():
            for request in requests:
                with pytest.raises(BadInputError, match=f"request `{name}`"):
                    await collect(engine, [Request(PROMPTS[0], 0, 5), request])
        [said] = await collect(engine, [Request(PROMPTS[0], 0, 5)])
        assert said[-1].boundary in {Boundary.STOP, Boundary.LENGTH}
