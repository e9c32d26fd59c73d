"""`mull train`: make a model from nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mull.build import describe, find_checkpoint, needs_extra
from mull.cli.exits import ExitCode
from mull.cli.output import say, show
from mull.cli.watching import interrupts, shown
from mull.core.errors import BadInputError

if TYPE_CHECKING:
    from mull.training.policy import PolicyTrainer, TrainingPlan
    from mull.training.policy import Progress as TrainingProgress

EXAMPLES: Final = """\
Examples:

mull train policy --size mini --tokens 20000000 --out runs/mini

mull train policy --size base --minutes 60 --out runs/base --device cuda

The same command again goes on where a stopped run was."""

SizeOption = Annotated[str, typer.Option("--size", help="mini or base.")]
TokensOption = Annotated[
    int, typer.Option("--tokens", help="Tokens to train on; the learning rate ends with them.")
]
MinutesOption = Annotated[
    float | None, typer.Option("--minutes", help="End after this long if that comes first.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of weights and data.", min=0)]
OutOption = Annotated[
    Path,
    typer.Option(
        "--out", help="Folder of the run; the model ends up in its `model`.", file_okay=False
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
CompileOption = Annotated[bool, typer.Option("--compile/--no-compile", help="Use torch.compile.")]


def policy(
    *,
    size: SizeOption = "mini",
    tokens: TokensOption = 20_000_000,
    minutes: MinutesOption = None,
    seed: SeedOption = 0,
    out: OutOption,
    device: DeviceOption = "cpu",
    compiled: CompileOption = True,
) -> None:
    """Train a policy on puzzles made on the fly; a run that was stopped goes on."""
    with needs_extra("train", "`mull train policy`"):
        from mull.training.policy import PolicyTrainer, TrainingPlan
    check_device(device)
    limit = float("inf") if minutes is None else minutes
    plan = TrainingPlan(size, tokens, limit, seed=seed, device=device, compiled=compiled)
    trainer = PolicyTrainer(plan, out)
    if trainer.progress.step:
        say(f"going on after step {trainer.progress.step:,} of the run in `{out}`")
    try:
        folder = _train(trainer, plan)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here", style="yellow")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    card = describe(find_checkpoint(str(folder)))
    say(f"{card.num_parameters:,} parameters, {card.num_bytes / 1e6:.1f} MB; --model {folder}")
    show(str(folder))


def check_device(device: str) -> None:
    """Raise `BadInputError` where torch cannot use it."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises either where there is no CUDA
        raise BadInputError(f"device `{device}` cannot be used", hint="use --device cpu") from error


def _train(trainer: "PolicyTrainer", plan: "TrainingPlan") -> Path:
    """Train to the end. An interrupt lets the step end, saves, and raises KeyboardInterrupt."""
    with interrupts() as interrupted, shown("training") as show_progress:

        def report(now: "TrainingProgress") -> None:
            show_progress(now.share(plan), _in_words(now))
            if interrupted.is_set():
                trainer.save()
                raise KeyboardInterrupt

        return trainer.run(report)


def _in_words(now: "TrainingProgress") -> str:
    speed = now.tokens / now.seconds if now.seconds else 0.0
    return f"{now.tokens / 1e6:.1f} M tokens, loss {now.loss:.3f}, {speed:,.0f} tokens/s"
