"""Thoughts as marked text: `<think>…</think>`, then the answer."""

from collections.abc import Iterable
from re import Pattern
from re import compile as compile_pattern
from typing import Final

from mull.core.steps import Step, StepKind

OPEN: Final = "<think>"
CLOSE: Final = "</think>"
MARK: Final[Pattern[str]] = compile_pattern(r"(</?think>)")
_BEGINNINGS: Final = tuple(mark[:end] for mark in (OPEN, CLOSE) for end in range(1, len(mark)))


def may_be_cut(text: str) -> bool:
    """Whether the text may end in the middle of a mark."""
    return text.endswith(_BEGINNINGS)


def marked(steps: Iterable[Step]) -> str:
    """The steps as the model would have written them, thoughts between marks."""
    text, thinks = "", False
    for step in steps:
        is_thought = step.kind is StepKind.THOUGHT
        if is_thought is not thinks:
            text += OPEN if is_thought else CLOSE
            thinks = is_thought
        text += step.text
    return text
