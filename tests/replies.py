"""Scripted models for the tests of `build` and of the command line: a file of replies, no torch."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

GAME = "Use 4, 9, 10 and 13 once each with + - * / to make 24."
WRONG = " 13 + 9 = 22 left 4 10 22\n 10 - 4 = 6 left 6 22\n 22 + 6 = 28"
RIGHT = " 13 - 9 = 4 left 4 4 10\n 10 - 4 = 6 left 4 6\n 6 * 4 = 24"
EXPRESSION = "(10 - 4) * (13 - 9) = 24"
PRODUCT = "Multiply 847 by 293."

REPLIES: Mapping[str, Sequence[str]] = {
    GAME: (WRONG, RIGHT),
    PRODUCT: ("<think> 8 4 7 * 2 9 3\n</think> 2 4 8 1 7 2", "<think></think> 2 4 8 1 7 1"),
    "How many times does the letter r appear in strawberry?": (
        "<think></think> 2",
        "<think></think> 3",
        "<think></think> 3",
    ),
}


def scripted(
    folder: Path,
    replies: Mapping[str, Sequence[str]] = REPLIES,
    *,
    seconds_per_step: float = 0.0,
) -> str:
    """The name of a model that says these replies, kept in a new file of the folder."""
    path = folder / f"replies-{len(list(folder.glob('replies-*')))}.json"
    content = {"replies": replies, "seconds_per_step": seconds_per_step}
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"scripted:{path}"
