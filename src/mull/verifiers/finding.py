"""What a comparison found: a verdict and why. Shared by the checkers that are given a reference."""

from dataclasses import dataclass

from mull.core.score import Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """A three-valued verdict. Running out of time, memory or size is unknown, never a rejection."""

    verdict: Verdict
    reason: str
    """Why, in words for a person."""
    method: str = ""
    """Which part decided (`exact`, `units`, `symbolic`, `sandbox`, …); empty where there is one."""

    @property
    def is_accepted(self) -> bool:
        """Whether the verdict is accept."""
        return self.verdict is Verdict.ACCEPT

    @classmethod
    def accept(cls, reason: str, method: str = "") -> "Finding":
        """It is right."""
        return cls(Verdict.ACCEPT, reason, method)

    @classmethod
    def reject(cls, reason: str, method: str = "") -> "Finding":
        """It is wrong, for certain."""
        return cls(Verdict.REJECT, reason, method)

    @classmethod
    def unknown(cls, reason: str, method: str = "") -> "Finding":
        """This checker cannot say."""
        return cls(Verdict.UNKNOWN, reason, method)
