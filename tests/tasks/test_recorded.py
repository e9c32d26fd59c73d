"""Readers of published samples, on files of their shape made here."""

import gzip
import json
from pathlib import Path

import pytest

from mull.core.errors import BadInputError, UnknownNameError
from mull.core.recorded_search import Thought
from mull.core.recording import Record
from mull.core.steps import StepKind
from mull.tasks.recorded import READERS, RecordedSet, Rows, rows_of
from mull.tasks.recorded.code import body, read_executed
from mull.tasks.recorded.game24 import read_tot_search
from mull.tasks.recorded.maths import answer_in_json
from mull.tasks.recorded.sets import recorded_problem


def write(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in rows)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def read(data: Path, name: str) -> tuple[dict[str, RecordedSet], Rows]:
    rows = rows_of(data, name)
    return {each.name: each for each in READERS[name](rows)}, rows


def test_a_bad_row_is_named_and_the_others_stay(tmp_path: Path) -> None:
    good = {
        "idx": 3,
        "question": "What is 6 * 7?",
        "gt": "42",
        "response": ["so \\boxed{42}"] * 8,
        "pred": ["42"] * 8,
        "score": [True] * 7 + [False],
        "rm": [0.0] * 8,
    }
    file = tmp_path / "qwen_math_rm8" / "math_cot_first50.jsonl.gz"
    write(file, good, "{broken", {**good, "pred": ["42"]}, {**good, "rm": "high"}, "[1]", good)
    found, rows = read(tmp_path, "qwen_math_rm8")
    problems = found["math_cot"].problems
    assert (len(problems), rows.num_good) == (2, 2)
    assert [(each.file, each.line) for each in rows.bad] == [(file.name, n) for n in (2, 3, 4, 5)]
    assert "eight of everything" in rows.bad[1].reason
    assert problems[0].right == (True,) * 7 + (False,)
    assert problems[0].records[0].score == 0.5
    assert problems[0].example.reference == "42"


def test_running_totals_become_what_each_game_took(tmp_path: Path) -> None:
    folder = tmp_path / "tot_gpt4"
    write(folder / "24.csv", "Rank,Puzzles", "1,1 1 4 6", "2,1 1 11 11")
    totals = [(100, 10, 1.0), (250, 20, 3.0), (30, 10, 0.5)]  # begun anew with the third
    rows = [
        {
            "idx": number % 2,
            "ys": ["Steps:\n1 * 1 = 1\nAnswer: 4 * 6 * 1 * 1 = 24", "Answer: none\n"],
            "infos": [{"r": 1}, {"r": 0}],
            "usage_so_far": {"completion_tokens": c, "prompt_tokens": p, "cost": money},
        }
        for number, (c, p, money) in enumerate(totals)
    ]
    direct = [{**row, "accs": [True, False], "infos": []} for row in rows]
    write(folder / "game24_io100.idx900-949.jsonl.gz", *direct)
    write(folder / "game24_cot100.idx900-949.jsonl.gz", *rows)
    first_wave = {"ys": [""], "new_ys": ["a\n", "b\n", "a\n"], "values": [3, 60, 0], "more": 1}
    last_wave = {"ys": ["b\n", "a\n"], "new_ys": ["b\nc\n", "a\nd\n"], "values": [6, 0.0]}
    waves = [first_wave, last_wave]
    write(folder / "game24_tot_b5.idx900-949.jsonl.gz", *({**row, "steps": waves} for row in rows))
    found, bad = read(tmp_path, "tot_gpt4")
    assert not bad.bad
    assert list(found) == ["game24_io100", "game24_cot100", "game24_tot_b5"]
    for recorded in found.values():
        spent = [[r.tokens for r in each.records] for each in recorded.problems]
        assert spent == [[50, 50], [75, 75], [15, 15]]
        money = [sum(r.money_usd for r in each.records) for each in recorded.problems]
        assert money == [1.0, 2.0, 0.5]
    first = found["game24_cot100"].problems[0]
    assert [each.answer for each in first.records] == ["Answer: 4 * 6 * 1 * 1 = 24", "Answer: none"]
    assert (first.example.problem.statement, first.right) == ("Game of 24: 1 1 4 6", (True, False))
    searched = read_tot_search(Rows(folder))
    places = searched.searches.thoughts[first.example.problem.messages]
    assert places == {
        "": (Thought("a\n", 0.05), Thought("b\n", 1.0)),
        "b\n": (Thought("c\n", 0.1, is_final=True),),
        "a\n": (Thought("d\n", 0.0, is_final=True),),
    }
    assert searched.most_thoughts == 2


