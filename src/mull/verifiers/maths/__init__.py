"""Maths answers: found in a completion, compared exactly or by killable algebra."""

from mull.verifiers.maths.equality import MathsEquality, maths_key
from mull.verifiers.maths.exact import Asked, compare_exactly
from mull.verifiers.maths.extract import Extracted, extract_answer
from mull.verifiers.maths.pool import AlgebraPool

__all__ = [
    "AlgebraPool",
    "Asked",
    "Extracted",
    "MathsEquality",
    "compare_exactly",
    "extract_answer",
    "maths_key",
]
