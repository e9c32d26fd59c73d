from importlib import import_module

import pytest
from cli.conftest import Mull

from mull import __version__
from mull.cli import run
from mull.cli.commands import COMMANDS, Command, Family


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("solve",),
        ("resume",),
        ("check",),
        ("runs",),
        ("trace",),
        ("serve",),
        ("key",),
        ("doctor",),
        ("demo",),
        ("eval",),
        ("audit",),
        ("bench", "engine"),
        ("models",),
        ("train", "policy"),
        ("train", "states"),
        ("train", "prm"),
        ("train", "orm"),
        ("export", "samples"),
        ("export", "gguf"),
    ],
)
def test_every_help_teaches_with_an_example(mull: Mull, command: tuple[str, ...]) -> None:
    shown = mull(*command, "--help")
    assert shown.code == 0
    options, _, examples = shown.out.rpartition("\u256f")  # the corner that closes the last box
    assert f"Usage: {' '.join(('mull', *command))}" in options
    assert " ".join(("mull", *command)) in examples
    assert "\x1b" not in shown.out


def shown_in_lists() -> list[Command]:
    alone = [each for each in COMMANDS if isinstance(each, Command)]
    families = [each for each in COMMANDS if isinstance(each, Family)]
    return alone + [command for family in families for command in family.commands]


@pytest.mark.parametrize("command", shown_in_lists(), ids=lambda command: command.name)
def test_a_list_says_of_a_command_what_its_own_help_says_first(command: Command) -> None:
    module, function = command.place.split(".")
    documented = getattr(import_module(f"mull.cli.{module}"), function).__doc__
    assert documented.splitlines()[0] == command.summary


def test_no_command_shows_the_help(mull: Mull) -> None:
    assert "Usage: mull" in mull().out


def test_the_version_is_all_there_is_to_it(mull: Mull) -> None:
    assert mull("--version").out == f"{__version__}\n"


def test_a_defect_is_shown_in_full_and_told_from_an_honest_no(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run([3])  # pyright: ignore[reportArgumentType]  (what no shell can do)
    said = capsys.readouterr().err
    assert code == 3
    assert said.startswith("Traceback")
    assert said.splitlines()[-1].startswith("error: mull itself failed: ")
