"""What is compiled says what torch's operations say."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_batches import PUNCTUATION, Said, keep
from toys import TOY, toy_decoder, write_toy_checkpoint

from mull.core.errors import EngineError
from mull.core.expansion import Sampling
from mull.engine import Engine, EngineSettings, Request
from mull.engine.batch import Batch
from mull.engine.native import Native, native
from mull.models.inference import InferenceDecoder

MODEL = toy_decoder()
FLOAT32 = 1e-4


@pytest.fixture(scope="module")
def library() -> Native:
    try:
        return native(TOY)
    except EngineError as error:
        pytest.skip(f"no compiled parts: {error.message}")


def test_norm_and_gate_are_what_they_are_called(library: Native) -> None:
    x, out = torch.randn(7, 80), torch.empty(7, 64)
    library.norm(x.data_ptr(), out.data_ptr(), 7, 64, 80)
    assert torch.allclose(out, x[:, :64] / x.square().sum(1, keepdim=True).sqrt(), atol=1e-6)
    wide, gated = torch.randn(7, 192) * torch.logspace(-3, 2.5, 192), torch.empty(7, 96)
    library.gate(wide.data_ptr(), gated.data_ptr(), 7, 96)
    expected = torch.nn.functional.silu(wide[:, :96]) * wide[:, 96:]
    assert torch.allclose(gated, expected, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
@pytest.mark.parametrize("guesses", [None, 1, 5])
def test_forests_grown_with_it_have_the_probabilities_of_fresh_passes(
    library: Native, guesses: int | None
) -> None:
    """Shared runs, shared blocks, private blocks and windows of guesses."""
    compared = sum(forest(library, seed, guesses) for seed in range(3))
    assert compared > 500


def forest(library: Native, seed: int, guesses: int | None) -> int:
    chance, draft = random.Random(seed), toy_decoder(1)
    large, small = (
        InferenceDecoder(model, dtype=torch.float32, device="cpu") for model in (MODEL, draft)
    )
    settings = EngineSettings(
        Path(), PUNCTUATION, max_rows=24, max_kv_bytes=1 << 20, draft_tokens=guesses or 1
    )
    batch = Batch(large, settings, small if guesses else None, library=library)
    texts, said, asked = [(4,)], dict[int, Said](), dict[int, tuple[int, ...]]()
    for _ in range(40):
        if chance.random() < 0.4:
            text = chance.choice(texts)
            for _ in range(chance.choice([1, 3, 12])):
                kept = text[: chance.randrange(1, len(text) + 1)]
                new = (chance.randrange(300, 320) for _ in range(chance.choice([0, 1, 15, 30])))
                number, most = len(asked), chance.randrange(1, 36)
                asked[number] = (*kept, *new)[:90]
                is_step = chance.random() < 0.5
                batch.add([(number, Request(asked[number], number, most, one_step=is_step))])
        if chance.random() < 0.1 and asked:
            batch.cancel([chance.choice(list(asked))])
        keep(said, batch.turn())
        batch.check()
        texts += [(*asked[number], *each.token_ids) for number, each in said.items()][-5:]
    compared = 0
    for number, each in said.items():
        before, tokens = len(asked[number]), (*asked[number], *each.token_ids)
        logprobs = torch.log_softmax(MODEL(torch.tensor([tokens]))[0], -1)[before - 1 : -1]
        own = logprobs[torch.arange(len(each.token_ids)), list(each.token_ids)]
        assert each.logprobs == pytest.approx(own.numpy(), abs=FLOAT32)
        compared += len(each.token_ids)
    return compared


async def test_an_engine_draws_the_same_greedy_tokens_with_and_without_it(
    library: Native, tmp_path: Path
) -> None:
    del library  # else the engine would go on without it
    folder = write_toy_checkpoint(tmp_path)
    requests = [Request((1, 4, 300 + n, 5), n, 30, sampling=Sampling(0.0)) for n in range(5)]
    plain = dict[int, Said]()
    decoder = InferenceDecoder(MODEL, dtype=torch.float32, device="cpu")
    batch = Batch(decoder, EngineSettings(folder, PUNCTUATION))
    batch.add(enumerate(requests))
    while batch.is_busy:
        keep(plain, batch.turn())
    found = dict[int, tuple[int, ...]]()
    engine = await Engine.start(EngineSettings(folder, PUNCTUATION, native=True))
    try:
        async for piece in engine.generate(requests):
            found[piece.request] = found.get(piece.request, ()) + piece.token_ids
    finally:
        await engine.close()
    assert found == {number: tuple(said.token_ids) for number, said in plain.items()}


async def test_without_a_compiler_the_engine_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "no-compiler"))
    with pytest.raises(EngineError, match="no-compiler` cannot be run"):
        native(TOY)
    folder = write_toy_checkpoint(tmp_path / "toy")
    engine = await Engine.start(EngineSettings(folder, PUNCTUATION, native=True))
    try:
        pieces = [piece async for piece in engine.generate([Request((1, 4), 0, 5)])]
    finally:
        await engine.close()
    assert pieces
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("engine: goes on without compiled parts: the C compiler")


def test_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EngineError, match="multiples of 16"):
        native(replace(TOY, num_heads=8, num_kv_heads=4))
