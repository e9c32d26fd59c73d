"""Whether an answer is right: by its task's grader, or by being the reference's equal."""

from typing import Final

from mull.build import answer_keys
from mull.tasks import GRADERS, Example, grade

_KEY: Final = answer_keys()


def is_right(example: Example, completion: str) -> bool:
    """Whether the completion, or the answer alone, is right; False for unreadable text."""
    if example.task in GRADERS:
        return grade(example, completion)
    wanted = _KEY(example.problem, example.reference)
    return wanted is not None and _KEY(example.problem, completion) == wanted
