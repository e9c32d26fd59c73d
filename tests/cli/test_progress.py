import io
from pathlib import Path

from replies import GAME, scripted
from rich.console import Console

import mull
from mull.cli.output import printable
from mull.cli.progress import LINES_SHOWN, SolveView, Tally
from mull.core.events import BranchFailed, NodeGrown
from mull.core.expansion import BranchId, Failed, Finish, Grown
from mull.core.steps import Step
from mull.core.usage import Usage


def grown(branch: str, index: int, text: str, finish: Finish | None = None) -> NodeGrown:
    usage = Usage(visible_tokens=3)
    return NodeGrown(Grown(BranchId(branch), index, Step(text), usage, finish))


def drawn(view: SolveView) -> str:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_a_real_solve_is_counted_right(tmp_path: Path) -> None:
    tally = Tally()
    solution = mull.solve(
        GAME, model=scripted(tmp_path), n=3, budget_tokens=500, on_event=tally.see
    )
    assert (tally.num_asked, tally.num_ended) == (3, 3)
    assert (tally.num_accepted, tally.num_rejected) == (1, 2)
    assert tally.num_tokens == solution.usage.generated_tokens
    assert tally.headline(1.0) == (
        "3 of 3 attempts · 75 tokens of 500 · 1 accepted, 2 rejected · 1.0 s"
    )


def test_failed_attempts_are_said() -> None:
    tally = Tally()
    tally.see(BranchFailed(Failed(BranchId("a"), "away")))
    assert "1 failed" in tally.headline(0.0)


def test_the_newest_attempt_is_shown_and_only_its_last_lines() -> None:
    view = SolveView()
    assert "loading the model" in drawn(view)
    view.see(grown("old", 0, "old line\n"))
    for index in range(LINES_SHOWN + 2):
        view.see(grown("new", index, f"line {index}\n"))
    view.see(grown("old", 1, "old news\n", Finish.STOP))
    lines = drawn(view).splitlines()
    assert "1 of 0 attempts" in lines[0]
    assert [line.strip() for line in lines[1:]] == [
        f"line {index}" for index in range(2, LINES_SHOWN + 2)
    ]


def test_only_what_a_terminal_could_act_on_is_spelled_out() -> None:
    assert printable("42 ÷ 7 = 6 ✓\n") == "42 ÷ 7 = 6 ✓\n"
    assert printable("\x1b[31m\r\x07\u202e\ud800") == r"\x1b[31m\r\x07\u202e\ud800"
