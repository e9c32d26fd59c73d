"""What `mull demo` shows: one hard puzzle, then the real games, with an open model."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from mull.build import OpenModel
from mull.core.protocols import Verifier
from mull.core.solution import Solution
from mull.core.spec import Option, Spec
from mull.evaluation.arms import BEST, GREEDY, VOTES
from mull.evaluation.config import EvalConfig
from mull.evaluation.curves import Curve, blind_curve
from mull.evaluation.drawing import Drawing
from mull.evaluation.evaluate import Bench, evaluate
from mull.evaluation.grading import Grading
from mull.evaluation.intervals import Interval
from mull.evaluation.problems import ProblemSet
from mull.evaluation.reading import Grades
from mull.evaluation.report import Report
from mull.evaluation.runner import Progress, solver_for
from mull.evaluation.sheets import Axis
from mull.puzzles import Countdown, to_problem
from mull.solver import Observer
from mull.verifiers import CountdownChecker

HARD_GAMES: Final[Sequence[Countdown]] = tuple(
    Countdown(numbers, 24)
    for numbers in (
        (5, 10, 12, 13),
        (4, 9, 10, 13),
        (4, 8, 11, 13),
        (4, 10, 12, 13),
        (6, 10, 12, 13),
        (6, 11, 12, 13),
        (5, 5, 8, 13),
        (5, 9, 12, 12),
        (8, 8, 10, 12),
        (7, 7, 8, 11),
        (5, 8, 10, 11),
        (5, 8, 8, 8),
        (1, 5, 12, 12),
        (3, 9, 10, 13),
        (2, 5, 7, 7),
        (1, 9, 10, 13),
    )
)
"""Games on which people take longest, tried in this order until greedy decoding fails at one."""
GAMES: Final = ProblemSet("countdown", suite="game24-hard")
SAMPLES: Final = (1, 64)
SEARCH_SAMPLES: Final = 256
SEARCH_WIDTH: Final = 16
BEST_FIRST: Final = "best_first+early_stop=true"
SEARCHES: Final = ("early_stop", BEST_FIRST, "tapered_beam", "beam", "dvts", "mcts")
SEARCH_BUDGET: Final = 8
"""In samples' worth."""
SHAPE: Final = "12:3,3:2,1:1"
"""Of the search that is drawn: small enough for a screen."""
SEED: Final = 0


async def answer_greedily(model: OpenModel, game: Countdown, observer: Observer) -> Solution:
    """The likeliest answer, once, ruled on by the exact checker."""
    return await _solve(model, game, "greedy", {}, observer)


async def search_until_accepted(model: OpenModel, game: Countdown, observer: Observer) -> Solution:
    """Attempts until the exact checker accepts one, or until they run out."""
    options: dict[str, Option] = {"n": SEARCH_SAMPLES, "width": SEARCH_WIDTH}
    return await _solve(model, game, "early_stop", options, observer)


async def _solve(
    model: OpenModel,
    game: Countdown,
    strategy: str,
    options: Mapping[str, Option],
    observer: Observer,
) -> Solution:
    checker = CountdownChecker()
    spec = Spec(strategy, {"verifier": checker.source.verifier, **options})
    solver = solver_for(model, (checker,), spec)
    return await solver.solve(to_problem(game), seed=SEED, observer=observer)


@dataclass(frozen=True, slots=True)
class Play:
    """One way to play all games, as a row of the table."""

    label: str
    samples: int
    solved: Interval
    """Share of the games; for one sample of many the unbiased estimate from all of them."""
    tokens: float | None
    """Generated, a game; None for play without a model."""
    seconds: float
    """All games together; of many samples drawn at once, a few have their share of the time."""


@dataclass(frozen=True, slots=True)
class Rival:
    """One way to play all games beside best-of-n at the same cost, as a row of the table."""

    label: str
    solved: Interval
    tokens: float
    """Generated, a game."""
    flops: float
    """A game, the guide's included."""
    at_tokens: float | None
    """What best-of-n solves with as many tokens; None for best-of-n itself."""
    at_flops: float | None


@dataclass(frozen=True, slots=True)
class Games:
    """What came of a hundred games."""

    plays: tuple[Play, ...]
    rivals: tuple[Rival, ...] = ()
    """None without a guide."""


