from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from doubles import solver_with
from servers.fake import FakeServer, refuses, served

from mull.build.pooling import Pooling, pooling_verifier
from mull.core.aggregation import Aggregation
from mull.core.errors import BadInputError, UnknownNameError
from mull.core.problem import Message, Problem, Role
from mull.core.protocols import Verifier
from mull.core.score import Score
from mull.core.spec import Spec
from mull.core.steps import Step, StepKind, Trajectory
from mull.core.usage import Usage
from mull.policies.scripted import ScriptedPolicy, by_sample

QUESTION = Problem((Message(Role.SYSTEM, "Be brief"), Message(Role.USER, "What is 2 * 3 + 1?")))
TAG = "<extra_0>"
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def path(*steps: str) -> Trajectory:
    return Trajectory(QUESTION, tuple(Step(text, kind=StepKind.ANSWER) for text in steps))


def rows(*good: float) -> Answer:
    """What vLLM says of so many steps: bad and good of each."""
    judged = [[1 - each, each] for each in good]
    return lambda _: {
        "id": "pooling-1",
        "object": "list",
        "model": "prm",
        "data": [{"index": 0, "object": "pooling", "data": judged}],
        "usage": {"prompt_tokens": 31, "total_tokens": 31, "completion_tokens": 0},
    }


def serving(answer: Answer) -> AbstractAsyncContextManager[FakeServer]:
    return served(FakeServer(lambda _: refuses(404), extra={"/pooling": answer}))


def verifier_of(server: FakeServer, **options: Any) -> Verifier:
    return Pooling(f"{server.url}#prm", attempts=1, **options).verifier("judge")


async def score(answer: Answer, trajectory: Trajectory, **options: Any) -> Score:
    async with serving(answer) as server:
        (found,) = await verifier_of(server, **options).score([trajectory])
    return found


async def test_every_step_is_shown_with_its_tag_and_gets_its_value() -> None:
    seen = list[dict[str, Any]]()

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        seen.append(body)
        return rows(0.9, 0.4, 0.7)(body)

    found = await score(answer, path("2 * 3 = 6\n", " 6 + 1 = 7\n", "7"))
    assert seen == [
        {
            "model": "prm",
            "task": "token_classify",
            "messages": [
                {"role": "system", "content": "Be brief"},
                {"role": "user", "content": "What is 2 * 3 + 1?"},
                {"role": "assistant", "content": f"2 * 3 = 6{TAG}6 + 1 = 7{TAG}7{TAG}"},
            ],
        }
    ]
    assert found.per_step == (0.9, 0.4, 0.7)
    assert found.value == 0.4
    assert found.is_opinion
    assert found.usage == Usage(prompt_tokens=31)


@pytest.mark.parametrize(
    ("rule", "value"), [("last", 0.7), ("min", 0.4), ("product", 0.9 * 0.4 * 0.7), ("mean", 2 / 3)]
)
async def test_the_path_is_worth_what_the_rule_makes_of_its_steps(rule: str, value: float) -> None:
    found = await score(rows(0.9, 0.4, 0.7), path("a", "b", "c"), aggregation=rule)
    assert found.value == pytest.approx(value)


@pytest.mark.parametrize(("good", "value"), [(0, 0.25), (1, 0.75), (-1, 0.75), (-2, 0.25)])
async def test_which_label_is_good_is_the_models_affair(good: int, value: float) -> None:
    assert (await score(rows(0.75), path("a"), good=good)).per_step == (value,)


async def test_a_blank_step_is_not_shown_and_takes_the_value_before_it() -> None:
    found = await score(rows(0.9, 0.4), path("\n", "a", " \n", "b"))
    assert found.per_step == (0.9, 0.9, 0.9, 0.4)
    assert (await score(rows(), path("\n", " "))).is_opinion is False


