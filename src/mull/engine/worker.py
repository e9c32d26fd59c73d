"""The engine's process: takes requests off a connection, turns the batch, sends reports back.

It ends when the connection closes, which is also what the death of its owner does to it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import torch

from mull.core.errors import CheckpointError, EngineError
from mull.engine.batch import Batch
from mull.engine.blocks import BLOCK
from mull.engine.cap import Cap
from mull.engine.compiled import Compiled, compiled, serves
from mull.engine.judge import Judge
from mull.engine.requests import (
    Ask,
    Broken,
    Cancel,
    EngineSettings,
    Forget,
    Judged,
    Read,
    Ready,
    Report,
    Submit,
    Told,
    Weigh,
    Weighed,
)
from mull.models.checkpoint import load_checkpoint
from mull.models.config import ModelConfig
from mull.models.inference import InferenceDecoder, InferenceJudge, InferenceTrunk
from mull.models.memory import keep_freed_memory
from mull.models.reward import load_reward_model
from mull.models.reward_card import is_reward_model

IDLE_SECONDS: Final = 1.0
"""How often an idle worker looks whether its owner is still there."""


def main(descriptor: int) -> None:
    """Serve the connection on this file descriptor until it closes."""
    connection = Connection(descriptor)
    owner = os.getppid()
    try:
        settings = connection.recv()
        assert isinstance(settings, EngineSettings)
        _prepare()
        _serve(connection, *_opened(settings), owner)
    except (EOFError, ConnectionError):
        return  # the owner has closed the line or died
    except (CheckpointError, EngineError) as error:
        is_checkpoint = isinstance(error, CheckpointError)
        _last_words(connection, Broken(error.message, error.hint, is_checkpoint))
    except Exception as error:  # the process' boundary: whatever it is, the owner must hear of it
        _last_words(connection, Broken(f"{type(error).__name__}: {error}"))
        raise


def _prepare() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)


def _opened(settings: EngineSettings) -> tuple[list[Batch | Judge], Ready]:
    """All models that this process runs, under one cap."""
    cap = Cap(settings.max_kv_bytes)
    if is_reward_model(settings.folder):
        judge, ready = _judge(settings.folder, settings, cap)
        return [judge], ready
    batch, ready = _batch(settings, cap)
    if settings.judge is None:
        return [batch], ready
    judge, beside = _judge(settings.judge, settings, cap)
    return [batch, judge], replace(ready, judge=beside)


def _batch(settings: EngineSettings, cap: Cap) -> tuple[Batch, Ready]:
    network = _decoder(settings.folder, settings)
    if settings.draft is None:
        return Batch(network, settings, cap=cap), _ready(network)
    draft = _decoder(settings.draft, settings)
    mine, its = network.config, draft.config
    if mine.vocab_size != its.vocab_size or its.max_positions < mine.max_positions:
        raise CheckpointError(
            f"`{settings.draft.name}` cannot draft for `{settings.folder.name}`: "
            "its vocabulary is another, or its window is shorter",
            hint="a draft has its target's tokenizer and at least its window",
        )
    return Batch(network, settings, draft, cap), _ready(network, draft)


def _decoder(folder: Path, settings: EngineSettings) -> InferenceDecoder:
    dtype = getattr(torch, settings.dtype.value)
    wide = torch.promote_types(dtype, torch.float32)
    decoder, _ = load_checkpoint(folder, dtype=wide)
    kernels = _kernels(decoder.config, settings)
    return InferenceDecoder(decoder, dtype=dtype, device=settings.device, kernels=kernels)


def _judge(folder: Path, settings: EngineSettings, cap: Cap) -> tuple[Judge, Ready]:
    dtype = getattr(torch, settings.dtype.value)
    wide = torch.promote_types(dtype, torch.float32)
    model, familiarity = load_reward_model(folder, dtype=wide)
    kernels = _kernels(model.config, settings)
    network = InferenceJudge(
        model, familiarity, dtype=dtype, device=settings.device, kernels=kernels
    )
    return Judge(network, settings, cap), _ready(network)


def _kernels(config: ModelConfig, settings: EngineSettings) -> Compiled | None:
    """What is compiled for such a model, if anything is."""
    dtype = getattr(torch, settings.dtype.value)
    return compiled() if settings.compiled and serves(config, dtype, settings.device) else None


def _ready(network: InferenceTrunk, *others: InferenceTrunk) -> Ready:
    config = network.config
    # A prompt and what is drawn from it each end in a block of their own, and so does a guess.
    blocks = -(-config.max_positions // BLOCK) + 1 + len(others)
    needed = blocks * BLOCK * sum(each.bytes_per_token for each in (network, *others))
    return Ready(config.vocab_size, config.max_positions, needed, network.num_outputs)


def _serve(
    connection: Connection, works: Sequence[Batch | Judge], ready: Ready, owner: int
) -> None:
    """Take turns; the first of `works` is the model that the engine is asked about."""
    connection.send(ready)
    while os.getppid() == owner:
        while connection.poll(0 if any(work.is_busy for work in works) else IDLE_SECONDS):
            message = connection.recv()
            if isinstance(message, Ask):
                connection.send(Told(message.number, works[0].stats()))
            else:
                for work in works:
                    _tell(work, message)
        for work in works:
            for said in _turn(work) if work.is_busy else ():
                if said is not None:
                    connection.send(said)


def _turn(work: Batch | Judge) -> tuple[Report | Judged | Weighed | None, ...]:
    return (work.turn(), work.weigh()) if isinstance(work, Batch) else (work.turn(),)


def _tell(work: Batch | Judge, message: object) -> None:
    """A message to whom it may concern."""
    match work, message:
        case Batch(), Submit(requests):
            work.add(requests)
        case Batch(), Weigh(givens):
            work.add(givens)
        case Judge(), Read(readings):
            work.add(readings)
        case _, Cancel(numbers):
            work.cancel(numbers)
        case _, Forget():
            work.forget()
        case _, Submit() | Read() | Weigh():
            pass
        case _:
            raise TypeError(f"no message to an engine: {message!r}")


def _last_words(connection: Connection, broken: Broken) -> None:
    try:
        connection.send(broken)
    except OSError:
        sys.stderr.write(f"engine: {broken.message}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
