"""Strategies at matched compute on Countdown: explore, then confirm.

    python benchmarks/matched_compute.py explore --guide mull-prm --out runs/matched

The two stages use problems of one list that do not overlap: what was chosen on some is confirmed on
others. `CLAIMS` names what `confirm` measures and is committed
before it runs. Every row adds to the results of its level and can be stopped and run again; its
tables are written as Markdown beside them.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mull.build import find_verifier
from mull.build.judging import AUTO
from mull.core.problem import AnswerKind
from mull.engine import Dtype
from mull.evaluation import Bench, EvalConfig, ProblemSet, evaluate
from mull.evaluation.controls import CONTROLS

SAMPLED: Final = (
    "best_of_n",
    "early_stop",
    "self_consistency",
    "weighted_best_of_n+verifier=none",
    "weighted_best_of_n+verifier=none+combine=max",
)
"""Replayed from the bank: whole answers, chosen by the checker, by votes, by the guide."""
BEST_FIRST: Final = "best_first+early_stop=true"
MCTS: Final = (
    "mcts+early_stop=true",
    "mcts+rule=puct+early_stop=true",
    "mcts+evaluation=rollout+early_stop=true",
    "mcts+rule=puct+evaluation=rollout+early_stop=true",
)
"""UCT and PUCT, each with the guide's values and with rollouts."""
ONE_BY_ONE: Final = (BEST_FIRST, *MCTS, "tot_dfs+early_stop=true")
"""Run live, and stop at the first accepted answer."""
LEVELWISE: Final = ("rebase", "tapered_beam", "dvts", "beam", "particles", "tot_bfs")
"""Run live. They end all their answers at once, so nothing is gained by stopping early."""
CONTROL: Final = (
    "best_first+early_stop=true+guide=random",
    "best_first+early_stop=true+guide=oracle",
)
"""The first must lose. The second is what a guide that knows what is possible would give."""
HARD: Final = (
    BEST_FIRST,
    "mcts+evaluation=rollout+early_stop=true",
    "mcts+rule=puct+evaluation=rollout+early_stop=true",
    "mcts+evaluation=rollout+widening=0.8+early_stop=true",
    "mcts+evaluation=rollout+width=4+early_stop=true",
)
"""Explored where best-of-256 lies between 20 and 90 %. For `mull-mini` the guide is as large as the
policy; rollouts need none."""
CLAIMS: Final[tuple[str, ...]] = (
    BEST_FIRST,
    "mcts+evaluation=rollout+early_stop=true",
    "mcts+rule=puct+early_stop=true",
    "best_first+early_stop=true+guide=random",
)
"""The best three of exploring, and the control that must lose; named before they are confirmed.

Claimed of the first, everything charged, by the lower end of the interval: with 6 numbers it is at
least 4 times cheaper than best-of-n at equal accuracy, at 64 and at 256 samples' worth, and with 4
numbers at least 1.5 times. Of the second the same at 64. Of the third nothing. Of the last, that it
is dearer than early stopping.
Came out, for the first: 5.0 (3.8 to 8.8) at 64 and 13.1 (3.1 to 18.3) at 256 with 6 numbers,
missed; 7.3 (5.8 to 9.4) at 16 and 12.7 (9.1 to 15.3) at 64 with 4, confirmed. For the second: 10.7
(5.2 to 14.8), confirmed. The last is dearer everywhere, confirmed.
"""
HARD_CLAIMS: Final = (BEST_FIRST, "mcts+evaluation=rollout+early_stop=true")
"""Claimed on the hardest level where best-of-256 lies between 20 and 90 %, the levels being powers
of four of `--rarity`: for `mull-mini` it is 1,024 (45 % on 60 problems, 8 % at 4,096). At 16
samples' worth, everything charged, by the lower end of the interval, at equal accuracy: the first
is 4 times cheaper than best-of-n (exploring has 6), the second 2 times (exploring has 4).
Neither was confirmed: 1.45 (0.92 to 2.05) and 1.43 (0.97 to 1.92); at 64, where nothing was
claimed, 1.86 (1.40 to 2.40) and 1.54 (1.17 to 2.02).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One piece of a stage."""

    level: int
    budgets: tuple[int, ...]
    strategies: tuple[str, ...]
    count: int | None = None
    """Problems, where it is too dear for those of the stage."""

    @property
    def searches(self) -> frozenset[str]:
        """What the row is for beside the samplers that they are held against, if it has any."""
        return frozenset(self.strategies) - {*SAMPLED} or frozenset(self.strategies)


