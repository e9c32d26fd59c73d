"""The weights that ship: one family, the promised sizes, and they do their job."""

import asyncio
from pathlib import Path

import pytest

import mull
from mull.build import shipped_models
from mull.core.solution import Solution
from mull.models.config import ModelConfig
from mull.models.tokenizer import TextTokenizer

NAMES = ("mull-mini", "mull-base")
CHECKPOINTS = Path(mull.__file__).parent / "checkpoints"
MOST_BYTES = 16_000_000
PUZZLES = (
    "Use 4, 9, 10 and 13 once each with + - * / to make 24.",
    "Multiply 23 by 4.",
    "Add 57, 33 and 90 modulo 97.",
    "How many times does the letter r appear in strawberry?",
)


def test_both_are_listed_and_together_stay_small() -> None:
    assert {model.name for model in shipped_models()} == set(NAMES)
    assert sum(file.stat().st_size for file in CHECKPOINTS.rglob("*")) < MOST_BYTES


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
