"""`mull eval`: how often a model is right, with how much compute."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from shlex import join
from typing import Final, cast

import typer

from mull.build import DEFAULT_MODEL, Config, OpenModel, open_model
from mull.build.catalog import TRAINED
from mull.build.judging import AUTO
from mull.build.schemes import BY_PROVIDER, SERVED_TOKENS
from mull.cli.configuration import config_of
from mull.cli.eval_options import (
    AxisOption,
    BankOption,
    BaselinesOption,
    BudgetsOption,
    DeviceOption,
    DtypeOption,
    FigureOption,
    FirstSeedOption,
    FormsOption,
    GuideOption,
    LevelOption,
    MarkdownOption,
    MaxTokensOption,
    ModelsOption,
    OutOption,
    ProblemsOption,
    RolloutsOption,
    RowsOption,
    SeedsOption,
    SkipOption,
    StrategiesOption,
    SuiteOption,
    TaskArgument,
    TemperatureOption,
    WorkersOption,
)
from mull.cli.exits import ExitCode
from mull.cli.judges import Judges
from mull.cli.options import JsonOption, VerifierOption
from mull.cli.output import say, show, show_json
from mull.cli.reports import show_report
from mull.cli.stages import watching_stages
from mull.core.digest import content_digest
from mull.core.errors import BadInputError
from mull.core.expansion import Sampling
from mull.engine import Dtype
from mull.evaluation import Axis, Bench, EvalConfig, ProblemSet, Report
from mull.evaluation import evaluate as run_evaluation
from mull.evaluation.config import LOCAL_TOKENS
from mull.evaluation.evaluate import KV_BYTES
from mull.evaluation.runner import DEFAULT_ROWS
from mull.tasks import TASKS, Form

EXAMPLES: Final = """\
Examples:

mull eval countdown --suite game24-hard --budgets 1,4,16,64 --seeds 3 --out runs/games

mull eval countdown --level 5 --count 400 --model mull-base --model mull-mini --axis flops

mull eval countdown --level 4 --strategies best_of_n,early_stop --rollouts 256 --workers 2

mull eval multiply --level 3 --strategies self_consistency --form reasoning --form direct

mull eval code --level 3 --model openai:http://127.0.0.1:8000/v1#NAME --budgets 1,4,16

mull eval my.jsonl --model openai:http://127.0.0.1:8000/v1#NAME --verifier ./check.py:check

The same command again goes on where a stopped run was."""


def evaluate(
    context: typer.Context,
    task: TaskArgument,
    *,
    suite: SuiteOption = None,
    level: LevelOption = None,
    count: ProblemsOption = None,
    skip: SkipOption = 0,
    model: ModelsOption = [DEFAULT_MODEL],  # noqa: B006  (the parser copies it)
    strategies: StrategiesOption = "best_of_n",
    form: FormsOption = ["reasoning"],  # noqa: B006
    verifier: VerifierOption = AUTO,
    guide: GuideOption = None,
    baselines: BaselinesOption = True,
    budgets: BudgetsOption = "1,4,16,64",
    rollouts: RolloutsOption = 1,
    seeds: SeedsOption = 1,
    seed: FirstSeedOption = 0,
    temperature: TemperatureOption = 1.0,
    max_tokens: MaxTokensOption = None,
    rows: RowsOption = DEFAULT_ROWS,
    workers: WorkersOption = 1,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = Dtype.FLOAT32,
    out: OutOption = None,
    bank: BankOption = None,
    axis: AxisOption = Axis.TOKENS,
    figure: FigureOption = None,
    markdown: MarkdownOption = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate strategies on problems with known answers: accuracy, intervals and cost."""
    problems = ProblemSet(task, *_suite_or_level(task, suite, level), count, skip=skip)
    settings = config_of(context)
    judges = Judges(settings, problems.answer_kind)
    config = EvalConfig(
        problems,
        tuple(model),
        judges.arms(strategies.split(",")),
        cast("tuple[Form, ...]", tuple(form)),
        _counts(budgets),
        rollouts=rollouts,
        num_seeds=seeds,
        seed=seed,
        sampling=Sampling(temperature),
        max_tokens=_tokens_for(settings, model) if max_tokens is None else max_tokens,
        verifier=judges.verifier(verifier),
        guide=None if guide is None else judges.guide(guide),
        dtype=dtype,
        has_baselines=baselines,
    )
    bench = Bench(
        judges.verifiers,
        partial(_open, settings, device),
        rows,
        workers,
        bank,
    )
    _warn_of_strangers(settings, config)
    path = out or _default_directory(config)
    report = _run(config, path, bench, command_of(config, verifier, path))
    if figure is not None:
        _write_figure(figure, report, axis)
    _show(report, path, axis, markdown=markdown, as_json=as_json)


