"""What a verifier thinks of a trajectory."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from mull.core.usage import Usage


class Verdict(StrEnum):
    """What a verifier is sure of."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNKNOWN = "unknown"
    """Not decidable by this verifier; `value` is then at best an opinion."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which verifier spoke. A new version is a new opinion and never mixes with the old one."""

    verifier: str
    version: str

    def __str__(self) -> str:
        return f"{self.verifier}@{self.version}"


@dataclass(frozen=True, slots=True)
class Score:
    """One verifier's opinion of one trajectory."""

    value: float
    """In [0, 1]; for a calibrated verifier the probability that the answer is right."""
    source: Source
    verdict: Verdict = Verdict.UNKNOWN
    uncertainty: float = 0.0
    """Standard error of `value`, in the same unit; 0 for exact checkers."""
    per_step: tuple[float, ...] = ()
    """One value in [0, 1] a step, for verifiers that judge steps; else empty."""
    reason: str = ""
    """Why, in words for a person; empty where there is nothing to say."""
    usage: Usage = Usage()

    def __post_init__(self) -> None:
        for name, each in (("value", self.value), ("uncertainty", self.uncertainty)):
            if not 0.0 <= each <= 1.0:  # also refuses NaN, which compares as false
                raise ValueError(f"score {name} is {each}; it must lie in [0, 1]")
        for each in self.per_step:
            if not 0.0 <= each <= 1.0:
                raise ValueError(f"score of a step is {each}; it must lie in [0, 1]")

    @property
    def is_opinion(self) -> bool:
        """Whether the verifier could say anything at all (`unknown` makes scores that do not)."""
        return self.verdict is not Verdict.UNKNOWN or self.uncertainty < 0.5

    @classmethod
    def unknown(cls, source: Source, reason: str, usage: Usage | None = None) -> Self:
        """A verifier's way to say that it has no opinion."""
        return cls(0.5, source, uncertainty=0.5, reason=reason, usage=usage or Usage())
