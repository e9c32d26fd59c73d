from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.conftest import Mull
from replies import GAME, RIGHT, WRONG
from servers.fake import FakeServer, Handler, refuses, says
from servers.threads import running

from mull import AnswerKind, Problem, readable_answer, solve
from mull.core.errors import BadInputError, UnknownNameError

QUESTION = "What is two thirds of three quarters?"
SECRET = "sk-very-secret"  # noqa: S105


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """Says in turn what its `answers` say, whatever is asked."""
    answers: list[Handler] = [
        says("Half of it: ", "\\boxed{1/2}"),
        says("The answer is 0.5."),
        says("So we get 3/4"),
    ]
    with running(FakeServer(lambda number: answers[number % len(answers)])) as found:
        yield found


def model_of(server: FakeServer) -> str:
    return f"openai:{server.url}#fake-1"


def test_any_question_goes_to_a_served_model_and_answers_are_read_as_maths(
    mull: Mull, server: FakeServer
) -> None:
    ran = mull(
        *("solve", QUESTION, "--model", model_of(server), "--answer", "maths", "--n", "3"), "--json"
    )
    assert ran.code == 0
    assert ran.document["readable_answer"] in {"1/2", "0.5"}
    assert ran.document["notes"][-1] == "2 of 3 votes"
    assert ran.document["model"] == "other/chat:fake-1"
    assert {body["messages"][0]["content"] for body in server.bodies} == {QUESTION}
    assert all(len(body["messages"]) == 1 for body in server.bodies)


def test_a_solve_over_a_served_model_is_resumed(mull: Mull) -> None:
    words = says(*("It", " is", " one", " half", ":", " 1/2"))
    with running(FakeServer(lambda number: words)) as server:
        settings = ("--answer", "maths", "--n", "2", "--max-tokens", "6", "--budget-tokens", "6")
        short = mull("solve", QUESTION, "-m", model_of(server), *settings, "--json").document
        assert (short["stop"], short["usage"]["calls"]) == ("budget_tokens", 1)
        whole = mull("resume", short["solve_id"], "--more-tokens", "6", "--json").document
    assert (whole["stop"], whole["usage"]["calls"]) == ("completed", 2)
    assert whole["notes"][-1] == "2 of 2 votes"


def test_a_puzzle_is_checked_whoever_answers_it(mull: Mull) -> None:
    answers = [says(WRONG), says(RIGHT)]
    with running(FakeServer(lambda number: answers[number % 2])) as server:
        ran = mull("solve", GAME, "--model", model_of(server), "--n", "4", "--json")
    assert ran.document["confidence"] == 1.0


def test_an_evaluation_takes_a_served_model(mull: Mull, tmp_path: Path) -> None:
    with running(FakeServer(lambda number: says(" 2 4 8 1 7 1"))) as server:
        ran = mull(
            "eval",
            "multiply",
            "--level",
            "3",
            "--count",
            "3",
            "--budgets",
            "2",
            "--no-baselines",
            "--model",
            model_of(server),
            "--out",
            tmp_path / "out",
            "--json",
        )
    assert ran.code == 0, ran.err
    assert ran.document["sources"][model_of(server)] == "other/chat:fake-1"


def test_the_key_comes_from_the_environment_and_is_kept_nowhere(
    mull: Mull, server: FakeServer, monkeypatch: pytest.MonkeyPatch, journal: Path
) -> None:
    monkeypatch.setenv("MULL_API_KEY", SECRET)
    trace = journal.parent.parent / "trace.jsonl"
    ran = mull("solve", QUESTION, "--model", model_of(server), "--n", "1", "--trace", trace)
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    kept = b"".join(
        path.read_bytes() for path in journal.parent.parent.rglob("*") if path.is_file()
    )
    assert model_of(server).removeprefix("openai:").encode() in kept
    assert SECRET.encode() not in kept
    assert SECRET not in ran.out + ran.err


