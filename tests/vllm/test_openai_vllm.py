"""The suite of `test_openai_llama.py`, and more, against a real vLLM: `make test-vllm`."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from shutil import copytree
from urllib.request import Request, urlopen

import pytest
from doubles import grown
from policies.test_openai_llama import (
    STATEMENTS,
    Rig,
    calls_for,
    policy,
    test_a_problem_that_spells_special_tokens_is_still_data,
    test_a_stepwise_expansion_through_the_solver,
    test_a_whole_conversation_is_rendered,
    test_an_unknown_model_is_refused_though_the_server_would_take_it,
    test_best_of_16_through_the_solver,
    test_greedy_tokens_are_those_of_our_own_decoder,
    test_seeds_repeat_and_siblings_differ,
    test_self_consistency_through_the_solver_within_a_budget,
    test_so_many_tokens_are_so_many,
    test_steps_one_by_one_are_the_tokens_of_one_go,
    test_thinking_off_closes_the_thought_before_it_starts,
    test_thoughts_and_answer_are_told_apart,
)
from servers.tiny import save_tiny
from servers.vllm import vllm_server

import mull
from mull import open_model, solve_async
from mull.core.expansion import ExpansionKind, Sampling
from mull.models.checkpoint import load_checkpoint
from mull.policies.openai import Address, OpenAIPolicy, OpenAISettings, Siblings, open_openai_policy

__all__ = [
    "policy",
    "test_a_problem_that_spells_special_tokens_is_still_data",
    "test_a_stepwise_expansion_through_the_solver",
    "test_a_whole_conversation_is_rendered",
    "test_an_unknown_model_is_refused_though_the_server_would_take_it",
    "test_best_of_16_through_the_solver",
    "test_greedy_tokens_are_those_of_our_own_decoder",
    "test_seeds_repeat_and_siblings_differ",
    "test_self_consistency_through_the_solver_within_a_budget",
    "test_so_many_tokens_are_so_many",
    "test_steps_one_by_one_are_the_tokens_of_one_go",
    "test_thinking_off_closes_the_thought_before_it_starts",
    "test_thoughts_and_answer_are_told_apart",
]
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1500)]
# Blocks of 32 tokens: a step of a search is short, and only whole blocks are remembered.
CHECKPOINTS = Path(mull.__file__).parent / "checkpoints"
OPTIONS = ("--max-num-seqs", "64", "--block-size", "32", "--enable-prompt-tokens-details")


@pytest.fixture(scope="module", params=["tiny", "mull-base"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A model whose every sample is long and different, and the one that ships."""
    name = str(request.param)
    model = tmp_path_factory.mktemp("vllm") / "model"
    if name == "tiny":
        decoder, tokenizer = save_tiny(model)
    else:
        decoder, tokenizer = load_checkpoint(copytree(CHECKPOINTS / name, model))
    window = str(min(2048, decoder.config.max_positions))
    with vllm_server(model, name, 8801, *OPTIONS, "--max-model-len", window) as root:
        _warm(root, name)
        yield Rig(root, decoder, tokenizer, name)


def _warm(root: str, name: str) -> None:
    """The first request compiles what sampling needs: longer than a server may be silent."""
    body = json.dumps({"model": name, "prompt": "1", "max_tokens": 2, "top_k": 5, "logprobs": 1})
    asked = Request(f"{root}/v1/completions", body.encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urlopen(asked, timeout=400):  # noqa: S310  (loopback)
        pass


def running(rig: Rig) -> float:
    with urlopen(f"{rig.root}/metrics", timeout=10) as response:  # noqa: S310
        lines = response.read().decode().splitlines()
    name = "vllm:num_requests_running"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def test_it_is_recognised_and_what_the_table_says_of_it_holds(
    rig: Rig, policy: OpenAIPolicy
) -> None:
    assert policy.served.dialect.name == "vllm"
    assert policy.capabilities.model.startswith(f"vllm/completions:{rig.name}@")
    assert ExpansionKind.STEP in policy.capabilities.kinds
    assert policy.notices == ()


async def test_closing_ends_the_servers_requests_within_half_a_second(
    rig: Rig, policy: OpenAIPolicy
) -> None:
    calls = calls_for(policy, STATEMENTS[1], count=8, max_tokens=450)
    begun = set[str]()
    async with aclosing(policy.expand(calls)) as stream:
        while len(begun) < 8:
            begun.add((await anext(stream)).branch_id)
        assert await asyncio.to_thread(running, rig) == 8
    closed = time.monotonic()
    while await asyncio.to_thread(running, rig):
        assert time.monotonic() - closed < 0.5


async def test_siblings_by_one_request_bill_the_prompt_once(rig: Rig) -> None:
    settings = OpenAISettings(siblings=Siblings.FIELD)
    async with open_openai_policy(Address.parse(f"{rig.root}/v1"), settings=settings) as by_field:
        calls = calls_for(by_field, STATEMENTS[0], count=20, max_tokens=20, sampling=Sampling())
        steps = await grown(by_field, calls)
    assert len({each.branch_id for each in steps}) == 20
    assert sum(each.usage.prompt_tokens for each in steps) == len(rig.prompt(STATEMENTS[0]))


async def test_a_search_finds_its_prefixes_in_the_cache(policy: OpenAIPolicy) -> None:
    calls = calls_for(policy, "Add 3 and 4 " * 20, count=8, max_tokens=4)
    first = await grown(policy, calls[:1])
    rest = await grown(policy, calls[1:])
    prompt = sum(each.usage.prompt_tokens for each in first)
    cached = sum(each.usage.cached_tokens for each in rest)
    assert cached >= 7 * (prompt - 32) > 0


async def test_it_is_asked_by_its_name_alone(rig: Rig) -> None:
    async with open_model(f"openai:{rig.root}/v1#{rig.name}") as model:
        solution = await solve_async("Say it.", model=model, strategy="self_consistency", n=8)
    assert solution.usage.calls == 8
    assert not solution.tree.failures