def test_samples_of_a_run_are_in_the_order_of_their_epochs(tmp_path: Path) -> None:
    folder = tmp_path / "epoch_frontier_samples"
    write(
        folder / "runs_dev.csv",
        "run,benchmark,model,label,epochs,published_scores,frac_with_answer",
        "r1,otis,lab/m,m,2,exact:0.5±0.1,1.0",
    )
    write(
        folder / "otis_samples_dev.csv.gz",
        "run,qid,epoch,target,answer,correct,output_tokens,reasoning_tokens,seconds",
        "r1,2024-01,2,024,,,,,",
        "r1,2024-01,1,024,24,1,90.0,50,1.5",
        "r2,2024-01,1,024,24,1,,,",
    )
    write(
        folder / "gpqa_samples_dev.csv.gz",
        "run,qid,epoch,target,answer,correct,output_tokens,reasoning_tokens,seconds",
    )
    found, rows = read(tmp_path, "epoch_frontier_samples")
    (problem,) = found["otis r1"].problems
    assert problem.records == (
        Record("otis 2024-01", answer="24", tokens=40, hidden_tokens=50, seconds=1.5),
        Record("otis 2024-01", answer="", error="the sample failed"),
    )
    assert problem.right == (True, False)
    assert problem.example.reference == "24"
    assert [(each.line, each.reason) for each in rows.bad] == [(4, "run `r2` is not listed")]


def test_systems_and_models_are_sets_of_their_own(tmp_path: Path) -> None:
    said = {"solution": "6 * 7 = 42\nA: 42", "is_correct": True}
    systems = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    row = {"idx": 0, "question": "6 * 7?", "ground_truth": "A: 42", **dict.fromkeys(systems, said)}
    gsm = tmp_path / "gsm8k"
    write(gsm / "example_model_solutions_0-659.jsonl.gz", row, {**row, "6b_finetuning": None})
    write(gsm / "test_0-659.jsonl.gz", {"idx": 0, "question": "6 * 7?", "answer": "so\n#### 42"})
    found, rows = read(tmp_path, "gsm8k")
    assert list(found) == list(systems)
    assert len(rows.bad) == 1
    routed = {
        "weak_correct": 0,
        "strong_correct": 1,
        "weak_response": "41",
        "strong_response": "42",
    }
    write(
        tmp_path / "routellm" / "gsm8k_0-659.jsonl.gz", {"idx": 0, **routed}, {"idx": 9, **routed}
    )
    write(
        tmp_path / "routellm" / "mmlu_correct.csv.gz",
        "subject,prompt,weak_correct,strong_correct",
        'maths,"6 * 7?\nA. 41\nB. 42",False,True',
    )
    found, rows = read(tmp_path, "routellm")
    assert [each.problems[0].right for each in found.values()] == [(False,), (True,)] * 2
    assert found["gsm8k weak"].problems[0].example.reference == "42"
    assert [each.reason for each in rows.bad] == ["there is no problem `9`"]
    zero = tmp_path / "zeroeval_multimodel"
    write(zero / "gsm_answers_0-659.csv.gz", "model,idx,raw_answer,chars", "m,0,$42,9", "m,7,1,1")
    hard = {"id": 5, "problem": "x?", "answer": "\\frac{1}{2}"}
    write(zero / "math_l5_problems.jsonl.gz", hard)
    tail = 'so \\frac{1}{2}",\n "answer": "\\frac{1}{2}"\n}'
    write(
        zero / "math_l5_tails_dev.jsonl.gz",
        *({"model": "m", "id": n, "tail": tail} for n in (5, 6)),
    )
    found, rows = read(tmp_path, "zeroeval_multimodel")
    assert found["gsm m"].problems[0].records[0].answer == "$42"
    assert found["math-l5 m"].problems[0].records[0].answer == "\\frac{1}{2}"
    assert found["math-l5 m"].problems[0].right == (None,)
    assert len(rows.bad) == 2


