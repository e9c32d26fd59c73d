"""A shipped model, exported and served by a real llama.cpp, asked from the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Mull
from replies import GAME, PRODUCT
from servers.llama import llama_server

from mull import open_model, solve_async
from mull.cli import run

COUNT = "How many times does the letter r appear in strawberry?"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("export") / "mull-base.gguf"
    assert run(["export", "gguf", "--model", "mull-base", "--out", str(file)]) == 0
    with llama_server(file) as root:
        yield f"openai:{root}/v1#tiny"


def tokens_in(trace: Path) -> list[list[int]]:
    """Of each branch, in the order in which they ended."""
    branches = dict[str, list[int]]()
    for line in trace.read_text().splitlines():
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "node_grown":
            grown = event["grown"]
            branches.setdefault(grown["branch_id"], []).extend(grown["step"]["token_ids"])
    return list(branches.values())


async def test_greedy_tokens_are_those_of_the_local_engine(model: str) -> None:
    async with open_model("mull-base") as local, open_model(model) as served:
        for problem in (GAME, PRODUCT, COUNT):
            here, there = [
                await solve_async(problem, model=each, strategy="greedy", verifier=None)
                for each in (local, served)
            ]
            assert here.trajectory is not None
            assert there.trajectory is not None
            assert len(here.trajectory.token_ids) > 5
            assert there.trajectory.token_ids == here.trajectory.token_ids


def test_best_of_16_is_checked_and_charged_to_the_token(
    mull: Mull, model: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    ran = mull("solve", GAME, "--model", model, "--n", "16", "--trace", trace, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["confidence"] == 1.0
    branches = tokens_in(trace)
    assert len(branches) == 16
    assert ran.document["usage"]["generated_tokens"] == sum(map(len, branches))
    assert ran.document["model"].startswith("llama.cpp/completions:tiny@")


def test_a_vote_ended_by_its_budget_goes_on_where_it_was(mull: Mull, model: str) -> None:
    settings = ("--model", model, "--strategy", "self_consistency", "--n", "4", "--json")
    short = mull("solve", COUNT, *settings, "--budget-tokens", "30").document
    assert short["stop"] == "budget_tokens"
    assert short["usage"]["generated_tokens"] == 30
    whole = mull("resume", short["solve_id"], "--more-tokens", "1000", "--json").document
    at_once = mull("solve", COUNT, *settings).document
    assert (whole["stop"], whole["answer"]) == ("completed", at_once["answer"])
    assert whole["usage"]["generated_tokens"] == at_once["usage"]["generated_tokens"]
