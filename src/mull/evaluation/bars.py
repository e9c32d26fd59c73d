"""Shares as horizontal bars of text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Bar:
    """One share with what it is of."""

    label: str
    share: float
    """In [0, 1]."""
    note: str = ""
    """Stands behind the number."""


def bar_lines(bars: Sequence[Bar], *, width: int = 40) -> Iterator[str]:
    """A line a bar; `width` characters are a share of 1."""
    longest = max((len(bar.label) for bar in bars), default=0)
    for bar in bars:
        drawn = f"{_bar(bar.share, width):<{width}}"
        line = f"{bar.label:<{longest}}  {drawn} {bar.share * 100:5.1f} %  {bar.note}"
        yield line.rstrip()


def _bar(share: float, width: int) -> str:
    full, eighths = divmod(round(min(1.0, max(0.0, share)) * width * 8), 8)
    return "█" * full + (_EIGHTHS[eighths] if eighths else "")
