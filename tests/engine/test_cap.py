"""A policy and a reward model in one process, under one cap on memory."""

import asyncio
import random
from pathlib import Path

import pytest
import torch
from toy_batches import DECODER, PUNCTUATION, Said, alone, keep
from toy_rewards import toy_reward_model, write_toy_reward_model
from toys import write_toy_checkpoint

from mull.engine import Dtype, Engine, EngineSettings, Judgement, Request
from mull.engine.batch import Batch
from mull.engine.blocks import BLOCK
from mull.engine.cap import Cap
from mull.engine.judge import Judge
from mull.engine.requests import Judged, Reading
from mull.models.inference import InferenceJudge
from mull.models.reward import load_reward_model
from mull.models.reward_card import Head, RewardCard, RewardKind

CARD = RewardCard(RewardKind.PROCESS, Head.BETA, "exact", "toy", ("countdown",), aggregation="last")
REWARD = InferenceJudge(toy_reward_model(CARD), None, dtype=torch.float64, device="cpu")
SETTINGS = EngineSettings(Path(), PUNCTUATION, max_rows=8)


def readings(chance: random.Random, count: int) -> list[Reading]:
    texts = [tuple(chance.randrange(300, 304) for _ in range(chance.randrange(1, 90)))]
    texts *= count
    cut = [text[: chance.randrange(1, len(text) + 1)] for text in texts]
    return [Reading((*text, chance.randrange(300, 320)), (len(text),)) for text in cut]


def judged_alone(reading: Reading, model: InferenceJudge = REWARD) -> Judgement:
    judge = Judge(model, SETTINGS)
    judge.add([(0, reading)])
    said = judge.turn()
    assert said is not None
    return said.judgements[0][1]


@torch.inference_mode()
@pytest.mark.parametrize("blocks", [18, 40])
def test_under_the_smallest_cap_both_come_to_an_end_and_say_what_they_say_alone(
    blocks: int,
) -> None:
    chance = random.Random(blocks)
    cap = Cap(blocks * BLOCK * max(DECODER.bytes_per_token, REWARD.bytes_per_token))
    batch, judge = Batch(DECODER, SETTINGS, cap=cap), Judge(REWARD, SETTINGS, cap)
    said, judgements = dict[int, Said](), dict[int, Judgement]()
    requests = {
        number: Request((4, *range(300, 300 + chance.randrange(30))), number, 30)
        for number in range(40)
    }
    to_read = dict(enumerate(readings(chance, 40)))
    turns = 0
    for number in range(40):
        batch.add([(number, requests[number])])
        judge.add([(number, to_read[number])])
        for _ in range(chance.randrange(4)):
            turns += step(batch, judge, said, judgements)
    while batch.is_busy or judge.is_busy:
        turns += step(batch, judge, said, judgements)
        assert turns < 5000, "they wait for each other"
    for number, request in requests.items():
        assert said[number].token_ids == alone(request).token_ids
    for number, reading in to_read.items():
        expected = judged_alone(reading).outputs[0]
        assert judgements[number].outputs[0] == pytest.approx(expected, abs=1e-9)


def step(
    batch: Batch, judge: Judge, said: dict[int, Said], judgements: dict[int, Judgement]
) -> int:
    keep(said, batch.turn())
    told = judge.turn()
    if isinstance(told, Judged):
        judgements.update(told.judgements)
    batch.check()
    judge.check()
    return 1


def test_room_that_comes_free_is_for_who_was_refused_first() -> None:
    cap = Cap(8 * BLOCK * max(DECODER.bytes_per_token, REWARD.bytes_per_token))
    batch, judge = Batch(DECODER, SETTINGS, cap=cap), Judge(REWARD, SETTINGS, cap)
    batch.add([(0, Request((1, 4, 300), 0, 60)), (1, Request((1, 4, 301), 1, 20))])
    assert batch.turn() is None or batch.is_busy
    long = Reading(tuple(range(300, 410)), (109,))
    judge.add([(7, long)])
    assert judge.turn() is None, "there was room for it"
    # A stream of short requests would keep a long text out for ever.
    told, number = None, 2
    for _ in range(200):
        batch.add([(number, Request((1, 4, 300 + number % 20), number, 8))])
        number += 1
        batch.turn()
        told = judge.turn()
        if told is not None:
            break
    assert told is not None
    assert [each for each, _ in told.judgements] == [7]


def test_a_refused_text_that_is_cancelled_keeps_nobody_out() -> None:
    cap = Cap(8 * BLOCK * max(DECODER.bytes_per_token, REWARD.bytes_per_token))
    batch, judge = Batch(DECODER, SETTINGS, cap=cap), Judge(REWARD, SETTINGS, cap)
    batch.add([(0, Request((1, 4, 300), 0, 60))])
    batch.turn()
    judge.add([(7, Reading(tuple(range(300, 410)), (109,)))])
    judge.turn()
    judge.cancel([7])
    batch.add([(1, Request((1, 4, 301), 1, 8))])
    batch.turn()
    assert batch.stats().num_waiting == 0


async def test_one_process_generates_and_judges_what_two_would(tmp_path: Path) -> None:
    policy = write_toy_checkpoint(tmp_path / "policy")
    reward = write_toy_reward_model(tmp_path / "reward")
    sequences, places = [(1, 4, 300, 5, 301), (1, 4)], [(0, 4), (1,)]
    requests = [Request((1, 4, 300, 5), seed, 12) for seed in range(4)]
    both = await Engine.start(EngineSettings(policy, PUNCTUATION, Dtype.FLOAT64, judge=reward))
    try:
        ours, scored = await asyncio.gather(drawn(both, requests), both.score(sequences, places))
    finally:
        await both.close()
    assert ours == {n: tuple(alone(request).token_ids) for n, request in enumerate(requests)}
    model, familiarity = load_reward_model(reward, dtype=torch.float64)
    network = InferenceJudge(model, familiarity, dtype=torch.float64, device="cpu")
    for sequence, where, told in zip(sequences, places, scored, strict=True):
        expected = judged_alone(Reading(sequence, where), network)
        for ours_there, theirs in zip(told.outputs, expected.outputs, strict=True):
            assert ours_there == pytest.approx(theirs, abs=1e-6)


async def drawn(engine: Engine, requests: list[Request]) -> dict[int, tuple[int, ...]]:
    found = dict[int, tuple[int, ...]]()
    async for piece in engine.generate(requests):
        found[piece.request] = found.get(piece.request, ()) + piece.token_ids
    return found
