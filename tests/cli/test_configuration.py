from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Mull
from replies import EXPRESSION, GAME, PRODUCT, scripted
from servers.fake import FakeServer, refuses, says
from servers.threads import running

from mull.build import choose_model, drafted, read_config
from mull.build.models import chosen_by
from mull.core.errors import BadInputError

WHOLE = """\
[defaults]
model = "fast"
strategy = "self_consistency"
budget_tokens = 1000

[models.fast]
model = "openai:{url}#fake-1"
key = "FAST_KEY"
in_flight = 2
prices = {{ input = 2.0, output = 4.0 }}

[strategies.self_consistency]
n = 3
max_tokens = 50
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_file_says_what_no_flag_says(
    mull: Mull, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAST_KEY", "sk-of-fast")
    with running(FakeServer(lambda _: says("It", " is", " 42"))) as server:
        (here / "mull.toml").write_text(WHOLE.format(url=server.url))
        ran = mull("solve", "What is six times seven?", "--json")
        assert ran.code == 0, ran.err
        assert {each["Authorization"] for each in server.headers} == {"Bearer sk-of-fast"}
        assert {body["max_tokens"] for body in server.bodies} == {50}
        again = mull("resume", ran.document["solve_id"], "--json")
        flagged = mull("solve", "What is six times seven?", "--n", "1", "--json")
    document = ran.document
    assert document["notes"][-1] == "3 of 3 votes"
    assert document["usage"]["money_usd"] == pytest.approx(3 * (5 * 2 + 3 * 4) / 1e6)
    assert again.document == document
    assert flagged.document["notes"][-1] == "1 of 1 votes"
    assert "sk-of-fast" not in ran.out


def test_a_journal_alone_sends_no_key_of_its_choice_anywhere(
    mull: Mull, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAST_KEY", "sk-of-fast")
    file = here / "mull.toml"
    with running(FakeServer(lambda _: says("It", " is", " 42"))) as server:
        file.write_text(WHOLE.format(url=server.url))
        solving = ("solve", "What is six times seven?", "--budget-tokens", "5", "--json")
        short = mull(*solving).document
        assert short["stop"] == "budget_tokens"
        num_asked = len(server.headers)
        resuming = ("resume", short["solve_id"], "--more-tokens", "500", "--json")
        for content in ("", WHOLE.format(url="http://127.0.0.1:9/v1")):
            file.write_text(content)
            refused = mull(*resuming)
            assert refused.code == 2
            assert f"the key in `FAST_KEY` to be sent to `{server.url}`" in refused.err
        assert len(server.headers) == num_asked
        file.write_text(WHOLE.format(url=server.url))
        assert mull(*resuming).document["stop"] == "completed"


def test_money_is_a_limit_where_there_are_prices(mull: Mull, here: Path) -> None:
    with running(FakeServer(lambda _: says("It", " is", " 42"))) as server:
        text = WHOLE.format(url=server.url) + "[models.free]\n"
        (here / "mull.toml").write_text(text + f'model = "openai:{server.url}#fake-1"\n')
        solving = ("solve", "What is six times seven?", "--n", "9", "--json")
        short = mull(*solving, "--budget-usd", "0.0002").document
        assert short["stop"] == "budget_money_usd"
        assert 0 < short["usage"]["money_usd"] <= 0.0002
        whole = mull("resume", short["solve_id"], "--more-usd", "1", "--json").document
        assert (whole["stop"], whole["usage"]["calls"]) == ("completed", 9)
        refused = mull(*solving, "--budget-usd", "1", "--model", "free")
    assert refused.code == 2
    assert "`budget_usd` limits nothing: model `" in refused.err


def test_a_flag_wins_and_another_file_can_be_named(mull: Mull, here: Path, tmp_path: Path) -> None:
    model = scripted(tmp_path)
    (here / "mull.toml").write_text('[defaults]\nmodel = "nobody"\nstrategy = "greedy"\n')
    assert mull("solve", GAME).code == 2
    other = tmp_path / "other.toml"
    other.write_text(f'[defaults]\nmodel = "them"\n[models.them]\nmodel = "{model}"\n')
    ran = mull("--config", other, "solve", GAME, "--n", "2", "--json")
    assert ran.document["readable_answer"] == EXPRESSION
    ran = mull("solve", GAME, "--model", model, "--strategy", "best_of_n", "--n", "2", "--json")
    assert ran.document["readable_answer"] == EXPRESSION


def test_an_evaluation_knows_the_files_models(mull: Mull, here: Path, tmp_path: Path) -> None:
    with running(FakeServer(lambda _: says(" 2 4 8 1 7 1"))) as server:
        (here / "mull.toml").write_text(WHOLE.format(url=server.url))
        ran = mull("eval", "multiply", "--level", "3", "--count", "2", "-n", "2", "--no-baselines",
                   "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.document["sources"]["fast"] == "other/chat:fake-1"


def test_a_served_reward_model_is_a_verifier_by_the_name_it_gets(
    mull: Mull, here: Path, tmp_path: Path
) -> None:
    def judged(body: dict[str, Any]) -> dict[str, Any]:
        steps = body["messages"][-1]["content"].split("#")[:-1]
        return {"data": [{"data": [[0.1, 0.8] if "7 1" in each else [0.9, 0.2] for each in steps]}]}

    model = scripted(tmp_path)
    with running(FakeServer(lambda _: refuses(404), extra={"/pooling": judged})) as server:
        (here / "mull.toml").write_text(
            f'[verifiers.judge]\nmodel = "pooling:{server.url}#prm"\nstep_tag = "#"\n'
            'aggregation = "last"\n'
        )
        solving = ("solve", PRODUCT, "-m", model, "--n", "4", "--verifier", "judge", "--json")
        ran = mull(*solving)
        assert ran.document["readable_answer"] == "248171", ran.err
        short = mull(*solving, "--budget-tokens", "8").document
        resuming = ("resume", short["solve_id"], "--more-tokens", "99", "--json")
        assert mull(*resuming).document["readable_answer"] == "248171"
        (here / "mull.toml").unlink()
        assert mull(*resuming[:2], "--more-tokens", "9").code == 2


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("[default]\n", "`mull.toml`, line 1: no key `default`", "did you mean `defaults`?"),
        (
            '[defaults]\n\nmodle = "x"\n',
            "`mull.toml`, line 3, [defaults]: no key `modle`; known: answer, budget_seconds, ",
            "did you mean `model`?",
        ),
        (
            '[models.a]\nmodel = "openai:http://127.0.0.1/v1"\nkey = "A"\nkye = "B"\n',
            "`mull.toml`, line 4, [models.a]: no key `kye`; known: agreement, attempts, ",
            "did you mean `key`?",
        ),
        ('[models.a]\nkey = "A"\n', "line 1, [models.a]: `model` is missing", "openai:http"),
        (
            '[models.a]\nmodel = "openai:nowhere/v1"\n',
            "line 1, [models.a]: `nowhere/v1` is no address",
            "http://HOST:PORT",
        ),
        (
            '[models.a]\nmodel = "openai:http://127.0.0.1/v1"\ndialect = "vlm"\n',
            "line 1, [models.a]: no dialect `vlm`",
            "did you mean `vllm`?",
        ),
        (
            '[models.a]\nmodel = "openai:http://127.0.0.1/v1"\nin_flight = "many"\n',
            "line 1, [models.a]: a model of scheme `openai`:",
            "",
        ),
        (
            '[models.a]\nmodel = "openai:http://127.0.0.1/v1"\nin_flight = 0\n',
            "line 1, [models.a]: `max_in_flight` is 0",
            "",
        ),
        (
            '[models.a]\nmodel = "openai:http://127.0.0.1/v1"\nprices = { inptu = 1.0 }\n',
            "[models.a.prices]: no key `inptu`",
            "did you mean `input`?",
        ),
        (
            '[models.a]\nmodel = "openai:http://127.0.0.1/v1"\n'
            "prices = { input = -1.0, output = 1.0 }\n",
            "price `input` is -1.0",
            "",
        ),
        (
            '[models.mull-base]\nmodel = "x"\n',
            "`mull-base` already means something",
            "another name",
        ),
        ("[models]\na = 3\n", "`mull.toml`, line 2, [models]: `a` is no table", ""),
        ("[strategies.best_of]\nn = 2\n", "no key `best_of`; known: ", "`best_of_n`"),
        ("[strategies.greedy]\nn = 2\n", "line 2, [strategies.greedy]: no key `n`", ""),
        ("[strategies.best_of_n]\nn = 0\n", "[strategies.best_of_n]: `n` is 0", ""),
        ("[defaults]\nbudget_tokens = 'x'\n", "[defaults]: ", ""),
        (
            '[verifiers.a]\nmodel = "pooling:http://127.0.0.1#it"\nstep = "+"\n',
            "line 3, [verifiers.a]: no key `step`; known: aggregation, ",
            "did you mean `step_tag`?",
        ),
        ('[verifiers.a]\nmodel = "openai:x"\n', "`openai:x` is no served reward model", ""),
        ('[verifiers.a]\nmodel = "pooling:http://127.0.0.1"\n', "names no model", "#MODEL"),
        (
            '[verifiers.a]\nmodel = "pooling:http://127.0.0.1#it"\ngood = "1"\n',
            "[verifiers.a]: ",
            "",
        ),
        ('[verifiers.a]\nkind = "jury"\n', "`kind` is none of pooling, judge, hybrid", ""),
        ('[verifiers.a]\nkind = "judge"\n', "[verifiers.a]: `model` is missing", "openai:http"),
        (
            '[verifiers.a]\nkind = "judge"\nmodel = "replay:x"\nvotes = 0\n',
            "[verifiers.a]: `votes` is 0; it must be at least 1",
            "",
        ),
        (
            '[verifiers.a]\nkind = "judge"\nmodel = "mull-base"\n',
            "[verifiers.a]: a shipped model knows its puzzles alone and cannot judge",
            "judge:openai:http",
        ),
        ('[verifiers.a]\nkind = "hybrid"\n', "[verifiers.a]: `rest` is missing", ""),
        (
            '[verifiers.a]\nkind = "hybrid"\nrest = "a"\n',
            "line 3, [verifiers.a]: `rest` is a hybrid itself",
            "",
        ),
        ("[defaults\n", "`mull.toml` is no TOML: ", ""),
    ],
)
def test_whatever_it_does_not_know_is_named_with_its_place(
    mull: Mull, here: Path, content: str, message: str, hint: str
) -> None:
    (here / "mull.toml").write_text(content)
    ran = mull("runs")
    assert ran.code == 2
    assert message in ran.err
    assert hint in ran.err
    assert "Traceback" not in ran.err


def test_a_file_that_is_named_must_be_there(mull: Mull, here: Path) -> None:
    ran = mull("--config", "no.toml", "runs")
    assert ran.code == 2
    assert "cannot read `no.toml`" in ran.err
    assert read_config().file is None
    (here / "latin.toml").write_bytes(b"[defaults]\nmodel = '\xe9'\n")
    with pytest.raises(BadInputError, match="is no TOML"):
        read_config(Path("latin.toml"))


def test_a_checkpoint_gets_a_name_and_a_number_format(here: Path, tmp_path: Path) -> None:
    (here / "mull.toml").write_text(f'[models.mine]\nmodel = "{tmp_path}"\ndtype = "bfloat16"\n')
    choice = read_config().model("mine")
    assert choice.spec.options == {"checkpoint": str(tmp_path), "dtype": "bfloat16"}
    (here / "mull.toml").write_text(f'[models.mine]\nmodel = "{tmp_path}"\ndtype = "float8"\n')
    with pytest.raises(BadInputError, match=r"line 3, \[models.mine\]: `dtype` is 'float8'"):
        read_config()


def test_a_checkpoint_may_have_a_draft_and_a_served_model_may_not(
    here: Path, tmp_path: Path
) -> None:
    (here / "mull.toml").write_text(f'[models.mine]\nmodel = "{tmp_path}"\ndraft = "{here}"\n')
    spec = read_config().model("mine").spec
    assert spec.options == {"checkpoint": str(tmp_path), "dtype": "float32", "draft": str(here)}
    assert chosen_by(spec).spec == spec
    (here / "mull.toml").write_text(f'[models.mine]\nmodel = "{tmp_path}"\ndraft = 3\n')
    with pytest.raises(BadInputError, match="`draft` is no text"):
        read_config()
    served = choose_model("openai:http://127.0.0.1:1/v1#x")
    with pytest.raises(BadInputError, match="cannot draft for a served model"):
        drafted(served, str(here))
