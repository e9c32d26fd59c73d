"""mull decides how much a language model should think, in which shape, and when to stop.

    solution = mull.solve("Use 4, 9, 10 and 13 once each with + - * / to make 24.", n=64)

The names here are the public surface: to solve, to check an answer, and to bring a policy, a
verifier or a strategy of one's own. Errors are in `mull.core.errors`, whose root `MullError` is
here too.
"""

from mull.build import (
    OpenModel,
    check,
    check_async,
    open_model,
    read_config,
    read_trace,
    readable_answer,
    resume,
    resume_async,
    solve,
    solve_async,
)
from mull.core.errors import BadInputError, MullError
from mull.core.events import StopReason
from mull.core.expansion import (
    Expansion,
    ExpansionKind,
    Limits,
    NodeId,
    Sampling,
    ScoreRequest,
    Thinking,
)
from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Ask, Candidate, Journal, Policy, Strategy, Verifier
from mull.core.score import Score, Source, Verdict
from mull.core.solution import Solution
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.tree import SearchTree
from mull.core.usage import Budget, Headroom, Usage
from mull.verifiers.finding import Finding

__version__ = "0.1.0"

__all__ = [
    "AnswerKind",
    "Ask",
    "BadInputError",
    "Budget",
    "Candidate",
    "Expansion",
    "ExpansionKind",
    "Finding",
    "Headroom",
    "Journal",
    "Limits",
    "MullError",
    "NodeId",
    "OpenModel",
    "Policy",
    "Problem",
    "Sampling",
    "Score",
    "ScoreRequest",
    "SearchTree",
    "Solution",
    "Source",
    "Step",
    "StepKind",
    "StopReason",
    "Strategy",
    "Thinking",
    "Trajectory",
    "Usage",
    "Verdict",
    "Verifier",
    "__version__",
    "check",
    "check_async",
    "open_model",
    "read_config",
    "read_trace",
    "readable_answer",
    "resume",
    "resume_async",
    "solve",
    "solve_async",
]
