"""What is compiled says what torch's operations say."""

import random
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_batches import PUNCTUATION, Said, keep
from toys import TOY, toy_decoder, write_toy_checkpoint

from mull.core.errors import EngineError
from mull.core.expansion import Sampling
from mull.engine import Engine, EngineSettings, Request, kept_code
from mull.engine.batch import Batch
from mull.engine.compiled import compiled, serves
from mull.engine.lanes import floats
from mull.engine.sampling import Draws, draw
from mull.engine.translation import translated
from mull.models.inference import InferenceDecoder, packed

MODEL = toy_decoder()
FLOAT32 = 1e-4


def test_norm_gate_and_products_are_what_they_are_called() -> None:
    kernels = compiled()
    x, out = torch.randn(7, 80), torch.empty(7, 64)
    kernels.norm(x.data_ptr(), out.data_ptr(), 7, 64)
    assert torch.allclose(out, x[:, :64] / x.square().sum(1, keepdim=True).sqrt(), atol=1e-6)
    wide, gated = torch.randn(7, 192) * torch.logspace(-3, 2.5, 192), torch.empty(7, 96)
    kernels.gate(wide.data_ptr(), gated.data_ptr(), 7, 96)
    expected = torch.nn.functional.silu(wide[:, :96]) * wide[:, 96:]
    assert torch.allclose(gated, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", range(1, 14))
def test_products_are_exact_for_any_number_of_rows_and_columns(rows: int) -> None:
    """And a row's numbers are the same whatever stands beside it."""
    for depth, width in ((48, 16), (64, 96), (160, 64), (16, 208)):
        x, weight = torch.randn(rows, depth), torch.randn(depth, width)
        first = torch.randn(rows, width + 16)
        held = packed(weight)
        out, alone = first.clone(), first[-1:].clone()
        sizes = (depth, width)
        multiply = compiled().multiply
        multiply(rows, *sizes, x.data_ptr(), held.data_ptr(), out.data_ptr(), width + 16, 1)
        last = x[-1:].clone()
        multiply(1, *sizes, last.data_ptr(), held.data_ptr(), alone.data_ptr(), width + 16, 1)
        expected = first.double()
        expected[:, :width] += x.double() @ weight.double()
        assert torch.allclose(out.double(), expected, atol=1e-4)
        assert torch.equal(out[-1], alone[0])


def chances(count: int, temperature: float) -> Draws:
    every = np.ones(count)
    uniforms = (np.arange(count) + 0.5) / count
    return Draws(uniforms, every * temperature, np.zeros(count, np.int64), every, every * 0.0)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 3.0, 1e-9, 1e-46])
def test_draws_are_those_of_torch_but_at_the_very_edge(temperature: float) -> None:
    count = 20_000
    chance = torch.Generator().manual_seed(0)
    logits = (torch.randn(160, generator=chance) * 4).expand(count, 160).contiguous()
    logits[:, 3] = -torch.inf
    wanted = draw(logits, chances(count, temperature))
    found = draw(logits, chances(count, temperature), compiled())
    same = found.token_ids == wanted.token_ids
    assert same.mean() > 0.999
    assert np.abs(found.token_ids - wanted.token_ids).max() <= 20
    assert found.logprobs[same] == pytest.approx(wanted.logprobs[same], abs=1e-5)


def test_a_chance_next_to_one_draws_a_token_that_is_possible() -> None:
    logits = torch.full((4, 64), -200.0)
    logits[:, [5, 20]] = 0.0
    draws = replace(chances(4, 1.0), uniforms=np.array([0.0, 0.25, 0.75, 1.0 - 1e-12]))
    assert draw(logits, draws, compiled()).token_ids.tolist() == [5, 5, 20, 20]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_nothing_is_drawn_from_what_is_no_distribution(
    temperature: float, *, is_compiled: bool
) -> None:
    kernels = compiled() if is_compiled else None
    for odd in (torch.nan, torch.inf):
        logits = torch.randn(3, 160)
        logits[1, 21] = odd
        with pytest.raises(EngineError, match="not numbers"):
            draw(logits, chances(3, temperature), kernels)
    with pytest.raises(EngineError, match="not numbers"):
        draw(torch.full((3, 160), -torch.inf), chances(3, temperature), kernels)
    low = draw(torch.full((3, 160), -1e31), chances(3, temperature), kernels)
    assert low.token_ids.tolist() == ([26, 80, 133] if temperature else [0, 0, 0])
    assert low.logprobs == pytest.approx(-np.log(160))


@torch.inference_mode()
@pytest.mark.parametrize("guesses", [None, 1, 5])
def test_forests_grown_with_it_have_the_probabilities_of_fresh_passes(guesses: int | None) -> None:
    """Shared runs, shared blocks, private blocks and windows of guesses."""
    compared = sum(forest(seed, guesses) for seed in range(3))
    assert compared > 500


def forest(seed: int, guesses: int | None) -> int:
    chance, draft = random.Random(seed), toy_decoder(1)
    large, small = (
        InferenceDecoder(model, dtype=torch.float32, device="cpu", kernels=compiled())
        for model in (MODEL, draft)
    )
    settings = EngineSettings(
        Path(), PUNCTUATION, max_rows=24, max_kv_bytes=1 << 20, draft_tokens=guesses or 1
    )
    batch = Batch(large, settings, small if guesses else None)
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


