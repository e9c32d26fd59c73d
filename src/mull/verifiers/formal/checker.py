"""Whether a claim follows, with three answers: proved, refuted by values, or not known."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self

from mull.verifiers.finding import Finding
from mull.verifiers.formal.exact import closed_value
from mull.verifiers.formal.grammar import ClaimError, parse_claims, parse_premises
from mull.verifiers.processes import WorkerPool


@dataclass(slots=True)
class Prover(WorkerPool):
    """Runs z3. See `WorkerPool`."""

    MODULE: ClassVar[str] = "mull.verifiers.formal.worker"
    PACKAGE: ClassVar[str] = "z3"
    EXTRA: ClassVar[str] = "formal"
    METHOD: ClassVar[str] = "z3"


@dataclass(slots=True)
class FormalChecker:
    """Settles claims in the language of `grammar`. Belongs to one event loop; close it at the end.

    A claim without variables is computed exactly, here. The rest goes to z3 in a process that the
    kernel kills at its limit. Premises that contradict themselves prove nothing: unknown.
    """

    prover: Prover = field(default_factory=Prover)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the worker processes."""
        await self.prover.close()

    async def check(self, conclusion: str, premises: str = "") -> Finding:
        """Whether the conclusion holds wherever the premises do.

        Unknown for text of another language. VerifierError where z3 is needed and not installed.
        """
        try:
            claims = parse_claims(conclusion)
        except ClaimError as error:
            return Finding.unknown(f"not understood: {error}", "grammar")
        try:
            parse_premises(premises)
        except ClaimError as error:
            return Finding.unknown(f"the premises are not understood: {error}", "grammar")
        if not premises.strip():
            values = [closed_value(formula) for formula in claims.formulas]
            if False in values:
                return Finding.reject("it is false", "exact")
            if all(value is True for value in values):
                return Finding.accept("it is true", "exact")
        return await self.prover.ask({"premises": premises, "conclusion": conclusion})
