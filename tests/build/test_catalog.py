import json
import shutil
from pathlib import Path

import pytest

from mull.build import (
    MODELS,
    REWARD_MODELS,
    describe,
    find_checkpoint,
    find_policy,
    problem_for,
    shipped_models,
)
from mull.build.catalog import shipped_folder
from mull.core.errors import (
    BadInputError,
    CheckpointError,
    ProblemNotUnderstoodError,
    UnknownNameError,
)
from mull.core.problem import AnswerKind
from mull.models.config import ModelConfig
from mull.models.reward_card import Head, RewardCard, RewardKind

CONFIG = ModelConfig(1536, 64, 2, 2, 2, 96)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What can be seen of a checkpoint without torch."""
    CONFIG.save(tmp_path, dtype="float16", bos=1, eos=2, pad=0)
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    return tmp_path


def write_tokenizer(folder: Path, *marks: str) -> None:
    tokens = [{"content": mark} for mark in marks]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))


def test_a_folder_describes_itself(folder: Path) -> None:
    card = describe(find_checkpoint(str(folder)))
    assert card.num_core_parameters == CONFIG.num_core_parameters
    assert card.num_parameters == CONFIG.num_core_parameters + 1536 * 64
    assert card.num_bytes == sum(each.stat().st_size for each in folder.iterdir())
    assert (card.window, card.dtype, card.families) == (512, "float16", ())


def test_our_own_tokenizer_means_a_model_of_our_own_puzzles(folder: Path) -> None:
    write_tokenizer(folder, "<think>", "<|probe|>", "<|judge|>", "<|join|>", "<|reserved_0|>")
    checkpoint = find_checkpoint(str(folder))
    assert checkpoint.knows_only_puzzles
    assert "countdown" in describe(checkpoint).families
    write_tokenizer(folder, "<think>", "<s>")
    assert not find_checkpoint(str(folder)).knows_only_puzzles


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"added_tokens": 3}', "\x00"])
def test_a_broken_tokenizer_is_no_ones_until_it_is_opened(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    assert not find_checkpoint(str(folder)).knows_only_puzzles


def test_a_folder_without_a_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        describe(find_checkpoint(str(tmp_path)))


@pytest.mark.parametrize("name", ["mull-bse", "mull", "gpt"])
def test_an_unknown_name_is_told_what_exists(name: str) -> None:
    with pytest.raises(UnknownNameError, match="mull-base, mull-mini"):
        find_checkpoint(name)


@pytest.mark.parametrize("name", ["./no", "/no/where", "~/no"])
def test_a_path_that_is_not_there_is_no_name(name: str) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        find_checkpoint(name)


def test_shipped_models_are_listed_present_or_not() -> None:
    cards = shipped_models()
    assert [card.name for card in cards] == [*sorted(MODELS), *sorted(REWARD_MODELS)]
    for card in cards:
        assert card.is_present == shipped_folder(card.name).is_dir()
        if not card.is_present:
            with pytest.raises(CheckpointError, match="missing from this installation"):
                find_checkpoint(card.name)


@pytest.mark.parametrize("kind", RewardKind)
def test_a_reward_model_says_what_it_judges_and_is_no_policy(
    folder: Path, kind: RewardKind
) -> None:
    RewardCard(kind, Head.BETA, families=("chain",)).save(folder)
    card = describe(find_checkpoint(str(folder)))
    assert (card.judges, card.families) == (kind, ("chain",))
    head = card.num_core_parameters - CONFIG.num_core_parameters
    assert head == (130 if kind is RewardKind.PROCESS else 128)
    with pytest.raises(BadInputError, match="is a reward model") as raised:
        find_policy(str(folder))
    assert f"--verifier {folder}" in str(raised.value.hint)


def test_a_model_of_puzzles_is_asked_in_the_words_it_was_trained_on() -> None:
    problem = problem_for("make 24 from 4 9 10 13", knows_only_puzzles=True)
    assert problem.statement == "Use 4, 9, 10 and 13 once each with + - * / to make 24."
    with pytest.raises(ProblemNotUnderstoodError) as raised:
        problem_for("Who was Ada Lovelace?", knows_only_puzzles=True)
    assert raised.value.hint is not None
    assert "countdown: `Use 4, 9, 10 and 13" in raised.value.hint


def test_any_other_model_gets_the_text_as_it_stands() -> None:
    text = "make 24 from 4 9 10 13"
    problem = problem_for(text, knows_only_puzzles=False)
    assert (problem.statement, problem.answer_kind) == (text, AnswerKind.COUNTDOWN)
    assert problem_for("Sing.", knows_only_puzzles=False).answer_kind is AnswerKind.TEXT


def test_a_moved_folder_is_found_where_it_is(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for each in ("config.json", "model.safetensors"):
        shutil.move(folder / each, moved / each)
    assert describe(find_checkpoint(str(moved))).folder == moved.resolve()
