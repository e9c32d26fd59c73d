"""What a worker of the algebra does: compare two texts by math-verify, with nobody watching."""

import importlib
import logging
from typing import Any, Final

from mull.verifiers.template import outcome, run

_WARM_UP: Final = (("$\\frac{1}{2}$", "0.5"), ("$(1,2)$", "(1, 2)"), ("$x^2+1$", "$1+x^2$"))


def compare(gold: str, given: str) -> dict[str, str]:
    """Whether math-verify takes `given` for `gold`, as an answer of `template.run`."""
    algebra: Any = importlib.import_module("math_verify")
    # Their own time limits are signals with handlers, which wait for C code to return; ours do not.
    try:
        references = algebra.parse(gold, parsing_timeout=None, raise_on_error=True)
        answers = algebra.parse(given, parsing_timeout=None, raise_on_error=True)
        if not references or not answers:
            return outcome(
                "unknown", f"the {'answer' if references else 'reference'} is not understood"
            )
        # A relation and the interval it describes are one answer, whichever way round.
        same = algebra.verify(
            references,
            answers,
            timeout_seconds=None,
            raise_on_error=True,
            allow_set_relation_comp=True,
        )
    except MemoryError:
        return outcome("unknown", "the comparison needs too much memory")
    except Exception as error:  # noqa: BLE001  (the boundary to the algebra: its errors are any)
        return outcome("unknown", f"the comparison failed: {type(error).__name__}")
    return (
        outcome("accept", "equal by algebra") if same else outcome("reject", "unequal by algebra")
    )


def _warm_up() -> None:
    # It warns of each limit that we take over.
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    for gold, given in _WARM_UP:
        compare(gold, given)


if __name__ == "__main__":
    run(lambda request: compare(request["gold"], request["given"]), _warm_up)
