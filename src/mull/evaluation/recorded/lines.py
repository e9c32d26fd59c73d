"""One number of a recorded set beside what others state of it."""

from dataclasses import dataclass

from mull.core.codec import Json
from mull.evaluation.intervals import Interval


@dataclass(frozen=True, slots=True)
class Line:
    """One measure of one part of a data set."""

    part: str
    measure: str
    found: Interval
    """In percent, or a plain count with an empty interval."""
    stated: str = ""
    """What the data folder's own page states of this folder; empty where it states nothing."""
    whole: str = ""
    """What is stated of the whole set, of which the folder holds a part."""

    @property
    def agrees(self) -> bool:
        """Whether it is the stated number, which was rounded, perhaps twice."""
        if not self.stated:
            return True
        decimals = len(self.stated.partition(".")[2])
        return abs(self.found.value - float(self.stated)) <= 0.55 * 10**-decimals

    def to_json(self) -> dict[str, Json]:
        """The line as plain data."""
        return {
            "part": self.part,
            "measure": self.measure,
            "value": self.found.value,
            "low": self.found.low,
            "high": self.found.high,
            "stated": self.stated,
            "whole": self.whole,
            "agrees": self.agrees,
        }


def count(value: float) -> Interval:
    """A count, which is what it is."""
    return Interval(value, value, value)