async def play_games(
    name: str,
    model: OpenModel,
    watcher: Progress,
    guide: Verifier | None = None,
    *,
    problems: ProblemSet = GAMES,
) -> Games:
    """Play all games with an open model, and blindly; nothing is kept."""

    @asynccontextmanager
    async def already_open(*_: object) -> AsyncGenerator[OpenModel, None]:
        yield model

    checker = CountdownChecker()
    config = EvalConfig(
        problems,
        (name,),
        (BEST,) if guide is None else (BEST, *SEARCHES),
        budgets=(SEARCH_BUDGET,),
        rollouts=SAMPLES[-1],
        verifier=checker.source.verifier,
        guide=None if guide is None else guide.source.verifier,
        seed=SEED,
    )
    judges = (checker,) if guide is None else (checker, guide)
    with TemporaryDirectory(prefix="mull-demo-") as folder:
        bench = Bench(judges, already_open)
        report = await evaluate(config, Path(folder) / "games", bench=bench, watcher=watcher)
    plays = (*_plays(name, report), *blind_plays())
    return Games(plays, () if guide is None else _rivals(report))


def _plays(name: str, report: Report) -> tuple[Play, ...]:
    curves = {curve.strategy: curve for curve in report.curves}
    best, vote, greedy = curves[BEST], curves[VOTES], curves[GREEDY]
    checked = f"{name}, best by the checker"
    return (
        _play(greedy, 1, f"{name}, greedy"),
        *(_play(best, n, checked) for n in SAMPLES),
        _play(vote, SAMPLES[-1], f"{name}, majority vote"),
    )


def _rivals(report: Report) -> tuple[Rival, ...]:
    """Greedy, best-of-n and every search, in this order."""
    wanted = (GREEDY, BEST, *SEARCHES)
    curves = {curve.strategy: curve for curve in report.curves}
    return tuple(_rival(report, curves[entry.partition("+")[0]]) for entry in wanted)


def _rival(report: Report, curve: Curve) -> Rival:
    point = curve.at(SEARCH_BUDGET) or curve.points[0]
    others = {
        each.axis: each.accuracy - each.result.gain.value
        for each in report.comparisons
        if (each.arm, each.n, each.other) == (curve.label, point.n, BEST.replace("_", " "))
    }
    return Rival(
        curve.label,
        point.accuracy,
        point.generated_tokens,
        point.flops,
        others.get(Axis.TOKENS),
        others.get(Axis.FLOPS),
    )


async def search_with_guide(
    model: OpenModel, game: Countdown, guide: Verifier
) -> tuple[Solution, Drawing]:
    """One search of a game steered by a guide, and its drawing."""
    checker = CountdownChecker()
    options: dict[str, Option] = {
        "verifier": checker.source.verifier, "guide": guide.source.verifier, "shape": SHAPE,
    }  # fmt: skip
    solver = solver_for(model, (checker, guide), Spec("beam", options))
    solution = await solver.solve(to_problem(game), seed=SEED)
    example = next(each for each in GAMES.examples() if each.problem.statement == game.statement)
    tree = solution.tree
    async with Grading() as grading:
        grades = Grades(example, grading)
        await grades.learn(tree.trajectory(node.id).answer_text for node in tree.finished())
    return solution, Drawing(tree, grades, guide.source.verifier)


def blind_plays() -> list[Play]:
    """The rows that need no model."""
    games = GAMES.examples()
    few, many = (blind_curve(games, ns=ns, num_seeds=1, seed=SEED) for ns in (SAMPLES[:1], SAMPLES))
    plays = [_play(many, n, many.label) for n in SAMPLES]
    return [
        replace(play, seconds=curve.seconds) for play, curve in zip(plays, (few, many), strict=True)
    ]


def _play(curve: Curve, n: int, label: str) -> Play:
    point = next(point for point in curve.points if point.n == n)
    # With an exact checker best-of-n is right where any of n samples is: pass@n.
    solved = point.pass_at_k if curve.strategy == BEST else None
    tokens = None if curve.is_blind else point.generated_tokens
    seconds = point.seconds * curve.num_problems
    return Play(label, n, solved or point.accuracy, tokens, seconds)
