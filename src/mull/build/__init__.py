"""From names and settings to objects: the only room that names implementations.

What needs torch is imported only when it is opened, with an error that names the missing extra.
"""

from mull.build.answers import answer_keys, readable_answer
from mull.build.catalog import (
    MODELS,
    REWARD_MODELS,
    ModelCard,
    describe,
    find_checkpoint,
    find_policy,
    shipped_models,
)
from mull.build.checking import CHECKS, check, check_async
from mull.build.config import FILE as CONFIG_FILE
from mull.build.config import Config, Defaults, read_config
from mull.build.controllers import AGREEMENT_FILE, Wish
from mull.build.extras import MissingExtraError, needs_extra
from mull.build.journals import open_journal
from mull.build.judges import EXAMPLE as JUDGE_EXAMPLE
from mull.build.judging import VerifierChoice, find_verifier
from mull.build.models import (
    DEFAULT_MODEL,
    ModelChoice,
    OpenModel,
    check_priced,
    choose_model,
    drafted,
    open_model,
    problem_for,
)
from mull.build.passage import Passage, passage_of
from mull.build.plan import SearchChoice, SearchPlan, plan_again, plan_search
from mull.build.pooling import EXAMPLE as POOLING_EXAMPLE
from mull.build.prices import price_version, prices_in, same_model
from mull.build.ready import close_verifiers, open_verifiers
from mull.build.recordings import read_recording, write_recording
from mull.build.schemes import Served, schemes
from mull.build.solving import resume, resume_async, solve, solve_async
from mull.build.strategies import SearchSettings, StrategyTable
from mull.build.traces import read_trace, trace_line

__all__ = [
    "AGREEMENT_FILE",
    "CHECKS",
    "CONFIG_FILE",
    "DEFAULT_MODEL",
    "JUDGE_EXAMPLE",
    "MODELS",
    "POOLING_EXAMPLE",
    "REWARD_MODELS",
    "Config",
    "Defaults",
    "MissingExtraError",
    "ModelCard",
    "ModelChoice",
    "OpenModel",
    "Passage",
    "SearchChoice",
    "SearchPlan",
    "SearchSettings",
    "Served",
    "StrategyTable",
    "VerifierChoice",
    "Wish",
    "answer_keys",
    "check",
    "check_async",
    "check_priced",
    "choose_model",
    "close_verifiers",
    "describe",
    "drafted",
    "find_checkpoint",
    "find_policy",
    "find_verifier",
    "needs_extra",
    "open_journal",
    "open_model",
    "open_verifiers",
    "passage_of",
    "plan_again",
    "plan_search",
    "price_version",
    "prices_in",
    "problem_for",
    "read_config",
    "read_recording",
    "read_trace",
    "readable_answer",
    "resume",
    "resume_async",
    "same_model",
    "schemes",
    "shipped_models",
    "solve",
    "solve_async",
    "trace_line",
    "write_recording",
]
