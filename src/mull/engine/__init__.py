"""Batched generation in a process of its own: token ids in, token ids out.

It knows tokens, seeds and limits; nothing of problems, verifiers or strategies.
"""

from mull.engine.client import Engine
from mull.engine.requests import (
    Boundary,
    Dtype,
    EngineSettings,
    EngineStats,
    Judgement,
    Likelihood,
    Piece,
    Punctuation,
    Request,
)

__all__ = [
    "Boundary",
    "Dtype",
    "Engine",
    "EngineSettings",
    "EngineStats",
    "Judgement",
    "Likelihood",
    "Piece",
    "Punctuation",
    "Request",
]
