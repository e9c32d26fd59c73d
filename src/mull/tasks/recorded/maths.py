"""School and competition maths: `qwen_math_rm8`, `gsm8k`, `routellm`, `zeroeval_multimodel`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp
from re import DOTALL
from re import compile as compile_pattern
from typing import Final

from mull.core.problem import AnswerKind
from mull.core.recording import Record
from mull.tasks.recorded.rows import RawRow, Rows
from mull.tasks.recorded.sets import RecordedProblem, RecordedSet, recorded_problem


@dataclass(frozen=True, slots=True)
class QwenRow:
    """A MATH problem with eight solutions, their grades and their rewards."""

    idx: int
    question: str
    gt: str
    response: tuple[str, ...]
    pred: tuple[str, ...]
    score: tuple[bool, ...]
    rm: tuple[float, ...]

    def __post_init__(self) -> None:
        if {len(self.response), len(self.pred), len(self.score), len(self.rm)} != {8}:
            raise ValueError("there must be eight of everything")


def read_qwen(rows: Rows) -> Iterator[RecordedSet]:
    """One set. The reward is squeezed into [0, 1] by the logistic function, which keeps order."""
    problems = [_qwen(row) for row in rows.json_lines("math_cot_first50.jsonl.gz", QwenRow)]
    yield RecordedSet("math_cot", "Qwen2.5-Math", tuple(problems))


def _qwen(row: QwenRow) -> RecordedProblem:
    parts = zip(row.response, row.pred, row.score, row.rm, strict=True)
    samples = [
        (Record(row.question, text, answer, score=1 / (1 + exp(-reward))), is_right)
        for text, answer, is_right, reward in parts
    ]
    return recorded_problem("qwen_math_rm8", str(row.idx), row.question, row.gt, samples)


SYSTEMS: Final = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
"""Of `gsm8k`: GPT-3 fine-tuned, and the best of its 100 samples by a trained verifier."""


@dataclass(frozen=True, slots=True)
class Solution:
    """One system's solution."""

    solution: str
    is_correct: bool


@dataclass(frozen=True, slots=True)
class Gsm8kRow:
    """A problem with a solution of each system."""

    idx: int
    question: str
    ground_truth: str
    solutions: Mapping[str, Solution]


def _gsm8k_row(row: RawRow) -> RawRow:
    return {**row, "solutions": {name: row[name] for name in SYSTEMS}}


def read_gsm8k(rows: Rows) -> Iterator[RecordedSet]:
    """One set a system. The answer stands after `A:`."""
    found = list(
        rows.json_lines("example_model_solutions_0-659.jsonl.gz", Gsm8kRow, shape=_gsm8k_row)
    )
    for name in SYSTEMS:
        problems = [_gsm8k(row, row.solutions[name]) for row in found]
        yield RecordedSet(name, f"gpt-3 {name}", tuple(problems))


def _gsm8k(row: Gsm8kRow, said: Solution) -> RecordedProblem:
    record = Record(row.question, said.solution, _after(said.solution, "A:"))
    reference = _after(row.ground_truth, "A:")
    return recorded_problem(
        "gsm8k",
        str(row.idx),
        row.question,
        reference,
        [(record, said.is_correct)],
        kind=AnswerKind.MATHS,
    )


def _after(text: str, mark: str) -> str:
    """What follows the last mark; empty where there is none."""
    return text.rpartition(mark)[2].strip() if mark in text else ""


@dataclass(frozen=True, slots=True)
class TestRow:
    """A problem of the GSM8K test set."""

    __test__ = False  # no test, whatever its name says

    idx: int
    question: str
    answer: str


def gsm8k_test(rows: Rows) -> dict[int, TestRow]:
    """The problems by number, from the folder of `gsm8k` beside this one."""
    beside = Rows(rows.folder.parent / "gsm8k", rows.bad)
    return {row.idx: row for row in beside.json_lines("test_0-659.jsonl.gz", TestRow)}


@dataclass(frozen=True, slots=True)
class RouteRow:
    """What a weak and a strong model said to a problem of the GSM8K test set."""

    idx: int
    weak_correct: int
    strong_correct: int
    weak_response: str
    strong_response: str


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """Whether a weak and a strong model were right about a question of MMLU."""

    subject: str
    prompt: str
    weak_correct: str
    strong_correct: str


WEAK: Final = "Mixtral-8x7B-Instruct"
STRONG: Final = "gpt-4-1106-preview"


