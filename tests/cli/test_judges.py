"""Verifiers made of models and of other verifiers, by name and in `mull.toml`."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cli.conftest import Mull
from replies import scripted
from servers.fake import FakeServer, Json, says
from servers.threads import running

ASKS = "What is six times seven?"
SAID = ("2 + 2 = 5\nso 42", "It is 41", "It is 42")
SECRET = "sk-of-everybody"  # noqa: S105  (a key of nobody's)


async def judged(request: web.Request, body: Json) -> web.StreamResponse:
    """Likes what says 42."""
    solution = body["messages"][-1]["content"].partition("solution]")[2]
    return await says("right" if "42" in solution else "wrong")(request, body)


@pytest.fixture
def judge() -> Generator[FakeServer, None, None]:
    with running(FakeServer(lambda _: judged)) as server:
        yield server


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def solving(tmp_path: Path) -> tuple[str, ...]:
    model = scripted(tmp_path, {ASKS: SAID})
    return ("solve", ASKS, "--model", model, "--n", "3", "--json")


def scores(document: dict[str, Any]) -> str:
    return " ".join(document["notes"])


def test_a_model_judges_by_name_and_what_it_generates_is_charged(
    mull: Mull, judge: FakeServer, solving: tuple[str, ...]
) -> None:
    name = f"judge:openai:{judge.url}#fake-1"
    ran = mull(*solving, "--verifier", name)
    assert ran.code == 0, ran.err
    assert ran.document["answer"] == SAID[0]
    assert ran.document["usage"]["verifier_tokens"] == 3
    assert len(judge.bodies) == 3
    assert ran.document["verifiers"][0].startswith(f"{name}@1/")


def test_exact_tools_go_before_a_judge(
    mull: Mull, judge: FakeServer, solving: tuple[str, ...]
) -> None:
    name = f"hybrid:judge:openai:{judge.url}#fake-1"
    ran = mull(*solving, "--verifier", name)
    assert ran.code == 0, ran.err
    assert ran.document["answer"] == SAID[2]  # the sum in the first one is wrong
    assert ran.document["verifiers"][0].startswith(f"{name}@1+1/")


TOML = """\
[models.fast]
model = "openai:{url}#fake-1"
key = "FAST_KEY"

[verifiers.strict]
kind = "hybrid"
rest = "critic"

