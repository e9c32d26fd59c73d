"""The engine's process: takes requests off a connection, turns the batch, sends reports back.

It ends when the connection closes, which is also what the death of its owner does to it.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import Final

import torch

from mull.core.errors import CheckpointError
from mull.engine.batch import Batch
from mull.engine.judge import Judge
from mull.engine.requests import (
    Broken,
    Cancel,
    EngineSettings,
    Judged,
    Read,
    Ready,
    Submit,
)
from mull.models.checkpoint import load_checkpoint
from mull.models.inference import InferenceDecoder
from mull.models.memory import keep_freed_memory
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
        if is_reward_model(settings.folder):
            _serve_scores(connection, Judge.load(settings), owner)
        else:
            _serve(connection, _load(settings), settings, owner)
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


def _load(settings: EngineSettings) -> InferenceDecoder:
    dtype = getattr(torch, settings.dtype.value)
    wide = torch.promote_types(dtype, torch.float32)
    decoder, _ = load_checkpoint(settings.folder, dtype=wide)
    return InferenceDecoder(decoder, dtype=dtype, device=settings.device)


def _serve(
    connection: Connection, decoder: InferenceDecoder, settings: EngineSettings, owner: int
) -> None:
    batch = Batch(decoder, settings)
    config = decoder.config
    connection.send(Ready(config.vocab_size, config.max_positions, decoder.bytes_per_token))
    while os.getppid() == owner:
        while connection.poll(0 if batch.is_busy else IDLE_SECONDS):
            match connection.recv():
                case Submit(requests):
                    batch.add(requests)
                case Cancel(numbers):
                    batch.cancel(numbers)
                case other:
                    raise TypeError(f"no message to an engine: {other!r}")
        report = batch.turn() if batch.is_busy else None
        if report is not None:
            connection.send(report)


def _serve_scores(connection: Connection, judge: Judge, owner: int) -> None:
    connection.send(judge.ready)
    while os.getppid() == owner:
        if not connection.poll(IDLE_SECONDS):
            continue
        match connection.recv():
            case Read(number, sequences, places):
                connection.send(Judged(number, judge.read(sequences, places)))
            case other:
                raise TypeError(f"no message to a reward model's engine: {other!r}")


def _last_words(connection: Connection, broken: Broken) -> None:
    try:
        connection.send(broken)
    except OSError:
        sys.stderr.write(f"engine: {broken.message}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
