"""The Python way in: a problem as text, and names or objects for everything else."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from math import inf
from pathlib import Path
from typing import Final

from mull.build.blocking import blocking
from mull.build.config import NO_FILE, Config
from mull.build.controllers import Wish
from mull.build.journals import open_journal
from mull.build.judging import AUTO
from mull.build.models import (
    DEFAULT_MODEL,
    ModelChoice,
    OpenModel,
    check_priced,
    choose_model,
    chosen_by,
    open_model,
)
from mull.build.plan import Judge, SearchChoice, plan_again, plan_search
from mull.build.rewards import guest_among
from mull.build.strategies import SearchSettings
from mull.core.errors import BadInputError, BudgetError, UnknownNameError
from mull.core.expansion import Thinking
from mull.core.problem import AnswerKind, Problem
from mull.core.protocols import Journal, Policy, Strategy, Verifier
from mull.core.solution import Solution
from mull.core.spec import Spec
from mull.core.state import replay
from mull.core.usage import Budget, Limit
from mull.engine import Dtype
from mull.solver import Observer
from mull.solver.recorder import ignore
from mull.solver.solver import solution_of

_LIMITS: Final = {"tokens": Limit.TOKENS, "seconds": Limit.SECONDS, "usd": Limit.MONEY_USD}


async def solve_async(
    problem: str | Problem,
    *,
    model: str | ModelChoice | OpenModel | Policy = DEFAULT_MODEL,
    answer: str | AnswerKind | None = None,
    strategy: str | Spec | Strategy = "best_of_n",
    n: int | None = None,
    width: int | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    thinking: Thinking | None = None,
    verifier: Judge | None = AUTO,
    guide: Judge | None = None,
    quality: float | None = None,
    abstain: bool = False,
    budget_tokens: int | None = None,
    budget_seconds: float | None = None,
    budget_usd: float | None = None,
    seed: int = 0,
    journal: str | Path | Journal | None = None,
    solve_id: str | None = None,
    on_event: Observer = ignore,
) -> Solution:
    """Solve a problem; `solution.answer` is None where no answer can be given honestly.

    Args:
        problem: Free text, or a `Problem`. A shipped model knows the built-in puzzle families
            alone; `ProblemNotUnderstoodError` refuses what is none of them.
        model: A shipped model's name, a checkpoint folder, a served model as
            `openai:http://HOST:PORT/v1#NAME` (its key comes from the environment), what
            `open_model` gave (load once, solve often), or a policy of your own.
        answer: What kind of answer free text asks for: `text`, `integer`, `maths`. None finds out
            whether the text is a built-in puzzle.
        strategy: A strategy's name, a `Spec` of it with options, or a strategy of your own as an
            object or by name (`module:name`, `./file.py:name`).
        n: Answers to draw. With the next four: None is what the `Spec` says, else the strategy's
            own default.
        width: Answers drawn at once by `early_stop`, paths kept by `beam`.
        temperature: Of sampling, above 0.
        max_tokens: Tokens one answer may take, reasoning included; by itself 4,096 for a model of
            `openai:`, `anthropic:` or `gemini:`, and 256 for any other.
        thinking: Whether the model reasons before it answers; `Thinking.OFF` is the direct form.
        verifier: A name, `"auto"` (the exact checker where the problem's kind has one), `"none"`,
            what `mull.read_config().verifier(name)` finds, or a verifier of your own: an object, a
            function `check(problem, answer) -> bool | float`, or the name of either
            (`module:name`, `./file.py:name`).
        guide: Who steers a search step by step: a step verifier, by name or of your own.
        quality: The chance of being right that is wanted, above 0 and below 1: answers are drawn,
            `width` at once and up to `n`, until it is reached. `solution.is_met` says whether.
        abstain: Whether an answer below the quality is kept back.
        budget_tokens: Generated tokens that are never passed; None is no limit.
        budget_seconds: Wall-clock time of the search itself; loading a model is not counted.
        budget_usd: US dollars, for a model with prices.
        seed: Equal arguments and an equal seed give an equal answer.
        journal: A file that keeps the solve so that `resume` can continue it; None keeps nothing.
        solve_id: The id in the journal; None draws one.
        on_event: Sees every event of the trace, and text as it streams.

    Raises:
        BadInputError: for anything in the arguments that cannot work, before anything is spent.
        StoreError: when the journal cannot be written; what was written stays valid.
    """
    budget = _budget("budget", budget_tokens, budget_seconds, budget_usd)
    source = _source(model)
    if budget.max_money_usd is not None:
        check_priced(source.spec, "budget_usd")
    asked = _asked(problem, source, answer)
    wish = _wish(quality, width, source, abstain=abstain)
    width = width if wish is None else None
    settings = SearchSettings(n, width, temperature, max_tokens, thinking)
    plan = plan_search(asked, SearchChoice(strategy, settings, verifier, guide, wish))
    opening = _opened(source, plan.verifiers)
    async with aclosing(plan), open_journal(journal) as kept, opening as opened:
        await plan.open()
        return (
            await plan.fitted(opened)
            .solver(opened, kept)
            .solve(asked, budget=budget, seed=seed, solve_id=solve_id, observer=on_event)
        )


async def resume_async(
    solve_id: str,
    *,
    journal: str | Path | Journal,
    more_tokens: int | None = None,
    more_seconds: float | None = None,
    more_usd: float | None = None,
    model: str | OpenModel | ModelChoice | Policy | None = None,
    config: Config = NO_FILE,
    strategy: str | Strategy | None = None,
    verifier: Judge | None = None,
    guide: Judge | None = None,
    on_event: Observer = ignore,
) -> Solution:
    """Continue an interrupted solve, or one that ran out of budget, from its journal.

    Nothing that is journalled is generated again. A solve that has ended and is given nothing more
    is returned as it ended, without its model being loaded.

    Args:
        solve_id: As in `Solution.solve_id` and `mull runs`.
        journal: Where the solve was kept.
        more_tokens: On top of the solve's token budget, where it has one.
        more_seconds: On top of its time, where that is limited.
        more_usd: On top of its money, where that is limited.
        model: The model that the solve was started with, by its name, open, or the policy of your
            own; None opens what the journal names.
        config: Your own settings, as `mull.read_config()` reads them. What they describe by name is
            found again, and a key goes where a journal says only if they send it there too.
        strategy: The strategy of your own that the solve was started with, if it was, in the same
            way. A journal alone never runs code.
        verifier: The verifier of your own that it was started with, if it was.
        guide: The guide of your own that it was started with, if it was.
        on_event: Sees every new event.

    Raises:
        BudgetError: for a limit that is not above zero, or that the solve does not have.
        UnknownSolveError: when the journal holds no solve of that id.
        JournalCorruptError: when what it holds is damaged.
    """
    more = _budget("more", more_tokens, more_seconds, more_usd)
    extra = None if more == Budget() else more
    async with open_journal(journal) as kept:
        state = replay(await kept.load(solve_id))
        if state.ended is not None and extra is None:
            return solution_of(solve_id, state)
        _check_raises(state.budget, more)
        spec = state.started.spec
        plan = plan_again(
            state.started, strategy=strategy, verifier=verifier, guide=guide, config=config
        )
        source = chosen_by(spec.policy, config.key_uses) if model is None else _source(model)
        async with aclosing(plan), _opened(source, plan.verifiers) as opened:
            await plan.open()
            return await plan.solver(opened, kept).resume(solve_id, extra=extra, observer=on_event)


def _asked(
    problem: str | Problem, source: ModelChoice | OpenModel, answer: str | AnswerKind | None
) -> Problem:
    try:
        kind = None if answer is None else AnswerKind(answer)
    except ValueError:
        raise UnknownNameError("kind of answer", str(answer), AnswerKind) from None
    if isinstance(problem, str):
        return source.problem(problem, kind)
    if kind not in {None, problem.answer_kind}:
        raise BadInputError(f"the problem's answer is `{problem.answer_kind}`, not `{kind}`")
    return problem


def _wish(
    quality: float | None, width: int | None, source: ModelChoice | OpenModel, *, abstain: bool
) -> Wish | None:
    if quality is not None:
        return Wish(quality, abstain, width, source.agreements)
    if abstain:
        raise BadInputError(
            "`abstain` keeps back what is not good enough, and nothing says what would be",
            hint="give a `quality` too",
        )
    return None


def _budget(prefix: str, tokens: int | None, seconds: float | None, usd: float | None) -> Budget:
    """The limits as a budget; an error names them as the caller does."""
    for name, value in (("tokens", tokens), ("seconds", seconds), ("usd", usd)):
        if value is not None and not 0 < value < inf:
            raise BudgetError(
                f"`{prefix}_{name}` is {value}; it must be above zero",
                hint="give a positive number, or leave it out for no limit",
            )
    return Budget(max_tokens=tokens, max_seconds=seconds, max_money_usd=usd)


def _check_raises(budget: Budget, more: Budget) -> None:
    """Refuse to raise a limit that the solve does not have: it would go on without any."""
    for name, limit in _LIMITS.items():
        if more.cap(limit) is not None and budget.cap(limit) is None:
            raise BudgetError(
                f"the solve has no limit on {name}, so `more_{name}` has none to raise",
                hint=f"leave `more_{name}` out: the solve goes on without a limit",
            )


def _source(model: str | ModelChoice | OpenModel | Policy) -> ModelChoice | OpenModel:
    """What is cheap to find out about a model: nothing is loaded."""
    if isinstance(model, str):
        return choose_model(model)
    return model if isinstance(model, ModelChoice | OpenModel) else OpenModel.own(model)


@asynccontextmanager
async def _opened(
    source: ModelChoice | OpenModel, verifiers: Sequence[Verifier]
) -> AsyncGenerator[OpenModel, None]:
    """Open what is not open; what the caller opened stays the caller's.

    A reward model that judges for a checkpoint shares its process and its memory.
    """
    if isinstance(source, OpenModel):
        yield source
        return
    guest = None
    if source.checkpoint is not None:
        guest = guest_among(verifiers, Dtype(source.spec.options["dtype"]))
    async with open_model(source, guest=guest) as opened:
        yield opened


solve = blocking(solve_async, "solve")
resume = blocking(resume_async, "resume")
