"""`mull eval`: how often a model is right, with how much compute."""

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from shlex import join
from typing import Annotated, Final, cast, get_args

import typer

from mull.build import DEFAULT_MODEL, MODELS, Config, OpenModel, find_verifier, open_model
from mull.build.strategies import AUTO
from mull.cli.configuration import config_of
from mull.cli.curves import show_curves
from mull.cli.draws import watching_draws
from mull.cli.exits import ExitCode
from mull.cli.options import JsonOption, VerifierOption
from mull.cli.output import say, show, show_json
from mull.core.digest import content_digest
from mull.core.errors import BadInputError
from mull.core.expansion import Sampling
from mull.engine import Dtype
from mull.evaluation import Bench, EvalConfig, ProblemSet, Report
from mull.evaluation import evaluate as run_evaluation
from mull.evaluation.runner import DEFAULT_ROWS
from mull.puzzles import family_named
from mull.search import STRATEGIES
from mull.tasks import SUITES, TASKS, Form, task_named

EXAMPLES: Final = """\
Examples:

mull eval countdown --suite game24-hard --n 1,4,16,64 --seeds 3 --out runs/games

mull eval countdown --level 5 --count 400 --model mull-base --model mull-mini

mull eval multiply --level 3 --strategy self_consistency --form reasoning --form direct

The same command again goes on where a stopped run was."""

