"""Whatever the tree, a branch's logits are those of a fresh pass over its tokens."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor
from toy_batches import PUNCTUATION
from toys import TOY, toy_decoder

from mull.engine.batch import Batch
from mull.engine.compiled import Compiled, compiled
from mull.engine.requests import EngineSettings, Request
from mull.engine.rows import Rows
from mull.models.inference import InferenceDecoder
from mull.models.transformer import Decoder

FRESH: Final = toy_decoder()
ONE_HEAD: Final = toy_decoder(config=replace(TOY, num_kv_heads=1))
ALL_HEADS: Final = toy_decoder(config=replace(TOY, num_kv_heads=TOY.num_heads))
WIDE_HEADS: Final = toy_decoder(config=replace(TOY, num_heads=2, num_kv_heads=1))
HOW: Final = [
    pytest.param(torch.float32, id="in torch's operations"),
    pytest.param(compiled(), id="compiled"),
]
FLOAT32: Final = 1e-4
BFLOAT16: Final = 0.6
"""Largest difference of a logit; they reach from -12 to 12, where bfloat16 counts in 16ths."""


class Watched(InferenceDecoder):
    """Compares all logits with those of the plain network."""

    rows: Rows
    fresh: Decoder
    worst = 0.0
    num_compared = 0

    def logits(self, hidden: Tensor) -> Tensor:
        return self.compared(super().logits(hidden))

    def compared(self, ours: Tensor) -> Tensor:
        sequences = [self.rows.sequence(row) for row in range(self.rows.count)]
        theirs = fresh_logits(self.fresh, sequences)
        self.worst = max(self.worst, float((ours - theirs).abs().max()))
        self.num_compared += len(sequences)
        return ours


def fresh_logits(model: Decoder, sequences: list[tuple[int, ...]]) -> Tensor:
    """(N, V): what follows each sequence, in one padded pass without any cache."""
    tokens = torch.zeros((len(sequences), max(map(len, sequences))), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
    ends = torch.tensor([len(sequence) - 1 for sequence in sequences])
    return model(tokens)[torch.arange(len(sequences)), ends]


class Forest:
    """Requests that go on from each other's text anywhere, come at any time and are cancelled."""

    def __init__(self, seed: int, how: torch.dtype | Compiled, fresh: Decoder) -> None:
        self.chance = random.Random(seed)
        kernels = how if isinstance(how, Compiled) else None
        dtype = how if isinstance(how, torch.dtype) else torch.float32
        self.decoder = Watched(fresh, dtype=dtype, device="cpu", kernels=kernels)
        self.decoder.fresh = fresh
        settings = EngineSettings(Path(), PUNCTUATION, max_rows=12, max_kv_bytes=1 << 20)
        self.batch = Batch(self.decoder, settings)
        self.decoder.rows = self.batch._rows  # pyright: ignore[reportPrivateUsage]
        if kernels is not None:
            passes = self.batch._passes  # pyright: ignore[reportPrivateUsage]
            passes.over_rows = self.watched(passes.over_rows)
        self.texts: list[tuple[int, ...]] = [(4,)]
        self.prompts = dict[int, tuple[int, ...]]()

    def watched(self, over_rows: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def compared(*of: Any) -> Tensor:
            return self.decoder.compared(over_rows(*of))

        return compared

    def run(self, num_turns: int) -> "Watched":
        for _ in range(num_turns):
            if self.chance.random() < 0.4:
                self.batch.add([self.request() for _ in range(self.chance.randrange(1, 7))])
            if self.chance.random() < 0.1 and self.prompts:
                self.batch.cancel([self.chance.choice(list(self.prompts))])
            self.turn()
        return self.decoder

    def request(self) -> tuple[int, Request]:
        text = self.chance.choice(self.texts)
        kept = text[: self.chance.randrange(1, len(text) + 1)]
        new = (self.chance.randrange(300, 320) for _ in range(self.chance.choice([0, 1, 15, 30])))
        prompt, number = (*kept, *new)[:90], len(self.prompts)
        self.prompts[number] = prompt
        is_step = self.chance.random() < 0.5
        return number, Request(prompt, number, self.chance.randrange(1, 36), one_step=is_step)

    def turn(self) -> None:
        report = self.batch.turn()
        self.batch.check()
        ids = iter(report.token_ids if report else [])
        numbers, counts = (report.numbers, report.counts) if report else ([], [])
        for number, count in zip(numbers, counts, strict=True):
            self.prompts[number] += tuple(next(ids) for _ in range(count))
            self.texts.append(self.prompts[number])


def grow(
    seeds: range, num_turns: int, how: torch.dtype | Compiled, fresh: Decoder = FRESH
) -> tuple[float, int]:
    """The largest difference over so many forests, and how many logits rows were compared."""
    worst, compared = 0.0, 0
    for seed in seeds:
        grown = Forest(seed, how, fresh).run(num_turns)
        worst, compared = max(worst, grown.worst), compared + grown.num_compared
    return worst, compared


@pytest.mark.parametrize("how", HOW)
def test_logits_on_random_trees_are_those_of_a_fresh_pass(how: torch.dtype | Compiled) -> None:
    worst, compared = grow(range(100), 25, how)
    assert compared > 5000
    assert worst < FLOAT32


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("fresh", [ONE_HEAD, ALL_HEADS, WIDE_HEADS])
def test_logits_are_exact_however_many_heads_share_keys(
    fresh: Decoder, how: torch.dtype | Compiled
) -> None:
    worst, compared = grow(range(2000, 2010), 25, how, fresh)
    assert compared > 500
    assert worst < FLOAT32


def test_logits_in_bfloat16_stay_near_those_of_a_fresh_pass() -> None:
    worst, compared = grow(range(1000, 1010), 25, torch.bfloat16)
    assert compared > 500
    assert FLOAT32 < worst < BFLOAT16


@pytest.mark.full
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("how", "count"), [(torch.float32, 1_000), (compiled(), 10_000)])
def test_logits_on_thousands_of_random_trees_are_those_of_a_fresh_pass(
    how: torch.dtype | Compiled, count: int
) -> None:
    worst, compared = grow(range(10_000, 10_000 + count), 25, how)
    assert compared > 50 * count
    assert worst < FLOAT32


def test_the_comparison_can_fail() -> None:
    other = toy_decoder(1)
    assert (fresh_logits(other, [(4, 5)]) - fresh_logits(FRESH, [(4, 5)])).abs().max() > 0.1
    assert TOY.max_positions > 125, "texts and what is drawn must fit the window"