async def test_text_that_spells_the_tag_is_still_one_step() -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        text = "".join(turn["content"] for turn in body["messages"])
        return rows(*(0.5 for _ in range(text.count("+"))))(body)

    found = await score(answer, path("1 + 1", "two + + more +"), step_tag="+")
    assert found.per_step == (0.5, 0.5)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "too few rows": (rows(0.9)({}), "judged 1 steps where 2 are shown: is `<extra_0>`"),
    "no such label": ({"data": [{"data": [[0.5], [0.5]]}]}, "has no label number 1"),
    "logits": ({"data": [{"data": [[0.1, 3.2], [0.1, 0.2]]}]}, "3.2 is no probability"),
    "not numbers": ({"data": [{"data": [["a", "b"], ["a", "b"]]}]}, "'b' is no probability"),
    "no rows": ({"data": [{"data": [0.5, 0.5]}]}, "the row 0.5 has no label"),
    "no data": ({"data": []}, "holds no rows"),
    "an error": ({"error": {"message": "out of memory"}}, "says: out of memory"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_does_not_fit_is_no_opinion(fault: str) -> None:
    answer, message = FAULTS[fault]
    found = await score(lambda _: answer, path("a", "b"))
    assert not found.is_opinion
    assert message in found.reason


async def test_a_path_that_fails_costs_no_other_its_score() -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        said = body["messages"][-1]["content"]
        return rows(0.8)(body) if said == f"good{TAG}" else {"data": []}

    async with serving(answer) as server:
        scores = await verifier_of(server).score([path("bad"), path("good"), path("bad")])
    assert [each.is_opinion for each in scores] == [False, True, False]


async def test_a_failure_that_passes_is_asked_again() -> None:
    answers = [{"error": {"message": "busy"}}, rows(0.8)({})]
    async with serving(lambda _: answers.pop(0)) as server:
        (found,) = await Pooling(f"{server.url}#prm").verifier("judge").score([path("a")])
    assert found.per_step == (0.8,)


async def test_it_chooses_among_the_answers_of_a_solve() -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        is_right = "7" in body["messages"][-1]["content"]
        return rows(0.9 if is_right else 0.1)(body)

    policy = ScriptedPolicy(by_sample({QUESTION.statement: ["8", "7", "8", "8"]}))
    spec = Spec("best_of_n", {"n": 4, "verifier": "judge"})
    async with serving(answer) as server:
        solution = await solver_with(policy, spec, verifier_of(server)).solve(QUESTION)
    assert solution.answer == "7"
    assert solution.confidence is None  # it is never sure
    assert solution.usage.prompt_tokens >= 4 * 31


def test_what_changes_its_opinions_changes_its_version() -> None:
    place = "http://127.0.0.1:8003#prm"
    options: list[dict[str, Any]] = [{}, {"step_tag": "+"}, {"good": 0}, {"aggregation": "last"}]
    made = [Pooling(place, **each).verifier("judge") for each in options]
    assert len({each.source.version for each in made}) == 4
    assert pooling_verifier(f"pooling:{place}").source.verifier == f"pooling:{place}"
    assert Aggregation.MIN.value == Pooling(place).aggregation


def test_what_can_never_work_is_said_at_once() -> None:
    with pytest.raises(BadInputError, match="names no model"):
        pooling_verifier("pooling:http://127.0.0.1:8003")
    with pytest.raises(UnknownNameError, match="aggregation `median`; known: last, mean, min"):
        Pooling("http://127.0.0.1:8003#prm", aggregation="median").verifier("judge")
    with pytest.raises(BadInputError, match="`step_tag` is empty"):
        Pooling("http://127.0.0.1:8003#prm", step_tag=" ").verifier("judge")


async def test_a_model_of_whole_answers_gives_one_value_to_each_that_is_finished() -> None:
    seen = list[dict[str, Any]]()

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        seen.append(body)
        return {"data": [{"index": 0, "object": "pooling", "data": [0.2, 0.8]}],
                "usage": {"prompt_tokens": 12}}  # fmt: skip

    begun = path("2 * 3 = 6\n")
    last = Step("so 7", kind=StepKind.ANSWER, is_final=True)
    whole = Trajectory(QUESTION, (*begun.steps, last))
    async with serving(answer) as server:
        verifier = verifier_of(server, judges="answers")
        first, second = await verifier.score([begun, whole])
        other = verifier_of(server)
    assert (first.is_opinion, first.reason) == (False, "the answer is not finished")
    assert (second.value, second.per_step, second.usage.prompt_tokens) == (0.8, (), 12)
    (body,) = seen
    assert body["task"] == "classify"
    assert body["messages"][-1] == {"role": "assistant", "content": "2 * 3 = 6\nso 7"}
    assert verifier.source.version != other.source.version


async def test_a_row_without_the_label_is_no_opinion() -> None:
    last = Step("7", kind=StepKind.ANSWER, is_final=True)
    whole = Trajectory(QUESTION, (last,))

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return {"data": [{"data": [0.8]}]}

    assert (await score(answer, whole, judges="answers", good=0)).value == 0.8
    assert "has no label number 1" in (await score(answer, whole, judges="answers")).reason
    with pytest.raises(UnknownNameError, match="no thing a reward model judges `lines`"):
        Pooling("http://127.0.0.1:1#m", judges="lines").verifier("judge")