_WHAT: Final = "What to evaluate"
_DRAW: Final = "How much to draw"
_KEEP: Final = "What to show and keep"

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help=f"{', '.join(TASKS)}.")]
SuiteOption = Annotated[
    str | None,
    typer.Option("--suite", help=f"Fixed problems: {', '.join(SUITES)}.", rich_help_panel=_WHAT),
]
LevelOption = Annotated[
    int | None,
    typer.Option(
        "--level", help="Generated held-out problems of this level.", rich_help_panel=_WHAT
    ),
]
ProblemsOption = Annotated[
    int | None,
    typer.Option(
        "--count", help="Problems (the whole suite, or 100 of a level).", rich_help_panel=_WHAT
    ),
]
ModelsOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        "-m",
        help=f"A shipped model ({', '.join(sorted(MODELS))}), a checkpoint folder or a served "
        "model (as `mull solve` takes it); again for more than one.",
        rich_help_panel=_WHAT,
    ),
]
StrategiesOption = Annotated[
    list[str],
    typer.Option(
        "--strategy",
        "-s",
        help=f"{', '.join(STRATEGIES)}; again for more than one.",
        rich_help_panel=_WHAT,
    ),
]
FormsOption = Annotated[
    list[str],
    typer.Option(
        "--form",
        help=f"{' or '.join(get_args(Form))}; again for both.",
        rich_help_panel=_WHAT,
    ),
]
BaselinesOption = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines",
        help="Greedy, majority vote and blind legal play beside what was asked for.",
        rich_help_panel=_WHAT,
    ),
]
CountsOption = Annotated[
    str,
    typer.Option(
        "--n",
        help="Samples a problem; the largest is drawn, the others are read off it.",
        rich_help_panel=_DRAW,
    ),
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", help="Repeats with other seeds.", rich_help_panel=_DRAW)
]
FirstSeedOption = Annotated[
    int, typer.Option("--seed", help="The first seed.", rich_help_panel=_DRAW, min=0)
]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", help="Of sampling.", rich_help_panel=_DRAW)
]
MaxTokensOption = Annotated[
    int, typer.Option("--max-tokens", help="Tokens a completion.", rich_help_panel=_DRAW)
]
WidthOption = Annotated[
    int,
    typer.Option(
        "--width",
        help="early_stop: samples drawn at once before it looks.",
        rich_help_panel=_DRAW,
    ),
]
RowsOption = Annotated[
    int,
    typer.Option(
        "--rows", help="Samples that grow at once, over all problems.", min=1, rich_help_panel=_DRAW
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu or cuda.", rich_help_panel=_DRAW)]
DtypeOption = Annotated[
    Dtype,
    typer.Option(
        "--dtype",
        help="Numerical format; bfloat16 is faster where the processor knows it.",
        rich_help_panel=_DRAW,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Directory of the results and the report.",
        file_okay=False,
        show_default="one under runs/eval, named after the settings",
        rich_help_panel=_KEEP,
    ),
]
FigureOption = Annotated[
    Path | None,
    typer.Option(
        "--figure",
        help="Write the plot to this SVG file as well.",
        dir_okay=False,
        rich_help_panel=_KEEP,
    ),
]


def evaluate(
    context: typer.Context,
    task: TaskArgument,
    *,
    suite: SuiteOption = None,
    level: LevelOption = None,
    count: ProblemsOption = None,
    model: ModelsOption = [DEFAULT_MODEL],  # noqa: B006  (the parser copies it)
    strategy: StrategiesOption = ["best_of_n"],  # noqa: B006
    form: FormsOption = ["reasoning"],  # noqa: B006
    verifier: VerifierOption = AUTO,
    baselines: BaselinesOption = True,
    n: CountsOption = "1,4,16,64",
    seeds: SeedsOption = 1,
    seed: FirstSeedOption = 0,
    temperature: TemperatureOption = 1.0,
    max_tokens: MaxTokensOption = 256,
    width: WidthOption = 16,
    rows: RowsOption = DEFAULT_ROWS,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = Dtype.FLOAT32,
    out: OutOption = None,
    figure: FigureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate strategies on problems with known answers: accuracy, intervals and cost."""
    task_named(task)
    checker = find_verifier(verifier, family_named(task).answer_kind)
    config = EvalConfig(
        ProblemSet(task, *_suite_or_level(task, suite, level), count),
        tuple(model),
        tuple(strategy),
        cast("tuple[Form, ...]", tuple(form)),
        _counts(n),
        num_seeds=seeds,
        seed=seed,
        sampling=Sampling(temperature),
        max_tokens=max_tokens,
        verifier=None if checker is None else checker.source.verifier,
        width=width,
        dtype=dtype,
        has_baselines=baselines,
    )
    bench = Bench(
        () if checker is None else (checker,),
        partial(_open, config_of(context), device),
        rows,
    )
    path = out or _default_directory(config)
    report = _run(config, path, bench, command_of(config, verifier, path))
    if figure is not None:
        _write_figure(figure, report)
    _show(report, path, as_json=as_json)


def _open(
    config: Config, device: str, name: str, dtype: Dtype, rows: int
) -> AbstractAsyncContextManager[OpenModel]:
    return open_model(config.model(name, dtype=dtype), device=device, max_rows=rows)


def _suite_or_level(
    task: str, suite: str | None, level: int | None
) -> tuple[str | None, int | None]:
    """What was asked for; else the hardest games, or the first level of another task."""
    if suite is not None or level is not None:
        return suite, level
    return ("game24-hard", None) if task == "countdown" else (None, task_named(task).levels[0])


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BadInputError(
            f"`--n {text}` is no list of numbers", hint="write it as in `--n 1,4,16,64`"
        ) from error


def _default_directory(config: EvalConfig) -> Path:
    problems = config.problems
    digest = content_digest(str(config.to_json()))[:8]
    return Path("runs/eval") / f"{problems.name.replace(' ', '-')}-{digest}"


def command_of(config: EvalConfig, verifier: str, path: Path) -> str:
    """The command line that gives these numbers, with everything said that decides them."""
    problems = config.problems
    words = ["mull", "eval", problems.task]
    if problems.suite is not None:
        words += ["--suite", problems.suite]
    else:
        words += ["--level", str(problems.level)]
    words += [] if problems.count is None else ["--count", str(problems.count)]
    for option, names in (
        ("--model", config.models),
        ("--strategy", config.strategies),
        ("--form", config.forms),
    ):
        words += [word for name in names for word in (option, name)]
    words += ["--verifier", verifier, "--n", ",".join(map(str, config.ns))]
    words += ["--seeds", str(config.num_seeds), "--seed", str(config.seed)]
    words += ["--temperature", f"{config.sampling.temperature:g}"]
    words += ["--max-tokens", str(config.max_tokens), "--width", str(config.width)]
    words += ["--dtype", config.dtype.value]
    words += [] if config.has_baselines else ["--no-baselines"]
    return join([*words, "--out", str(path)])


def _run(config: EvalConfig, path: Path, bench: Bench, command: str) -> Report:
    try:
        with watching_draws() as watcher:
            return asyncio.run(
                run_evaluation(config, path, bench=bench, watcher=watcher, command=command)
            )
    except KeyboardInterrupt:
        say("interrupted; finished problems are kept, the same command goes on", style="yellow")
        say(command, style="yellow")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _write_figure(path: Path, report: Report) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.figure(), encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot write the figure `{path}`: {error.strerror}") from error


def _show(report: Report, path: Path, *, as_json: bool) -> None:
    if as_json:
        show_json("evaluation", {**report.to_json(), "directory": str(path)})
        return
    show(report.title, style="bold")
    show_curves(report)
    say(f"report: {path / 'report.html'}")
