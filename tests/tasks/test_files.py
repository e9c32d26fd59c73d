import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.errors import BadInputError
from mull.core.problem import AnswerKind, Message, Role
from mull.tasks import parse_examples, read_examples

GOOD: dict[str, Any] = {"prompt": "What is 6 * 7?", "reference": "42"}


def lines(*objects: object) -> list[bytes]:
    return [json.dumps(each).encode() + b"\n" for each in objects]


def test_every_field_has_its_place() -> None:
    whole = {
        "id": "q1",
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "What is 6 * 7?"},
        ],
        "answer_kind": "maths",
        "reference": 42,
        "metadata": {"source": "mine"},
    }
    (example,), faults = parse_examples(lines(whole), "mine.jsonl")
    assert not faults
    assert example.id == example.group == "q1"
    assert example.reference == "42"
    assert example.task == "mine.jsonl"
    problem = example.problem
    assert problem.messages == (
        Message(Role.SYSTEM, "Be brief"),
        Message(Role.USER, "What is 6 * 7?"),
    )
    assert problem.answer_kind is AnswerKind.MATHS
    assert dict(problem.metadata) == {"source": "mine"}
    assert "42" not in repr(problem)


def test_a_prompt_and_a_reference_are_enough() -> None:
    (example,), _ = parse_examples(lines(GOOD), "mine.jsonl")
    assert example.problem.statement == "What is 6 * 7?"
    assert example.problem.answer_kind is AnswerKind.TEXT
    assert example.id == example.problem.id


BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{oops\n", "Expecting property name"),
    "no object": (b"[1]\n", "it is no JSON object"),
    "too deep": (b"[" * 100_000 + b"\n", "it nests too deeply"),
    "no UTF-8": (b'{"prompt": "\xff", "reference": "1"}\n', "can't decode"),
    "no reference": (lines({"prompt": "x"})[0], "it lacks its `reference`"),
    "an empty reference": (lines({**GOOD, "reference": " "})[0], "`reference` is empty"),
    "no question": (lines({"reference": "1"})[0], "either `prompt` or `messages`"),
    "an empty question": (lines({**GOOD, "prompt": " "})[0], "question is empty"),
    "two questions": (
        lines({**GOOD, "messages": [{"role": "user", "content": "x"}]})[0],
        "either `prompt` or `messages`",
    ),
    "a question nobody asks": (
        lines({"messages": [{"role": "assistant", "content": "x"}], "reference": "1"})[0],
        "must be the user's",
    ),
    "an unknown role": (
        lines({"messages": [{"role": "tool", "content": "x"}], "reference": "1"})[0],
        "'tool'",
    ),
    "an unknown kind": (lines({**GOOD, "answer_kind": "math"})[0], "'math'"),
    "a kind with rules of its own": (lines({**GOOD, "answer_kind": "countdown"})[0], "is none of"),
    "a misspelt field": (lines({**GOOD, "refrence": "1"})[0], "no field `refrence`"),
    "another type": (lines({**GOOD, "id": 3})[0], "3 is no str"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_named_and_costs_only_itself(kind: str) -> None:
    bad, reason = BAD[kind]
    first, last = lines(GOOD, {**GOOD, "prompt": "What is 7 * 6?"})
    examples, faults = parse_examples([first, b"\n", bad, last], "mine.jsonl")
    assert len(examples) == 2
    (fault,) = faults
    assert fault.line == 3
    assert reason in fault.reason


def test_an_id_names_one_problem() -> None:
    examples, faults = parse_examples(lines(GOOD, GOOD, {**GOOD, "id": "a"}), "mine.jsonl")
    assert [fault.line for fault in faults] == [2]
    assert "id of an earlier problem" in faults[0].reason
    assert len(examples) == 2


def test_a_file_without_any_problem_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    with pytest.raises(BadInputError, match="cannot read the task"):
        read_examples(path)
    path.write_text("\n")
    with pytest.raises(BadInputError, match="holds no problem"):
        read_examples(path)
    path.write_text("{}\n")
    with pytest.raises(BadInputError, match="line 1"):
        read_examples(path)


@given(st.lists(st.binary(max_size=40)), st.integers(0, 5))
def test_no_junk_loses_a_good_line_or_raises(junk: list[bytes], place: int) -> None:
    clean = [each.replace(b"\n", b"") + b"\n" for each in junk]
    clean.insert(place, lines(GOOD)[0])
    examples, faults = parse_examples(clean, "mine.jsonl")
    assert [each.reference for each in examples] == ["42"]
    assert len(faults) <= len(junk)
