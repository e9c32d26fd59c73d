"""`mull train states`, `prm` and `orm`: reward models from a policy's own search states."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from mull.build import find_checkpoint, find_policy, needs_extra
from mull.cli.exits import ExitCode
from mull.cli.output import say, show
from mull.cli.train import CompileOption, DeviceOption, OutOption, SeedOption, check_device
from mull.cli.watching import interrupts, shown
from mull.core.errors import UnknownNameError

if TYPE_CHECKING:
    from mull.training.reward import RewardPlan, RewardProgress, RewardTrainer

STATES_EXAMPLES: Final = """\
Examples:

mull train states --policy mull-mini --search mc --problems 8192 --out runs/states

mull train states --policy mull-base --family chain --family multiply --search steps --out runs/text

The same command again goes on where it was stopped; more --problems add to what is there."""
PRM_EXAMPLES: Final = """\
Examples:

mull train prm --states runs/states --labels exact --out runs/prm

mull train prm --states runs/states --start runs/prm/model --labels soft --out runs/soft

The same command again goes on where a stopped run was. Use the result by its folder:
mull solve ... --verifier runs/prm/model"""
ORM_EXAMPLES: Final = """\
Examples:

mull train orm --states runs/states --out runs/orm

mull train orm --states runs/states --ranking 1.0 --out runs/ranked"""

PolicyOption = Annotated[
    str, typer.Option("--policy", help="Whose states: a shipped model or a folder.")
]
FamilyOption = Annotated[
    list[str] | None,
    typer.Option("--family", help="countdown (the default), chain or multiply; repeatable."),
]
SearchOption = Annotated[
    str,
    typer.Option(
        "--search",
        help="mc: rollouts; omega: binary search for the first error; steps: next steps alone, "
        "which have exact labels only.",
    ),
]
StatesOption = Annotated[
    list[Path], typer.Option("--states", help="Folder of labelled states; repeatable.")
]
StartOption = Annotated[
    str, typer.Option("--start", help="Weights to begin from: a model's name or a folder.")
]
LabelsOption = Annotated[str, typer.Option("--labels", help="exact, soft or hard.")]
HeadOption = Annotated[
    str, typer.Option("--head", help="beta (a value and its uncertainty) or binary.")
]
EpochsOption = Annotated[int, typer.Option("--epochs", help="Passes over the states.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", help="Train on so many problems, drawn by the seed.", min=1)
]


def states(
    *,
    policy: PolicyOption = "mull-base",
    families: FamilyOption = None,
    search: SearchOption = "mc",
    problems: Annotated[int, typer.Option("--problems", help="Problems to explore.")] = 8_192,
    traces: Annotated[
        int, typer.Option("--traces", help="Completions a problem; with steps, steps a state.")
    ] = 4,
    rollouts: Annotated[
        int, typer.Option("--rollouts", help="Completions from each state of the first of them.")
    ] = 2,
    temperature: Annotated[float, typer.Option("--temperature", help="Of sampling.")] = 1.0,
    seed: SeedOption = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder of the states.", file_okay=False)],
) -> None:
    """Explore training problems with a policy and label the states; goes on where it stopped."""
    with needs_extra("train", "`mull train states`"):
        from mull.training.states import SEARCHES, StateFolder, StatesPlan, label_states
    if search not in SEARCHES:
        raise UnknownNameError("search", search, SEARCHES)
    checkpoint = find_policy(policy)
    plan = StatesPlan(
        checkpoint.name,
        tuple(families or ("countdown",)),
        problems,
        search,
        traces,
        rollouts,
        temperature,
        seed,
    )
    with interrupts() as interrupted, shown("exploring") as show_progress:

        def report(done: int, total: int) -> None:
            show_progress(done / total, f"{done} of {total} files of states")
            if interrupted.is_set():
                raise KeyboardInterrupt

        try:
            asyncio.run(label_states(StateFolder(out, plan), checkpoint.folder, report))
        except KeyboardInterrupt:
            raise _stopped() from None
    show(str(out))


def prm(
    *,
    states: StatesOption,
    start: StartOption = "mull-mini",
    labels: LabelsOption = "exact",
    head: HeadOption = "beta",
    epochs: EpochsOption = 3,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption,
    device: DeviceOption = "cpu",
    compiled: CompileOption = True,
) -> None:
    """Train a process reward model, which values every step; a run that was stopped goes on."""
    with needs_extra("train", "`mull train prm`"):
        from mull.training.reward import RewardPlan
        from mull.training.reward_rows import Labels
    from mull.models.reward_card import Head, RewardKind

    check_device(device)
    plan = RewardPlan(
        RewardKind.PROCESS,
        start,
        _member(Labels, "labels", labels),
        _member(Head, "head", head),
        epochs,
        limit=limit,
        seed=seed,
        device=device,
        compiled=compiled,
    )
    _train(plan, states, out)


def orm(
    *,
    states: StatesOption,
    start: StartOption = "mull-mini",
    head: HeadOption = "binary",
    ranking: Annotated[
        float, typer.Option("--ranking", help="Weight of ranking completions of one problem.")
    ] = 0.0,
    epochs: EpochsOption = 3,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption,
    device: DeviceOption = "cpu",
    compiled: CompileOption = True,
) -> None:
    """Train an outcome reward model, which values whole answers; a stopped run goes on."""
    with needs_extra("train", "`mull train orm`"):
        from mull.training.reward import RewardPlan
        from mull.training.reward_rows import Labels
    from mull.models.reward_card import Head, RewardKind

    check_device(device)
    plan = RewardPlan(
        RewardKind.OUTCOME,
        start,
        Labels.OUTCOME,
        _member(Head, "head", head),
        epochs,
        ranking=ranking,
        limit=limit,
        seed=seed,
        device=device,
        compiled=compiled,
    )
    _train(plan, states, out)


def _train(plan: "RewardPlan", states: list[Path], out: Path) -> None:
    from mull.training.reward_run import RewardRun

    run = RewardRun.begin(plan, states, find_checkpoint(plan.start).folder, out)
    if run.trainer.progress.step:
        say(f"going on after step {run.trainer.progress.step:,} of the run in `{out}`")
    with interrupts() as interrupted, shown("training") as show_progress:

        def report(now: "RewardProgress") -> None:
            show_progress(now.step / run.trainer.num_steps, _in_words(now, run.trainer))
            if interrupted.is_set():
                run.trainer.save()
                raise KeyboardInterrupt

        try:
            folder = run.finish(report)
        except KeyboardInterrupt:
            raise _stopped() from None
    card = run.card
    say(
        f"aggregation {card.aggregation}; calibration error "
        + ", ".join(f"{family} {error:.3f}" for family, error in card.error.items())
        + f"; --verifier {folder}"
    )
    show(str(folder))


def _in_words(now: "RewardProgress", trainer: "RewardTrainer") -> str:
    return f"step {now.step:,} of {trainer.num_steps:,}, loss {now.loss:.3f}"


def _stopped() -> typer.Exit:
    say("interrupted; the same command goes on from here", style="yellow")
    return typer.Exit(ExitCode.INTERRUPTED)


Kind = TypeVar("Kind", bound=StrEnum)


def _member(kinds: type[Kind], option: str, name: str) -> Kind:
    try:
        return kinds(name)
    except ValueError:
        raise UnknownNameError(option, name, tuple(kinds)) from None
