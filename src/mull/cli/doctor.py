"""`mull doctor`: whether what is configured works, tried on the spot."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Final

import typer

from mull.build import (
    ModelChoice,
    check_priced,
    open_journal,
    open_model,
    prices_in,
    solve_async,
)
from mull.build.extras import needs_extra
from mull.cli.configuration import config_of
from mull.cli.exits import ExitCode
from mull.cli.output import say, show
from mull.cli.places import default_served_journal
from mull.cli.serve import ModelsOption, named_models
from mull.core.errors import BudgetError, MullError
from mull.core.solution import Solution
from mull.puzzles import FAMILIES
from mull.store import SqliteJournal

EXAMPLES: Final = """\
Examples:

mull doctor

mull doctor --model openai:http://127.0.0.1:8001/v1#NAME --tenants tenants.toml"""

_SECONDS: Final = 60.0
"""A model that has not said a word by then does not work."""

TenantsOption = Annotated[
    Path | None, typer.Option("--tenants", help="The file of tenants of `mull serve`.")
]
JournalOption = Annotated[
    Path,
    typer.Option(
        "--journal",
        help="The file that keeps solves.",
        default_factory=default_served_journal,
        show_default="that of `mull serve`",
    ),
]


def doctor(
    context: typer.Context,
    *,
    model: ModelsOption = None,
    journal: JournalOption,
    tenants: TenantsOption = None,
) -> None:
    """Try every configured model with one word, read the whole journal, check the tenants."""
    models = named_models(model, config_of(context))
    found = asyncio.run(_check(models, journal, tenants))
    if found:
        say(f"{found} of these do not work", style="bold red")
        raise typer.Exit(ExitCode.BAD_INPUT)


async def _check(models: dict[str, ModelChoice], journal: Path, tenants: Path | None) -> int:
    """How many things do not work."""
    broken = 0
    for name, choice in models.items():
        broken += not await _works(f"model `{name}`", _try_model(choice))
        if choice.checkpoint is None:
            _show_costs(choice)
    broken += not await _works(f"journal `{journal}`", _try_journal(journal))
    if tenants is not None:
        broken += not await _works(f"tenants `{tenants}`", _try_tenants(tenants))
    return broken


async def _works(what: str, trial: Coroutine[None, None, str]) -> bool:
    """Say what a trial came to; whether it came to something good."""
    try:
        told = await trial
    except MullError as error:
        show(f"✗ {what}: {error.message}", style="red")
        if error.hint:
            show(f"    {error.hint}", style="dim")
        return False
    show(f"✓ {what}: {told}")
    return True


async def _try_model(choice: ModelChoice) -> str:
    async with open_model(choice) as model:
        asked = next(iter(FAMILIES.values())).example if model.knows_only_puzzles else "Say yes."
        start = time.monotonic()
        solution = await solve_async(
            asked,
            model=model,
            strategy="greedy",
            verifier="none",
            max_tokens=8,
            budget_seconds=_SECONDS,
        )
        _check_said(solution)
        taken = time.monotonic() - start
        capabilities = model.policy.capabilities
        kinds = ", ".join(sorted(capabilities.kinds))
        bound = f"its limits are {capabilities.bound.value}"
        return f"`{capabilities.model}` answers in {taken:.1f} s; it can {kinds}; {bound}"


def _show_costs(choice: ModelChoice) -> None:
    """What a model's tokens cost and who says so, or what to do where nobody does."""
    prices = prices_in(choice.spec.options)
    if prices is None:
        try:
            check_priced(choice.spec, "budget_usd")
        except BudgetError as error:
            show(f"    no prices, for a budget in money: {error.hint}", style="dim")
        return
    told = f"${prices.input:g} read, ${prices.output:g} generated"
    if prices.cached is not None:
        told += f", ${prices.cached:g} cached"
    if prices.tiers:
        told += f", other prices above {prices.tiers[0].above:,} tokens"
    source = f"by {prices.version}" if prices.version else "as typed"
    show(f"    per million tokens: {told} ({source})", style="dim")


def _check_said(solution: Solution) -> None:
    failures = list(solution.tree.failures.values())
    if failures:
        raise MullError(failures[-1].message)
    if not solution.usage.generated_tokens:
        raise MullError(f"it said nothing in {_SECONDS:.0f} seconds")


async def _try_journal(path: Path) -> str:
    async with open_journal(path) as journal:
        solves = await journal.solves()
        damaged = await journal.check() if isinstance(journal, SqliteJournal) else ()
        if damaged:
            raise damaged[0]
        num_open = sum(each.stop is None for each in solves)
        return f"{len(solves)} solves, all readable, {num_open} of them open"


async def _try_tenants(file: Path) -> str:
    with needs_extra("serve", "a file of tenants"):
        from mull.server import Accounts
    return f"{len(Accounts.read(file).callers)} tenants"
