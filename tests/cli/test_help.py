import pytest
from cli.conftest import Mull


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("solve",),
        ("resume",),
        ("runs",),
        ("models",),
        ("eval",),
        ("demo",),
        ("train", "policy"),
    ],
)
def test_every_help_teaches_with_an_example(mull: Mull, command: tuple[str, ...]) -> None:
    shown = mull(*command, "--help")
    assert shown.code == 0
    options, _, examples = shown.out.rpartition("\u256f")  # the corner that closes the last box
    assert f"Usage: {' '.join(('mull', *command))}" in options
    assert " ".join(("mull", *command)) in examples
    assert "\x1b" not in shown.out


def test_no_command_shows_the_help(mull: Mull) -> None:
    assert "Usage: mull" in mull().out
