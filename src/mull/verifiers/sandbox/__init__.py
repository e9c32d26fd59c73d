"""Programs that nobody trusts, contained at a visible level or refused."""

from mull.verifiers.sandbox.levels import Level
from mull.verifiers.sandbox.sandbox import Ended, Evaluation, Limits, Run, Sandbox, Value

__all__ = ["Ended", "Evaluation", "Level", "Limits", "Run", "Sandbox", "Value"]
