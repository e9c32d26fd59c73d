"""Programs: `codet_humaneval` (Chen et al. 2022) and `cruxeval_codellama7b` (Gu et al. 2024)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from re import compile as compile_pattern
from typing import Final

from mull.core.recording import Record
from mull.tasks.recorded.rows import Rows
from mull.tasks.recorded.sets import RecordedProblem, RecordedSet, recorded_problem

_END: Final = compile_pattern("\nclass|\ndef|\n#|\nif|\nprint")
"""Where a continuation stops being the function that was asked for."""


@dataclass(frozen=True, slots=True)
class HumanEvalRow:
    """A task with a hundred continuations."""

    task_id: str
    prompt: str
    canonical_solution: str
    solutions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """What running them came to."""

    task_id: str
    sample_to_unique: tuple[int, ...]
    unit_test_pass: tuple[int, ...]
    test_count: tuple[int, ...]
    passed_hex: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExecutedProblem:
    """A task, and which of the generated tests each of its programs passes."""

    problem: RecordedProblem
    passed: tuple[tuple[bool, ...], ...]
    """One row a record, one cell a generated test: n cells if it was generated n times."""


def read_executed(rows: Rows) -> Iterator[ExecutedProblem]:
    """Every task with its test results."""
    executions = {
        row.task_id: row for row in rows.json_lines("exec_reference_even.jsonl.gz", ExecutionRow)
    }
    for row in rows.json_lines("humaneval_codegen16b_even.jsonl.gz", HumanEvalRow):
        execution = executions.get(row.task_id)
        if execution is None:
            rows.reject(f"task `{row.task_id}` was not executed")
            continue
        unique = execution.sample_to_unique
        samples = [
            (Record(row.prompt, body(text)), bool(execution.unit_test_pass[number]))
            for text, number in zip(row.solutions, unique, strict=True)
        ]
        problem = recorded_problem(
            "codet_humaneval", row.task_id, row.prompt, row.canonical_solution, samples
        )
        passed = [_cells(each, execution.test_count) for each in execution.passed_hex]
        yield ExecutedProblem(problem, tuple(passed[number] for number in unique))


def read_codet(rows: Rows) -> Iterator[RecordedSet]:
    """One set; a program is right if it passes HumanEval's own tests."""
    problems = tuple(each.problem for each in read_executed(rows))
    yield RecordedSet("humaneval", "CodeGen-Mono-16B", problems)


def body(continuation: str) -> str:
    """The continuation up to where another statement of the module begins."""
    end = _END.search(continuation)
    return continuation[: end.start()] if end else continuation


def _cells(text: str, counts: Sequence[int]) -> tuple[bool, ...]:
    """`text` is a `1` and one bit a test, as a hexadecimal number."""
    bits = f"{int(text, 16):b}"[1:]
    return tuple(bit == "1" for bit, count in zip(bits, counts, strict=True) for _ in range(count))


@dataclass(frozen=True, slots=True)
class CruxRow:
    """A function with ten predictions of an input and of its output."""

    id: str
    code: str
    input: str
    output: str
    input_samples: tuple[str, ...]
    output_samples: tuple[str, ...]
    input_correct: tuple[int, ...]
    output_correct: tuple[int, ...]


def read_cruxeval(rows: Rows) -> Iterator[RecordedSet]:
    """Two sets: which input gives this output, and which output this input gives."""
    found = list(rows.json_lines("cruxeval_even.jsonl.gz", CruxRow))
    inputs = [
        _crux(
            row,
            f"{row.code}\n# f(?) == {row.output}",
            row.input,
            row.input_samples,
            row.input_correct,
        )
        for row in found
    ]
    outputs = [
        _crux(
            row,
            f"{row.code}\n# f({row.input}) == ?",
            row.output,
            row.output_samples,
            row.output_correct,
        )
        for row in found
    ]
    yield RecordedSet("input", "CodeLlama-7B", tuple(inputs))
    yield RecordedSet("output", "CodeLlama-7B", tuple(outputs))


def _crux(
    row: CruxRow, statement: str, reference: str, said: tuple[str, ...], right: tuple[int, ...]
) -> RecordedProblem:
    samples = [(Record(statement, text), bool(ok)) for text, ok in zip(said, right, strict=True)]
    return recorded_problem("cruxeval_codellama7b", row.id, statement, reference, samples)
