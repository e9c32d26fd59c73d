"""`mull solve` and `mull resume`: one solve, live, then its solution."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from shlex import quote
from types import MappingProxyType
from typing import Annotated, Final

import typer

from mull.build import DEFAULT_MODEL, drafted, open_journal, resume_async, solve_async
from mull.cli.configuration import config_of
from mull.cli.exits import ExitCode, exit_code_for
from mull.cli.options import (
    AbstainOption,
    AnswerOption,
    CountOption,
    DraftOption,
    GuideOption,
    JournalOption,
    JsonOption,
    MaxTokensOption,
    ModelOption,
    QualityOption,
    ReasoningOption,
    SecondsOption,
    SeedOption,
    SetOption,
    StrategyOption,
    TemperatureOption,
    TokensOption,
    TraceOption,
    UsdOption,
    VerifierOption,
    WidthOption,
    options_in,
)
from mull.cli.output import say
from mull.cli.places import default_journal
from mull.cli.progress import watching
from mull.cli.solution import show_solution, show_solution_json
from mull.cli.traces import check_writable, write_trace
from mull.core.errors import JournalCorruptError
from mull.core.events import Event, SolveStarted, StopReason
from mull.core.expansion import Thinking
from mull.core.protocols import Journal
from mull.core.solution import Solution
from mull.solver import Observer

SOLVE_EXAMPLES: Final = """\
Examples:

mull solve "Use 4, 9, 10 and 13 once each with + - * / to make 24."

mull solve "Make 24 from 4 4 10 10" --strategy early_stop --n 256 --budget-tokens 20000

mull solve "Make 24 from 4 9 10 13" --strategy beam --guide countdown --set shape=16:8,4:4,finish

mull solve "Multiply 847 by 293." --strategy self_consistency --n 8 --json

mull solve "Make 24 from 4 9 10 13" --verifier none --quality 0.9 --n 64

mull solve "What is 2/3 of 3/4?" --answer maths --model openai:http://127.0.0.1:8000/v1#NAME

Exit codes: 0 answered, 1 no answer, 2 bad input, 3 failure, 130 interrupted."""

RESUME_EXAMPLES: Final = """\
Examples:

mull resume 3f9a1c20bb

mull resume 3f9a1c20bb --more-tokens 5000

