"""The options of `mull eval`."""

from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from mull.build import MODELS
from mull.engine import Dtype
from mull.evaluation import Axis
from mull.search import STRATEGIES
from mull.tasks import SUITES, TASKS, Form

_WHAT: Final = "What to evaluate"
_DRAW: Final = "How much to draw"
_KEEP: Final = "What to show and keep"

TASK_HELP: Final = f"{', '.join(TASKS)}, or a file of your own: FILE.jsonl."
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help=TASK_HELP)]
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
SkipOption = Annotated[
    int,
    typer.Option(
        "--skip",
        help="Problems to leave out from the start, so that one set can follow another.",
        min=0,
        rich_help_panel=_WHAT,
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
    str,
    typer.Option(
        "--strategies",
        "-s",
        help=f"Some of {', '.join(STRATEGIES)}, with commas between. What is to hold for one "
        "stands behind it: `beam+guide=random`.",
        rich_help_panel=_WHAT,
    ),
]
GuideOption = Annotated[
    str | None,
    typer.Option(
        "--guide",
        help="Judges steps for the strategies that search by them: a step verifier, or a control "
        "(random, or oracle, which knows the truth).",
        rich_help_panel=_WHAT,
        show_default=False,
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
BudgetsOption = Annotated[
    str,
    typer.Option(
        "--budgets",
        "-n",
        help="Compute a problem, in samples' worth, with commas between.",
        rich_help_panel=_DRAW,
    ),
]
RolloutsOption = Annotated[
    int,
    typer.Option(
        "--rollouts",
        help="Samples recorded a problem, at least the largest budget. More of them sort problems "
        "by difficulty without having seen how they were solved.",
        rich_help_panel=_DRAW,
        show_default="the largest budget",
    ),
]
BankOption = Annotated[
    Path | None,
    typer.Option(
        "--bank",
        help="Directory of recorded samples, to be shared by evaluations.",
        file_okay=False,
        rich_help_panel=_KEEP,
        show_default="in the results directory",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option("--workers", help="Processes that run the model.", min=1, rich_help_panel=_DRAW),
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
    int | None,
    typer.Option(
        "--max-tokens",
        help="Tokens a completion, thoughts included.",
        rich_help_panel=_DRAW,
        show_default="256, or 4096 where a model is behind a server",
    ),
]
RowsOption = Annotated[
    int,
    typer.Option(
        "--rows",
        help="Samples that one process grows at once, over all problems.",
        min=1,
        rich_help_panel=_DRAW,
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
AxisOption = Annotated[
    Axis,
    typer.Option(
        "--axis",
        help="Compute by which arms are compared on the screen and in the figure.",
        rich_help_panel=_KEEP,
    ),
]
MarkdownOption = Annotated[
    bool,
    typer.Option(
        "--markdown", help="Print the tables as Markdown, for a log.", rich_help_panel=_KEEP
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
