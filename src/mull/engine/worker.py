"""The engine's process: takes requests off a connection, turns the batch, sends reports back.

It ends when the connection closes, which is also what the death of its owner does to it.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import torch

from mull.core.errors import CheckpointError
from mull.engine.batch import Batch
from mull.engine.blocks import BLOCK
from mull.engine.judge import Judge
from mull.engine.requests import (
    Ask,
    Broken,
    Cancel,
    EngineSettings,
    Forget,
    Read,
    Ready,
    Submit,
    Told,
)
from mull.models.checkpoint import load_checkpoint
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
        work = _judge if is_reward_model(settings.folder) else _batch
        _serve(connection, *work(settings), owner)
    except (EOFError, ConnectionError):
        return  # the owner has closed the line or died
    except CheckpointError as error:
        _last_words(connection, Broken(error.message, error.hint, is_checkpoint=True))
    except Exception as error:  # the process' boundary: whatever it is, the owner must hear of it
        _last_words(connection, Broken(f"{type(error).__name__}: {error}"))
        raise


def _prepare() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)


def _batch(settings: EngineSettings) -> tuple[Batch, Ready]:
    network = _decoder(settings.folder, settings)
    if settings.draft is None:
        return Batch(network, settings), _ready(network)
    draft = _decoder(settings.draft, settings)
    mine, its = network.config, draft.config
    if mine.vocab_size != its.vocab_size or its.max_positions < mine.max_positions:
        raise CheckpointError(
            f"`{settings.draft.name}` cannot draft for `{settings.folder.name}`: "
            "its vocabulary is another, or its window is shorter",
            hint="a draft has its target's tokenizer and at least its window",
        )
    return Batch(network, settings, draft), _ready(network, draft)


def _decoder(folder: Path, settings: EngineSettings) -> InferenceDecoder:
    dtype = getattr(torch, settings.dtype.value)
    wide = torch.promote_types(dtype, torch.float32)
    decoder, _ = load_checkpoint(folder, dtype=wide)
    return InferenceDecoder(decoder, dtype=dtype, device=settings.device)


def _judge(settings: EngineSettings) -> tuple[Judge, Ready]:
    dtype = getattr(torch, settings.dtype.value)
    wide = torch.promote_types(dtype, torch.float32)
    model, familiarity = load_reward_model(settings.folder, dtype=wide)
    network = InferenceJudge(model, familiarity, dtype=dtype, device=settings.device)
    return Judge(network, settings), _ready(network)


def _ready(network: InferenceTrunk, *others: InferenceTrunk) -> Ready:
    config = network.config
    # A prompt and what is drawn from it each end in a block of their own, and so does a guess.
    blocks = -(-config.max_positions // BLOCK) + 1 + len(others)
    needed = blocks * BLOCK * sum(each.bytes_per_token for each in (network, *others))
    return Ready(config.vocab_size, config.max_positions, needed, network.num_outputs)


def _serve(connection: Connection, work: Batch | Judge, ready: Ready, owner: int) -> None:
    connection.send(ready)
    while os.getppid() == owner:
        while connection.poll(0 if work.is_busy else IDLE_SECONDS):
            match work, connection.recv():
                case Batch(), Submit(requests):
                    work.add(requests)
                case Judge(), Read(readings):
                    work.add(readings)
                case _, Cancel(numbers):
                    work.cancel(numbers)
                case _, Ask(number):
                    connection.send(Told(number, work.stats()))
                case _, Forget():
                    work.forget()
                case _, other:
                    raise TypeError(f"no message to an engine: {other!r}")
        said = work.turn() if work.is_busy else None
        if said is not None:
            connection.send(said)


def _last_words(connection: Connection, broken: Broken) -> None:
    try:
        connection.send(broken)
    except OSError:
        sys.stderr.write(f"engine: {broken.message}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
