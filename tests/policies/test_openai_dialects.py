"""What is sent to each kind of server, and how its answers read: shapes as documented."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import web
from servers.fake import FakeServer, Handler, Json, chunk, says, served, streams, usage

from mull.core.errors import BadInputError, UnknownNameError
from mull.core.expansion import (
    Call,
    Delta,
    Expansion,
    ExpansionKind,
    Failed,
    Finish,
    Grown,
    Limits,
    Sampling,
    Thinking,
)
from mull.core.ledger import Bound
from mull.core.problem import Problem
from mull.core.protocols import Policy
from mull.core.steps import Step, StepKind
from mull.core.tree import SearchTree
from mull.core.usage import Usage
from mull.policies.openai import (
    DIALECTS,
    Address,
    ApiKey,
    OpenAIPolicy,
    OpenAISettings,
    Retries,
    WireKind,
    dialects,
    open_openai_policy,
)
from mull.policies.openai.thinking import OpenAIThinking

SETTINGS = OpenAISettings(retries=Retries(attempts=1))
STATEMENT = "What is six times seven?"


@asynccontextmanager
async def connected(
    *handlers: Handler,
    settings: OpenAISettings = SETTINGS,
    paths: Mapping[str, Callable[[Json], Json]] = MappingProxyType({}),
) -> AsyncGenerator[tuple[OpenAIPolicy, FakeServer], None]:
    """A policy on a server that answers with each handler in turn, then with the last."""

    def answer(number: int) -> Handler:
        return handlers[min(number, len(handlers) - 1)]

    async with (
        served(FakeServer(answer, extra=dict(paths))) as server,
        open_openai_policy(Address.parse(f"{server.url}#fake-1"), settings=settings) as policy,
    ):
        yield policy, server


def calls_for(
    policy: OpenAIPolicy,
    *,
    kind: ExpansionKind = ExpansionKind.FINISH,
    count: int = 1,
    grown: tuple[Step, ...] = (),
    **asked: Any,
) -> list[Call]:
    tree = SearchTree(Problem.of(STATEMENT), policy.capabilities.model, seed=1)
    expansion = Expansion((tree.root,), kind, count, limits=Limits(50), **asked)
    return [replace(tree.call(branch), grown=grown) for branch in tree.ask(expansion)]


async def outcomes(policy: OpenAIPolicy, calls: list[Call]) -> list[Grown | Failed]:
    return [each async for each in policy.expand(calls) if not isinstance(each, Delta)]


# vLLM


def completion(
    text: str, ids: Sequence[int], *, finish: str | None = None, stop: str | int | None = None
) -> Json:
    """A chunk as vLLM sends it, with a token text a word."""
    parts = [part for part in text.replace(" ", "| ").replace("\n", "|\n").split("|") if part]
    return {
        "choices": [
            {
                "index": 0,
                "text": text,
                "token_ids": list(ids),
                "logprobs": {"tokens": parts, "token_logprobs": [-0.5] * len(parts)},
                "finish_reason": finish,
                "stop_reason": stop,
            }
        ]
    }


TRIALS = (
    streams([completion("ab c", [7, 8]), completion("", [], finish="length"), usage(2)]),
    streams([completion("ab c", [7, 8]), completion("", [], finish="length"), usage(2)]),
    streams([completion("a", [7]), completion("", [], finish="stop", stop="b"), usage(1)]),
)
"""What a vLLM does on being tried: repeat itself, and say where it was stopped."""


def tokenize(body: Json) -> Json:
    """Ids of words; the rendered conversation is 100 and what follows."""
    if "messages" in body:
        return {"tokens": [100, 101]}
    known = {"<think>": [90], "</think>": [91]}
    return {"tokens": known.get(body["prompt"], [ord(each) for each in body["prompt"]])}


def models(*names: str) -> Callable[[Json], Json]:
    """What `/v1/models` answers."""
    return lambda _: {"data": [{"id": name} for name in names]}


def version(_: Json) -> Json:
    return {"version": "0.32.0"}


VLLM: dict[str, Callable[[Json], Json]] = {"/version": version, "/tokenize": tokenize}
"""The paths by which it is known."""


async def test_vllm_is_asked_with_token_ids_and_believed_only_after_a_trial() -> None:
    answer = streams(
        [
            completion("six times", [11, 12]),
            completion("\n seven", [13, 14]),
            completion("", [2], finish="stop"),
            usage(5, 2, prompt_tokens_details={"cached_tokens": 1}),
        ]
    )
    async with connected(*TRIALS, answer, paths=VLLM) as (policy, server):
        fits: Policy = policy
        assert fits.capabilities.model == "vllm/completions:fake-1@0.32.0"
        assert fits.capabilities.bound is Bound.HARD
        assert policy.notices == ()
        first, last = await outcomes(policy, calls_for(policy))
    body = server.bodies[-1]
    assert body["prompt"] == [100, 101]
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (1.0, 1.0, 0, 0.0)
    assert body["return_token_ids"] is True
    assert body["skip_special_tokens"] is False
    assert body["max_tokens"] == 50
    assert isinstance(first, Grown)
    assert isinstance(last, Grown)
    # The line ends inside what came as one chunk: how many tokens come at once is chance.
    assert (first.step.text, first.step.token_ids) == ("six times\n", (11, 12, 13))
    assert (last.step.text, last.step.token_ids, last.finish) == (" seven", (14, 2), Finish.STOP)
    assert first.step.logprobs == (-0.5, -0.5, -0.5)
    assert first.usage + last.usage == Usage(prompt_tokens=2, cached_tokens=1, visible_tokens=5)
    assert first.usage.prompt_tokens == 2


async def test_vllm_continues_steps_by_their_token_ids_and_says_why_it_stopped() -> None:
    step = streams([completion("then", [20]), completion("", [21], finish="stop", stop="\n")])
    end = streams([completion("done", [22]), completion("", [2], finish="stop", stop=2)])
    said = Step("first\n", (11, 12), kind=StepKind.ANSWER)
    async with connected(*TRIALS, step, end, paths=VLLM) as (policy, server):
        (grown,) = await outcomes(policy, calls_for(policy, kind=ExpansionKind.STEP, grown=(said,)))
        assert server.bodies[-1]["prompt"] == [100, 101, 11, 12]
        assert server.bodies[-1]["stop"] == ["\n"]
        assert isinstance(grown, Grown)
        assert (grown.index, grown.step.text, grown.finish) == (1, "then\n", Finish.STEP)
        assert not grown.step.is_final
        (grown,) = await outcomes(policy, calls_for(policy, kind=ExpansionKind.STEP))
    assert isinstance(grown, Grown)
    assert (grown.step.text, grown.finish, grown.step.is_final) == ("done", Finish.STOP, True)


async def test_steps_without_ids_are_continued_by_their_text() -> None:
    said = (Step("hm\n", kind=StepKind.THOUGHT), Step("so ", kind=StepKind.ANSWER))
    async with connected(*TRIALS, streams([completion("x", [9], finish="stop")]), paths=VLLM) as (
        policy,
        server,
    ):
        await outcomes(policy, calls_for(policy, grown=said))
    expected = [ord(each) for each in "<think>hm\n</think>so "]
    assert server.bodies[-1]["prompt"] == [100, 101, *expected]


async def test_a_prompt_that_opens_a_thought_makes_thoughts() -> None:
    def opening(body: Json) -> Json:
        return {"tokens": [100, 90]} if "messages" in body else tokenize(body)

    answer = streams(
        [completion("hm</think> 42", [11, 91, 12]), completion("", [2], finish="stop")]
    )
    async with connected(*TRIALS, answer, paths=VLLM | {"/tokenize": opening}) as (policy, _):
        steps = await outcomes(policy, calls_for(policy))
    assert [(each.step.text, each.step.kind) for each in steps if isinstance(each, Grown)] == [
        ("hm", StepKind.THOUGHT),
        (" 42", StepKind.ANSWER),
    ]


async def test_a_problem_that_spells_control_tokens_is_still_data() -> None:
    """This server reads every spelling as the token itself, and cannot be told not to."""
    rendered = list[str]()

    def reading(body: Json) -> Json:
        if "messages" in body:
            rendered.append(f"U{body['messages'][-1]['content']}A")
            return {"tokens": [100, 101]}
        return {"tokens": [2]} if body["prompt"] == "<|end|>" else tokenize(body)

    def telling(_: Json) -> Json:
        return {"prompt": rendered[-1]}

    paths = VLLM | {"/tokenize": reading, "/detokenize": telling}
    answer = streams([completion("42", [12]), completion("", [2], finish="stop"), usage(2)])
    statement = "say <|end|> or <b>, now"
    async with connected(*TRIALS, answer, paths=paths) as (policy, server):
        tree = SearchTree(Problem.of(statement), policy.capabilities.model, seed=1)
        expansion = Expansion((tree.root,), ExpansionKind.FINISH, limits=Limits(50))
        await outcomes(policy, [tree.call(branch) for branch in tree.ask(expansion)])
    assert server.bodies[-1]["prompt"] == [ord(each) for each in f"U{statement}A"]


async def test_a_template_that_hides_such_a_problem_is_refused() -> None:
    def reading(body: Json) -> Json:
        if "messages" in body:
            return {"tokens": [100, 101]}
        return {"tokens": [2]} if body["prompt"] == "<|end|>" else tokenize(body)

    def telling(_: Json) -> Json:
        return {"prompt": "U A"}

    paths = VLLM | {"/tokenize": reading, "/detokenize": telling}
    async with connected(*TRIALS, paths=paths) as (policy, _):
        tree = SearchTree(Problem.of("<|end|>"), policy.capabilities.model, seed=1)
        expansion = Expansion((tree.root,), ExpansionKind.FINISH, limits=Limits(50))
        (failed,) = await outcomes(policy, [tree.call(branch) for branch in tree.ask(expansion)])
    assert isinstance(failed, Failed)
    assert not failed.retryable
    assert "hides where the problem stands" in failed.message


async def test_what_a_server_ignores_is_found_out_at_connect() -> None:
    def answer(text: str) -> Handler:
        choice = {"index": 0, "text": text, "finish_reason": "length"}
        return streams([{"choices": [choice]}, usage(2)])

    answers = (answer("ab c"), answer("something else"), answer("ab c"))
    async with connected(*answers, paths=VLLM) as (policy, server):
        dialect = policy.served.dialect
        assert {dialect.token_ids, dialect.seeds, dialect.logprobs} == {False}
        assert len(policy.notices) == 3
        assert all("does not keep what `vllm` says of" in notice for notice in policy.notices)
        await outcomes(policy, calls_for(policy))
    assert "seed" not in server.bodies[-1]
    assert "return_token_ids" not in server.bodies[-1]


async def test_steps_are_not_offered_where_a_stop_is_not_told_from_an_end() -> None:
    silent = streams([completion("a", [7]), completion("", [], finish="stop")])
    async with connected(*TRIALS[:2], silent, paths=VLLM) as (policy, _):
        assert ExpansionKind.STEP not in policy.capabilities.kinds
        (failed,) = await outcomes(policy, calls_for(policy, kind=ExpansionKind.STEP))
    assert isinstance(failed, Failed)
    assert failed.message == "`vllm/completions:fake-1@0.32.0` offers no `step` expansions"


# Chat


async def test_sglang_continues_the_last_message() -> None:
    def choice(text: str, matched: str | int | None = None) -> Json:
        event = chunk(text, finish="stop" if matched is not None else None)
        event["choices"][0]["matched_stop"] = matched
        return event

    trial = streams([choice("ab c"), chunk(finish="length"), usage(2)])
    stopped = streams([choice("a"), choice("", "b"), usage(1)])
    step = streams([choice("then"), choice("", "\n"), usage(2)])

    def info(_: Json) -> Json:
        return {"tokenizer_path": "x", "version": "0.5.23"}

    said = (Step("hm\n", kind=StepKind.THOUGHT), Step("so\n", kind=StepKind.ANSWER))
    async with connected(trial, trial, stopped, step, paths={"/server_info": info}) as (
        policy,
        server,
    ):
        assert policy.capabilities.model == "sglang/chat:fake-1@0.5.23"
        calls = calls_for(policy, kind=ExpansionKind.STEP, grown=said, thinking=Thinking.OFF)
        (grown,) = await outcomes(policy, calls)
    body = server.bodies[-1]
    assert body["messages"] == [
        {"role": "user", "content": STATEMENT},
        {"role": "assistant", "content": "<think>hm\n</think>so\n"},
    ]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["top_k"] == -1
    assert isinstance(grown, Grown)
    assert (grown.step.text, grown.finish) == ("then\n", Finish.STEP)


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        ("openai", {"max_completion_tokens": 50, "reasoning_effort": "none", "n": 3}),
        ("deepseek", {"max_tokens": 50, "thinking": {"type": "disabled"}}),
        ("qwen", {"max_tokens": 50, "enable_thinking": False}),
    ],
)
async def test_hosted_models_are_asked_in_their_own_words(dialect: str, fields: Json) -> None:
    settings = replace(SETTINGS, dialect=dialect)
    async with connected(says("42"), settings=settings) as (policy, server):
        assert policy.capabilities.kinds == {ExpansionKind.FINISH}
        await outcomes(policy, calls_for(policy, count=3, thinking=Thinking.OFF))
    body = server.bodies[0]
    assert {name: body.get(name) for name in fields} == fields
    assert body["stream_options"] == {"include_usage": True}
    assert not {"top_k", "min_p", "stop"} & body.keys()
    assert ("seed" in body) is (dialect != "deepseek")


async def test_greedy_siblings_are_asked_for_one_by_one() -> None:
    settings = replace(SETTINGS, dialect="openai")
    async with connected(says("42"), settings=settings) as (policy, server):
        steps = await outcomes(policy, calls_for(policy, count=3, sampling=Sampling(0.0)))
    assert ["n" in body for body in server.bodies] == [False, False, False]
    assert len({each.branch_id for each in steps}) == 3


async def test_what_a_server_lacks_is_refused_by_name() -> None:
    async with connected(says("42")) as (policy, server):
        said = (Step("so\n", kind=StepKind.ANSWER),)
        refused = [
            *await outcomes(policy, calls_for(policy, grown=said)),
            *await outcomes(policy, calls_for(policy, sampling=Sampling(top_k=5))),
            *await outcomes(policy, calls_for(policy, thinking=Thinking.OFF)),
            *await outcomes(policy, calls_for(policy, kind=ExpansionKind.TOKENS)),
        ]
        assert server.bodies == []
    messages = [each.message for each in refused if isinstance(each, Failed)]
    assert messages == [
        "`other/chat:fake-1` cannot continue what is already said",
        "`other/chat:fake-1` knows neither `top_k` nor `min_p`",
        "`other/chat:fake-1` has no way to ask for an answer without reasoning",
        "`other/chat:fake-1` offers no `tokens` expansions",
    ]


async def test_a_server_without_a_template_gets_the_text_itself() -> None:
    text = streams([{"choices": [{"index": 0, "text": " 42", "finish_reason": "stop"}]}, usage(2)])
    settings = replace(SETTINGS, wire=WireKind.COMPLETIONS)
    said = (Step("so", kind=StepKind.ANSWER),)
    async with connected(text, settings=settings) as (policy, server):
        (grown,) = await outcomes(policy, calls_for(policy, grown=said))
    assert server.bodies[0]["prompt"] == f"{STATEMENT}so"
    assert isinstance(grown, Grown)
    assert (grown.step.text, grown.usage) == (" 42", Usage(prompt_tokens=5, visible_tokens=2))


# Connecting


async def test_a_server_with_one_model_needs_no_name() -> None:
    async with (
        served(FakeServer(lambda _: says("42"))) as server,
        open_openai_policy(Address.parse(server.url)) as policy,
    ):
        assert policy.served.model == "fake-1"


async def test_several_models_need_a_name() -> None:
    paths = {"/v1/models": models("a", "b")}
    async with served(FakeServer(lambda _: says("42"), extra=paths)) as server:
        with pytest.raises(BadInputError, match="serves 2 models: a, b") as caught:
            async with open_openai_policy(Address.parse(server.url)):
                pass
    assert "after `#`" in str(caught.value.hint)


async def test_nobody_there_is_one_clear_error() -> None:
    with pytest.raises(BadInputError, match="nobody can be talked to") as caught:
        async with open_openai_policy(Address.parse("http://127.0.0.1:9/v1#x")):
            pass
    assert caught.value.hint == "start the server, or correct the address"


async def test_a_refused_key_is_named_by_its_source_and_not_shown() -> None:
    def refuse(_: Json) -> Json:
        raise web.HTTPUnauthorized(text='{"error": {"message": "bad key sk-mine"}}')

    async with served(FakeServer(lambda _: says("42"), extra={"/v1/models": refuse})) as server:
        with pytest.raises(BadInputError, match="refuses the key from `MY_KEY`") as caught:
            async with open_openai_policy(Address.parse(server.url), ApiKey("sk-mine", "MY_KEY")):
                pass
        with pytest.raises(BadInputError, match="refuses a request without a key"):
            async with open_openai_policy(Address.parse(server.url)):
                pass
    assert "sk-mine" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "text", ["localhost:8000", "ftp://x/v1", "http:///v1", "http://u:p@x/v1", "http://x:port/v1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadInputError) as caught:
        Address.parse(text)
    assert ":p@" not in caught.value.message


def test_an_address_names_place_and_model() -> None:
    address = Address.parse("https://host:1/api/v1/#org/name")
    assert (address.url, address.model) == ("https://host:1/api/v1", "org/name")
    assert address.at("/v1/models") == "https://host:1/api/v1/models"
    assert address.at("/version") == "https://host:1/api/version"


async def test_an_unknown_dialect_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no dialect `vlm`"):
        async with open_openai_policy(
            Address.parse("http://127.0.0.1:9/v1"), settings=OpenAISettings(dialect="vlm")
        ):
            pass


def test_the_table_says_what_the_rows_say() -> None:
    for line in str(dialects.__doc__).splitlines()[3:10]:
        name, wire, *_, bound = line.split()
        assert DIALECTS[name].wire == wire
        assert DIALECTS[name].bound == bound
        assert ("fan-out" in line) is (DIALECTS[name].siblings == "fan_out")
        assert (DIALECTS[name].stop_cause in line) or not DIALECTS[name].stop_cause


# How much to reason

Asked = Mapping[str, Any]
THINKING: list[tuple[str, Asked, Json]] = [
    ("openai", {"effort": "xhigh"}, {"reasoning_effort": "xhigh"}),
    ("deepseek", {"effort": "max"}, {"reasoning_effort": "max"}),
    ("qwen", {"tokens": 30}, {"enable_thinking": True, "thinking_budget": 30}),
    ("qwen", {"tokens": 300}, {"enable_thinking": True, "thinking_budget": 49}),
    ("vllm", {"tokens": 20}, {"thinking_token_budget": 20}),
    (
        "vllm",
        {"tokens": 20, "effort": "low"},
        {"thinking_token_budget": 20, "reasoning_effort": "low"},
    ),
]
FIELDS = {"reasoning_effort", "enable_thinking", "thinking_budget", "thinking_token_budget"}


@pytest.mark.parametrize(("dialect", "asked", "sent"), THINKING)
async def test_how_much_to_reason_is_spelled_as_the_server_does(
    dialect: str, asked: Asked, sent: Json
) -> None:
    settings = replace(SETTINGS, dialect=dialect, thinking=OpenAIThinking(**asked))
    versions: dict[str, Callable[[Json], Json]] = {"/version": lambda _: {"version": "1"}}
    async with connected(says("42"), settings=settings, paths=versions) as (policy, server):
        assert policy.served.wire is WireKind.CHAT
        assert policy.capabilities.model.endswith(settings.thinking.name)
        server.bodies.clear()
        await outcomes(policy, calls_for(policy))
        if policy.served.dialect.thinking_off:
            await outcomes(policy, calls_for(policy, thinking=Thinking.OFF))
    body, *direct = server.bodies
    assert {name: body[name] for name in FIELDS & body.keys()} == sent
    for each in direct:
        assert "thinking_budget" not in each
        assert each.get("reasoning_effort") in {None, "none"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (OpenAISettings(dialect="openai", thinking=OpenAIThinking(tokens=9)), "takes no budget"),
        (OpenAISettings(thinking=OpenAIThinking(effort="low")), "`other` takes no effort `low`"),
        (
            OpenAISettings(dialect="deepseek", thinking=OpenAIThinking(effort="medium")),
            "it takes: low, high, max",
        ),
        (
            OpenAISettings(
                dialect="openai", wire=WireKind.COMPLETIONS, thinking=OpenAIThinking(effort="low")
            ),
            "completions have no fields for thinking",
        ),
    ],
)
async def test_what_a_server_would_ignore_of_thinking_is_refused(
    settings: OpenAISettings, message: str
) -> None:
    with pytest.raises(BadInputError, match=message) as refused:
        async with connected(settings=settings):
            pass
    assert refused.value.hint


@pytest.mark.parametrize("asked", [{"tokens": 0}, {"effort": "lots"}])
def test_an_amount_of_thinking_that_is_none_is_refused(asked: Asked) -> None:
    with pytest.raises(BadInputError, match=r"must be 1 or more|is none of none, minimal"):
        OpenAIThinking(**asked)