@dataclass(frozen=True, slots=True)
class Stage:
    """Which problems, and what is measured on them, the most informative rows first."""

    skip: int
    counts: Mapping[int, int]
    """Problems by level."""
    rows: tuple[Row, ...]
    rollouts: int = 256
    """Recorded a problem: how far the curve of best-of-n goes."""
    is_rare: bool = False
    """Only problems that blind play solves at most once in `--rarity` walks."""


LEVELS: Final = (6, 4, 5)
BUDGETS: Final = (16, 64, 256)
RARITY: Final = 4_096
"""Of hard problems blind play solves at most one in so many walks, whichever model is asked. Of the
powers of four it is the largest where best-of-256 of `mull-base` has 20 %: at 16,384 it has 8. So
has `mull-mini` at 4,096."""


def _rows(budgets: tuple[int, ...], *strategies: str, count: int | None = None) -> tuple[Row, ...]:
    """One row a level, all budgets on the same problems."""
    return tuple(Row(level, budgets, strategies, count) for level in LEVELS)


STAGES: Final[Mapping[str, Stage]] = {
    "explore": Stage(
        0,
        dict.fromkeys(LEVELS, 100),
        (
            *_rows((16,), *SAMPLED, *ONE_BY_ONE, *LEVELWISE, *CONTROL),
            *_rows((64,), *SAMPLED, BEST_FIRST, *CONTROL),
            *_rows((256,), *SAMPLED, BEST_FIRST),
            *_rows((64,), *SAMPLED, *MCTS, "tot_dfs+early_stop=true", *LEVELWISE),
            *_rows((256,), *SAMPLED, *MCTS, "tot_dfs+early_stop=true"),
            *_rows((256,), *SAMPLED, *LEVELWISE, count=30),
        ),
    ),
    "confirm": Stage(
        2_000,
        {4: 1_000, 5: 300, 6: 500},
        (
            Row(6, (16, 64), (*SAMPLED[:-1], BEST_FIRST)),
            Row(6, (64,), (*SAMPLED[:-1], *CLAIMS[1:]), count=300),
            Row(5, (16, 64), (*SAMPLED[:-1], *CLAIMS)),
            Row(4, (16, 64), (*SAMPLED[:-1], *CLAIMS)),
            Row(6, (256,), (*SAMPLED[:-1], *CLAIMS[:2]), count=200),
        ),
        rollouts=64,
    ),
    "explore-hard": Stage(
        0,
        {6: 60},
        (
            Row(6, (16, 64, 256), SAMPLED[:3]),
            Row(6, (16,), (*SAMPLED[:3], *HARD)),
            Row(6, (64,), (*SAMPLED[:3], *HARD)),
            Row(6, (256,), (*SAMPLED[:3], *HARD[:2])),
        ),
        is_rare=True,
    ),
    "confirm-hard": Stage(
        100,
        {6: 300},
        (
            Row(6, (16, 64, 256), SAMPLED[:3]),
            Row(6, (16,), (*SAMPLED[:3], *HARD_CLAIMS)),
            Row(6, (64,), (*SAMPLED[:3], *HARD_CLAIMS)),
        ),
        is_rare=True,
    ),
}


ALL: Final = tuple(
    dict.fromkeys(
        name for stage in STAGES.values() for row in stage.rows for name in row.strategies
    )
)


