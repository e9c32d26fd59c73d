"""Rules of the built-in problem families: read a statement, rule on a step or an answer.

Nothing here generates problems, searches for answers or holds a reference.
"""

from mull.puzzles.chain import Chain
from mull.puzzles.constraint import Constraint
from mull.puzzles.countdown import Countdown
from mull.puzzles.derivation import DerivationError, derivation_expression
from mull.puzzles.entailment import Entailment
from mull.puzzles.families import (
    ANSWER_RULES,
    FAMILIES,
    family_named,
    puzzle_of,
    recognise,
    state_of,
    to_problem,
)
from mull.puzzles.letters import Letters
from mull.puzzles.logic import Logic
from mull.puzzles.multiply import Multiply
from mull.puzzles.plan import Plan
from mull.puzzles.puzzle import Puzzle, Ruling

__all__ = [
    "ANSWER_RULES",
    "FAMILIES",
    "Chain",
    "Constraint",
    "Countdown",
    "DerivationError",
    "Entailment",
    "Letters",
    "Logic",
    "Multiply",
    "Plan",
    "Puzzle",
    "Ruling",
    "derivation_expression",
    "family_named",
    "puzzle_of",
    "recognise",
    "state_of",
    "to_problem",
]
