"""Pages are executed: every Python block runs, every link leads somewhere, every command exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mull.cli import app_for

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
CODE_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(mull [a-z][^`]*)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.relative_to(ROOT)}-{index}", match[1])
        for page in PAGES
        for index, match in enumerate(CODE_BLOCK.findall(page.read_text()))
        if match[0] == language
    ]


@pytest.mark.parametrize(
    "code", [code for _, code in blocks("python")], ids=[name for name, _ in blocks("python")]
)
def test_python_in_the_pages_runs(code: str, tmp_path: Path) -> None:
    result = subprocess.run(  # noqa: S603 our own pages
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"XDG_STATE_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def shown_commands() -> list[tuple[str, ...]]:
    """The subcommand and options of every `mull …` in the text and in a console block."""
    lines = [line for _, code in blocks("console") for line in code.splitlines()]
    lines += [command for page in PAGES for command in INLINE.findall(page.read_text())]
    return sorted({tuple(line.split()) for line in lines if line.startswith("mull ")})


@pytest.mark.parametrize("words", shown_commands(), ids=" ".join)
def test_commands_in_the_pages_know_the_options_they_show(words: tuple[str, ...]) -> None:
    names = words[1:3] if words[1] in {"train", "export", "bench"} else words[1:2]
    shown = CliRunner().invoke(app_for(names), [*names, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    options = {word for word in words if word.startswith("--")}
    assert all(option in shown.output for option in options)