[verifiers.critic]
kind = "judge"
model = "fast"
votes = 2
max_tokens = 64
"""


@pytest.mark.parametrize("name", ["critic", "strict", "judge:fast", "hybrid:critic"])
def test_names_in_the_configuration_are_found_again_on_resume(
    mull: Mull,
    judge: FakeServer,
    solving: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv("FAST_KEY", SECRET)
    Path("mull.toml").write_text(TOML.format(url=judge.url))
    whole = mull(*solving, "--verifier", name)
    assert whole.code == 0, whole.err
    assert {each["Authorization"] for each in judge.headers} == {f"Bearer {SECRET}"}
    tokens = whole.document["usage"]["generated_tokens"]
    short = mull(*solving, "--verifier", name, "--budget-tokens", str(tokens // 2)).document
    assert short["stop"] == "budget_tokens"
    resuming = ("resume", short["solve_id"], "--more-tokens", "999", "--json")
    resumed = mull(*resuming)
    assert resumed.code == 0, resumed.err
    assert resumed.document["answer"] == whole.document["answer"]

    Path("mull.toml").write_text(TOML.format(url=judge.url).replace("64", "65"))
    if name != "judge:fast":
        changed = mull("resume", short["solve_id"], "--more-tokens", "1999")
        assert (changed.code, "the solve was checked by" in changed.err) == (2, True)


@pytest.mark.parametrize("name", ["hybrid:maths", "maths", "hybrid:code"])
def test_a_built_in_verifier_within_another_is_found_again_on_resume(
    mull: Mull, solving: tuple[str, ...], name: str
) -> None:
    whole = mull(*solving, "--verifier", name).document
    short = mull(*solving, "--verifier", name, "--budget-tokens", "4").document
    assert short["stop"] == "budget_tokens"
    resumed = mull("resume", short["solve_id"], "--more-tokens", "99", "--json")
    assert resumed.document["answer"] == whole["answer"]


@pytest.mark.parametrize("name", ["judge:", "hybrid:", "pooling:", "hybrid:judge:"])
def test_a_name_that_names_nothing_is_refused(
    mull: Mull, solving: tuple[str, ...], name: str
) -> None:
    ran = mull(*solving, "--verifier", name)
    assert ran.code == 2
    assert "names nothing" in ran.err


def test_a_verifier_that_is_not_there_is_said_beside_the_vote(mull: Mull, tmp_path: Path) -> None:
    model = scripted(tmp_path, {ASKS: SAID})
    ran = mull("solve", ASKS, "--model", model, "--verifier", "pooling:http://127.0.0.1:1#it")
    assert ran.code == 0
    said = " ".join(ran.out.split())
    assert "has no opinion: majority vote" in said
    assert "not judged by `pooling:http://127.0.0.1:1#it@" in said
    assert "ConnectionRefusedError" in said


def test_a_budget_holds_for_what_a_judge_says(
    mull: Mull, judge: FakeServer, solving: tuple[str, ...]
) -> None:
    Path("mull.toml").write_text(TOML.format(url=judge.url))
    ran = mull(*solving, "--verifier", "critic", "--budget-tokens", "20").document
    assert (ran["stop"], judge.bodies) == ("budget_tokens", [])  # 2 x 64 tokens do not fit


def test_a_judge_that_cannot_be_reached_is_named_before_anything_is_spent(
    mull: Mull, solving: tuple[str, ...]
) -> None:
    ran = mull(*solving, "--verifier", "judge:openai:http://127.0.0.1:1/v1#it")
    assert ran.code == 2
    assert "nobody can be talked to at `http://127.0.0.1:1/v1`" in ran.err


def test_a_model_is_not_the_only_judge_of_its_own_text_unless_it_is_allowed(
    mull: Mull, judge: FakeServer
) -> None:
    content = TOML.format(url=judge.url)
    Path("mull.toml").write_text(content)
    for name in ("critic", "strict", "judge:fast"):
        ran = mull("solve", ASKS, "--model", "fast", "--n", "2", "--verifier", name)
        assert ran.code == 2
        assert "would be the only judge of its own answers" in ran.err
    Path("mull.toml").write_text(content + "may_judge_itself = true\n")
    ran = mull("solve", ASKS, "--model", "fast", "--n", "2", "--verifier", "critic")
    assert ran.code == 0, ran.err


def test_an_evaluation_opens_its_judges(mull: Mull, judge: FakeServer, tmp_path: Path) -> None:
    Path("mull.toml").write_text(TOML.format(url=judge.url))
    task = tmp_path / "mine.jsonl"
    task.write_text(f'{{"prompt": "{ASKS}", "reference": "It is 42"}}')
    model = scripted(tmp_path, {ASKS: SAID[1:]})
    ran = mull("eval", task, "--model", model, "--budgets", "2", "--verifier", "strict",
               "--no-baselines", "--out", tmp_path / "out", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    point = ran.document["curves"][0]["points"][-1]
    assert point["accuracy"]["value"] == 1.0


@pytest.mark.parametrize("kind", ["model", "pooling", "judge"])
def test_the_key_of_all_servers_goes_only_to_places_that_the_user_names(
    mull: Mull,  judge: FakeServer, tmp_path: Path, kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A journal of somebody else's names a server of theirs."""
    judge.extra["/pooling"] = lambda _: {"data": [{"data": [[0.1, 0.9]]}]}
    places = {
        "model": ("--model", f"openai:{judge.url}#fake-1"),
        "pooling": ("--verifier", f"pooling:{judge.url}#fake-1"),
        "judge": ("--verifier", f"judge:openai:{judge.url}#fake-1"),
    }
    model = () if kind == "model" else ("--model", scripted(tmp_path, {ASKS: SAID}))
    solving = ("solve", ASKS, *model, *places[kind], "--n", "3", "--json")
    short = mull(*solving, "--budget-tokens", "2").document
    assert short["stop"] == "budget_tokens"

    monkeypatch.setenv("MULL_API_KEY", SECRET)
    judge.headers.clear()
    resuming = ("resume", short["solve_id"], "--more-tokens", "9999", "--json")
    refused = mull(*resuming)
    assert refused.code == 2
    assert f"the key in `MULL_API_KEY` to be sent to `{judge.url}`" in refused.err
    assert " ".join(places[kind]) in " ".join(refused.err.split())
    assert judge.headers == []
    named = mull(*resuming, *places[kind])
    assert named.code == 0, named.err
    assert {each["Authorization"] for each in judge.headers} <= {f"Bearer {SECRET}"}


def test_a_key_goes_again_to_a_place_in_the_users_own_configuration(
    mull: Mull, judge: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULL_API_KEY", SECRET)
    solving = ("solve", ASKS, "--model", f"openai:{judge.url}#fake-1", "--n", "3", "--json")
    short = mull(*solving, "--budget-tokens", "1", "--max-tokens", "1").document
    Path("mull.toml").write_text(f'[models.any]\nmodel = "openai:{judge.url}#another"\n')
    assert mull("resume", short["solve_id"], "--more-tokens", "99").code in {0, 1}
