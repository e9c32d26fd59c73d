import gzip
import json
import logging
import random
from pathlib import Path

import pytest
from cli.conftest import Mull

import mull as library
from mull.build import read_recording, write_recording
from mull.build.recordings import MAX_LINE_BYTES
from mull.core.errors import BadInputError
from mull.core.journal import MemoryJournal
from mull.core.problem import Message, Problem, Role
from mull.core.recording import Record, header_line, record_line
from mull.core.score import Verdict
from mull.policies.replay import ReplayPolicy

GAME = "Use 1, 2 and 4 once each with + - * / to make 8."
REPLIES = ["<think>1 * 2 = 2\n2 * 4 = 8\n</think>1 * 2 * 4", "1 + 2 + 4", "1 * 2 * 4"]


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "replies.json"
    path.write_text(json.dumps({"replies": {GAME: REPLIES, "Hello": ["hi\nthere"]}}))
    return f"scripted:{path}"


def test_a_solve_is_recorded_and_replayed_to_the_same_end(
    mull: Mull, script: str, tmp_path: Path
) -> None:
    solved = mull("solve", GAME, "--model", script, "--n", "3", "--json")
    assert solved.code == 0, solved.err
    out = tmp_path / "samples.jsonl"
    ran = mull("export", "samples", solved.document["solve_id"], "--out", out)
    assert ran.code == 0, ran.err
    assert f"3 samples: --model replay:{out}" in ran.err
    recording = read_recording(out)
    (records,) = recording.samples.values()
    assert [each.text for each in records] == REPLIES
    assert [each.verdict for each in records] == [Verdict.ACCEPT, Verdict.REJECT, Verdict.ACCEPT]
    replayed = library.solve(GAME, model=ReplayPolicy(recording), n=3)
    assert replayed.answer == "1 * 2 * 4"
    assert replayed.usage.generated_tokens == solved.document["usage"]["generated_tokens"]


def test_a_recording_is_a_model_and_a_verifier_of_the_command_line(
    mull: Mull, tmp_path: Path
) -> None:
    path = tmp_path / "samples.jsonl"
    records = [
        Record("Hello", "hi", score=0.2, tokens=3),
        Record("Hello", "hey", score=0.9, tokens=4),
        Record("Hello", "hi", score=0.1, tokens=3),
    ]
    path.write_text("\n".join([header_line("m"), *map(record_line, records)]))
    model, scores = ("--model", f"replay:{path}"), ("--verifier", f"recorded:{path}")
    voted = mull("solve", "Hello", *model, "--n", "3", "--json")
    assert (voted.code, voted.document["answer"]) == (0, "hi"), voted.err
    ranked = mull("solve", "Hello", *model, *scores, "--n", "3", "--json", "--budget-tokens", "8")
    assert ranked.document["answer"] == "hey"
    assert ranked.document["usage"]["generated_tokens"] == 8
    resumed = mull("resume", ranked.document["solve_id"], "--more-tokens", "5", "--json")
    assert (resumed.code, resumed.document["stop"]) == (0, "completed"), resumed.err
    assert resumed.document["usage"]["generated_tokens"] == 10
    path.write_text("\n".join([header_line("m"), record_line(records[0])]))
    changed = mull("resume", ranked.document["solve_id"], "--more-tokens", "5")
    assert changed.code == 2
    assert "recorded:" in changed.err


def test_a_failed_or_cut_sample_is_recorded_as_that(
    mull: Mull, script: str, tmp_path: Path
) -> None:
    solved = mull("solve", GAME, "--model", script, "--n", "3", "--max-tokens", "6", "--json")
    out = tmp_path / "samples.jsonl"
    mull("export", "samples", solved.document["solve_id"], "--out", out)
    ((first, second, third),) = read_recording(out).samples.values()
    assert first.error == "it was cut off at its limit of 6 tokens"
    assert (first.tokens, second.error, third.error) == (6, "", "")


async def test_a_conversation_keeps_all_its_messages(tmp_path: Path) -> None:
    problem = Problem((Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hello")))
    recording = tmp_path / "first.jsonl"
    lines = (header_line("m"), '{"problem": "Hello", "text": "hi"}')
    recording.write_text("\n".join(lines))
    first = read_recording(recording)
    policy = ReplayPolicy(type(first).of("m", [Record(problem.messages, "hi")]))
    journal = MemoryJournal()
    solution = await library.solve_async(problem, model=policy, n=1, journal=journal)
    again = tmp_path / "again.jsonl"
    assert write_recording(again, [await journal.load(solution.solve_id)]) == 1
    assert list(read_recording(again).samples) == [problem.messages]


def test_an_archive_that_is_cut_short_gives_what_it_still_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(5)
    words = [str(rng.random()) for _ in range(5000)]
    lines = [header_line("m"), *(json.dumps({"problem": "Hello", "text": word}) for word in words)]
    path = tmp_path / "samples.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:-2000])
    with caplog.at_level(logging.WARNING):
        (samples,) = read_recording(path).samples.values()
    assert 1000 < len(samples) < 5000
    assert [each.text for each in samples] == words[: len(samples)]
    assert "ends in the middle" in caplog.text


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl.gz"
    endless = json.dumps({"problem": "Hello", "text": "x" * MAX_LINE_BYTES})
    path.write_bytes(gzip.compress(f"{header_line('m')}\n{endless}".encode(), 1))
    with pytest.raises(BadInputError, match="too large: a line has more than 64 MiB") as raised:
        read_recording(path)
    assert raised.value.hint == "name a part of it, with the same first line"


def test_bad_lines_are_logged_by_file_and_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join([header_line("m"), *["{}"] * 8, '{"problem": "Hello"}']))
    with caplog.at_level(logging.WARNING):
        recording = read_recording(path)
    assert len(recording.faults) == 8
    assert f"`{path}`, line 2 is left out: `Record` lacks its `problem`" in caplog.text
    assert "3 further lines are left out" in caplog.text


def test_what_cannot_be_recorded_or_read_is_said(mull: Mull, script: str, tmp_path: Path) -> None:
    missing = tmp_path / "none.jsonl"
    with pytest.raises(BadInputError, match="cannot read the recording"):
        read_recording(missing)
    ran = mull("export", "samples", "abc", "--out", missing)
    assert ran.code == 2
    assert "abc" in ran.err
    solved = mull("solve", GAME, "--model", script, "--n", "1", "--json")
    nowhere = tmp_path / "no" / "such" / "folder"
    ran = mull("export", "samples", solved.document["solve_id"], "--out", nowhere)
    assert ran.code == 2
    assert "cannot write" in ran.err
    with pytest.raises(BadInputError, match="a recording is of one model"):
        write_recording(missing, [])
