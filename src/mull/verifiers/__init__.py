"""Verifiers: they judge trajectories at test time, without a reference and without solving."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from mull.core.errors import UnknownNameError
from mull.core.protocols import Verifier
from mull.verifiers.consensus import ConsensusVerifier
from mull.verifiers.countdown import CountdownChecker
from mull.verifiers.examples import ExampleChecker
from mull.verifiers.hybrid import HybridVerifier, MathsChecker
from mull.verifiers.judge import GenerativeJudge
from mull.verifiers.puzzle import PuzzleChecker
from mull.verifiers.supported import SupportedVerifier

VERIFIERS: Final[Mapping[str, Callable[[], Verifier]]] = MappingProxyType(
    {
        "countdown": CountdownChecker,
        "puzzle": PuzzleChecker,
        "maths": MathsChecker,
        "code": ExampleChecker,
        "consensus": ConsensusVerifier,
        "assertions": HybridVerifier,
    }
)


def verifier_named(name: str) -> Callable[[], Verifier]:
    """What makes the verifier of that name. Raises UnknownNameError."""
    try:
        return VERIFIERS[name]
    except KeyError:
        raise UnknownNameError("verifier", name, VERIFIERS) from None


__all__ = [
    "VERIFIERS",
    "ConsensusVerifier",
    "CountdownChecker",
    "ExampleChecker",
    "GenerativeJudge",
    "HybridVerifier",
    "MathsChecker",
    "PuzzleChecker",
    "SupportedVerifier",
    "verifier_named",
]
