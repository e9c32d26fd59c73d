"""The command line, put together."""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from mull import __version__
from mull.build import CONFIG_FILE, read_config
from mull.cli.commands import join_commands
from mull.cli.configuration import flags_of
from mull.cli.exits import ExitCode, exit_code_of, say_error
from mull.cli.output import show
from mull.core.errors import MullError

# Every usage error is a sibling of the public `BadParameter`; their parent is not exported.
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])


def _show_version(*, wanted: bool) -> None:
    if wanted:
        show(__version__)
        raise typer.Exit


def _root(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="A file of models and defaults.",
            dir_okay=False,
            show_default=f"{CONFIG_FILE}, if it is in this folder",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001  (its callback does it all)
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Options before the command."""
    context.obj = found = read_config(config)
    context.default_map = dict(flags_of(found.defaults))


def app_for(words: Sequence[str]) -> typer.Typer:
    """The command line that these words are for: whole where they lead, a list elsewhere."""
    app = typer.Typer(
        name="mull",
        help="Decides how much a language model should think, in which shape, and when to stop.",
        epilog='Start here: mull solve "Use 4, 9, 10 and 13 once each with + - * / to make 24."',
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    join_commands(app, words)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. No exception comes out."""
    try:
        result: object = app_for(arguments)(arguments, prog_name="mull", standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except SystemExit:
        return ExitCode.OK  # typer's way to leave when nobody reads standard output any more
    except Exception as error:  # noqa: BLE001  (the outermost boundary)
        return _report(error)
    return result if isinstance(result, int) else ExitCode.OK


def _report(error: Exception) -> ExitCode:
    """Say what went wrong in a line or two; only a defect of ours shows where."""
    if isinstance(error, MullError):
        say_error(error.message, error.hint)
        return exit_code_of(error)
    if isinstance(error, _UsageError):
        path = error.ctx.command_path if error.ctx else "mull"
        say_error(error.format_message(), f"`{path} --help` shows how it is used")
        return ExitCode.BAD_INPUT
    if isinstance(error, OSError):
        return _report_system(error)
    traceback.print_exception(error)
    say_error(f"mull itself failed: {type(error).__name__}: {error}")
    return ExitCode.FAILURE


def _report_system(error: OSError) -> ExitCode:
    """A file cannot be used, or what has no name: standard output is full or gone."""
    if error.filename is not None:
        say_error(f"`{error.filename}`: {error.strerror}")
        return ExitCode.BAD_INPUT
    # What is still buffered cannot be written; without this the interpreter would try at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return ExitCode.OK
    say_error(f"cannot write the output: {error.strerror or error}")
    return ExitCode.BAD_INPUT


def main() -> None:
    """The entry point of the `mull` command."""
    sys.exit(run(sys.argv[1:]))