def _warn_of_strangers(settings: Config, config: EvalConfig) -> None:
    """A shipped model answers anything, and knows only what it was trained on."""
    for name in config.models:
        if settings.model(name).knows_only_puzzles and config.problems.task not in TRAINED:
            known = ", ".join(TRAINED)
            say(f"`{name}` was trained on {known} alone: expect nothing of it here", style="yellow")


def _tokens_for(settings: Config, models: Sequence[str]) -> int:
    """What a completion may take where nobody says: the same for all models that are compared."""
    is_served = any(settings.model(name).spec.name in BY_PROVIDER for name in models)
    return SERVED_TOKENS if is_served else LOCAL_TOKENS


def _open(
    config: Config, device: str, name: str, dtype: Dtype, rows: int
) -> AbstractAsyncContextManager[OpenModel]:
    model = config.model(name, dtype=dtype)
    return open_model(model, device=device, max_rows=rows, max_kv_bytes=KV_BYTES)


def _suite_or_level(
    task: str, suite: str | None, level: int | None
) -> tuple[str | None, int | None]:
    """What was asked for; else the hardest games, or the first level of another task."""
    if suite is not None or level is not None or task not in TASKS:
        return suite, level
    return ("game24-hard", None) if task == "countdown" else (None, TASKS[task].levels[0])


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BadInputError(
            f"`--budgets {text}` is no list of numbers",
            hint="write it as in `--budgets 1,4,16,64`",
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
    elif problems.level is not None:
        words += ["--level", str(problems.level)]
    words += [] if problems.count is None else ["--count", str(problems.count)]
    words += ["--skip", str(problems.skip)] if problems.skip else []
    for option, names in (
        ("--model", config.models),
        ("--form", config.forms),
    ):
        words += [word for name in names for word in (option, name)]
    words += ["--strategies", ",".join(config.strategies), "--verifier", verifier]
    words += [] if config.guide is None else ["--guide", config.guide]
    words += ["--budgets", ",".join(map(str, config.budgets))]
    words += ["--rollouts", str(config.rollouts)]
    words += ["--seeds", str(config.num_seeds), "--seed", str(config.seed)]
    words += ["--temperature", f"{config.sampling.temperature:g}"]
    words += ["--max-tokens", str(config.max_tokens), "--dtype", config.dtype.value]
    words += [] if config.has_baselines else ["--no-baselines"]
    return join([*words, "--out", str(path)])


def _run(config: EvalConfig, path: Path, bench: Bench, command: str) -> Report:
    try:
        with watching_stages() as watcher:
            return asyncio.run(
                run_evaluation(config, path, bench=bench, watcher=watcher, command=command)
            )
    except KeyboardInterrupt:
        say("interrupted; finished problems are kept, the same command goes on", style="yellow")
        say(command, style="yellow")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _write_figure(path: Path, report: Report, axis: Axis) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.figure(axis), encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot write the figure `{path}`: {error.strerror}") from error


def _show(report: Report, path: Path, axis: Axis, *, markdown: bool, as_json: bool) -> None:
    if as_json:
        show_json("evaluation", {**report.to_json(), "directory": str(path)})
    elif markdown:
        show(report.markdown())
    else:
        show_report(report, axis)
        say(f"report: {path / 'report.html'}")
