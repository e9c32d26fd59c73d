from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.core.steps import Step, StepKind
from mull.policies.remote.client import CallError, seconds_to_wait
from mull.policies.remote.growth import Retries
from mull.policies.remote.marks import marked
from mull.policies.remote.pieces import Piece
from mull.policies.remote.reader import StepReader

TEXTS = st.lists(
    st.sampled_from(["<think>", "</think>", "\n", "a", " b", "<", "think", "</th", ">", "4 < 5"]),
    max_size=12,
).map("".join)


def read(pieces: list[Piece]) -> list[Step]:
    reader = StepReader()
    lines = [line for piece in pieces for line in reader.feed(piece)]
    lines += reader.end()
    assert sum(line.num_tokens for line in lines) == reader.num_tokens
    return [line.step for line in lines]


@given(TEXTS, st.lists(st.integers(1, 9), max_size=20))
def test_how_text_is_cut_changes_no_step(text: str, cuts: list[int]) -> None:
    pieces, rest = list[Piece](), text
    for cut in cuts:
        if rest[:cut]:
            pieces.append(Piece(text=rest[:cut]))
        rest = rest[cut:]
    if rest:
        pieces.append(Piece(text=rest))
    assert read(pieces) == read([Piece(text=text)] if text else [])


@given(st.lists(st.sampled_from(["<think>", "</think>", "\n", " a", " <", " think"])))
def test_token_ids_joined_are_the_completion(tokens: list[str]) -> None:
    pieces = [Piece(text=token, token_ids=(number,)) for number, token in enumerate(tokens)]
    steps = read(pieces)
    assert [token for step in steps for token in step.token_ids] == list(range(len(tokens)))
    assert all("\n" not in step.text[:-1] for step in steps)
    words = "".join(token for token in tokens if "think>" not in token)
    assert "".join(step.text for step in steps) == words


def test_a_mark_ends_the_thought_and_its_token_begins_the_answer() -> None:
    tokens = ["<think>", " six", "</think>", " 42", ""]
    pieces = [Piece(text=token, token_ids=(number,)) for number, token in enumerate(tokens)]
    assert read(pieces) == [
        Step(" six", (0, 1), kind=StepKind.THOUGHT),
        Step(" 42", (2, 3, 4), kind=StepKind.ANSWER),
    ]


def test_swallowed_ids_leave_their_line_without_any_and_are_counted() -> None:
    reader = StepReader()
    lines = [
        *reader.feed(Piece(text="a", token_ids=(1,), total=1)),
        *reader.feed(Piece(text="\u20ac", token_ids=(4,), total=4)),
        *reader.feed(Piece(text="\n", token_ids=(5,), total=5)),
        *reader.feed(Piece(text="b", token_ids=(6,), total=6)),
        *reader.end(),
    ]
    assert [(line.step.text, line.step.token_ids, line.num_tokens) for line in lines] == [
        ("a\u20ac\n", (), 5),
        ("b", (6,), 1),
    ]


def test_steps_are_written_back_as_the_model_wrote_them() -> None:
    steps = read([Piece(text="<think>six\nseven</think>42\n")])
    assert marked(steps) == "<think>six\nseven</think>42\n"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("2.5", 2.5),
        ("-1", 0.0),
        ("soon", None),
        ("Mon, 23 Nov 2026 10:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    now = datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert seconds_to_wait(header, now=now) == seconds


def test_delays_double_up_to_a_limit_and_differ_by_seed() -> None:
    retries, error = Retries(attempts=9), CallError("no")
    delays = [retries.delay(attempt, error, seed=1) for attempt in range(9)]
    assert delays[-1] is None
    for attempt, delay in enumerate(delays[:-1]):
        most = min(20.0, 0.25 * 2**attempt)
        assert delay is not None
        assert most / 2 <= delay <= most
    assert retries.delay(0, error, seed=2) != delays[0]
    assert retries.delay(0, CallError("no", retryable=False), seed=1) is None
