"""How probable a model finds a given text is what a fresh pass says, whatever else goes on."""

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_batches import MODEL, PUNCTUATION, Said, alone, batch_of, keep
from toys import write_toy_checkpoint

from mull.core.errors import BadInputError
from mull.engine import Dtype, Engine, EngineSettings, Request
from mull.engine.batch import Batch
from mull.engine.requests import Given, Likelihood


def expected(given: Given) -> list[float]:
    with torch.inference_mode():
        logits = torch.log_softmax(MODEL(torch.tensor([given.token_ids]))[0], -1).numpy()
    before = np.arange(given.start - 1, len(given.token_ids) - 1)
    return logits[before, list(given.token_ids[given.start :])].tolist()


@torch.inference_mode()
@pytest.mark.parametrize("guesses", [None, 3])
def test_weighed_texts_and_growing_branches_do_not_disturb_each_other(guesses: int | None) -> None:
    chance, batch = random.Random(1), batch_of(4, max_kv_bytes=1 << 19, guesses=guesses)
    givens, requests = dict[int, Given](), dict[int, Request]()
    weighed, said = dict[int, Likelihood](), dict[int, Said]()
    gone = set[int]()
    shared = tuple(chance.randrange(300, 320) for _ in range(60))
    for number in range(120):
        new = tuple(chance.randrange(300, 320) for _ in range(chance.randrange(1, 40)))
        text = (*shared[: chance.randrange(1, 60)], *new)
        if number % 3:
            givens[number] = Given(text, chance.randrange(1, len(text)) if len(text) > 1 else 1)
            batch.add([(number, givens[number])])
        else:
            requests[number] = Request(text, number, 12)
            batch.add([(number, requests[number])])
        if chance.random() < 0.1:
            gone.add(chance.randrange(number + 1))
            batch.cancel(gone)
        for _ in range(chance.randrange(3)):
            turn(batch, weighed, said)
    while batch.is_busy:
        turn(batch, weighed, said)
    for number, given in givens.items():
        if number not in gone:
            assert weighed[number].logprobs == pytest.approx(expected(given), abs=2e-6)
    for number, request in requests.items():
        if number not in gone:
            assert said[number].token_ids == alone(request, guesses=guesses).token_ids
    assert sum(each.cached_tokens for each in weighed.values()) > 100


def turn(batch: Batch, weighed: dict[int, Likelihood], said: dict[int, Said]) -> None:
    keep(said, batch.turn())
    told = batch.weigh()
    batch.check()
    weighed.update(told.likelihoods if told else ())


async def test_an_engine_weighs_texts_while_it_draws(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path)
    engine = await Engine.start(EngineSettings(folder, PUNCTUATION, Dtype.FLOAT64))
    text = (1, 4, *range(300, 340), 5)
    request = Request(text[:5], 7, 12)
    try:
        told, drawn = await asyncio.gather(
            engine.likelihoods([text, text[:4], text], [3, 1, 40]), collect(engine, request)
        )
        for start in (0, len(text)):
            with pytest.raises(BadInputError, match="lie outside a sequence"):
                await engine.likelihoods([text], [start])
        with pytest.raises(BadInputError, match="1 lists of places for 2"):
            await engine.likelihoods([text, text], [1])
        own = (await engine.likelihoods([(*request.prompt, *drawn[0])], [5]))[0]
    finally:
        await engine.close()
    for each, given in zip(
        told, [Given(text, 3), Given(text[:4], 1), Given(text, 40)], strict=True
    ):
        assert each.logprobs == pytest.approx(expected(given), abs=2e-6)
    assert drawn[0] == tuple(alone(request).token_ids)
    assert own.logprobs == pytest.approx(drawn[1], abs=2e-6)


async def collect(engine: Engine, request: Request) -> tuple[tuple[int, ...], tuple[float, ...]]:
    tokens, logprobs = tuple[int, ...](), tuple[float, ...]()
    async for piece in engine.generate([request]):
        tokens, logprobs = tokens + piece.token_ids, logprobs + piece.logprobs
    return tokens, logprobs
