"""Claims of arithmetic, logic and constraints: read by a grammar of our own, settled by z3."""

from mull.verifiers.formal.checker import FormalChecker, Prover
from mull.verifiers.formal.exact import closed_value
from mull.verifiers.formal.grammar import ClaimError, parse_claims

__all__ = ["ClaimError", "FormalChecker", "Prover", "closed_value", "parse_claims"]
