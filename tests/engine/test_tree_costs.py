"""What a tree costs: memory for what is unique in it, and nothing for depth."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_batches import DECODER

from mull.core.expansion import Sampling
from mull.engine.batch import Batch
from mull.engine.blocks import BLOCK
from mull.engine.cap import Cap
from mull.engine.requests import EngineSettings, Punctuation, Request
from mull.engine.store import Store

SILENT = Punctuation(frozenset(), frozenset())


def used_blocks(batch: Batch) -> int:
    store = batch._store  # pyright: ignore[reportPrivateUsage]
    return store.tree.num_pinned + store.num_private


def unique_tokens(batch: Batch) -> int:
    """Positions that the live branches have keys and values of, each once."""
    rows = batch._rows  # pyright: ignore[reportPrivateUsage]
    sequences = [rows.sequence(row)[:-1] for row in range(rows.count)]
    return len({sequence[: end + 1] for sequence in sequences for end in range(len(sequence))})


def test_a_tree_of_64_branches_takes_its_unique_tokens_and_a_block_a_branch_and_fork() -> None:
    batch = Batch(DECODER, EngineSettings(Path(), SILENT, max_rows=64))
    text, peak = {0: tuple(range(300, 337))}, 0
    # Each level forks every branch in four; 37 tokens stand before the first fork.
    for level in range(3):
        prompts = [prompt for prompt in text.values() for _ in range(4)]
        hot = Sampling(temperature=2.0)
        batch.add(
            (number, Request(prompt, 100 * level + number, 20, sampling=hot))
            for number, prompt in enumerate(prompts)
        )
        text = dict(enumerate(prompts))
        while batch.is_busy:
            report = batch.turn()
            batch.check()
            taken, unique = used_blocks(batch) * BLOCK, unique_tokens(batch)
            # Where branches fork inside a block, the block they share has room to spare as well.
            assert taken <= unique + BLOCK * (len(text) + max(1, len(text) // 4))
            peak = max(peak, taken)
            ids = iter(report.token_ids if report else [])
            numbers, counts = (report.numbers, report.counts) if report else ([], [])
            for number, count in zip(numbers, counts, strict=True):
                text[number] += tuple(next(ids) for _ in range(count))
    assert len(set(text.values())) > 32
    assert peak > 64 * BLOCK, "it was no tree of 64 branches"


def grown(batch: Batch, request: Request) -> tuple[tuple[int, ...], int]:
    """What a request drew by itself, and how much of its prompt was there."""
    batch.add([(0, request)])
    ids, cached = list[int](), 0
    while batch.is_busy:
        report = batch.turn()
        ids += report.token_ids if report else []
        cached += sum(report.cached_tokens) if report else 0
    return tuple(ids), cached


def test_a_step_after_a_step_computes_one_token_again() -> None:
    batch = Batch(DECODER, EngineSettings(Path(), SILENT))
    text = tuple(range(300, 340))
    for step in range(4):
        ids, cached = grown(batch, Request(text, step, 20))
        assert cached == (len(text) - 1 if step else 0)
        text += ids


def fastest(call: Callable[[], None]) -> float:
    rounds = list[float]()
    for _ in range(30):
        start = time.process_time_ns()
        for _ in range(50):
            call()
        rounds.append(time.process_time_ns() - start)
    return min(rounds)


@torch.inference_mode()
def fork_and_prune(num_blocks: int) -> float:
    """Time of one fork of a branch so deep, and of its end."""
    store = Store(DECODER, Cap(4096 * BLOCK * DECODER.bytes_per_token))
    tip = store.begin(tuple(range(num_blocks * BLOCK)))
    for node in store.take_unread(num_blocks * BLOCK):
        node.computed = BLOCK

    def once() -> None:
        store.tree.pin(tip.node)
        store.promised += 1
        blocks = store.take_private(1)
        store.free_private(blocks)
        store.end(tip)

    return fastest(once)


def test_fork_and_prune_take_no_longer_where_the_tree_is_deep() -> None:
    assert fork_and_prune(256) < 3 * fork_and_prune(2)


def test_a_cancel_frees_what_a_branch_held_at_once() -> None:
    batch = Batch(DECODER, EngineSettings(Path(), SILENT))
    batch.add((number, Request(tuple(range(300, 340)), number, 60)) for number in range(8))
    for _ in range(30):
        batch.turn()
    before = used_blocks(batch)
    batch.cancel([0, 1, 2])
    assert used_blocks(batch) <= before - 3
    batch.cancel(range(3, 8))
    assert used_blocks(batch) == 0
    batch.check()


def test_settings_without_room_hold_back_and_never_fail() -> None:
    small = (128 // BLOCK + 2) * BLOCK * DECODER.bytes_per_token
    batch = Batch(DECODER, EngineSettings(Path(), SILENT, max_kv_bytes=small))
    chance = np.random.default_rng(0)
    prompts = [tuple(chance.integers(300, 310, 30).tolist()) for _ in range(6)]
    batch.add((number, Request(prompts[number % 6], number, 90)) for number in range(18))
    drawn = 0
    while batch.is_busy:
        report = batch.turn()
        batch.check()
        drawn += len(report.token_ids) if report else 0
    assert drawn == 18 * 90


pytestmark = pytest.mark.timeout(300)
