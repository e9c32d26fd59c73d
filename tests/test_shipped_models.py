"""The weights that ship: one family, the promised sizes, and they do their job."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from random import Random

import pytest

import mull
from mull.build import close_verifiers, find_verifier, shipped_models
from mull.core.problem import AnswerKind
from mull.core.score import Score
from mull.core.solution import Solution
from mull.core.steps import Step, StepKind, Trajectory
from mull.models.config import ModelConfig
from mull.models.tokenizer import TextTokenizer
from mull.puzzles import Countdown, to_problem
from mull.tasks.walk import random_walk, write_moves

NAMES = ("mull-mini", "mull-base")
CHECKPOINTS = Path(mull.__file__).parent / "checkpoints"
MOST_BYTES = 16_000_000
PUZZLES = (
    "Use 4, 9, 10 and 13 once each with + - * / to make 24.",
    "Multiply 23 by 4.",
    "Add 57, 33 and 90 modulo 97.",
    "How many times does the letter r appear in strawberry?",
)


def test_all_are_listed_and_together_stay_small() -> None:
    assert {model.name for model in shipped_models()} == {*NAMES, "mull-prm"}
    assert sum(file.stat().st_size for file in CHECKPOINTS.rglob("*")) < MOST_BYTES


def test_their_cards_count_every_parameter() -> None:
    for card in shipped_models():
        raw = (card.folder / "model.safetensors").read_bytes()
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        sizes = [prod(each["shape"]) for name, each in header.items() if name != "__metadata__"]
        assert card.num_parameters == sum(sizes)


def test_their_sizes_stand_one_to_fourteen() -> None:
    mini, base = (ModelConfig.load(CHECKPOINTS / name).num_core_parameters for name in NAMES)
    assert base / mini == pytest.approx(14, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_they_read_with_the_tokenizer_that_the_code_builds(name: str) -> None:
    shipped = TextTokenizer.load(CHECKPOINTS / name).tokenizer
    assert shipped.to_str() == TextTokenizer.built().tokenizer.to_str()


async def solved(name: str) -> list[Solution]:
    async with mull.open_model(name) as model:
        every = (mull.solve_async(text, model=model, n=16, seed=1) for text in PUZZLES)
        return await asyncio.gather(*every)


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_samples_answer_one_easy_problem_of_each_family(name: str) -> None:
    countdown, product, total, count = asyncio.run(solved(name))
    assert countdown.stop is mull.StopReason.COMPLETED
    assert countdown.confidence == 1.0
    answers = [(each.answer or "").replace(" ", "") for each in (product, total, count)]
    assert answers == ["92", "83", "3"]


def derivation(rng: Random, smallest: int, largest: int) -> Trajectory:
    """Random legal play from such numbers, with what it comes to as the target."""
    while True:
        numbers = tuple(sorted(rng.randint(smallest, largest) for _ in range(4)))
        moves = random_walk(numbers, rng)
        target = moves[-1].result
        if largest > 30 or 10 <= target <= 100:
            break
    lines = [f"{line}\n" for line in write_moves(moves).split("\n")]
    steps = [Step(line, kind=StepKind.ANSWER) for line in lines]
    steps[-1] = Step(lines[-1].rstrip("\n"), kind=StepKind.ANSWER, is_final=True)
    return Trajectory(to_problem(Countdown(numbers, max(target, 1))), tuple(steps))


def missed(path: Trajectory) -> Trajectory:
    """The same derivation of another target: right line by line, and wrong at its end."""
    puzzle = Countdown.parse(path.problem.statement)
    assert puzzle is not None
    other = Countdown(puzzle.numbers, puzzle.target + 1)
    return replace(path, problem=to_problem(other))


async def judged(paths: Sequence[Trajectory]) -> list[Score]:
    verifier = find_verifier("mull-prm", AnswerKind.COUNTDOWN)
    assert verifier is not None
    try:
        return await verifier.score(paths)
    finally:
        await close_verifiers([verifier])


def test_the_reward_model_tells_right_from_wrong_and_the_familiar_from_the_foreign() -> None:
    rng = Random(1)
    right = [derivation(rng, 1, 30) for _ in range(100)]
    wrong = [missed(path) for path in right]
    foreign = [derivation(rng, 100, 250) for _ in range(100)]
    scores = asyncio.run(judged([*right, *wrong, *foreign]))
    values = [score.value for score in scores]
    wins = sum(values[place] > values[100 + place] for place in range(100))
    assert wins >= 95
    unknown = [not score.is_opinion for score in scores]
    assert sum(unknown[:200]) <= 6
    assert sum(unknown[200:]) >= 85
    assert {len(score.per_step) for score in scores if score.is_opinion} == {3}
