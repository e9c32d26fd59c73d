"""A task of one's own: two problems in `own_task.jsonl`, and how often three samples are right.

mull eval examples/own_task.jsonl --model mull-base --budgets 3
python examples/own_task.py [MODEL]
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from mull.evaluation import EvalConfig, ProblemSet, evaluate

TASK = Path(__file__).with_name("own_task.jsonl")


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "mull-base"
    config = EvalConfig(
        ProblemSet(str(TASK)),
        (model,),
        ("self_consistency",),
        budgets=(3,),
        has_baselines=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(evaluate(config, Path(folder)))
    for curve in report.curves:
        print(curve.strategy, [f"{point.accuracy.value:.0%} right" for point in curve.points])


if __name__ == "__main__":
    main()
