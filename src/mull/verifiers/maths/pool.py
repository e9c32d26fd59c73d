"""The processes that run the algebra."""

from dataclasses import dataclass
from typing import ClassVar

from mull.verifiers.finding import Finding
from mull.verifiers.processes import WorkerPool


@dataclass(slots=True)
class AlgebraPool(WorkerPool):
    """Compares by math-verify. See `WorkerPool`."""

    MODULE: ClassVar[str] = "mull.verifiers.maths.worker"
    PACKAGE: ClassVar[str] = "math_verify"
    EXTRA: ClassVar[str] = "math"
    METHOD: ClassVar[str] = "symbolic"

    async def compare(self, gold: str, given: str) -> Finding:
        """Whether `given` equals `gold`; unknown past the limit."""
        return await self.ask({"gold": gold, "given": given})