def test_a_providers_key_never_goes_to_another_server(
    mull: Mull, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MULL_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    mull("solve", QUESTION, "--model", model_of(server), "--n", "1")
    assert "Authorization" not in server.headers[0]


def test_a_refused_key_names_its_variable(mull: Mull, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULL_API_KEY", SECRET)
    with running(FakeServer(lambda _: refuses(401), refusal=401)) as server:
        ran = mull("solve", QUESTION, "--model", model_of(server))
    assert ran.code == 2
    assert "refuses the key from `MULL_API_KEY` (401)" in ran.err
    assert "environment variable `MULL_API_KEY`" in ran.err
    assert SECRET not in ran.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai:127.0.0.1:80#it", "is no address of a server"),
        ("openai:http://user:pass@127.0.0.1/v1#it", "holds more than a place"),
        ("openai:", "names no place"),
        ("opnai:http://127.0.0.1/v1#it", "did you mean `openai`?"),
        ("openai:http://127.0.0.1:1/v1#it", "nobody can be talked to at `http://127.0.0.1:1/v1`"),
    ],
)
def test_a_name_that_can_never_work_is_one_clear_error(mull: Mull, name: str, message: str) -> None:
    ran = mull("solve", QUESTION, "--model", name)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "hint: " in ran.err
    assert "Traceback" not in ran.err


def test_an_unknown_model_is_told_what_is_served(mull: Mull, server: FakeServer) -> None:
    ran = mull("solve", QUESTION, "--model", f"openai:{server.url}#fake-2")
    assert ran.code == 2
    assert "`fake-2`; known: fake-1" in ran.err
    assert "did you mean `fake-1`?" in ran.err


def test_a_kind_of_answer_that_is_none_is_refused(mull: Mull, server: FakeServer) -> None:
    ran = mull("solve", QUESTION, "--model", model_of(server), "--answer", "math")
    assert ran.code == 2
    assert "did you mean `maths`?" in ran.err


def test_python_takes_the_same_names(server: FakeServer) -> None:
    solution = solve(QUESTION, model=model_of(server), answer="maths", n=3)
    assert readable_answer(solution.tree.problem, solution.answer or "") in {"1/2", "0.5"}


def test_a_problem_has_its_own_kind_of_answer(server: FakeServer) -> None:
    problem = Problem.of(QUESTION, AnswerKind.MATHS)
    with pytest.raises(BadInputError, match="`maths`, not `text`"):
        solve(problem, model=model_of(server), answer="text")
    with pytest.raises(UnknownNameError, match="kind of answer `txt`"):
        solve(QUESTION, model=model_of(server), answer="txt")


def test_a_server_that_lacks_what_a_strategy_needs_is_named(mull: Mull, server: FakeServer) -> None:
    ran = mull("solve", GAME, "--model", model_of(server), "--strategy", "beam", "--guide",
               "countdown", "--width", "4")  # fmt: skip
    assert ran.code == 2, ran.out + ran.err
    assert "strategy `beam` needs `step` expansions" in ran.err
    assert "`other/chat:fake-1` does not offer" in ran.err
    assert "hint: " in ran.err
    assert not server.bodies


def test_an_answer_from_a_server_may_be_long_unless_somebody_says_otherwise(
    mull: Mull, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asking = ("solve", QUESTION, "--model", model_of(server), "--n", "1")
    mull(*asking)
    mull(*asking, "--max-tokens", "99")
    Path("mull.toml").write_text("[strategies.best_of_n]\nmax_tokens = 98\n")
    mull(*asking)
    mull("eval", "letters", "--count", "1", "--budgets", "1", "--no-baselines", "--model",
         model_of(server))  # fmt: skip
    assert [body["max_tokens"] for body in server.bodies] == [4096, 99, 98, 4096]


def test_an_answer_from_a_server_takes_what_its_prompt_leaves_of_the_window(
    mull: Mull, server: FakeServer
) -> None:
    server.extra["/v1/models"] = lambda _: {"data": [{"id": "fake-1", "max_model_len": 512}]}
    left = 512 - len(QUESTION) // 2 - 32
    mull("solve", QUESTION, "--model", model_of(server), "--n", "1")
    mull("solve", QUESTION, "--model", model_of(server), "--n", "1", "--max-tokens", "2000")
    mull("solve", QUESTION, "--model", model_of(server), "--n", "1", "--max-tokens", "40")
    mull("solve", QUESTION * 40, "--model", model_of(server), "--n", "1", "--max-tokens", "40")
    assert [body["max_tokens"] for body in server.bodies] == [left, left, 40, 40]
    mull("eval", "letters", "--count", "1", "--budgets", "1", "--no-baselines", "--model",
         model_of(server))  # fmt: skip
    assert 256 < server.bodies[-1]["max_tokens"] < 512