def config_of(stage: Stage, row: Row, guide: str, asked: argparse.Namespace) -> EvalConfig:
    """The evaluation of a row; `guide` is the name under which it speaks."""
    checker = find_verifier(AUTO, AnswerKind.COUNTDOWN)
    planned = row.count or stage.counts[row.level]
    problems = ProblemSet(
        "countdown",
        level=row.level,
        count=min(asked.count or planned, planned),
        skip=stage.skip,
        rarity=asked.rarity if stage.is_rare else 0,
    )
    return EvalConfig(
        problems,
        (asked.model,),
        tuple(each for each in row.strategies if each in {*SAMPLED, *asked.strategies}),
        budgets=row.budgets,
        rollouts=stage.rollouts,
        verifier=None if checker is None else checker.source.verifier,
        guide=guide,
        dtype=Dtype.FLOAT32,
    )


async def run(asked: argparse.Namespace) -> None:
    """Run the rows of a stage, one after the other."""
    stage, kind = STAGES[asked.stage], AnswerKind.COUNTDOWN
    guide = find_verifier(asked.guide, kind)
    checker = find_verifier(AUTO, kind)
    if guide is None or checker is None:
        raise SystemExit(f"`{asked.guide}` is no guide")
    judges = (checker, guide, *(make() for make in CONTROLS.values()))
    bench = Bench(judges, rows=asked.rows, workers=asked.workers, bank=asked.out / "bank")
    for number, row in enumerate(stage.rows):
        is_wanted = row.level in asked.levels and {*row.budgets} <= {*asked.budgets}
        if not is_wanted or not row.searches & {*asked.strategies}:
            continue
        config = config_of(stage, row, guide.source.verifier, asked)
        rare = f"-{asked.rarity}" if stage.is_rare else ""
        path = asked.out / f"{asked.stage}-{asked.model}-{row.level}{rare}"
        sys.stderr.write(f"row {number + 1} of {len(stage.rows)}: level {row.level}\n")
        report = await evaluate(config, path, bench=bench, watcher=_watch, command=_command(asked))
        name = f"{number}-n-{'-'.join(map(str, row.budgets))}.md"
        (path / name).write_text(report.markdown(), encoding="utf-8")


def _watch(stage: str, done: int, total: int) -> None:
    if done == total:
        sys.stderr.write(f"{stage}: {total} problems\n")


def _command(asked: argparse.Namespace) -> str:
    count = f" --count {asked.count}" if asked.count else ""
    chosen = "" if asked.strategies == ALL else f" --strategies {_words(asked.strategies)}"
    rare = f" --rarity {asked.rarity}" if STAGES[asked.stage].is_rare else ""
    return (
        f"python benchmarks/matched_compute.py {asked.stage} --model {asked.model} "
        f"--guide {Path(asked.guide).name} --levels {_words(asked.levels)} "
        f"--budgets {_words(asked.budgets)}{count}{rare}{chosen}"
    )


def _words(things: Iterable[object]) -> str:
    return " ".join(map(str, things))


def main() -> None:
    parser = argparse.ArgumentParser(description="Strategies at matched compute on Countdown.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--model", default="mull-base")
    parser.add_argument("--guide", default="mull-prm")
    parser.add_argument("--levels", type=int, nargs="+", default=LEVELS, choices=LEVELS)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, choices=BUDGETS)
    parser.add_argument(
        "--strategies",
        nargs="+",
        default=ALL,
        choices=ALL,
        help="of the searches only these; what they are held against is always there",
    )
    parser.add_argument("--count", type=int, help="problems a level, fewer than the plan has")
    parser.add_argument("--rarity", type=int, default=RARITY, help="of the hard stages' problems")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rows", type=int, default=512, help="branches that a worker grows")
    parser.add_argument("--out", type=Path, default=Path("runs/matched"))
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
