"""How far the checkers agree with recorded verdicts: one command, every accuracy table.

    python benchmarks/checkers.py DATA [--only maths|code] [--every 1]

DATA is a folder with the recorded data sets, named in the tables; one that is missing is left out.
`--every 10` looks at every tenth row of the large sets. Prints one line a set or class: how many
verdicts agree, how many there are, the share, and false accepts. Nothing is random.
"""

import argparse
import ast
import asyncio
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import starmap
from math import comb
from pathlib import Path
from typing import Any, Final

from mull.core.score import Verdict
from mull.verifiers.code import UnitTest, check_program
from mull.verifiers.consensus import agreement_scores, pass_matrix
from mull.verifiers.maths import AlgebraPool, MathsEquality
from mull.verifiers.sandbox import Limits, Sandbox
from mull.verifiers.sandbox.inside.plain import same_value

Rows = list[dict[str, Any]]
STOPS: Final = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


def rows_of(data: Path, name: str) -> Rows:
    """The rows of a data set; none where it is missing."""
    path = data / name
    if not path.exists():
        sys.stdout.write(f"{name}: not in `{data}`, left out\n")
        return []
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in text.splitlines()]


def report(name: str, agreed: Sequence[bool], note: str = "") -> None:
    """One line of a table."""
    if agreed:
        share = 100 * sum(agreed) / len(agreed)
        sys.stdout.write(f"{name:52} {sum(agreed):6} of {len(agreed):6} {share:7.2f} %  {note}\n")
        sys.stdout.flush()


async def measure_maths(data: Path, every: int) -> None:
    """Maths answers against four recorded sources."""
    async with MathsEquality(AlgebraPool(size=2, seconds=10.0)) as equality:
        await measure_cases(equality, data)
        samples = rows_of(data, "qwen_math_rm8/math_cot_first50.jsonl.gz")
        agreed: list[bool] = []
        for row in samples:
            for response, score in zip(row["response"], row["score"], strict=True):
                finding = await equality.check(response, row["gt"], row["question"])
                known = finding.verdict is not Verdict.UNKNOWN
                agreed.append(known and finding.is_accepted == score)
        report("qwen_math_rm8, verdicts", agreed)
        tails = rows_of(data, "epoch_frontier_samples/otis_response_tails_dev.jsonl.gz")
        whole = [row for row in tails if not row["tail"].rstrip().endswith("...")][::every]
        agreed = [
            (await equality.check(row["tail"], row["target"])).is_accepted
            == (row["verdict"] == "C")
            for row in whole
        ]
        report("OTIS mock AIME, tails that are not cut", agreed)
        outputs = rows_of(data, "math_equivalence/gsm8k_tora_code_34b_outputs.jsonl.gz")
        right = [
            (await equality.check(str(row["pred"][0]), row["gt"])).is_accepted for row in outputs
        ]
        report("ToRA-Code-34B on GSM8K, right", right, "published: 80.7")


async def measure_cases(equality: MathsEquality, data: Path) -> None:
    """The math-verify test vectors, by class."""
    right, total, false_accepts = Counter[str](), Counter[str](), 0
    for row in rows_of(data, "math_equivalence/math_verify_cases_dev.jsonl"):
        finding = await equality.check(row["pred"], row["gold"])
        total[row["test"]] += 1
        right[row["test"]] += finding.is_accepted == bool(row["equal"])
        false_accepts += finding.is_accepted and not row["equal"]
    for name in sorted(total):
        agreed = [True] * right[name] + [False] * (total[name] - right[name])
        report(f"math_equivalence, {name}", agreed)
    agreed = [True] * right.total() + [False] * (total.total() - right.total())
    report("math_equivalence, all", agreed, f"false accepts: {false_accepts}")


async def measure_code(data: Path, every: int) -> None:
    """Programs against recorded executions."""
    async with await Sandbox.open() as sandbox:
        sys.stdout.write(f"programs run at level {sandbox.level.value}\n")
        await measure_cruxeval(
            sandbox, rows_of(data, "cruxeval_codellama7b/cruxeval_even.jsonl.gz")[::every]
        )
        samples = rows_of(data, "codet_humaneval/humaneval_codegen16b_even.jsonl.gz")
        known = rows_of(data, "codet_humaneval/exec_reference_even.jsonl.gz")
        pairs = list(zip(samples, known, strict=True))
        await measure_codet(sandbox, pairs[::every])
        for name in ("gpt4_simple", "gpt4_simple_2", "gpt35_simple", "davinci003_simple"):
            rows = rows_of(data, f"reflexion_humaneval/{name}.jsonl.gz")[::every]
            report(
                f"reflexion_humaneval, {name}",
                await gathered(judge_solution(sandbox, row) for row in rows),
            )
    report_consensus(known)