def read_routellm(rows: Rows) -> Iterator[RecordedSet]:
    """The weak and the strong model on GSM8K, then on MMLU, where no answers were kept."""
    questions = gsm8k_test(rows)
    routed = list(_known(rows, questions))
    for name, model in (("weak", WEAK), ("strong", STRONG)):
        problems = [_routed(row, questions[row.idx], name) for row in routed]
        yield RecordedSet(f"gsm8k {name}", model, tuple(problems))
    choices = list(rows.csv_lines("mmlu_correct.csv.gz", ChoiceRow))
    for name, model in (("weak", WEAK), ("strong", STRONG)):
        problems = [_chosen(row, number, name) for number, row in enumerate(choices)]
        yield RecordedSet(f"mmlu {name}", model, tuple(problems))


def _known(rows: Rows, questions: Mapping[int, TestRow]) -> Iterator[RouteRow]:
    for row in rows.json_lines("gsm8k_0-659.jsonl.gz", RouteRow):
        if row.idx in questions:
            yield row
        else:
            rows.reject(f"there is no problem `{row.idx}`")


def _routed(row: RouteRow, question: TestRow, name: str) -> RecordedProblem:
    is_weak = name == "weak"
    text = row.weak_response if is_weak else row.strong_response
    is_right = bool(row.weak_correct if is_weak else row.strong_correct)
    reference = _after(question.answer, "####")
    return recorded_problem(
        "routellm",
        str(row.idx),
        question.question,
        reference,
        [(Record(question.question, text), is_right)],
        kind=AnswerKind.MATHS,
    )


def _chosen(row: ChoiceRow, number: int, name: str) -> RecordedProblem:
    is_right = (row.weak_correct if name == "weak" else row.strong_correct) in {"1", "True", "1.0"}
    return recorded_problem(
        "routellm", f"mmlu {number}", row.prompt, "", [(Record(row.prompt, answer=""), is_right)]
    )


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One model's answer to a problem of the GSM8K test set."""

    model: str
    idx: str
    raw_answer: str
    chars: str


@dataclass(frozen=True, slots=True)
class HardRow:
    """A problem of MATH, level 5."""

    id: int
    problem: str
    answer: str


@dataclass(frozen=True, slots=True)
class TailRow:
    """The end of one model's response to it."""

    model: str
    id: int
    tail: str


_JSON_ANSWER: Final = compile_pattern(r'"answer"\s*:\s*("(?:[^"\\]|\\.)*"|[^",}\s][^,}]*)', DOTALL)


def read_zeroeval(rows: Rows) -> Iterator[RecordedSet]:
    """One greedy answer of each model; nobody graded them."""
    yield from _zeroeval_gsm(rows)
    yield from _zeroeval_hard(rows)


def _zeroeval_gsm(rows: Rows) -> Iterator[RecordedSet]:
    questions = gsm8k_test(rows)
    by_model = dict[str, list[RecordedProblem]]()
    for row in rows.csv_lines("gsm_answers_0-659.csv.gz", AnswerRow):
        question = questions.get(int(row.idx))
        if question is None:
            rows.reject(f"there is no problem `{row.idx}`")
            continue
        record = Record(question.question, answer=row.raw_answer)
        by_model.setdefault(row.model, []).append(
            recorded_problem(
                "zeroeval_multimodel",
                f"gsm {row.idx}",
                question.question,
                _after(question.answer, "####"),
                [(record, None)],
                kind=AnswerKind.MATHS,
            )
        )
    for model, problems in by_model.items():
        yield RecordedSet(f"gsm {model}", model, tuple(problems))


def _zeroeval_hard(rows: Rows) -> Iterator[RecordedSet]:
    questions = {row.id: row for row in rows.json_lines("math_l5_problems.jsonl.gz", HardRow)}
    by_model = dict[str, list[RecordedProblem]]()
    for row in rows.json_lines("math_l5_tails_dev.jsonl.gz", TailRow):
        question = questions.get(row.id)
        if question is None:
            rows.reject(f"there is no problem `{row.id}`")
            continue
        record = Record(question.problem, row.tail, answer_in_json(row.tail))
        by_model.setdefault(row.model, []).append(
            recorded_problem(
                "zeroeval_multimodel",
                f"math-l5 {row.id}",
                question.problem,
                question.answer,
                [(record, None)],
                kind=AnswerKind.MATHS,
            )
        )
    for model, problems in by_model.items():
        yield RecordedSet(f"math-l5 {model}", model, tuple(problems))


def answer_in_json(tail: str) -> str:
    """The value of the last `"answer"` field; empty where there is none that ends."""
    found = _JSON_ANSWER.findall(tail)
    if not found:
        return ""
    value: str = found[-1].strip()
    if not value.startswith('"'):
        return value
    try:
        read = str(json.loads(value, strict=False))
    except ValueError:
        read = ""
    # LaTeX whose backslashes were not doubled: `\frac` is no form feed.
    return read if read.isprintable() and read else value[1:-1]
