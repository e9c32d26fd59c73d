"""From a model's name to a policy that is ready to be asked."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from mull.build.catalog import TRAINED, Checkpoint, find_policy
from mull.build.controllers import AGREEMENT_FILE, Agreements, read_agreements
from mull.build.extras import needs_extra
from mull.build.keys import KeyUse, check_foreign_use
from mull.build.prices import INSTALL, has_table, is_priced
from mull.build.rewards import LazyScorer
from mull.build.schemes import BY_PROVIDER, key_use, open_served, scheme_in, spec_of
from mull.build.strategies import OWN, missing_own, own_name
from mull.control import Agreement
from mull.core.errors import BadInputError, BudgetError, ProblemNotUnderstoodError
from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Policy
from mull.core.spec import Spec
from mull.engine import Dtype
from mull.puzzles import puzzle_of, recognise, to_problem

DEFAULT_MODEL: Final = "mull-base"
LOCAL: Final = "local"
"""The policy's name in specs: a checkpoint run by mull's own engine."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that was found by name, and not opened yet."""

    spec: Spec
    """Names the policy and what it opens."""
    checkpoint: Checkpoint | None = None
    """None for a model that is named by its scheme."""
    draft: Checkpoint | None = None
    """The smaller model that guesses ahead for a checkpoint."""
    agreements: Agreements = field(default_factory=dict[str, Agreement], hash=False)
    """What votes of it are worth."""

    @property
    def knows_only_puzzles(self) -> bool:
        """Whether a problem outside the built-in families must be refused."""
        return self.checkpoint is not None and self.checkpoint.knows_only_puzzles

    def problem(self, text: str, kind: AnswerKind | None = None) -> Problem:
        """The problem a text states to this model; see `problem_for`."""
        return problem_for(text, kind, knows_only_puzzles=self.knows_only_puzzles)


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A policy ready to be asked, and how to open it again. May serve many solves at once."""

    policy: Policy
    spec: Spec
    knows_only_puzzles: bool = False
    agreements: Agreements = field(default_factory=dict[str, Agreement], hash=False)
    """What votes of it are worth."""

    @classmethod
    def own(cls, policy: Policy) -> "OpenModel":
        """A policy that the caller made, and which only the caller can make again."""
        return cls(policy, Spec(own_name(policy)))

    @property
    def is_served(self) -> bool:
        """Whether it stands behind a server, whose calls take as long as they take."""
        return self.spec.name in BY_PROVIDER

    def problem(self, text: str, kind: AnswerKind | None = None) -> Problem:
        """The problem a text states to this model; see `problem_for`."""
        return problem_for(text, kind, knows_only_puzzles=self.knows_only_puzzles)


def choose_model(
    name: str, *, dtype: Dtype = Dtype.FLOAT32, draft: str | None = None
) -> ModelChoice:
    """Find a model by shipped name, checkpoint folder or `SCHEME:PLACE`; nothing is loaded.

    The numerical format of a checkpoint decides samples, and so does the smaller model that drafts
    for it, if one is named: both are part of what a resumed solve opens again.
    """
    if (scheme := scheme_in(name)) is not None:
        choice = ModelChoice(spec_of(scheme, name.removeprefix(f"{scheme}:"), {}))
    else:
        checkpoint = find_policy(name)
        spec = Spec(LOCAL, {"checkpoint": checkpoint.name, "dtype": dtype.value})
        file = checkpoint.folder / AGREEMENT_FILE
        agreements = read_agreements(file) if file.is_file() else dict[str, Agreement]()
        choice = ModelChoice(spec, checkpoint, agreements=agreements)
    return choice if draft is None else drafted(choice, draft)


def drafted(choice: ModelChoice, draft: str) -> ModelChoice:
    """The same model, for which a smaller one guesses ahead; samples keep their distribution."""
    if choice.checkpoint is None:
        raise BadInputError(
            f"`{draft}` cannot draft for a served model",
            hint="leave `--draft` out, or name a checkpoint as `--model`",
        )
    guesser = find_policy(draft)
    options = {**choice.spec.options, "draft": guesser.name}
    return replace(choice, spec=Spec(choice.spec.name, options), draft=guesser)


def chosen_by(spec: Spec, known: Collection[KeyUse] = ()) -> ModelChoice:
    """The model a journalled solve was started with.

    A journal may come from somebody else. So a key is sent to the place that it names only where
    the user's own settings, the `known` ones, say the same.
    """
    if spec.name.startswith(OWN):
        raise missing_own("model", spec.name)
    option = f"--model {spec.name}:{spec.options.get('place')}"
    check_foreign_use(key_use(spec), known, option)
    if spec.name != LOCAL:
        return ModelChoice(spec)
    draft = spec.options.get("draft")
    return choose_model(
        str(spec.options["checkpoint"]),
        dtype=Dtype(spec.options["dtype"]),
        draft=None if draft is None else str(draft),
    )


def check_priced(spec: Spec, limit: str, name: str | None = None) -> None:
    """Refuse a limit of money that nothing would ever be counted against.

    Policies of the caller's own, and recorded ones, may say themselves what they cost.
    """
    if spec.name not in {LOCAL, *BY_PROVIDER} or is_priced(spec):
        return
    called = name or spec.options.get("checkpoint") or spec.options.get("place")
    remedy = "limit its tokens"
    if spec.name != LOCAL:
        table = "name a row of the table there" if has_table() else f"install the table ({INSTALL})"
        remedy = f"type its `prices` in `mull.toml`, {table}, or {remedy}"
    raise BudgetError(f"`{limit}` limits nothing: model `{called}` has no prices", hint=remedy)


@asynccontextmanager
async def open_model(
    model: str | ModelChoice = DEFAULT_MODEL,
    *,
    device: str = "cpu",
    dtype: Dtype = Dtype.FLOAT32,
    max_rows: int = 512,
    max_kv_bytes: int = 2 << 30,
    streams: bool = False,
    guest: LazyScorer | None = None,
) -> AsyncGenerator[OpenModel, None]:
    """Load a model and run it for as long as the block lasts.

    Args:
        model: A name as `solve` takes it. A `ModelChoice` has a numerical format of its own.
        device: Where the engine runs.
        dtype: Numerical format: float32 is best for a few attempts at a time, bfloat16 for
            hundreds.
        max_rows: Attempts that grow at once; more wait.
        max_kv_bytes: What keys and values may take; where it is full, what is asked for least is
            forgotten, and read again when it is needed.
        streams: Whether observers see the text of a checkpoint token by token.
        guest: A reward model to be run in a checkpoint's process and memory.

    Raises:
        UnknownNameError: for a name that is no model's, here or on its server.
        BadInputError: for a server that cannot be reached or refuses the key.
        CheckpointError: for model files that are missing, cut short or of another architecture.
        MissingExtraError: where torch is not installed.
    """
    choice = choose_model(model, dtype=dtype) if isinstance(model, str) else model
    if choice.checkpoint is None:
        async with open_served(choice.spec) as policy:
            yield OpenModel(policy, choice.spec, agreements=choice.agreements)
        return
    with needs_extra("local", f"model `{choice.checkpoint.name}`"):
        from mull.policies.local import open_local_policy
    async with open_local_policy(
        choice.checkpoint.folder,
        dtype=Dtype(choice.spec.options["dtype"]),
        device=device,
        max_rows=max_rows,
        max_kv_bytes=max_kv_bytes,
        streams=streams,
        draft=choice.draft and choice.draft.folder,
        judge=guest and guest.settings.folder,
    ) as policy:
        if guest is not None:
            guest.live_with(policy.engine)
        yield OpenModel(policy, choice.spec, choice.knows_only_puzzles, choice.agreements)


def problem_for(
    text: str, kind: AnswerKind | None = None, *, knows_only_puzzles: bool = False
) -> Problem:
    """The problem a text states to a model.

    A model that knows only the built-in families is asked in the wording it was trained on, and
    `ProblemNotUnderstoodError` refuses what is none of them. Any other model gets the text as it
    stands; where the text is a problem of a built-in family, its answers can be checked all the
    same, unless the caller says what `kind` of answer is wanted.
    """
    if not text.strip():
        raise ProblemNotUnderstoodError("the problem is empty")
    if knows_only_puzzles:
        problem = to_problem(recognise(text, TRAINED))
        if kind not in {None, problem.answer_kind}:
            raise BadInputError(
                f"the answer to this problem is `{problem.answer_kind}`, not `{kind}`",
                hint="leave the kind of answer out: this model knows only the built-in families",
            )
        return problem
    puzzle = puzzle_of(Problem.of(text)) if kind is None else None
    if puzzle is not None:
        return Problem.of(text, puzzle.answer_kind, {"family": puzzle.name})
    return Problem.of(text, kind or AnswerKind.TEXT)