@torch.inference_mode()
@pytest.mark.parametrize("large", [False, True])
def test_a_draft_may_be_compiled_where_its_target_is_not(*, large: bool) -> None:
    """Their widths may differ. A model guesses all that it says itself."""
    kernels = (compiled(), None) if large else (None, compiled())
    target, draft = (
        InferenceDecoder(MODEL, dtype=torch.float32, device="cpu", kernels=each) for each in kernels
    )
    batch = Batch(target, EngineSettings(Path(), PUNCTUATION, max_rows=12), draft)
    prompts = [(4, *range(300, 320 + each % 3)) for each in range(12)]
    batch.add([(each, Request(prompt, each, 40)) for each, prompt in enumerate(prompts)])
    while batch.is_busy:
        batch.turn()
    assert batch.stats().acceptance == 1.0


async def test_an_engine_draws_the_same_greedy_tokens_with_and_without_it(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path)
    requests = [Request((1, 4, 300 + n, 5), n, 30, sampling=Sampling(0.0)) for n in range(5)]
    found = list[dict[int, tuple[int, ...]]]()
    for is_compiled in (False, True):
        drawn = dict[int, tuple[int, ...]]()
        engine = await Engine.start(EngineSettings(folder, PUNCTUATION, compiled=is_compiled))
        try:
            async for piece in engine.generate(requests):
                drawn[piece.request] = drawn.get(piece.request, ()) + piece.token_ids
        finally:
            await engine.close()
        found.append(drawn)
    assert found[0] == found[1]


def test_only_what_fits_is_compiled_for() -> None:
    assert serves(TOY, torch.float32, "cpu")
    assert not serves(replace(TOY, num_heads=8, num_kv_heads=4), torch.float32, "cpu")
    assert not serves(TOY, torch.bfloat16, "cpu")
    assert not serves(TOY, torch.float32, "cuda")


def test_what_was_built_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    anew = compiled.__wrapped__  # as another process would have it
    anew()
    monkeypatch.delattr("mull.engine.compiled._built")
    x, out = torch.ones(1, 32), torch.empty(1, 16)
    anew().norm(x.data_ptr(), out.data_ptr(), 1, 16)
    assert out[0].numpy() == pytest.approx(np.full(16, 32**-0.5))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where some code is kept."""
    path = tmp_path / "kernels" / "code.o"
    kept_code.write(path, b"code")
    assert kept_code.read(path) == b"code"
    assert path.parent.stat().st_mode & 0o077 == 0 == path.stat().st_mode & 0o077
    return path


@pytest.mark.parametrize("damage", ["cut", "changed", "open to others", "in an open folder"])
def test_no_code_is_read_that_is_not_whole_or_may_be_another_s(kept: Path, damage: str) -> None:
    """A process may have been killed while it wrote, others may have put something in its place."""
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-1])
    elif damage == "changed":
        kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    else:
        (kept if damage == "open to others" else kept.parent).chmod(0o777)
    assert kept_code.read(kept) is None
    if damage != "in an open folder":
        kept_code.write(kept, b"new code")
        assert kept_code.read(kept) == b"new code"
        assert list(kept.parent.iterdir()) == [kept]


def test_no_code_is_read_but_what_was_looked_at(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, look = [kept.parent, kept], kept_code.is_ours

    def then_swapped(found: Any) -> bool:
        is_ours = look(found)
        looks.pop()
        if not looks:
            other = kept.with_name("other")
            kept_code.write(other, b"evil")
            other.replace(kept)
        return is_ours

    monkeypatch.setattr(kept_code, "is_ours", then_swapped)
    assert kept_code.read(kept) == b"code"
    assert not looks


def test_what_cannot_be_kept_leaves_nothing(kept: Path) -> None:
    kept.unlink()
    kept.mkdir()
    kept_code.write(kept, b"code")
    assert list(kept.parent.iterdir()) == [kept]


def test_without_a_home_that_can_be_written_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = kept_code.place("code.o")
    kept_code.write(path, b"code")
    assert kept_code.read(path) is None


def homeless() -> Path:
    raise RuntimeError("no home")


def test_who_has_no_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    path = kept_code.place("code.o")
    kept_code.write(path, b"code")
    assert kept_code.read(path) is None


@pytest.mark.parametrize(
    "statement",
    [
        "return n // 2",
        "return ~n",
        "return 'text'",
        "return n < 1 or n > 2",
        "return abs(n)",
        "return [n]",
        "a = b = n",
        "n.place = 1",
        "for i in n:\n        n = i",
        "assert n",
    ],
)
def test_what_the_translation_does_not_know_it_refuses(tmp_path: Path, statement: str) -> None:
    (tmp_path / "odd.py").write_text(f"def odd(n: int) -> int:\n    {statement}\n    return n\n")
    spec = spec_from_file_location("odd", tmp_path / "odd.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(odd := module_from_spec(spec))
    with pytest.raises(SyntaxError, match="`odd` cannot be compiled: "):
        translated([odd], ["odd"])


def test_words_are_compiled_and_not_called() -> None:
    with pytest.raises(TypeError, match="compiled, not called"):
        floats(0)
