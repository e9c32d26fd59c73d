import json
from pathlib import Path

import pytest
from cli.conftest import Mull
from replies import GAME, scripted

from mull import read_trace
from mull.core.errors import BadInputError, JournalCorruptError
from mull.core.events import EVENTS, SolveEnded
from mull.core.state import replay


@pytest.fixture
def trace(mull: Mull, tmp_path: Path) -> Path:
    """Of one solve, as the journal gives it."""
    solved = mull("solve", GAME, "-m", scripted(tmp_path), "--n", "2", "--json").document
    path = tmp_path / "trace.jsonl"
    ran = mull("trace", solved["solve_id"])
    assert (ran.code, ran.err) == (0, "")
    path.write_text(ran.out)
    return path


def test_a_trace_is_the_whole_tree_and_its_price(trace: Path) -> None:
    events = read_trace(trace)
    state = replay(events)
    assert isinstance(events[-1], SolveEnded)
    assert state.ended == events[-1]
    assert len(state.tree.branches()) == 2
    assert len(state.tree.finished()) == 2
    assert all(state.tree.scores(node.id) for node in state.tree.finished())
    assert state.usage.generated_tokens > 0


def test_it_is_what_the_solve_itself_wrote(mull: Mull, tmp_path: Path) -> None:
    file = tmp_path / "solve.jsonl"
    solved = mull("solve", GAME, "-m", scripted(tmp_path), "--trace", file, "--json").document
    assert mull("trace", solved["solve_id"]).out == file.read_text()


def test_another_version_is_refused_by_name(trace: Path) -> None:
    lines = trace.read_text().splitlines()
    newer = json.dumps({**json.loads(lines[2]), "v": 99})
    trace.write_text("\n".join([*lines[:2], newer, *lines[3:]]))
    with pytest.raises(
        JournalCorruptError, match="line 3: trace version `99` is unknown"
    ) as caught:
        read_trace(trace)
    assert caught.value.hint == "use the version of mull that wrote it"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{oops", "line 2 is no JSON"),
        ("[]", "line 2 is no JSON object"),
        ("[" * 100_000, "line 2 is no JSON: it nests too deeply"),
        ('{"v": 1, "event": "dreamt"}', "line 2: trace event `dreamt` is unknown"),
        ('{"v": 1, "event": "charged", "usage": 3}', "line 2: trace event `charged` cannot be"),
    ],
)
def test_a_damaged_line_is_named(trace: Path, line: str, message: str) -> None:
    lines = trace.read_text().splitlines()
    trace.write_text("\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(JournalCorruptError, match=message):
        read_trace(trace)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot read the trace"):
        read_trace(tmp_path / "no.jsonl")


def test_an_unknown_solve_is_refused(mull: Mull, trace: Path) -> None:
    ran = mull("trace", "nothing")
    assert ran.code == 2
    assert "`nothing`" in ran.err


def test_the_page_names_every_event_and_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "trace.md").read_text()
    for name, kind in EVENTS.items():
        assert f"`{name}`" in page
        for field in kind.__dataclass_fields__:
            assert f"`{field}`" in page, f"{name}.{field}"