async def gathered(jobs: Iterable[Any]) -> list[Any]:
    """What the jobs come to, a hundred at once."""
    limit = asyncio.Semaphore(100)

    async def one(job: Any) -> Any:
        async with limit:
            return await job

    return await asyncio.gather(*map(one, jobs))


async def measure_cruxeval(sandbox: Sandbox, rows: Rows) -> None:
    """Guessed inputs and outputs of functions."""

    async def judge(row: dict[str, Any], side: str) -> list[bool]:
        limits = Limits(seconds=6.0, item_seconds=0.5)
        guesses = row[f"{side}_samples"]
        evaluation = await sandbox.evaluate(row["code"], guesses, limits)
        expected: object = ast.literal_eval(row["output"])
        found = [
            item.error is None and same_value(item.value, expected) for item in evaluation.values
        ]
        found += [False] * (len(guesses) - len(found))
        return [a == bool(b) for a, b in zip(found, row[f"{side}_correct"], strict=True)]

    jobs = [judge(row, side) for row in rows for side in ("input", "output")]
    report(
        "cruxeval_codellama7b, verdicts", [each for part in await gathered(jobs) for each in part]
    )


async def measure_codet(
    sandbox: Sandbox, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    """The pass matrix and the unit tests of sampled programs."""

    async def judge(
        row: dict[str, Any], known: dict[str, Any], unique: int
    ) -> tuple[list[bool], bool]:
        body = row["solutions"][known["sample_to_unique"].index(unique)]
        cut = min((body.find(stop) for stop in STOPS if stop in body), default=len(body))
        program = row["prompt"] + body[:cut]
        limits = Limits(seconds=60.0, item_seconds=0.1)
        (cells,) = await pass_matrix(sandbox, [program], known["generated_tests"], limits)
        recorded = bin(int(known["passed_hex"][unique], 16))[3:]
        case = UnitTest(row["test"], row["entry_point"], row["prompt"] + row["canonical_solution"])
        finding = await check_program(sandbox, program, case, limits=Limits(seconds=6.0))
        return (
            [cell == (bit == "1") for cell, bit in zip(cells, recorded, strict=True)],
            finding.is_accepted == bool(known["unit_test_pass"][unique]),
        )

    jobs = [
        (row, known, unique)
        for row, known in pairs
        for unique in range(len(known["unit_test_pass"]))
    ]
    judged = await gathered(starmap(judge, jobs))
    report("codet_humaneval, pass matrix", [cell for cells, _ in judged for cell in cells])
    report("codet_humaneval, unit tests", [unit for _, unit in judged])


async def judge_solution(sandbox: Sandbox, row: dict[str, Any]) -> bool:
    """Whether a final program's recorded verdict is found again; some are a function's body."""
    is_whole = f"def {row['entry_point']}" in row["solution"]
    program = row["solution"] if is_whole else row["prompt"] + row["solution"]
    case = UnitTest(row["test"], row["entry_point"], row["prompt"])
    finding = await check_program(sandbox, program, case, limits=Limits(seconds=8.0))
    return finding.is_accepted == bool(row["is_solved"])


def report_consensus(known: Rows) -> None:
    """Selection by consensus on recorded results: no program runs."""
    single, chosen, any_of_ten = 0.0, 0.0, 0.0
    for task in known:
        right = [bool(task["unit_test_pass"][unique]) for unique in task["sample_to_unique"]]
        bits = [bin(int(task["passed_hex"][unique], 16))[3:] for unique in task["sample_to_unique"]]
        scores = agreement_scores([[bit == "1" for bit in row] for row in bits])
        best = [ok for ok, score in zip(right, scores, strict=True) if score == max(scores)]
        chosen += sum(best) / len(best)
        single += sum(right) / len(right)
        any_of_ten += 1 - comb(len(right) - sum(right), 10) / comb(len(right), 10)
    if known:
        sys.stdout.write(
            f"codet_humaneval, one sample {100 * single / len(known):.1f} %, pass@10 "
            f"{100 * any_of_ten / len(known):.1f} %, consensus {100 * chosen / len(known):.1f} %\n"
        )


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=("maths", "code"))
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    if given.only in {None, "maths"}:
        asyncio.run(measure_maths(given.data, given.every))
    if given.only in {None, "code"}:
        asyncio.run(measure_code(given.data, given.every))


if __name__ == "__main__":
    main()
