"""When two unfinished paths stand at the same place.

Rules of a problem family live in `puzzles`; `build` hands them to strategies. Searches merge equal
states, so a wrong key loses a path.
"""

from typing import Protocol

from mull.core.steps import Trajectory


class StateKey(Protocol):
    """Names the state a path has led to: equal keys, equal futures. None: equal to no other.

    Never raises.
    """

    def __call__(self, trajectory: Trajectory) -> str | None: ...


def no_state(trajectory: Trajectory) -> str | None:  # noqa: ARG001  (the seam's signature)
    """Nothing is known to be equal."""
    return None
