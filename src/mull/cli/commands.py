"""Every command by its name, with where it lies; its code is read when it is asked for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import typer

from mull.build import needs_extra

_SOLVING: Final = "Solve and check"
_SERVING: Final = "Serve"
_MEASURING: Final = "Measure"
_MODELS: Final = "Models"


@dataclass(frozen=True, slots=True)
class Command:
    """A function of a module of this room."""

    name: str
    place: str
    """`MODULE.FUNCTION`."""
    summary: str
    """The first line of what its `--help` says."""
    panel: str | None = None
    """Under which heading the list of commands shows it."""
    examples: str = "EXAMPLES"
    """What the module calls them."""
    extra: str | None = None
    """What it needs beyond the base install, before it can say what its options are."""

    def join(self, app: typer.Typer, *, in_full: bool) -> None:
        """Make the command the app's; unless `in_full` it is only there to be listed."""
        if not in_full:
            app.command(self.name, help=self.summary, rich_help_panel=self.panel)(_listed)
            return
        module, _, function = self.place.partition(".")
        if self.extra is None:
            found = import_module(f"mull.cli.{module}")
        else:
            with needs_extra(self.extra, f"`mull {self.name}`"):
                found = import_module(f"mull.cli.{module}")
        epilog = getattr(found, self.examples)
        app.command(self.name, epilog=epilog, rich_help_panel=self.panel)(getattr(found, function))


def _listed() -> None:
    raise AssertionError("a command runs that was not asked for")


@dataclass(frozen=True, slots=True)
class Family:
    """Commands behind one word."""

    name: str
    summary: str
    panel: str
    commands: Sequence[Command]

    def join(self, app: typer.Typer, words: Collection[str]) -> None:
        """Make them the app's, in full those that are among the words."""
        family = typer.Typer(help=self.summary, no_args_is_help=True)
        app.add_typer(family, name=self.name, rich_help_panel=self.panel)
        for each in self.commands:
            each.join(family, in_full=each.name in words)


COMMANDS: Final = (
    Command(
        "solve",
        "solve.solve",
        "Solve a problem: draw attempts, check them, give the best answer and say why it stopped.",
        _SOLVING,
        "SOLVE_EXAMPLES",
    ),
    Command(
        "resume",
        "solve.resume",
        "Continue a solve that was interrupted or ran out of budget; nothing is computed twice.",
        _SOLVING,
        "RESUME_EXAMPLES",
    ),
    Command(
        "check",
        "check.check",
        "Check an answer against a reference: accept, reject, or unknown and why.",
        _SOLVING,
    ),
    Command("runs", "runs.runs", "List the solves that the journal keeps, newest first.", _SOLVING),
    Command(
        "trace",
        "traces.trace",
        "Print every event of a solve as JSON lines: nodes, scores, usage, decisions.",
        _SOLVING,
    ),
    Command(
        "serve",
        "serve.serve",
        "Serve models and searches behind OpenAI's API, on this machine unless told otherwise.",
        _SERVING,
    ),
    Command(
        "key",
        "serve.key",
        "Make a key for a client of `mull serve`, and its hash for the file of tenants.",
        _SERVING,
        "KEY_EXAMPLES",
    ),
    Command(
        "doctor",
        "doctor.doctor",
        "Try every configured model with one word, read the whole journal, check the tenants.",
        _SERVING,
    ),
    Command(
        "demo",
        "demo.demo",
        "Watch a small model fail at a puzzle, think longer and solve it; then see it on 100 "
        "games.",
        _MEASURING,
        extra="local",
    ),
    Command(
        "eval",
        "evaluate.evaluate",
        "Evaluate strategies on problems with known answers: accuracy, intervals and cost.",
        _MEASURING,
        extra="eval",
    ),
    Command(
        "diagnose",
        "diagnose.diagnose",
        "Say from a baseline's samples what more of them, a checker, votes or shorter ones bring.",
        _MEASURING,
        extra="eval",
    ),
    Command(
        "calibrate",
        "calibrate.calibrate",
        "Find out how often a model's majority is right, on problems whose answers are known.",
        _MEASURING,
        extra="eval",
    ),
    Command(
        "audit",
        "audit.audit",
        "Measure reward models on fresh held-out problems: ranking of states, choice of answers.",
        _MEASURING,
        extra="local",
    ),
    Family(
        "bench",
        "Measure how fast mull is, beside others.",
        _MEASURING,
        (
            Command(
                "engine",
                "bench.engine",
                "Tokens per CPU-second of mull's engine, of Hugging Face `generate` and of "
                "llama.cpp.",
            ),
        ),
    ),
    Command(
        "models",
        "models.models",
        "List the shipped models, or describe one of them or a checkpoint folder.",
        _MODELS,
    ),
    Family(
        "train",
        "Make models from nothing.",
        _MODELS,
        (
            Command(
                "policy",
                "train.policy",
                "Train a policy on puzzles made on the fly; a run that was stopped goes on.",
            ),
            Command(
                "states",
                "train_rewards.states",
                "Explore training problems with a policy and label the states; goes on where it "
                "stopped.",
                examples="STATES_EXAMPLES",
            ),
            Command(
                "prm",
                "train_rewards.prm",
                "Train a process reward model, which values every step; a run that was stopped "
                "goes on.",
                examples="PRM_EXAMPLES",
            ),
            Command(
                "orm",
                "train_rewards.orm",
                "Train an outcome reward model, which values whole answers; a stopped run goes on.",
                examples="ORM_EXAMPLES",
            ),
        ),
    ),
    Family(
        "export",
        "Write models and samples in files for others.",
        _MODELS,
        (
            Command(
                "samples",
                "export.samples",
                "Write the samples of solves as a recording, to be replayed without their model.",
                examples="SAMPLES_EXAMPLES",
            ),
            Command(
                "gguf",
                "export.gguf",
                "Write a checkpoint as one GGUF file, which llama.cpp serves.",
                examples="GGUF_EXAMPLES",
            ),
        ),
    ),
)


def join_commands(app: typer.Typer, words: Collection[str]) -> None:
    """Make all commands the app's: in full those that are among the words, the others to be listed.

    A word that means something else costs the reading of a module, no more.
    """
    for each in COMMANDS:
        if isinstance(each, Family):
            each.join(app, words)
        else:
            each.join(app, in_full=each.name in words)