def test_programs_end_where_their_function_does_and_know_their_tests(tmp_path: Path) -> None:
    assert body("    return 1\n\ndef g():") == "    return 1\n"
    assert body("    return 1\n    # more") == "    return 1\n    # more"
    folder = tmp_path / "codet_humaneval"
    task = {"task_id": "T/0", "prompt": "def f():", "canonical_solution": "    return 1"}
    write(
        folder / "humaneval_codegen16b_even.jsonl.gz",
        {**task, "solutions": ["    return 1", "    return 2", "    return 1"]},
        {**task, "task_id": "T/9", "solutions": []},
    )
    write(
        folder / "exec_reference_even.jsonl.gz",
        {
            "task_id": "T/0",
            "sample_to_unique": [0, 1, 0],
            "unit_test_pass": [1, 0],
            "test_count": [1, 2],
            "passed_hex": ["7", "5"],
        },
    )
    rows = rows_of(tmp_path, "codet_humaneval")
    (executed,) = read_executed(rows)
    assert executed.passed == ((True,) * 3, (False, True, True), (True,) * 3)
    assert executed.problem.right == (True, False, True)
    assert len(rows.bad) == 1


def test_predictions_of_inputs_and_outputs_are_two_sets(tmp_path: Path) -> None:
    row = {"id": "s0", "code": "def f(x):\n    return x", "input": "1", "output": "1"}
    samples = {"input_samples": ["f(1)", "f(2)"], "output_samples": ["1", "2"]}
    verdicts = {"input_correct": [1, 0], "output_correct": [0, 0]}
    file = tmp_path / "cruxeval_codellama7b" / "cruxeval_even.jsonl.gz"
    write(file, {**row, **samples, **verdicts})
    found, _ = read(tmp_path, "cruxeval_codellama7b")
    given, wanted = found["input"].problems[0], found["output"].problems[0]
    assert (given.right, wanted.right) == ((True, False), (False, False))
    assert given.example.problem.statement.endswith("# f(?) == 1")
    assert wanted.example.problem.statement.endswith("# f(1) == ?")


def test_games_without_a_number_are_numbered_by_their_order(tmp_path: Path) -> None:
    folder = tmp_path / "xot_game24"
    game = {"ys": ["Answer: 1", "Answer: 2"], "infos": [{"r": 1, "revised": None}, {"r": 0}]}
    short = {**game, "infos": []}
    write(folder / "gpt-35-turbo-20220309_io_sample1.jsonl.gz", game, short, game)
    found, rows = read(tmp_path, "xot_game24")
    recorded = found["io_sample1"]
    assert [each.example.group for each in recorded.problems] == ["0", "1"]
    assert (recorded.problems[0].right, recorded.num_samples) == ((True, False), 2)
    assert "2 samples have 0 verdicts" in rows.bad[0].reason


@pytest.mark.parametrize(
    ("tail", "answer"),
    [
        ('"answer": "21"\n}', "21"),
        ('"answer": 21\n}', "21"),
        ('"answer": "a \\"b\\""}', 'a "b"'),
        ('"answer": "\\\\frac{1}{2}"}', "\\frac{1}{2}"),
        ('"answer": "x"} or "answer": "y"', "y"),
        ("I do not know", ""),
        ('"answer": "cut', ""),
    ],
)
def test_the_answer_is_the_last_such_field_of_what_may_be_no_json(tail: str, answer: str) -> None:
    assert answer_in_json(tail) == answer


def test_what_a_policy_may_see_holds_neither_grade_nor_reference() -> None:
    record = Record("What is 6 * 7?", "41", "41")
    problem = recorded_problem("toy", "0", "What is 6 * 7?", "4242", [(record, True)])
    recording = RecordedSet("run", "m", (problem,)).recording()
    assert "4242" not in repr(recording)
    assert recording.samples[record.messages] == (record,)
    assert record.steps[-1].kind is StepKind.ANSWER
    with pytest.raises(ValueError, match="1 records have 0 grades"):
        type(problem)(problem.example, (record,), ())


def test_a_data_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no data set `gsm9k`"):
        rows_of(tmp_path, "gsm9k")
    with pytest.raises(BadInputError, match="no data set `gsm8k`"):
        rows_of(tmp_path, "gsm8k")
    (tmp_path / "qwen_math_rm8").mkdir()
    with pytest.raises(BadInputError, match="cannot read the data"):
        read(tmp_path, "qwen_math_rm8")
    write(tmp_path / "qwen_math_rm8" / "math_cot_first50.jsonl.gz", "{}")
    broken = tmp_path / "qwen_math_rm8" / "math_cot_first50.jsonl.gz"
    broken.write_bytes(broken.read_bytes()[:-6])
    with pytest.raises(BadInputError, match="cannot read the data"):
        read(tmp_path, "qwen_math_rm8")