`mull runs` lists the ids."""

ProblemArgument = Annotated[
    str, typer.Argument(metavar="PROBLEM", help="The problem in words.", show_default=False)
]
SolveIdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The solve's id, as `mull runs` lists it.")
]
MoreTokensOption = Annotated[
    int | None, typer.Option("--more-tokens", help="Generated tokens on top of the budget.")
]
MoreSecondsOption = Annotated[
    float | None, typer.Option("--more-seconds", help="Seconds on top of the budget.")
]
MoreUsdOption = Annotated[
    float | None, typer.Option("--more-usd", help="US dollars on top of the budget.")
]
SameModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="The model that it was started with, to send it your key."),
]
OwnStrategyOption = Annotated[
    str | None,
    typer.Option("--strategy", help="The strategy of your own that it was started with."),
]
OwnVerifierOption = Annotated[
    str | None,
    typer.Option(
        "--verifier",
        help="The verifier that it was started with: your own, or one to send your key to.",
    ),
]

OwnGuideOption = Annotated[
    str | None, typer.Option("--guide", help="The same for the guide it was started with.")
]

RAISES: Final[Mapping[StopReason, str]] = MappingProxyType(
    {
        StopReason.BUDGET_TOKENS: "--more-tokens",
        StopReason.BUDGET_SECONDS: "--more-seconds",
        StopReason.BUDGET_MONEY_USD: "--more-usd",
    }
)
"""The option of `mull resume` that lets a solve go on which ended for this reason."""

Drive = Callable[[Journal, Observer], Coroutine[None, None, Solution]]


@dataclass(frozen=True, slots=True)
class Session:
    """One solve as the command line runs it: where it is kept and what is shown of it."""

    solve_id: str
    journal: Path
    as_json: bool
    trace: Path | None

    def run(self, drive: Drive) -> None:
        """Drive the solve, show its solution, and end with the exit code that fits it."""
        if self.trace is not None:
            check_writable(self.trace)
        try:
            solution, events = asyncio.run(self._drive(drive))
        except KeyboardInterrupt:
            self._say_how_to_go_on()
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        self._show(solution, events)
        if self.trace is not None:
            write_trace(self.trace, events)
        raise typer.Exit(exit_code_for(solution))

    async def _drive(self, drive: Drive) -> tuple[Solution, list[Event]]:
        async with open_journal(self.journal) as journal:
            with watching() as view:
                solution = await drive(journal, view.see)
            return solution, list(await journal.load(self.solve_id))

    def _show(self, solution: Solution, events: list[Event]) -> None:
        if not self.as_json:
            show_solution(solution)
            if raising := RAISES.get(solution.stop):
                say(f"to go on: {self._resume_command} {raising} N", style="dim")
            return
        started = events[0]
        if not isinstance(started, SolveStarted):
            raise JournalCorruptError(f"solve `{self.solve_id}` does not start with its start")
        show_solution_json(solution, started.spec, started.seed)

    def _say_how_to_go_on(self) -> None:
        say("interrupted; every finished step is kept", style="yellow")
        say(f"to go on: {self._resume_command}", style="yellow")

    @property
    def _resume_command(self) -> str:
        is_elsewhere = self.journal != default_journal()
        return f"mull resume {self.solve_id}" + (
            f" --journal {quote(str(self.journal))}" if is_elsewhere else ""
        )


def solve(
    context: typer.Context,
    problem: ProblemArgument,
    *,
    model: ModelOption = DEFAULT_MODEL,
    draft: DraftOption = None,
    answer: AnswerOption = None,
    strategy: StrategyOption = "best_of_n",
    n: CountOption = None,
    width: WidthOption = None,
    verifier: VerifierOption = "auto",
    guide: GuideOption = None,
    settings: SetOption = None,
    quality: QualityOption = None,
    abstain: AbstainOption = False,
    temperature: TemperatureOption = None,
    reason: ReasoningOption = None,
    seed: SeedOption = 0,
    budget_tokens: TokensOption = None,
    budget_seconds: SecondsOption = None,
    budget_usd: UsdOption = None,
    max_tokens: MaxTokensOption = None,
    as_json: JsonOption = False,
    trace: TraceOption = None,
    journal: JournalOption,
) -> None:
    """Solve a problem: draw attempts, check them, give the best answer and say why it stopped."""
    session, config = Session(token_hex(5), journal, as_json, trace), config_of(context)
    base = config.strategy(strategy)
    chosen = replace(base, options={**base.options, **options_in(settings or ())})

    async def drive(kept: Journal, see: Observer) -> Solution:
        return await solve_async(
            problem,
            model=config.model(model) if draft is None else drafted(config.model(model), draft),
            answer=answer,
            strategy=chosen,
            n=n,
            width=width,
            temperature=temperature,
            max_tokens=max_tokens,
            thinking=_thinking(reason=reason),
            verifier=config.verifier(verifier),
            guide=guide and config.verifier(guide),
            quality=quality,
            abstain=abstain,
            budget_tokens=budget_tokens,
            budget_seconds=budget_seconds,
            budget_usd=budget_usd,
            seed=seed,
            journal=kept,
            solve_id=session.solve_id,
            on_event=see,
        )

    session.run(drive)


def _thinking(*, reason: bool | None) -> Thinking | None:
    if reason is None:
        return None
    return Thinking.AUTO if reason else Thinking.OFF


def resume(
    context: typer.Context,
    solve_id: SolveIdArgument,
    *,
    model: SameModelOption = None,
    strategy: OwnStrategyOption = None,
    verifier: OwnVerifierOption = None,
    guide: OwnGuideOption = None,
    more_tokens: MoreTokensOption = None,
    more_seconds: MoreSecondsOption = None,
    more_usd: MoreUsdOption = None,
    as_json: JsonOption = False,
    trace: TraceOption = None,
    journal: JournalOption,
) -> None:
    """Continue a solve that was interrupted or ran out of budget; nothing is computed twice."""
    config = config_of(context)

    async def drive(kept: Journal, see: Observer) -> Solution:
        return await resume_async(
            solve_id,
            journal=kept,
            config=config,
            model=model and config.model(model),
            more_tokens=more_tokens,
            more_seconds=more_seconds,
            more_usd=more_usd,
            strategy=strategy,
            verifier=verifier and config.verifier(verifier),
            guide=guide and config.verifier(guide),
            on_event=see,
        )

    Session(solve_id, journal, as_json, trace).run(drive)
