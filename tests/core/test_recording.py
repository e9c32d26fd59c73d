import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.errors import BadInputError
from mull.core.problem import Message, Role
from mull.core.recording import Record, header_line, parse_recording, record_line
from mull.core.score import Verdict
from mull.core.steps import StepKind

HEADER = header_line("tiny", "by hand")
GOOD = Record("What is 6 * 7?", "42", tokens=2)


def read(*lines: str) -> object:
    return parse_recording([line.encode() for line in lines], "my.jsonl")


RECORDS = st.builds(
    Record,
    st.text() | st.tuples(st.builds(Message, st.sampled_from(Role), st.text())),
    st.text(),
    st.none() | st.text(),
    st.text(),
    tokens=st.integers(0, 10**6),
    hidden_tokens=st.integers(0, 10**6),
    seconds=st.floats(0, 1e6),
    money_usd=st.floats(0, 1e6),
    score=st.none() | st.floats(0, 1),
    verdict=st.sampled_from(Verdict),
)


@given(st.lists(RECORDS, min_size=1, max_size=5))
def test_what_is_written_is_read_back(records: list[Record]) -> None:
    lines = [HEADER, *(record_line(each) for each in records)]
    found = parse_recording([line.encode("utf-8", "surrogatepass") for line in lines], "my.jsonl")
    assert found.model == "tiny"
    assert not found.faults
    for messages, samples in found.samples.items():
        assert list(samples) == [each for each in records if each.messages == messages]
    assert found.version == replace(found, name="elsewhere").version


@given(RECORDS)
def test_the_steps_of_a_sample_are_its_text_and_end_its_turn(record: Record) -> None:
    said = "".join(step.text for step in record.steps)
    assert said == record.text.replace("<think>", "").replace("</think>", "") + (
        record.answer or ""
    )
    assert [step.is_final for step in record.steps].index(True) == len(record.steps) - 1


def test_thoughts_stand_between_marks_and_the_rest_is_the_answer() -> None:
    steps = Record("?", "so\n<think>6 * 7\nis <b>42</b></think>forty-\ntwo").steps
    assert [(step.text, step.kind) for step in steps] == [
        ("so\n", StepKind.ANSWER),
        ("6 * 7\n", StepKind.THOUGHT),
        ("is <b>42</b>", StepKind.THOUGHT),
        ("forty-\n", StepKind.ANSWER),
        ("two", StepKind.ANSWER),
    ]


def test_with_an_answer_of_its_own_all_text_is_thought() -> None:
    steps = Record("?", "6 * 7\nis 42", answer="42").steps
    assert [(step.text, step.kind) for step in steps] == [
        ("6 * 7\n", StepKind.THOUGHT),
        ("is 42", StepKind.THOUGHT),
        ("42", StepKind.ANSWER),
    ]


BAD: dict[str, tuple[str, str]] = {
    "no_json": ("{nonsense", "Expecting property name"),
    "not_an_object": ("[1]", "is no object"),
    "too_deep": ('{"a":' * 100_000, "it nests too deeply"),
    "no_problem": ('{"text": "42"}', "problem"),
    "unknown_field": ('{"problem": "?", "txt": "42"}', "has no field `txt`"),
    "wrong_type": ('{"problem": "?", "tokens": "many"}', "'many' is no int"),
    "negative": ('{"problem": "?", "tokens": -1}', "not below zero"),
    "endless": ('{"problem": "?", "seconds": Infinity}', "finite"),
    "score": ('{"problem": "?", "score": 7}', "must lie in [0, 1]"),
    "cached": ('{"problem": "?", "prompt_tokens": 1, "cached_tokens": 2}', "cannot be more"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_named_and_costs_only_itself(case: str) -> None:
    line, reason = BAD[case]
    lines = [HEADER, record_line(GOOD), line, "", record_line(GOOD)]
    found = parse_recording([each.encode() for each in lines], "my.jsonl")
    assert [len(samples) for samples in found.samples.values()] == [2]
    (fault,) = found.faults
    assert fault.line == 3
    assert reason in fault.reason


def test_a_line_that_is_no_utf8_costs_only_itself() -> None:
    lines = [HEADER.encode(), b'{"problem": "\xff"}', record_line(GOOD).encode()]
    found = parse_recording(lines, "my.jsonl")
    assert [fault.line for fault in found.faults] == [2]
    assert found.samples[GOOD.messages] == (GOOD,)


def test_a_file_of_another_version_or_without_a_header_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"`my\.jsonl` is a recording of version `2`") as caught:
        read(json.dumps({"format": "mull-recording", "version": 2, "model": "m"}), "{}")
    assert caught.value.hint
    for first in (record_line(GOOD), "nonsense", "[]"):
        with pytest.raises(BadInputError, match=r"`my\.jsonl`, line 1: no header"):
            read(first, record_line(GOOD))
    with pytest.raises(BadInputError, match="line 1"):
        read(json.dumps({"format": "mull-recording", "version": 1}), record_line(GOOD))


def test_a_file_without_any_sample_is_refused_with_its_first_bad_line() -> None:
    with pytest.raises(BadInputError, match="holds no recorded sample: line 2: ") as caught:
        read(HEADER, "{}")
    assert "my.jsonl" in caught.value.message
    with pytest.raises(BadInputError, match="holds no recorded sample"):
        read(HEADER)


def test_every_field_of_a_record_is_part_of_the_format() -> None:
    assert [each.name for each in fields(Record)] == list(
        json.loads(
            record_line(
                Record("?", "a", "b", "c", 1, 2, 4, 3, 0.5, 0.25, 0.125, Verdict.ACCEPT),
            )
        )
    )
